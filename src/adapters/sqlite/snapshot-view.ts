import Database from 'better-sqlite3'
import { dirname, join } from 'node:path'
import { blobsPerEntryMax } from '../../base/limits.js'
import type { AppliedPosition, Table } from '../../fs/store-port.js'
import { DamagedBlob } from '../../channel/log-port.js'
import { nodeHasher } from '../host/hasher.js'
import { type Place, stateRemedy, translate } from './failures.js'
import { LogReader } from './log-reader.js'
import { SegmentReader, segmentsName } from './segment-reader.js'
import { blobBatchBytesMax, type BlobBatch, packRecords, recordBatchBytesMax } from './snapshot-protocol.js'
import { StateReader, type StateRecord } from './state-reader.js'

/** One moment of a channel's log and state, as `Snapshot.run` shows it to the function that it calls. */
export interface SnapshotReader {
  readonly position: AppliedPosition | undefined
  get(table: Table, ino: number, key: string): Uint8Array | undefined
  scan(table: Table, ino: number, after: string | undefined, limit: number, before?: string): StateRecord[]
  /** All records, table by table in key order. */
  all(): Iterable<StateRecord>
  liveBytes(blob: number): number
  /** The blobs with live bytes, in order. */
  liveBlobs(): Iterable<number>
  /** CRC-checked; undefined when it is not there. Throws `DamagedBlob` when it cannot be read. */
  blob(id: number): Uint8Array | undefined
  /** A blob that cannot be read, as another member has it; undefined when nobody does. It is healed on the disk meanwhile. */
  mend(error: DamagedBlob): Promise<Uint8Array | undefined>
}

/** The worker's side of a snapshot: a read transaction on each of the two databases. */
export class SnapshotView implements SnapshotReader {
  readonly position: AppliedPosition | undefined
  #stateDb: Database.Database
  #logDb: Database.Database
  #state: StateReader
  #log: LogReader
  #segments: SegmentReader
  #logPlace: Place
  readonly mend: SnapshotReader['mend']

  constructor(statePath: string, logPath: string, mend: SnapshotReader['mend']) {
    this.mend = mend
    const statePlace: Place = { path: statePath, remedy: stateRemedy(statePath) }
    this.#logPlace = { path: logPath, remedy: '`rkfs doctor` tells more' }
    try {
      this.#stateDb = openReading(statePath)
      this.#logDb = openReading(logPath)
      this.#state = new StateReader(this.#stateDb, statePlace, nodeHasher)
      this.#segments = new SegmentReader(join(dirname(logPath), segmentsName))
      this.#log = new LogReader(this.#logDb, this.#logPlace, nodeHasher, this.#segments)
      this.position = this.#state.position()
    } catch (error) {
      this.close()
      throw translate(statePlace, error)
    }
  }

  get(table: Table, ino: number, key: string): Uint8Array | undefined {
    return this.#state.get(table, ino, key)
  }
  scan(table: Table, ino: number, after: string | undefined, limit: number, before?: string): StateRecord[] {
    return this.#state.scan(table, ino, after, limit, before)
  }
  all(): Iterable<StateRecord> {
    return this.#state.all()
  }
  liveBytes(blob: number): number {
    return this.#state.liveBytes(blob)
  }
  liveBlobs(): Iterable<number> {
    return this.#state.liveBlobs()
  }
  blob(id: number): Uint8Array | undefined {
    try {
      return this.#log.blob(id)
    } catch (error) {
      throw translate(this.#logPlace, error)
    }
  }

  *recordBatches(): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
    let batch: StateRecord[] = []
    let bytes = 0
    for (const record of this.#state.all()) {
      const size = 15 + record.key.length + record.value.length
      if (bytes + size > recordBatchBytesMax && batch.length > 0) {
        yield packRecords(batch)
        batch = []
        bytes = 0
      }
      batch.push(record)
      bytes += size
    }
    if (batch.length > 0) yield packRecords(batch)
  }

  async #wholeBlob(id: number): Promise<Uint8Array> {
    let damage: DamagedBlob
    try {
      const blob = this.blob(id)
      if (blob !== undefined) return blob
      damage = this.#log.damagedBlob(id, 'it is missing')
    } catch (error) {
      if (!(error instanceof DamagedBlob)) throw error
      damage = error
    }
    const mended = await this.mend(damage)
    if (mended === undefined) throw damage
    return mended
  }

  async *blobBatches(): AsyncGenerator<BlobBatch, void, undefined> {
    const end = ((this.position?.index ?? 0) + 1) * blobsPerEntryMax
    let ids: number[] = []
    let data: Uint8Array[] = []
    let bytes = 0
    for (const id of this.#state.liveBlobs()) {
      if (id >= end) break
      const blob = await this.#wholeBlob(id)
      if (bytes + blob.length > blobBatchBytesMax && ids.length > 0) {
        yield { ids, data }
        ids = []
        data = []
        bytes = 0
      }
      ids.push(id)
      data.push(blob)
      bytes += blob.length
    }
    if (ids.length > 0) yield { ids, data }
  }

  close(): void {
    this.#stateDb?.close()
    this.#logDb?.close()
    this.#segments?.close()
  }
}

/** A read transaction that stands: SQLite takes its view at the first read. */
function openReading(path: string): Database.Database {
  const db = new Database(path, { readonly: true, fileMustExist: true })
  db.exec('BEGIN')
  db.prepare('SELECT count(*) FROM sqlite_schema').get()
  return db
}
