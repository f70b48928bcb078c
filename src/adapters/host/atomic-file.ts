import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { failpoint } from '../../base/failpoint.js'

/** In the name of a temporary file, between the file's own name and the process that writes it. */
const infix = '.tmp-'

/**
 * Replaces a small file so that a crash at any moment leaves either the old or the new content: temporary file, fsync,
 * rename(2), fsync of the directory.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o600): void {
  const temporary = `${path}${infix}${process.pid}`
  try {
    const descriptor = openSync(temporary, 'w', mode)
    try {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content
      for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    failpoint('file-renaming')
    renameSync(temporary, path)
    failpoint('file-renamed')
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  fsyncDirectory(dirname(path))
}

/** Whether a name is of a temporary file that a crash within `writeFileAtomic` left beside `file`. */
export function isLeftOver(name: string, file: string): boolean {
  const begin = file + infix
  return name.startsWith(begin) && /^\d+$/.test(name.slice(begin.length))
}

/** Makes names created, renamed or removed in a directory outlast a power failure. */
export function fsyncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
