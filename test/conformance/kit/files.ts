import { equal } from './check.js'
import { O } from './flags.js'
import type { Path } from './libc.js'
import type { DirectoryEntry } from './stat.js'
import { sys } from './sys.js'

/** Makes a file that is not there. */
export function file(path: Path, content: string | Uint8Array = '', mode = 0o644): void {
  const fd = sys.open(path, O.CREAT | O.EXCL | O.WRONLY, mode)
  if (content.length > 0) equal(sys.write(fd, content), Buffer.byteLength(content), 'written')
  sys.close(fd)
}

/** Opens a new file for reading and writing. */
export function fresh(path: Path, content: string | Uint8Array = '', flags = 0): number {
  const fd = sys.open(path, O.CREAT | O.EXCL | O.RDWR | flags, 0o644)
  if (content.length > 0) sys.pwrite(fd, content, 0)
  return fd
}

/** The whole content of a file. */
export function content(path: Path): Buffer {
  const fd = sys.open(path)
  try {
    return whole(fd)
  } finally {
    sys.close(fd)
  }
}

/** The whole content behind a descriptor. */
export function whole(fd: number): Buffer {
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const part = sys.pread(fd, 1 << 20, at)
    if (part.length === 0) return Buffer.concat(parts)
    parts.push(part)
    at += part.length
  }
}

export const text = (path: Path): string => content(path).toString('latin1')

export function exists(path: Path): boolean {
  try {
    sys.lstat(path)
    return true
  } catch {
    return false
  }
}

/** What a listing from the descriptor's position to its end gives, `.` and `..` too. */
export function entriesOf(fd: number, size = 32768): DirectoryEntry[] {
  const entries: DirectoryEntry[] = []
  for (;;) {
    const some = sys.getdents(fd, size)
    if (some.length === 0) return entries
    entries.push(...some)
  }
}

export function entries(path: Path = '.'): DirectoryEntry[] {
  const fd = sys.open(path, O.DIRECTORY)
  try {
    return entriesOf(fd)
  } finally {
    sys.close(fd)
  }
}

/** The names of a directory without `.` and `..`, sorted. */
export function list(path: Path = '.'): string[] {
  return entries(path)
    .map(entry => entry.name)
    .filter(name => name !== '.' && name !== '..')
    .sort()
}

/** Bytes that tell where they were written: no two neighbouring pages alike. */
export function pattern(size: number, seed = 1): Buffer {
  const buffer = Buffer.allocUnsafe(size)
  let state = seed >>> 0
  for (let i = 0; i < size; i++) {
    if (i % 4 === 0) state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    buffer[i] = state >>> (8 * (i % 4))
  }
  return buffer
}
