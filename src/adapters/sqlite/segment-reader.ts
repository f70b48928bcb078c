import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, RkfsError } from '../../base/errors.js'
import { KiB } from '../../base/limits.js'
import { bulkMemory } from '../host/bulk-memory.js'
import { isUnreadable, readAgain } from './failures.js'

/** The folder of a log's segments, beside `log.db`. */
export const segmentsName = 'segments'

/** Descriptors kept open for reading. */
const openFilesMax = 32
const bulkBytesMin = 64 * KiB

export function segmentName(segment: number): string {
  return String(segment).padStart(8, '0')
}

/** Reads from the segments of a log, in any thread. */
export class SegmentReader {
  readonly folder: string
  /** Least recently used first. */
  readonly #files = new Map<number, number>()

  constructor(folder: string) {
    this.folder = folder
  }

  /** Throws `corrupt`, without a remedy, when the bytes are not there, or the disk does not give them. */
  read(segment: number, offset: number, length: number): Uint8Array {
    try {
      return readAgain(() => this.#read(segment, offset, length))
    } catch (error) {
      if (!isUnreadable(error)) throw error
      const where = `segment ${segment} of ${this.folder} at byte ${offset}`
      throw new RkfsError('corrupt', `${where}: ${messageOf(error)}`, { cause: error })
    }
  }

  #read(segment: number, offset: number, length: number): Uint8Array {
    const bytes = length >= bulkBytesMin ? new Uint8Array(bulkMemory(length)) : new Uint8Array(length)
    const file = this.#open(segment)
    let done = 0
    while (done < length) {
      const count = readSync(file, bytes, done, length - done, offset + done)
      if (count === 0) {
        throw new RkfsError('corrupt', `segment ${segment} of ${this.folder} ends before byte ${offset + length}`)
      }
      done += count
    }
    return bytes
  }

  #open(segment: number): number {
    let file = this.#files.get(segment)
    if (file !== undefined) this.#files.delete(segment)
    else {
      const path = join(this.folder, segmentName(segment))
      try {
        file = openSync(path, 'r')
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        // no descriptor is left: those that are kept here are worth less than the read
        if ((code === 'EMFILE' || code === 'ENFILE') && this.#files.size > 0) {
          this.close()
          return this.#open(segment)
        }
        if (code !== 'ENOENT') throw error
        throw new RkfsError('corrupt', `segment ${segment} of ${this.folder} is missing`, { cause: error })
      }
      if (this.#files.size >= openFilesMax) this.forget(this.#files.keys().next().value!)
    }
    this.#files.set(segment, file)
    return file
  }

  /** The file is about to be removed. */
  forget(segment: number): void {
    const file = this.#files.get(segment)
    if (file === undefined) return
    this.#files.delete(segment)
    closeSync(file)
  }

  close(): void {
    for (const file of this.#files.values()) closeSync(file)
    this.#files.clear()
  }
}
