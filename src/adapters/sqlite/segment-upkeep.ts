import { KiB, MiB } from '../../base/limits.js'
import { type BlobId, type CleanBounds, DamagedBlob } from '../../channel/log-port.js'
import type { LogReader } from './log-reader.js'
import type { LogTables } from './log-tables.js'
import type { SegmentFiles, StreamPosition } from './segment-files.js'
import type { SegmentReader } from './segment-reader.js'

/** A segment of which less than this part is live is cleaned, so many bytes at a time. */
const cleanBelow = 0.5
/** Less than this part of a segment is not worth moving the rest. */
const deadPartLeast = 1 / 16
const cleanBytesMax = 8 * MiB
/** What moving takes beside the moved bytes, and a part of them: their records' heads, and frames of the WAL. */
const cleanOverhead = 64 * KiB
/** Blobs that one step moves; each may be on a page of its own in the database. */
const cleanBlobsMax = 512

/** Somebody reads the log through files of it, as they were at some moment. */
export interface FilesPin {
  /** The reader has the database open: it refers to none of the segments that begin later. */
  opened(): void
  /** Twice without harm. */
  release(): void
}

/** Gives the space of dead records back: removes segments that nothing needs, and moves the rest out of sparse ones. */
export class SegmentUpkeep {
  readonly #segments: SegmentFiles
  readonly #descriptors: SegmentReader
  readonly #tables: LogTables
  readonly #reader: LogReader
  /** Segments that nothing can be moved out of: what is live in them is damaged, or journalled. */
  readonly #uncleanable = new Set<number>()
  /** The last segment that each reader may need. */
  readonly #pins = new Set<{ upTo: number }>()

  constructor(segments: SegmentFiles, descriptors: SegmentReader, tables: LogTables, reader: LogReader) {
    this.#segments = segments
    this.#descriptors = descriptors
    this.#tables = tables
    this.#reader = reader
  }

  /** Segments stay until it is released. */
  pin(): FilesPin {
    const pin = { upTo: Infinity }
    this.#pins.add(pin)
    return {
      opened: () => void (pin.upTo = this.#segments.position.segment),
      release: () => void this.#pins.delete(pin),
    }
  }

  #isPinned(segment: number): boolean {
    for (const { upTo } of this.#pins) if (segment <= upTo) return true
    return false
  }

  /** Segments before the one that the database has taken over up to, and which it does not refer to. */
  unused(settled: StreamPosition): number[] {
    const { live } = this.#tables
    return [...this.#segments.complete.keys()].filter(segment => segment < settled.segment && !live.has(segment))
  }

  /** Of those, what has to stay for who reads them, and what may go. */
  pinnedOf(unused: readonly number[]): { readonly pinned: number[]; readonly free: number[] } {
    const pinned = unused.filter(segment => this.#isPinned(segment))
    return { pinned, free: unused.filter(segment => !pinned.includes(segment)) }
  }

  /** Answers false when some of them have to stay for now. */
  remove(segments: readonly number[]): boolean {
    const { pinned, free } = this.pinnedOf(segments)
    for (const segment of free) {
      if (!this.#segments.complete.has(segment)) continue
      this.#descriptors.forget(segment)
      this.#segments.remove(segment)
    }
    return pinned.length === 0
  }

  /** Bytes of complete segments that nothing refers to. */
  get deadBytes(): number {
    let bytes = 0
    for (const [segment, size] of this.#segments.complete) {
      bytes += Math.max(0, size - (this.#tables.live.get(segment) ?? 0))
    }
    return bytes
  }

  /**
   * Of the segments most of whose content is dead the one that costs least to clean; or, while more than `deadMax` bytes are
   * dead in all, the one with most of them. None whose rest does not fit into `room`: it gives nothing back before all of it
   * is moved. The reserve is spent where more comes back than is taken. A journalled payload counts as live until it is committed: what it makes of the log refers to it.
   */
  sparse(settled: StreamPosition, { deadMax, room, reserve }: CleanBounds): number | undefined {
    let sparsest: { segment: number; live: number } | undefined
    let fullest: { segment: number; dead: number } | undefined
    let allDead = 0
    for (const [segment, size] of this.#segments.complete) {
      const live = this.#tables.live.get(segment)
      // it goes whole, with the next sync
      if (segment >= settled.segment || live === undefined || this.#uncleanable.has(segment)) continue
      // what is moved out of one that has to stay only takes space
      if (this.#isPinned(segment)) continue
      const dead = size - live
      allDead += dead
      const needed = live + live / 16 + cleanOverhead
      if (needed > room + reserve) continue
      if (live < size * cleanBelow && live < (sparsest?.live ?? Infinity)) sparsest = { segment, live }
      if (needed > room) continue
      if (dead >= size * deadPartLeast && dead > (fullest?.dead ?? 0)) fullest = { segment, dead }
    }
    return sparsest?.segment ?? (allDead > deadMax ? fullest?.segment : undefined)
  }

  /**
   * Within a transaction: has a share of a segment's blobs appended again and refers to them there. `damaged` is told of
   * those that cannot be read, which stay.
   */
  moveOut(
    segment: number,
    append: (id: BlobId, crc: number, data: Uint8Array) => StreamPosition,
    damaged: (id: BlobId) => void,
  ): void {
    let bytes = 0
    for (const row of this.#tables.bulkOf(segment, cleanBlobsMax)) {
      if (bytes > 0 && bytes + row.length > cleanBytesMax) break
      const data = this.#readable(row.id, damaged)
      if (data === undefined) continue
      bytes += row.length
      const to = append(row.id, row.crc, data)
      this.#tables.moveBulk(row, segment, to.segment, to.offset)
    }
    // what is live there waits to be healed, or is journalled, and soon gone
    if (bytes === 0) this.#uncleanable.add(segment)
  }

  #readable(id: BlobId, damaged: (id: BlobId) => void): Uint8Array | undefined {
    try {
      return this.#reader.blob(id)
    } catch (error) {
      if (!(error instanceof DamagedBlob)) throw error
      damaged(id)
      return undefined
    }
  }

  /** Something damaged is whole again, in another place. */
  healed(): void {
    this.#uncleanable.clear()
  }
}
