import { fstatSync, readSync, writeSync } from 'node:fs'
import { MiB } from '../../base/limits.js'
import { lacksSpace } from '../../base/errors.js'

/**
 * Writes what a file holds from an offset on once more, for the next sync to cover: after one that failed, the kernel has
 * the pages, but holds them for clean. Where a full disk cannot even overwrite, it stays as it is.
 */
export function rewrite(file: number, offset = 0): void {
  const buffer = Buffer.alloc(MiB)
  for (let at = offset, { size } = fstatSync(file); at < size;) {
    const length = readSync(file, buffer, 0, Math.min(buffer.length, size - at), at)
    if (length === 0) return
    try {
      for (let done = 0; done < length;) done += writeSync(file, buffer, done, length - done, at + done)
    } catch (error) {
      if (lacksSpace(error)) return
      throw error
    }
    at += length
  }
}
