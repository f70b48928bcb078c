import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { KiB } from '../../base/limits.js'
import { diskFull, type Place } from './failures.js'

/** SQLite has the blocks of its index (`-shm`) allocated by one byte for each of these. */
const indexPageBytes = 4096
/** Two steps by which the index grows, and what a transaction writes beside it. */
const roomBytes = 128 * KiB

/**
 * Refuses a transaction where the index of the WAL may not find room when it grows. Of blocks smaller than a page SQLite
 * allocates one in each page: the others are holes, which are written to through a mapping, and on a full disk the kernel
 * then ends the process (SIGBUS) instead of telling it.
 */
export class IndexRoom {
  readonly #place: Place
  readonly #isNeeded: boolean

  constructor(place: Place) {
    this.#place = place
    this.#isNeeded = statfsSync(dirname(place.path)).bsize < indexPageBytes
  }

  /** Throws `disk-full`. */
  require(): void {
    if (!this.#isNeeded) return
    const { bsize, bavail } = statfsSync(dirname(this.#place.path))
    if (bavail * bsize < roomBytes) throw diskFull(this.#place)
  }
}
