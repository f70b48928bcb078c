import { closeSync, mkdirSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { RkfsError } from '../base/errors.js'
import type { Spill } from '../channel/orphan-file.js'

let next = 1

/** A file without a name in the channel's folder: gone with the process, sparse where nothing was written. */
export function openSpill(folder: string): Spill {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, `spill-${process.pid}-${next++}`)
  const fd = openSync(path, 'wx+', 0o600)
  unlinkSync(path)
  return {
    write(offset, data) {
      let done = 0
      try {
        while (done < data.length) done += writeSync(fd, data, done, data.length - done, offset + done)
      } catch (cause) {
        const { code } = cause as NodeJS.ErrnoException
        if (code !== 'ENOSPC' && code !== 'EDQUOT') throw cause
        throw new RkfsError('disk-full', 'the disk has no room for a file without a name', { cause })
      }
    },
    read(offset, length) {
      const bytes = new Uint8Array(length)
      let done = 0
      while (done < length) {
        const count = readSync(fd, bytes, done, length - done, offset + done)
        if (count === 0) break
        done += count
      }
      return bytes
    },
    close() {
      closeSync(fd)
    },
  }
}
