import type Database from 'better-sqlite3'
import type { Hasher } from '../../base/hash.js'
import { blobsPerEntryMax } from '../../base/limits.js'
import type { EncodedEntry } from '../../oplog/entry.js'
import { messageOf } from '../../base/errors.js'
import { corrupt, isUnreadable, type Place, readAgain, translate } from './failures.js'
import { blobCrc, decodeCuts, headerMatches, journalCrc, ownSettings, unsealSetting } from './log-format.js'
import { type BlobId, DamagedBlob, type JournalRecord } from '../../channel/log-port.js'
import type { SegmentReader } from './segment-reader.js'

type EntryRow = [term: number, payload: number, cuts: Uint8Array | null, header: Uint8Array]
type BlobRow = [crc: number, data: Uint8Array]
type BulkRow = [crc: number, segment: number, offset: number, length: number]
type JournalRow = [
  session: number,
  sequence: number,
  part: number,
  crc: number,
  proposal: Uint8Array,
  payload: Uint8Array | null,
  segment: number | null,
  offset: number | null,
  length: number,
]

/** Reads a log through any connection, and checks all that it reads. */
export class LogReader {
  readonly place: Place
  #hasher: Hasher
  #entry: Database.Statement
  #blob: Database.Statement
  #bulk: Database.Statement
  #segments: SegmentReader
  #check: Database.Statement
  #setting: Database.Statement
  #journal: Database.Statement

  constructor(db: Database.Database, place: Place, hasher: Hasher, segments: SegmentReader) {
    this.#segments = segments
    this.place = place
    this.#hasher = hasher
    this.#entry = db.prepare('SELECT term, payload, cuts, header FROM entry WHERE idx = ?').raw()
    this.#blob = db.prepare('SELECT crc, data FROM blob WHERE id = ?').raw()
    this.#bulk = db.prepare('SELECT crc, segment, offset, length FROM bulk WHERE id = ?').raw()
    this.#check = db
      .prepare('SELECT crc, length(data) FROM blob WHERE id = ? UNION ALL SELECT crc, length FROM bulk WHERE id = ?')
      .raw()
    this.#setting = db.prepare('SELECT value FROM setting WHERE name = ?').pluck()
    const journal = 'SELECT session, sequence, part, crc, proposal, payload, segment, offset, length FROM journal'
    this.#journal = db.prepare(`${journal} ORDER BY session, sequence, part`).raw()
  }

  setting(name: string): Uint8Array | undefined {
    const sealed = readAgain(() => this.#setting.get(name)) as Uint8Array | undefined
    if (sealed === undefined) return undefined
    const value = sealed instanceof Uint8Array ? unsealSetting(name, sealed, this.#hasher) : undefined
    if (value === undefined) throw corrupt(this.place, `the CRC of its setting ${name} does not match`)
    return value
  }

  ownSetting(name: keyof typeof ownSettings): Uint8Array {
    const value = this.setting(ownSettings[name])
    if (value === undefined) throw corrupt(this.place, `its setting ${ownSettings[name]} is missing`)
    return value
  }

  #row(index: number): EntryRow {
    const row = readAgain(() => this.#entry.get(index)) as EntryRow | undefined
    if (row === undefined) throw corrupt(this.place, `entry ${index} is missing`)
    if (!(row[3] instanceof Uint8Array) || !headerMatches(row[3], index, row[0], row[1], this.#hasher)) {
      throw corrupt(this.place, `the CRC of entry ${index} does not match`)
    }
    return row
  }

  #cuts(index: number, row: EntryRow): readonly number[] {
    try {
      return decodeCuts(index, row[0], row[1], row[2], this.#hasher)
    } catch (error) {
      throw corrupt(this.place, `the blobs of entry ${index} are not known`, error)
    }
  }

  header(index: number): Uint8Array {
    return this.#row(index)[3]
  }

  /** The lengths of an entry's blobs. */
  cuts(index: number): readonly number[] {
    return this.#cuts(index, this.#row(index))
  }

  entry(index: number): EncodedEntry {
    const row = this.#row(index)
    const cuts = this.#cuts(index, row)
    const whole = cuts.length > 1 ? this.#bulkPayload(index, cuts) : undefined
    if (whole !== undefined) return { header: row[3], payload: whole }
    const parts = cuts.map((length, part) => {
      const id = index * blobsPerEntryMax + part
      const data = this.blob(id)
      if (data === undefined) throw this.damagedBlob(id, 'it is missing')
      if (data.length !== length) throw this.damagedBlob(id, 'it has another length')
      return data
    })
    // No copy for the usual one blob.
    return { header: row[3], payload: parts.length === 1 ? parts[0]! : Buffer.concat(parts) }
  }

  /** A payload of several blobs that lie one after the other in a segment, as they were written: with one read. */
  #bulkPayload(index: number, cuts: readonly number[]): Uint8Array | undefined {
    const rows = cuts.map((_, part) => this.#bulkRow(index * blobsPerEntryMax + part))
    const first = rows[0]
    if (first === undefined) return undefined
    let end = first[2]
    for (const [part, length] of cuts.entries()) {
      const row = rows[part]
      if (row === undefined || row[1] !== first[1] || row[2] !== end || row[3] !== length) return undefined
      end += length
    }
    const payload = this.#fromSegment(index * blobsPerEntryMax, first[1], first[2], end - first[2])
    let at = 0
    for (const [part, length] of cuts.entries()) {
      this.#checked(index * blobsPerEntryMax + part, rows[part]![0], payload.subarray(at, (at += length)))
    }
    return payload
  }

  #bulkRow(id: BlobId): BulkRow | undefined {
    return readAgain(() => this.#bulk.get(id)) as BulkRow | undefined
  }

  /** Throws `DamagedBlob` for a blob that is damaged or cannot be read; undefined when there is none. */
  blob(id: BlobId): Uint8Array | undefined {
    let row: BlobRow | undefined
    try {
      row = readAgain(() => this.#blob.get(id)) as BlobRow | undefined
    } catch (error) {
      throw isUnreadable(error) ? this.damagedBlob(id, messageOf(error), error) : translate(this.place, error)
    }
    if (row !== undefined) return this.#checked(id, row[0], row[1])
    const bulk = this.#bulkRow(id)
    if (bulk === undefined) return undefined
    const [crc, segment, offset, length] = bulk
    return this.#checked(id, crc, this.#fromSegment(id, segment, offset, length))
  }

  /** What a blob's row says of its bytes; undefined when there is none. */
  blobCheck(id: BlobId): { readonly crc: number; readonly length: number } | undefined {
    const [crc, length] = (this.#check.get(id, id) as [number, number] | undefined) ?? []
    return crc === undefined || length === undefined ? undefined : { crc, length }
  }

  #fromSegment(id: BlobId, segment: number, offset: number, length: number): Uint8Array {
    try {
      return this.#segments.read(segment, offset, length)
    } catch (error) {
      throw this.damagedBlob(id, messageOf(error), error)
    }
  }

  #checked(id: BlobId, crc: number, data: Uint8Array): Uint8Array {
    if (!(data instanceof Uint8Array) || crc !== blobCrc(id, data, this.#hasher)) {
      throw this.damagedBlob(id, 'its CRC does not match')
    }
    return data
  }

  damagedBlob(id: BlobId, what: string, cause?: unknown): DamagedBlob {
    const whose = `blob ${id} of entry ${Math.floor(id / blobsPerEntryMax)}`
    return new DamagedBlob(id, `${this.place.path}: ${whose} cannot be read: ${what}`, { cause })
  }

  #journalRecord([session, sequence, part, crc, proposal, inRow, segment, offset, length]: JournalRow): JournalRecord {
    const payload = segment === null ? inRow : this.#journalled(segment, offset!, length)
    const whole = proposal instanceof Uint8Array && payload instanceof Uint8Array
    if (!whole || crc !== journalCrc(session, sequence, part, proposal, payload, this.#hasher)) {
      throw corrupt(this.place, `the CRC of journalled change ${session}/${sequence} does not match`)
    }
    return { session, sequence, part, proposal, payload }
  }

  #journalled(segment: number, offset: number, length: number): Uint8Array {
    try {
      return this.#segments.read(segment, offset, length)
    } catch (error) {
      throw corrupt(this.place, messageOf(error), error)
    }
  }

  journal(): JournalRecord[] {
    return (this.#journal.all() as JournalRow[]).map(row => this.#journalRecord(row))
  }
}
