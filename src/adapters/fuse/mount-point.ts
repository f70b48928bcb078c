import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { messageOf, RkfsError } from '../../base/errors.js'
import { mountsAt, RKFS_TYPE, type MountEntry } from './mountinfo.js'
import { run, type RunResult } from './run.js'

const UNMOUNT_TIMEOUT_MS = 30_000
/** How long to ask a mount whether it lives; one that does not answer belongs to a daemon that hangs. */
const PROBE_TIMEOUT_MS = 5_000
/** Mounts one above the other that are cleared at one point. */
const STACKED_MAX = 32

export const isRoot = (): boolean => process.geteuid?.() === 0

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
export async function isDead(directory: string): Promise<boolean> {
  const { status, stderr } = await run('stat', ['-f', '--', directory], { timeoutMs: PROBE_TIMEOUT_MS })
  return status !== 0 && /not connected|connection abort/i.test(stderr)
}

/** A mount point that was looked at. */
export interface MountPoint {
  /** Its canonical path. */
  readonly path: string
  /** Mounts of daemons that are gone, one above the other, which a new mount takes the place of. */
  readonly dead: number
}

/** How many dead rkfs mounts lie at a directory, where all that is mounted there is that; else what lives there. */
async function deadMounts(path: string): Promise<number | MountEntry> {
  const mounts = mountsAt(path)
  const top = mounts.at(-1)
  if (top === undefined) return 0
  if (top.type !== RKFS_TYPE || !(await isDead(path))) return top
  const living = mounts.findLast(entry => entry.type !== RKFS_TYPE)
  return living === undefined ? mounts.length : mounts.length - 1 - mounts.indexOf(living)
}

/**
 * Looks at a mount point: it is a directory, and nothing that lives is mounted exactly there; else fails, with `busy` for
 * the latter. What a dead rkfs left there stays: below it lies a directory into which programs would write.
 */
export async function examineMountPoint(directory: string): Promise<MountPoint> {
  const path = canonicalPath(directory)
  const found = await deadMounts(path)
  if (typeof found !== 'number') {
    // it may have gone in between, and what answered is the directory below
    if (!mountsAt(path).some(entry => entry.id === found.id)) return examineMountPoint(directory)
    throw new RkfsError(
      'busy',
      `${found.source} (${found.type}) is already mounted at ${path}: unmount it first (umount ${path}) or choose another directory`,
    )
  }
  if (found > 0) return { path, dead: found }
  let stats
  try {
    stats = statSync(path)
  } catch (error) {
    throw unusable(path, error)
  }
  if (!stats.isDirectory()) throw new RkfsError('failed', `the mount point ${path} is not a directory`)
  return { path, dead: 0 }
}

/** Takes the mounts of dead daemons away from a directory, but for the last `keep`. What lives there stays. */
export async function clearDeadMounts(path: string, keep = 0): Promise<void> {
  for (let round = 0; round < STACKED_MAX; round++) {
    const found = await deadMounts(path)
    if (typeof found !== 'number' || found <= keep) return
    const { status, stderr } = await runUnmount(path, true)
    if (status !== 0) {
      throw new RkfsError('busy', `a dead rkfs mount at ${path} cannot be cleared (try umount -l ${path}): ${stderr}`)
    }
  }
}
