import { mkdtemp, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RkfsError } from '../../base/errors.js'
import { readMounts } from './mountinfo.js'
import { run } from './run.js'

const MOUNT_TIMEOUT_MS = 10_000

/**
 * Ends a FUSE connection whatever state its requests are in, through fusectl (Documentation/filesystems/fuse.rst):
 * all waiting callers get an error and the reader ENODEV. `device`: the mount's `major:minor`.
 */
export async function abortConnection(device: string): Promise<void> {
  const minor = device.slice(device.indexOf(':') + 1)
  const mounted = readMounts().find(entry => entry.type === 'fusectl' && entry.root === '/')
  if (mounted !== undefined) return writeAbort(mounted.mountPoint, minor)
  const directory = await mkdtemp(join(tmpdir(), 'rkfs-fusectl-'))
  try {
    const { status, stderr } = await run('mount', ['-i', '-t', 'fusectl', '--', 'fusectl', directory], {
      timeoutMs: MOUNT_TIMEOUT_MS,
    })
    if (status !== 0) throw new RkfsError('failed', `the FUSE control file system cannot be mounted: ${stderr}`)
    try {
      await writeAbort(directory, minor)
    } finally {
      await run('umount', ['-l', '-i', '--', directory], { timeoutMs: MOUNT_TIMEOUT_MS })
    }
  } finally {
    await rmdir(directory)
  }
}

async function writeAbort(fusectl: string, minor: string): Promise<void> {
  try {
    await writeFile(join(fusectl, minor, 'abort'), '1')
  } catch (error) {
    // The connection ended by itself in between.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
