import { closeSync, openSync } from 'node:fs'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { MountOptions } from '../../channel/mount-port.js'
import { RKFS_TYPE } from './mountinfo.js'
import { run } from './run.js'

const MOUNT_TIMEOUT_MS = 30_000

/** What is wrong with /dev/fuse, with the remedy. */
export function deviceError(error: unknown): RkfsError {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO':
      return new RkfsError(
        'unavailable',
        '/dev/fuse is missing: load the kernel module (modprobe fuse); in a container add the device (--device /dev/fuse)',
        { cause: error },
      )
    case 'EACCES':
    case 'EPERM':
      return new RkfsError(
        'unavailable',
        'no permission to open /dev/fuse: run as root, or make the device accessible (chmod 0666 /dev/fuse, udev does so by default)',
        { cause: error },
      )
    default:
      return new RkfsError('unavailable', `/dev/fuse cannot be opened: ${messageOf(error)}`, { cause: error })
  }
}

/**
 * Mounts with mount(8), which inherits the open device as descriptor 3, and answers the device. As root the mount is for
 * everybody. Set-uid files and device nodes have no effect unless they are asked for: every member can make them, and
 * root of another machine is not root of this one.
 */
export async function mountAsRoot(directory: string, options: MountOptions): Promise<number> {
  let fd: number
  try {
    fd = openSync('/dev/fuse', 'r+')
  } catch (error) {
    throw deviceError(error)
  }
  const mountOptions = ['fd=3', 'rootmode=40000', 'user_id=0', 'group_id=0', 'allow_other', 'default_permissions']
  if (options.readOnly) mountOptions.push('ro')
  if (!options.suid) mountOptions.push('nosuid')
  if (!options.dev) mountOptions.push('nodev')
  if (options.noExec) mountOptions.push('noexec')
  // -i: mount(8) must not run the helper mount.fuse.
  const args = ['-i', '-t', RKFS_TYPE, '-o', mountOptions.join(','), '--', options.source, directory]
  const { status, stderr } = await run('mount', args, { timeoutMs: MOUNT_TIMEOUT_MS, extraFd: fd })
  if (status === 0) return fd
  closeSync(fd)
  const remedy = /permission denied|not permitted|must be superuser/i.test(stderr)
    ? ' (mounting needs CAP_SYS_ADMIN; in a container --cap-add SYS_ADMIN)'
    : ''
  throw new RkfsError('failed', `mounting at ${directory} failed: ${stderr || 'mount was killed'}${remedy}`)
}
