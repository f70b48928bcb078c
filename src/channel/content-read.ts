import type { Piece } from '../fs/extents.js'
import type { BlobId } from './log-port.js'

/** Blobs that one turn reads from the disk: some milliseconds. */
const readsPerTurn = 128

export interface ContentPorts {
  /** A blob that is in memory. */
  readonly peek: (id: BlobId) => Uint8Array | undefined
  /** Throws `DamagedBlob`. */
  readonly get: (id: BlobId) => Uint8Array
  /** Whether a blob's number is its for good: its entry cannot be cut from the log any more. */
  readonly isSettled: (id: BlobId) => boolean
  readonly pin: (ids: readonly BlobId[]) => void
  readonly release: (ids: readonly BlobId[]) => void
}

/**
 * The bytes of a range that is made of very many small pieces, as they are when it begins. What is in memory is taken at
 * once; the rest is read over several turns, and its blobs stay until then, whatever becomes of the file.
 */
export class ContentRead {
  readonly #bytes: Uint8Array
  readonly #ports: ContentPorts
  readonly #rest: { readonly at: number; readonly piece: Piece; readonly blob: BlobId }[] = []
  readonly #pinned: BlobId[]
  #next = 0

  /** Throws `DamagedBlob`. */
  constructor(pieces: readonly Piece[], length: number, ports: ContentPorts) {
    this.#bytes = new Uint8Array(length)
    this.#ports = ports
    let at = 0
    for (const piece of pieces) {
      const { blob } = piece
      if (blob !== undefined) {
        const data = ports.peek(blob) ?? (ports.isSettled(blob) ? undefined : ports.get(blob))
        if (data === undefined) this.#rest.push({ at, piece, blob })
        else this.#put(at, piece, data)
      }
      at += piece.length
    }
    this.#pinned = this.#rest.map(({ blob }) => blob)
    ports.pin(this.#pinned)
  }

  #put(at: number, { offset, length }: Piece, data: Uint8Array): void {
    // a call costs more than some bytes
    if (length > 16) this.#bytes.set(data.subarray(offset, offset + length), at)
    else for (let i = 0; i < length; i++) this.#bytes[at + i] = data[offset + i]!
  }

  /** Reads on. Answers the bytes when all are there. Throws `DamagedBlob`; then it has ended. */
  step(): Uint8Array | undefined {
    try {
      for (const end = this.#next + readsPerTurn; this.#next < Math.min(end, this.#rest.length); this.#next++) {
        const { at, piece, blob } = this.#rest[this.#next]!
        this.#put(at, piece, this.#ports.get(blob))
      }
    } catch (error) {
      this.close()
      throw error
    }
    if (this.#next < this.#rest.length) return undefined
    this.close()
    return this.#bytes
  }

  close(): void {
    this.#ports.release(this.#pinned.splice(0))
  }
}
