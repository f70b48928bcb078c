import { readFileSync } from 'node:fs'
import { sep } from 'node:path'

/** One line of /proc/self/mountinfo, proc_pid_mountinfo(5). */
export interface MountEntry {
  readonly id: number
  /** st_dev of the file system as `major:minor`. */
  readonly device: string
  /** What of the file system is mounted: `/` unless it is a bind mount. */
  readonly root: string
  readonly mountPoint: string
  readonly type: string
  readonly source: string
}

/** What shows in the type field of our mounts: FUSE with the subtype `rkfs`. */
export const RKFS_TYPE = 'fuse.rkfs'

/** Lines that do not have the form of mountinfo are left out. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = []
  for (const line of text.split('\n')) {
    const fields = line.split(' ')
    // After the sixth field come optional ones, up to a lone hyphen.
    const hyphen = fields.indexOf('-', 6)
    if (hyphen < 0 || fields.length < hyphen + 3) continue
    entries.push({
      id: Number(fields[0]),
      device: fields[2]!,
      root: unescapeOctal(fields[3]!),
      mountPoint: unescapeOctal(fields[4]!),
      type: fields[hyphen + 1]!,
      source: unescapeOctal(fields[hyphen + 2]!),
    })
  }
  return entries
}

/** The kernel writes space, tab, newline, backslash and # as `\ooo` (mangle_path in fs/seq_file.c). */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))
}

export function readMounts(): MountEntry[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** All that is mounted exactly there, the visible one last. */
export function mountsAt(directory: string, mounts: readonly MountEntry[] = readMounts()): MountEntry[] {
  return mounts.filter(entry => entry.mountPoint === directory)
}

/** The rkfs mount that a path is inside of, if any. */
export function rkfsMountAround(path: string, mounts: readonly MountEntry[]): string | undefined {
  return mounts.find(m => m.type === RKFS_TYPE && isInside(path, m.mountPoint) && path !== m.mountPoint)?.mountPoint
}

/** Whether a path is a folder, or under it. */
export function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}
