import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { LogTail } from '../../channel/log-port.js'

const prefixBytes = 8

/**
 * `log.tail`: records of [u32 length][u32 CRC-32 over generation and bytes][bytes], written over those of earlier
 * generations, whose CRC then does not fit any more.
 */
export class LogTailFile implements LogTail {
  readonly #path: string
  readonly #file: number
  #at = 0
  #closed = false

  constructor(path: string) {
    this.#path = path
    try {
      this.#file = openSync(path, 'a+', 0o600)
      closeSync(this.#file)
      // not for appending: records are written where the last one ended
      this.#file = openSync(path, 'r+')
    } catch (error) {
      throw this.#failure(error)
    }
  }

  records(generation: number): Uint8Array[] {
    const bytes = readFileSync(this.#path)
    const found: Uint8Array[] = []
    let at = 0
    while (at + prefixBytes <= bytes.length) {
      const length = bytes.readUInt32LE(at)
      const end = at + prefixBytes + length
      if (length === 0 || end > bytes.length) break
      const record = bytes.subarray(at + prefixBytes, end)
      if (bytes.readUInt32LE(at + 4) !== crcOf(generation, record)) break
      found.push(record)
      at = end
    }
    return found
  }

  append(generation: number, record: Uint8Array): void {
    const bytes = Buffer.allocUnsafe(prefixBytes + record.length)
    bytes.writeUInt32LE(record.length, 0)
    bytes.writeUInt32LE(crcOf(generation, record), 4)
    bytes.set(record, prefixBytes)
    try {
      let done = 0
      while (done < bytes.length) done += writeSync(this.#file, bytes, done, bytes.length - done, this.#at + done)
    } catch (error) {
      throw this.#failure(error)
    }
    this.#at += bytes.length
  }

  rewind(): void {
    this.#at = 0
  }

  /** Twice without harm. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#file)
  }

  #failure(error: unknown): RkfsError {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      return new RkfsError('disk-full', `no space left on the disk of ${this.#path}`, { cause: error })
    }
    return new RkfsError('failed', `${this.#path} cannot be written: ${messageOf(error)}`, { cause: error })
  }
}

function crcOf(generation: number, record: Uint8Array): number {
  const seed = Buffer.allocUnsafe(8)
  seed.writeBigUInt64LE(BigInt(generation))
  return crc32(record, crc32(seed))
}
