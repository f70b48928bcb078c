import { bulkMemory } from '../host/bulk-memory.js'
import { malformed } from '../../base/bytes.js'

/**
 * Pairs of byte strings one after the other: u32 length a, u32 length b (little-endian), a, b. Entries travel as
 * (header, payload), forwarded changes as (operation, payload), so that megabytes are copied once and parsed in place.
 */
export interface Pair {
  readonly a: Uint8Array
  readonly b: Uint8Array
}

const prefixBytes = 8

export function pairsBytes(pairs: readonly Pair[]): number {
  let total = 0
  for (const { a, b } of pairs) total += prefixBytes + a.length + b.length
  return total
}

/** Writes the pairs from `at` on. Returns where they end. */
export function writePairs(target: Buffer, at: number, pairs: readonly Pair[]): number {
  for (const { a, b } of pairs) {
    at = target.writeUInt32LE(a.length, at)
    at = target.writeUInt32LE(b.length, at)
    at += copyInto(target, at, a)
    at += copyInto(target, at, b)
  }
  return at
}

const sharedBytesMin = 64 * 1024

/** Reads pairs; what it returns are copies, which do not keep the whole message in memory. Throws `corrupt`. */
export class PairReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** The next pair; `aMax` and `bMax` bound its parts, in bytes. */
  next(aMax: number, bMax: number): Pair {
    const start = this.#at + prefixBytes
    if (start > this.#bytes.length) throw malformed(`frame: its bulk ends at byte ${this.#bytes.length}`)
    const aLength = this.#view.getUint32(this.#at, true)
    const bLength = this.#view.getUint32(this.#at + 4, true)
    if (aLength > aMax || bLength > bMax)
      throw malformed(`frame: a part of ${aLength} and ${bLength} bytes is too long`)
    const middle = start + aLength
    const end = middle + bLength
    if (end > this.#bytes.length) throw malformed(`frame: its bulk ends at byte ${this.#bytes.length}`)
    this.#at = end
    return { a: this.#bytes.slice(start, middle), b: ownCopy(this.#bytes.subarray(middle, end)) }
  }

  end(): void {
    const left = this.#bytes.length - this.#at
    if (left !== 0) throw malformed(`frame: ${left} bytes of bulk too many`)
  }
}

/** Memory for a message: see `bulkMemory`. */
export function bulkBuffer(length: number): Buffer {
  return length < sharedBytesMin ? Buffer.allocUnsafeSlow(length) : Buffer.from(bulkMemory(length))
}

function ownCopy(bytes: Uint8Array): Uint8Array {
  const copy = bulkBuffer(bytes.length)
  copyInto(copy, 0, bytes)
  return new Uint8Array(copy.buffer, copy.byteOffset, copy.length)
}

/** `Buffer.copy`, for `TypedArray.set` is several times slower where shared memory is concerned. */
function copyInto(target: Buffer, at: number, bytes: Uint8Array): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).copy(target, at)
}
