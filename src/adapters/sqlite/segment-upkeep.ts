import { RkfsError } from '../../base/errors.js'
import { MiB } from '../../base/limits.js'
import type { StoreLog } from './failures.js'
import type { LogReader } from './log-reader.js'
import type { LogTables } from './log-tables.js'
import type { SegmentFiles, StreamPosition } from './segment-files.js'
import type { SegmentReader } from './segment-reader.js'

/** A segment of which less than this part is live is cleaned, so many bytes at a time. */
const cleanBelow = 0.5
const cleanBytesMax = 8 * MiB

/** Gives the space of dead records back: removes segments that nothing needs, and moves the rest out of sparse ones. */
export class SegmentUpkeep {
  readonly #segments: SegmentFiles
  readonly #descriptors: SegmentReader
  readonly #tables: LogTables
  readonly #reader: LogReader
  readonly #log: StoreLog
  /** Segments that could not be cleaned: something in them is damaged. */
  readonly #uncleanable = new Set<number>()
  #pins = 0

  constructor(segments: SegmentFiles, descriptors: SegmentReader, tables: LogTables, reader: LogReader, log: StoreLog) {
    this.#segments = segments
    this.#descriptors = descriptors
    this.#tables = tables
    this.#reader = reader
    this.#log = log
  }

  /** All segments stay until the answered function is called. */
  pin(): () => void {
    this.#pins++
    let held = true
    return () => {
      if (held) this.#pins--
      held = false
    }
  }

  /** Segments before the one that the database has taken over up to, and which it does not refer to. */
  unused(settled: StreamPosition): number[] {
    const { live } = this.#tables
    return [...this.#segments.complete.keys()].filter(segment => segment < settled.segment && !live.has(segment))
  }

  /** Answers false when they have to stay for now. */
  remove(segments: readonly number[]): boolean {
    if (this.#pins > 0 && segments.length > 0) return false
    for (const segment of segments) {
      if (!this.#segments.complete.has(segment)) continue
      this.#descriptors.forget(segment)
      this.#segments.remove(segment)
    }
    return true
  }

  /** A segment most of whose content is dead. */
  sparse(settled: StreamPosition): number | undefined {
    for (const [segment, live] of this.#tables.live) {
      if (segment >= settled.segment || this.#uncleanable.has(segment)) continue
      if (live < (this.#segments.complete.get(segment) ?? 0) * cleanBelow) return segment
    }
    return undefined
  }

  /** Within a transaction: has a share of a segment's blobs appended again and refers to them there. */
  moveOut(segment: number, append: (id: number, crc: number, data: Uint8Array) => StreamPosition): void {
    let bytes = 0
    for (const row of this.#tables.bulkOf(segment, 4096)) {
      if (bytes > 0 && bytes + row.length > cleanBytesMax) break
      bytes += row.length
      const to = append(row.id, row.crc, this.#reader.blob(row.id)!)
      this.#tables.moveBulk(row, segment, to.segment, to.offset)
    }
    // what is live there is journalled, and soon gone
    if (bytes === 0) this.#uncleanable.add(segment)
  }

  /** Takes note of a segment with damaged content: who reads that is told; the rest of the segment stays as it is. */
  failed(segment: number, error: unknown): void {
    if (!(error instanceof RkfsError) || error.code !== 'corrupt') throw error
    this.#uncleanable.add(segment)
    this.#log.error({ segment, error: error.message }, 'a segment cannot be cleaned')
  }
}
