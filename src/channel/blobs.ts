import { blobCacheBytesMax } from '../base/limits.js'
import { type Piece, readPieces } from '../fs/extents.js'
import type { View } from '../fs/view.js'
import { type BlobId, DamagedBlob, type LogStore } from './log-port.js'

/** The content of files: blobs of the log and of this member's own changes, with a cache over them. */
export class Blobs {
  readonly #log: LogStore
  /** Blobs of changes that are in memory: this member's own on their way, and the log's newest. */
  readonly #inMemory: (id: BlobId) => Uint8Array | undefined
  #cache = new Map<BlobId, Uint8Array>()
  /** Told of each read that failed. */
  onDamage: ((error: unknown) => void) | undefined
  #bytes = 0

  constructor(log: LogStore, inMemory: (id: BlobId) => Uint8Array | undefined) {
    this.#log = log
    this.#inMemory = inMemory
  }

  /** A blob's bytes; throws `DamagedBlob` when the log has lost it or cannot read it. */
  get(id: BlobId): Uint8Array {
    const cached = this.#cache.get(id)
    if (cached !== undefined) {
      this.#cache.delete(id)
      this.#cache.set(id, cached)
      return cached
    }
    const recent = this.#inMemory(id)
    if (recent !== undefined) return recent
    let data: Uint8Array | undefined
    try {
      data = id < 0 ? undefined : this.#log.blob(id)
      if (data === undefined) throw new DamagedBlob(id, `blob ${id} of the change log is missing`)
    } catch (error) {
      this.onDamage?.(error)
      throw error
    }
    this.#remember(id, data)
    return data
  }

  /** As `get`, of what is in memory alone. */
  peek(id: BlobId): Uint8Array | undefined {
    return this.#cache.get(id) ?? this.#inMemory(id)
  }

  #remember(id: BlobId, data: Uint8Array): void {
    this.#cache.set(id, data)
    this.#bytes += data.length
    for (const [oldest, old] of this.#cache) {
      if (this.#bytes <= blobCacheBytesMax) break
      this.#cache.delete(oldest)
      this.#bytes -= old.length
    }
  }

  forget(ids: readonly BlobId[]): void {
    for (const id of ids) {
      const data = this.#cache.get(id)
      if (data === undefined) continue
      this.#cache.delete(id)
      this.#bytes -= data.length
    }
  }

  clear(): void {
    this.#cache.clear()
    this.#bytes = 0
  }

  /** The bytes `[offset, offset + length)` of a file, which must lie within its size, as parts. */
  read(view: View, ino: number, offset: number, length: number): Uint8Array[] {
    return this.parts(readPieces(view, ino, offset, length))
  }

  parts(pieces: readonly Piece[]): Uint8Array[] {
    return pieces.map(piece =>
      piece.blob === undefined
        ? zeros(piece.length)
        : this.get(piece.blob).subarray(piece.offset, piece.offset + piece.length),
    )
  }
}

const zeroPage = new Uint8Array(1 << 20)

function zeros(length: number): Uint8Array {
  return length <= zeroPage.length ? zeroPage.subarray(0, length) : new Uint8Array(length)
}
