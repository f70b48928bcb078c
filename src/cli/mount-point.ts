import { lstatSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { isInside, mountsAt, readMounts, rkfsMountAround, type MountEntry } from '../adapters/fuse/mountinfo.js'
import { RkfsError } from '../base/errors.js'
import { systemError } from '../base/system-error.js'
import { makeDirectories, removeDirectories } from './made-directories.js'
import { counted, printable } from './output.js'

/** A mount point as /proc/self/mountinfo names it, found without looking at what is mounted there. */
export interface MountPoint {
  readonly path: string
  /** What is mounted exactly there, the visible one last. */
  readonly mounts: readonly MountEntry[]
  /** The rkfs mount that the directory is inside of; it is then not looked at. */
  readonly inside?: string
}

/**
 * Resolves a directory without touching it: a mount whose node hangs would never answer, a dead one fails. Only the
 * parent is looked at, and not even that when it is inside a mount of rkfs.
 */
export function locateMountPoint(directory: string, mounts: readonly MountEntry[] = readMounts()): MountPoint {
  const path = resolve(directory)
  const exact = mountsAt(path, mounts)
  if (exact.length > 0) return { path, mounts: exact }
  const around = rkfsMountAround(path, mounts)
  if (around !== undefined) return { path, mounts: [], inside: around }
  let parent: string
  try {
    parent = realpathSync(dirname(path))
  } catch {
    return { path, mounts: [] }
  }
  const candidate = path === '/' ? '/' : join(parent, basename(path))
  const there = mountsAt(candidate, mounts)
  if (there.length > 0) return { path: candidate, mounts: there }
  const real = resolveLink(candidate)
  return { path: real, mounts: mountsAt(real, mounts), inside: rkfsMountAround(real, mounts) }
}

/** A directory that a mount can be made at. */
export interface PreparedDirectory {
  /** Its canonical path. */
  readonly directory: string
  /** Those that were made for it, the topmost first. */
  readonly made?: readonly string[]
  /** With `nonempty`: which files the mount hides, and how to bring them into the channel. */
  readonly hidden?: string
}

/** Checks a mount point for `rkfs mount`, and makes it when it is missing. */
export function prepareDirectory(
  directory: string,
  home: string,
  channel: string,
  options: { nonEmpty: boolean },
): PreparedDirectory {
  const mounts = readMounts()
  const point = locateMountPoint(directory, mounts)
  if (point.inside !== undefined) {
    throw new RkfsError(
      'failed',
      `the mount point ${point.path} is inside the rkfs mount at ${point.inside}: choose a directory outside of it`,
    )
  }
  refuseOverlap(point.path, home)
  if (point.mounts.length > 0) return { directory: point.path }
  if (isMissing(point.path)) {
    const made = createDirectory(point.path)
    // Its parents are there now, and may have been reached over symbolic links.
    const path = realpathSync(point.path)
    try {
      refuseOverlap(path, home)
    } catch (error) {
      removeDirectories(made)
      throw error
    }
    return { directory: path, made }
  }
  const names = namesIn(point.path)
  if (names.length === 0) return { directory: point.path }
  const found = describeFiles(names)
  const way = bringIn(point.path, channel)
  if (options.nonEmpty) {
    return {
      directory: point.path,
      hidden: `${point.path} itself holds ${found}, which the mount hides. To bring them into ${channel}: \`rkfs umount ${quote(point.path)}\`, ${way}`,
    }
  }
  throw new RkfsError(
    'failed',
    `the mount point ${point.path} is not empty: it holds ${found}, which are not in ${channel}, and a mount would hide ` +
      `them. To bring them into ${channel}: ${way}. Or choose another directory, or hide them with -o nonempty`,
  )
}

function resolveLink(path: string): string {
  try {
    return lstatSync(path).isSymbolicLink() ? realpathSync(path) : path
  } catch {
    // A link into a dead mount, or a loop: the checks that follow say so.
    return path
  }
}

function refuseOverlap(path: string, home: string): void {
  let canonicalHome: string
  try {
    canonicalHome = realpathSync(home)
  } catch {
    canonicalHome = resolve(home)
  }
  if (isInside(path, canonicalHome)) {
    throw new RkfsError(
      'failed',
      `the mount point ${path} is inside the node's home ${canonicalHome}: choose a directory outside of it`,
    )
  }
  if (isInside(canonicalHome, path)) {
    throw new RkfsError(
      'failed',
      `the node's home ${canonicalHome} is inside the mount point ${path}, which would hide it: choose another directory`,
    )
  }
}

function createDirectory(path: string): string[] {
  try {
    return makeDirectories(path)
  } catch (error) {
    throw new RkfsError('failed', `the mount point ${path} cannot be created: ${systemError(error)}`, { cause: error })
  }
}

function namesIn(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) {
      throw new RkfsError('failed', `the mount point ${path} is not a directory: choose another one`)
    }
    return readdirSync(path).sort()
  } catch (error) {
    if (error instanceof RkfsError) throw error
    throw new RkfsError('failed', `the mount point ${path} cannot be used: ${systemError(error)}`, { cause: error })
  }
}

/** Files that are named; the first ones are enough to know which they are. */
const FILES_NAMED_MAX = 5

function describeFiles(names: readonly string[]): string {
  const named = names.slice(0, FILES_NAMED_MAX).join(', ')
  const more = names.length > FILES_NAMED_MAX ? ', …' : ''
  return `${counted(names.length, 'name')} (${printable(named)}${more})`
}

/** The commands that bring what a bare directory holds into the channel that is mounted there. */
function bringIn(path: string, channel: string): string {
  let aside = `${path}.aside`
  for (let i = 2; !isMissing(aside); i++) aside = `${path}.aside${i}`
  const [from, to] = [quote(aside), quote(path)]
  return `\`mv ${to} ${from}\`, \`rkfs mount ${channel} ${to}\`, \`cp -a ${from}/. ${to}/\``
}

/** As a word of a shell. */
function quote(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

function isMissing(path: string): boolean {
  try {
    lstatSync(path)
    return false
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true
    throw new RkfsError('failed', `the mount point ${path} cannot be reached: ${systemError(error)}`, { cause: error })
  }
}
