import { closeSync, mkdirSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
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
      while (done < data.length) done += writeSync(fd, data, done, data.length - done, offset + done)
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
