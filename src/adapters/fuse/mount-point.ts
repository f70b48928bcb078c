import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { MountOptions } from '../../channel/mount-port.js'
import { mountsAt, RKFS_TYPE } from './mountinfo.js'
import { run, type RunResult } from './run.js'
import { watchdogsEnd } from './watchdogs-end.js'

const UNMOUNT_TIMEOUT_MS = 30_000
/** How long to ask a mount whether it lives; one that does not answer belongs to a daemon that hangs. */
const PROBE_TIMEOUT_MS = 5_000
/** The watchdog of a daemon that was killed a moment ago gets this long to clear its mount itself, and to be gone. */
const WATCHDOGS_MS = 5_000
/** Mounts one above the other that are cleared at one point. */
const STACKED_MAX = 32

const isRoot = (): boolean => process.geteuid?.() === 0

/** Unmounts by umount(8) without helpers, or by fusermount3 for a user. `lazy`: MNT_DETACH. */
export function unmountCommand(directory: string, lazy: boolean): { program: string; args: string[] } {
  if (!isRoot()) return { program: 'fusermount3', args: [lazy ? '-uz' : '-u', '--', directory] }
  // -i: no umount.fuse helper. -c: no canonical path, which would look into the mount.
  return { program: 'umount', args: [...(lazy ? ['-l'] : []), '-i', '-c', '--', directory] }
}

export function runUnmount(directory: string, lazy: boolean): Promise<RunResult> {
  const { program, args } = unmountCommand(directory, lazy)
  return run(program, args, { timeoutMs: UNMOUNT_TIMEOUT_MS })
}

/**
 * The canonical path of the mount point, without looking at what is mounted there: a mount whose daemon hangs would not
 * answer, and a dead one fails (ENOTCONN).
 */
function canonicalPath(directory: string): string {
  const path = resolve(directory)
  if (mountsAt(path).length > 0) return path
  let parent: string
  try {
    parent = realpathSync(dirname(path))
  } catch (error) {
    throw unusable(path, error)
  }
  const candidate = path === '/' ? '/' : join(parent, basename(path))
  if (mountsAt(candidate).length > 0) return candidate
  try {
    return realpathSync(candidate)
  } catch (error) {
    throw unusable(path, error)
  }
}

function unusable(path: string, error: unknown): RkfsError {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return new RkfsError('not-found', `the mount point ${path} does not exist: create the directory first`, {
        cause: error,
      })
    case 'ENOTDIR':
      return new RkfsError('failed', `the mount point ${path} is not a directory`, { cause: error })
    case 'EACCES':
      return new RkfsError('failed', `no permission to reach the mount point ${path}`, { cause: error })
    default:
      return new RkfsError('failed', `the mount point ${path} cannot be used: ${messageOf(error)}`, { cause: error })
  }
}

/** A FUSE mount is dead when its daemon is gone: statfs(2) says ENOTCONN. Asked by a child, which may hang in our place. */
async function isDead(directory: string): Promise<boolean> {
  const { status, stderr } = await run('stat', ['-f', '--', directory], { timeoutMs: PROBE_TIMEOUT_MS })
  return status !== 0 && /not connected|connection abort/i.test(stderr)
}

/**
 * Makes the mount point ready and answers its canonical path: it is a directory, and mounts that a dead rkfs left there
 * are gone. Fails with `busy` if a living file system is mounted exactly there.
 */
export async function prepareMountPoint(directory: string, log: MountOptions['log']): Promise<string> {
  const path = canonicalPath(directory)
  let waited = false
  for (let round = 0; ; round++) {
    const top = mountsAt(path).at(-1)
    const dead = top?.type === RKFS_TYPE && round < STACKED_MAX && (await isDead(path))
    if (top !== undefined && !dead) {
      // a watchdog may have cleared it in between, and what answered is the directory below
      if (round < STACKED_MAX && !mountsAt(path).some(entry => entry.id === top.id)) continue
      throw new RkfsError(
        'busy',
        `${top.source} (${top.type}) is already mounted at ${path}: unmount it first (umount ${path}) or choose another directory`,
      )
    }
    if (!waited) {
      waited = true
      if (!(await watchdogsEnd(path, WATCHDOGS_MS))) {
        log('warn', 'the watchdog of an earlier mount does not end', { directory: path })
      }
      continue
    }
    if (top === undefined) break
    log('warn', 'clearing the mount of a daemon that is gone', { directory: path })
    const { status, stderr } = await runUnmount(path, true)
    if (status !== 0) {
      throw new RkfsError('busy', `a dead rkfs mount at ${path} cannot be cleared (try umount -l ${path}): ${stderr}`)
    }
  }
  let stats
  try {
    stats = statSync(path)
  } catch (error) {
    throw unusable(path, error)
  }
  if (!stats.isDirectory()) throw new RkfsError('failed', `the mount point ${path} is not a directory`)
  return path
}
