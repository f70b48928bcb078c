import type Database from 'better-sqlite3'
import type { Hasher } from '../../base/hash.js'
import { blobsPerEntryMax } from '../../base/limits.js'
import type { BlobId } from '../../channel/log-port.js'
import * as format from './log-format.js'
import { type HotWrite, isUndone } from './hot-log.js'
import { liveSegments } from './log-replay.js'
import type { StreamPosition } from './segment-files.js'
import type { LogWrite } from './stream-records.js'

/** A blob's row that refers to a segment. */
export interface BulkRow {
  readonly id: BlobId
  readonly crc: number
  readonly length: number
}

/** The rows of `log.db`, within the open transaction, and how much of each segment they refer to. */
export class LogTables {
  /** Live bytes by segment. */
  live: Map<number, number>
  readonly #db: Database.Database
  readonly #hasher: Hasher
  readonly #sql: ReturnType<typeof prepare>
  /** Highest blob that may be here from a snapshot whose installation broke off: an entry's own takes its place. */
  #foreign: BlobId
  #foreignDropped = 0

  constructor(db: Database.Database, hasher: Hasher, live: Map<number, number>) {
    this.#db = db
    this.#hasher = hasher
    this.#sql = prepare(db)
    this.#foreign = Math.max(0, ...(this.#sql.lastIds.all() as (number | null)[]).map(id => id ?? 0))
    this.live = live
  }

  /** The transaction was rolled back. */
  rolledBack(): void {
    this.#foreignDropped = 0
    this.live = liveSegments(this.#db)
  }

  #count(segment: number, bytes: number): void {
    const live = (this.live.get(segment) ?? 0) + bytes
    if (live === 0) this.live.delete(segment)
    else this.live.set(segment, live)
  }

  putSetting(name: string, value: Uint8Array): void {
    this.#sql.putSetting.run(name, format.sealSetting(name, value, this.#hasher))
  }

  /** Takes a write over from the stream; `limit`: what ends by it is taken over together with this. */
  settle(hot: HotWrite, limit: StreamPosition): void {
    const { write } = hot
    switch (write.kind) {
      case 'append':
        if (!isUndone(hot, limit)) this.#append(write, hot.payloadAt)
        break
      case 'truncate':
        this.#truncate(write.index)
        break
      case 'journal':
        if (!isUndone(hot, limit)) this.#journal(write, hot.payloadAt)
        break
      case 'unjournal':
        this.#unjournal(write.session, write.sequence)
        break
    }
  }

  #append({ record, crcs }: LogWrite & { kind: 'append' }, at: StreamPosition): void {
    const { index, term, payload, cuts, header } = record
    let from = 0
    cuts.forEach((length, part) => {
      const id = index * blobsPerEntryMax + part
      if (id <= this.#foreign) this.#foreignDropped += this.dropBlob(id) ?? 0
      this.#insertBlob(id, crcs[part]!, payload.subarray(from, from + length), at.segment, at.offset + from)
      from += length
    })
    this.#sql.putEntry.run(index, term, payload.length, format.encodeCuts(record, this.#hasher), header)
  }

  /** Bytes of the blobs from one on that no entry in the log has. */
  #foreignBytes(from: BlobId): number {
    const [bulk, small] = this.#sql.foreignBytes.get(from, from) as [number, number]
    return bulk + small
  }

  /** Bytes of blobs of no entry in the log that went since this was asked last. */
  takeForeignDropped(): number {
    const bytes = this.#foreignDropped
    this.#foreignDropped = 0
    return bytes
  }

  /** Puts a blob of no entry in the log, or replaces it. Answers how long the one before was. */
  putBlob(id: BlobId, crc: number, data: Uint8Array, segment: number, offset: number): number {
    const before = this.dropBlob(id) ?? 0
    this.#insertBlob(id, crc, data, segment, offset)
    this.#foreign = Math.max(this.#foreign, id)
    return before
  }

  /** A blob that stands at a place in a segment: small ones are copied. */
  #insertBlob(id: BlobId, crc: number, data: Uint8Array, segment: number, offset: number): void {
    if (data.length < format.bulkBytesMin) this.#sql.putBlob.run(id, crc, data)
    else {
      this.#sql.putBulk.run(id, crc, segment, offset, data.length)
      this.#count(segment, data.length)
    }
  }

  #truncate(index: number): void {
    const [from, to] = [index * blobsPerEntryMax, Number.MAX_SAFE_INTEGER]
    if (from <= this.#foreign) this.#foreignDropped += this.#foreignBytes(from)
    for (const [segment, bytes] of this.#sql.bulkRange.all(from, to) as [number, number][]) {
      this.#count(segment, -bytes)
    }
    this.#sql.dropBulkRange.run(from, to)
    this.#sql.dropBlobRange.run(from, to)
    this.#sql.truncate.run(index)
  }

  #journal({ record, crc }: LogWrite & { kind: 'journal' }, at: StreamPosition): void {
    const { session, sequence, part, proposal, payload } = record
    if (payload.length < format.bulkBytesMin) {
      this.#sql.putJournal.run(session, sequence, part, crc, proposal, payload, null, null, payload.length)
    } else {
      this.#sql.putJournal.run(session, sequence, part, crc, proposal, null, at.segment, at.offset, payload.length)
      this.#count(at.segment, payload.length)
    }
  }

  #unjournal(session: number, sequence: number): void {
    const rows = this.#sql.journalPlaces.all(session, sequence) as [number | null, number][]
    if (rows.length === 0) return
    for (const [segment, length] of rows) if (segment !== null) this.#count(segment, -length)
    this.#sql.dropJournal.run(session, sequence)
  }

  /** Answers how long the blob was; undefined when there is none. */
  dropBlob(id: BlobId): number | undefined {
    const small = this.#sql.blobLength.get(id) as number | undefined
    if (small !== undefined) {
      this.#sql.dropBlob.run(id)
      return small
    }
    const bulk = this.#sql.bulkPlace.get(id) as [number, number] | undefined
    if (bulk === undefined) return undefined
    this.#count(bulk[0], -bulk[1])
    this.#sql.dropBulk.run(id)
    return bulk[1]
  }

  dropEntries(through: number): void {
    this.#sql.dropEntries.run(through)
  }

  blobIds(after: BlobId, limit: number): BlobId[] {
    return this.#sql.blobIds.all(after, limit, after, limit, limit) as number[]
  }

  /** The first blobs that lie in a segment. */
  bulkOf(segment: number, limit: number): BulkRow[] {
    return this.#sql.bulkOf.all(segment, limit) as BulkRow[]
  }

  moveBulk({ id, length }: BulkRow, from: number, segment: number, offset: number): void {
    this.#sql.moveBulk.run(segment, offset, id)
    this.#count(from, -length)
    this.#count(segment, length)
  }
}

function prepare(db: Database.Database) {
  return {
    putEntry: db.prepare('INSERT INTO entry (idx, term, payload, cuts, header) VALUES (?, ?, ?, ?, ?)'),
    truncate: db.prepare('DELETE FROM entry WHERE idx >= ?'),
    dropEntries: db.prepare('DELETE FROM entry WHERE idx <= ?'),
    putBlob: db.prepare('INSERT INTO blob (id, crc, data) VALUES (?, ?, ?)'),
    dropBlob: db.prepare('DELETE FROM blob WHERE id = ?'),
    dropBlobRange: db.prepare('DELETE FROM blob WHERE id >= ? AND id < ?'),
    blobLength: db.prepare('SELECT length(data) FROM blob WHERE id = ?').pluck(),
    putBulk: db.prepare('INSERT INTO bulk (id, crc, segment, offset, length) VALUES (?, ?, ?, ?, ?)'),
    dropBulk: db.prepare('DELETE FROM bulk WHERE id = ?'),
    dropBulkRange: db.prepare('DELETE FROM bulk WHERE id >= ? AND id < ?'),
    bulkRange: db.prepare('SELECT segment, sum(length) FROM bulk WHERE id >= ? AND id < ? GROUP BY segment').raw(),
    foreignBytes: db
      .prepare(
        `SELECT (SELECT total(length) FROM bulk WHERE id >= ? AND id / ${blobsPerEntryMax} NOT IN (SELECT idx FROM entry)),
          (SELECT total(length(data)) FROM blob WHERE id >= ? AND id / ${blobsPerEntryMax} NOT IN (SELECT idx FROM entry))`,
      )
      .raw(),
    bulkPlace: db.prepare('SELECT segment, length FROM bulk WHERE id = ?').raw(),
    bulkOf: db.prepare('SELECT id, crc, length FROM bulk WHERE segment = ? LIMIT ?'),
    moveBulk: db.prepare('UPDATE bulk SET segment = ?, offset = ? WHERE id = ?'),
    lastIds: db.prepare('SELECT max(id) FROM blob UNION ALL SELECT max(id) FROM bulk').pluck(),
    blobIds: db
      .prepare(
        `SELECT id FROM (SELECT * FROM (SELECT id FROM blob WHERE id > ? ORDER BY id LIMIT ?)
         UNION ALL SELECT * FROM (SELECT id FROM bulk WHERE id > ? ORDER BY id LIMIT ?)) ORDER BY id LIMIT ?`,
      )
      .pluck(),
    putSetting: db.prepare('INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)'),
    putJournal: db.prepare(
      'INSERT INTO journal (session, sequence, part, crc, proposal, payload, segment, offset, length) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    journalPlaces: db.prepare('SELECT segment, length FROM journal WHERE session = ? AND sequence = ?').raw(),
    dropJournal: db.prepare('DELETE FROM journal WHERE session = ? AND sequence = ?'),
  }
}
