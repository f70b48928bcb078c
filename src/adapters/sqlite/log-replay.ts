import type Database from 'better-sqlite3'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { equalBytes } from '../../base/bytes.js'
import type { Hasher } from '../../base/hash.js'
import { decodeEntry, hashOfEncoded } from '../../oplog/codec.js'
import { corrupt, type Place } from './failures.js'
import { HotLog } from './hot-log.js'
import type { LogIndex } from './log-index.js'
import type { LoadedLog } from './log-load.js'
import type { LogReader } from './log-reader.js'
import { segmentSize, type StreamPosition } from './segment-files.js'
import { segmentName } from './segment-reader.js'
import { decodeRecordAt, type LogWrite } from './stream-records.js'

/** What the segments have beyond the database. */
export interface Replayed {
  readonly hot: HotLog
  /** Where the sound records end. */
  readonly end: StreamPosition
  readonly lastHash: Uint8Array
}

/** The effect of a write on the index; the one place that both replay and undoing go through. */
export function applyToIndex(index: LogIndex, write: LogWrite): void {
  if (write.kind === 'truncate') index.truncateFrom(write.index)
  else if (write.kind === 'append') {
    const { term, header, payload } = write.record
    index.push(term, header.length, payload.length)
  }
}

/**
 * Reads the stream from where the database has it on, up to the first record that is not sound: what a loss of power
 * left of writes that were not synced. The mark tells whether that is all (`checkMark`).
 */
export function replaySegments(folder: string, loaded: LoadedLog, reader: LogReader, hasher: Hasher): Replayed {
  const { place } = reader
  const hot = new HotLog(loaded.index.last)
  let { lastHash } = loaded
  let end = loaded.settled
  const take = (write: LogWrite): void => {
    if (write.kind === 'truncate') {
      const before = write.index - 1
      if (before < loaded.anchor.index) throw corrupt(place, `its segments cut it off before entry ${write.index}`)
      if (before < loaded.index.last) {
        lastHash = before === loaded.anchor.index ? loaded.anchor.hash : headerOf(hot, reader, before)
      }
    } else if (write.kind === 'append') {
      const { index, header } = write.record
      if (index !== loaded.index.last + 1) throw corrupt(place, `entry ${loaded.index.last + 1} is missing`)
      if (!equalBytes(decodeEntry(header, hasher).previousHash, lastHash)) {
        throw corrupt(place, `entry ${index} does not follow entry ${index - 1}: the hash chain is broken`)
      }
      lastHash = Uint8Array.from(hashOfEncoded(header))
    }
    hot.push(write)
    applyToIndex(loaded.index, write)
  }
  for (let { segment, offset } = loaded.settled; ; segment++, offset = 0) {
    const size = segmentSize(folder, segment)
    if (size === undefined) {
      if (segment === loaded.settled.segment && offset > 0) {
        throw corrupt(place, `segment ${segment} of ${folder} is missing`)
      }
      break
    }
    const bytes = readFileSync(join(folder, segmentName(segment)))
    const follows = segment > end.segment ? end.offset : 0
    if (segment > end.segment) end = { segment, offset: 0 }
    for (;;) {
      const found = decodeRecordAt(bytes, { ...end, follows }, hasher)
      if (found === undefined) break
      end = { segment, offset: found.end }
      // a snapshot's blobs may be more than memory holds
      if (found.write.kind === 'blob') continue
      take(found.write)
      const hotWrite = hot.writes.at(-1)!
      hotWrite.payloadAt = { segment, offset: found.payloadAt }
      hotWrite.end = end
    }
    // a segment that was left for the next one has no byte after its last record
    if (end.offset < bytes.length) break
  }
  hot.committed()
  return { hot, end, lastHash }
}

function headerOf(hot: HotLog, reader: LogReader, index: number): Uint8Array {
  return Uint8Array.from(hashOfEncoded(hot.entry(index)?.header ?? reader.header(index)))
}

/** Live bytes by segment. */
export function liveSegments(db: Database.Database): Map<number, number> {
  const rows = db
    .prepare(
      `SELECT segment, sum(length) FROM (SELECT segment, length FROM bulk
       UNION ALL SELECT segment, length FROM journal WHERE segment IS NOT NULL) GROUP BY segment`,
    )
    .raw()
    .all() as [number, number][]
  return new Map(rows)
}

/** `corrupt` when a segment that live bytes need is missing or too short. */
export function checkSegments(folder: string, live: ReadonlyMap<number, number>, place: Place): void {
  for (const [segment, bytes] of live) {
    const size = segmentSize(folder, segment)
    if (size === undefined) throw corrupt(place, `segment ${segment} of ${folder} is missing`)
    if (size < bytes) throw corrupt(place, `segment ${segment} of ${folder} has only ${size} bytes`)
  }
}
