import type Database from 'better-sqlite3'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { assert } from '../../base/assert.js'
import { equalBytes } from '../../base/bytes.js'
import type { Hasher } from '../../base/hash.js'
import { blobsPerEntryMax, MiB } from '../../base/limits.js'
import type { BlobId, JournalRecord, LogAnchor, LogOwner, LogRecord, LogStore } from '../../channel/log-port.js'
import { hashOfEncoded, zeroHash } from '../../oplog/codec.js'
import type { EncodedEntry } from '../../oplog/entry.js'
import type { HardState } from '../../raft/types.js'
import { corrupt, logRemedy, type Place, type StoreLog, translate } from './failures.js'
import * as format from './log-format.js'
import { type LogIndex } from './log-index.js'
import { checkMark, checkOwner, type LoadedLog, loadLog } from './log-load.js'
import { checkWal, emptyMark, LogMark, readWalHeader } from './log-mark.js'
import { LogReader } from './log-reader.js'
import { createDatabase, inspectDatabase, WalDatabase, type WalPosition } from './wal-database.js'

const compactEntriesMax = 256
const compactBytesMax = 16 * MiB

/** What memory holds of the log beside the index; the committed one is kept to go back to. */
interface Shape {
  readonly anchor: LogAnchor
  readonly hardState: HardState
  readonly lastIndex: number
  readonly lastHash: Uint8Array
  readonly keptBytes: number
}

/** A channel's log in `log.db`; DESIGN.md beside this file says how it survives what. */
export class SqliteLogStore implements LogStore {
  #db: WalDatabase
  #place: Place
  #hasher: Hasher
  #log: StoreLog
  #mark: LogMark
  #reader: LogReader
  #sql: Statements
  #index: LogIndex
  #anchor: LogAnchor
  #hardState: HardState
  #lastHash: Uint8Array
  #keptBytes: number
  #committed: Shape
  /** Whether the open transaction did more than append, so that undoing it reads the index anew. */
  #reshaped = false
  #durableIndex = 0
  /** Something was committed since the last sync began. */
  #unsynced = false
  #waiting: ((index: number) => void)[] = []
  /** The sync that is under way; truncation lowers what it will have covered. */
  #syncing: { index: number; hash: Uint8Array } | undefined
  #failure: unknown
  #closed = false

  /**
   * Opens `log.db` at `path`, or makes it; `log.mark` stands beside it. Throws `corrupt`, `version`, `refused` (another
   * owner's), `disk-full` or `failed`, and then has changed nothing.
   */
  static open(path: string, owner: LogOwner, hasher: Hasher, log: StoreLog): SqliteLogStore {
    const place: Place = { path, remedy: logRemedy(path, owner) }
    const markPath = join(dirname(path), 'log.mark')
    const marked = LogMark.exists(markPath)
    if (!existsSync(path)) {
      if (marked) throw corrupt(place, 'it is missing, but its mark is there')
      createDatabase(place, format.logFormat, db => fill(db, owner, hasher))
    }
    const header = readWalHeader(path)
    const loaded = inspectDatabase(place, format.logFormat, statSync(path).size, db => {
      const reader = new LogReader(db, place, hasher)
      checkOwner(reader.ownSetting('owner'), owner, place)
      if (marked) {
        const mark = LogMark.read(markPath, place, hasher)
        const [, frames] = db.prepare('PRAGMA wal_checkpoint(NOOP)').raw().get() as [number, number]
        checkWal(mark, header, frames, place)
        const found = loadLog(db, place, hasher, true)
        checkMark(mark, found, reader)
        return found
      }
      // The process died between making the log and its mark; or the mark was lost.
      const found = loadLog(db, place, hasher, true)
      if (found.index.last > 0 || found.hardState.term > 0) throw corrupt(place, `its mark ${markPath} is missing`)
      return found
    })
    const mark = marked ? LogMark.open(markPath, place, hasher) : LogMark.create(markPath, hasher)
    return new SqliteLogStore(place, hasher, log, mark, loaded)
  }

  private constructor(place: Place, hasher: Hasher, log: StoreLog, mark: LogMark, loaded: LoadedLog) {
    this.#place = place
    this.#hasher = hasher
    this.#log = log
    this.#mark = mark
    this.#db = new WalDatabase(place, format.logFormat, log)
    this.#reader = new LogReader(this.#db.db, place, hasher)
    this.#sql = prepare(this.#db.db)
    this.#index = loaded.index
    this.#anchor = loaded.anchor
    this.#hardState = loaded.hardState
    this.#lastHash = loaded.lastHash
    this.#keptBytes = loaded.keptBytes
    this.#committed = this.#shape()
    // What was found is in the files, but perhaps not on the disk yet.
    this.#unsynced = true
    this.syncNow()
  }

  get anchor(): LogAnchor {
    return this.#anchor
  }
  get lastIndex(): number {
    return this.#index.last
  }
  get durableIndex(): number {
    return this.#durableIndex
  }
  get hardState(): HardState {
    return this.#hardState
  }
  get bytes(): { readonly entries: number; readonly blobs: number } {
    return { entries: this.#index.headerTotal, blobs: this.#index.payloadTotal + this.#keptBytes }
  }
  /** For metrics: frames in the WAL, and the longest stall by a checkpoint. */
  get wal(): WalPosition & { readonly longestStallMs: number } {
    return { ...this.#db.position, longestStallMs: this.#db.checkpointer.longestStallMs }
  }

  append(records: readonly LogRecord[]): void {
    this.#write(() => {
      for (const record of records) {
        const { index, term, header, payload } = record
        assert(index === this.#index.last + 1, `entry ${index} is appended after entry ${this.#index.last}`)
        assert(
          equalBytes(format.previousHashOf(header), this.#lastHash),
          `entry ${index} does not follow the one before it`,
        )
        assert(record.cuts.length <= blobsPerEntryMax, `entry ${index} has too many blobs`)
        let at = 0
        for (let part = 0; part < record.cuts.length; part++) {
          const data = payload.subarray(at, (at += record.cuts[part]!))
          const id = index * blobsPerEntryMax + part
          this.#sql.putBlob.run(id, format.blobCrc(id, data, this.#hasher), data)
        }
        assert(at === payload.length, `the blobs of entry ${index} are not its payload`)
        this.#sql.putEntry.run(index, term, payload.length, format.encodeCuts(record, this.#hasher), header)
        this.#index.push(term, header.length, payload.length)
        this.#lastHash = hashOfEncoded(header)
      }
      // Not a view: the message that the header came in would be kept alive.
      this.#lastHash = Uint8Array.from(this.#lastHash)
    })
  }

  truncateFrom(index: number): void {
    if (index > this.#index.last) return
    assert(index > this.#anchor.index, `entry ${index} is removed, but the log starts after ${this.#anchor.index}`)
    this.#write(() => {
      const before = index - 1
      const hash =
        before === this.#anchor.index ? this.#anchor.hash : Uint8Array.from(hashOfEncoded(this.#reader.header(before)))
      this.#lower(before, this.#termAt(before), hash)
      this.#reshaped = true
      this.#sql.dropBlobRange.run(index * blobsPerEntryMax, (this.#index.last + 1) * blobsPerEntryMax)
      this.#sql.truncate.run(index)
      this.#index.truncateFrom(index)
      this.#lastHash = hash
    })
  }

  /** What is known to be durable, and the mark, go back before the log does. */
  #lower(index: number, term: number, hash: Uint8Array): void {
    if (this.#mark.value.index > index) this.#mark.write({ ...this.#mark.value, index, term, hash }, true)
    this.#durableIndex = Math.min(this.#durableIndex, index)
    if (this.#syncing && this.#syncing.index > index) this.#syncing = { index, hash }
  }

  #termAt(index: number): number {
    return index === this.#anchor.index ? this.#anchor.term : this.#index.term(index)!
  }

  term(index: number): number | undefined {
    return index === this.#anchor.index ? this.#anchor.term : this.#index.term(index)
  }

  size(index: number): number {
    return this.#index.headerBytes(index) + this.#index.payloadBytes(index)
  }

  header(index: number): Uint8Array | undefined {
    return this.#index.has(index) ? this.#read(() => this.#reader.header(index)) : undefined
  }

  read(from: number, to: number): EncodedEntry[] {
    return this.#read(() => {
      const entries: EncodedEntry[] = []
      for (let index = from; index <= to; index++) entries.push(this.#reader.entry(index))
      return entries
    })
  }

  /** As the port says; but a missing blob of an entry that is still in the log is damage, not absence. */
  blob(id: BlobId): Uint8Array | undefined {
    return this.#read(() => {
      const data = this.#reader.blob(id)
      const index = Math.floor(id / blobsPerEntryMax)
      if (data === undefined && this.#index.has(index) && id % blobsPerEntryMax < this.#reader.cuts(index).length) {
        throw corrupt(this.#place, `blob ${id} of entry ${index} is missing`)
      }
      return data
    })
  }

  saveHardState(state: HardState): void {
    this.#write(() => {
      this.#reshaped = true
      this.#putOwn('hardState', format.encodeHardState(state))
      this.#hardState = state
    })
    this.commit()
    this.syncNow()
  }

  setting(name: string): string | undefined {
    const value = this.#read(() => this.#reader.setting(`:${name}`))
    return value && new TextDecoder().decode(value)
  }

  setSetting(name: string, value: string): void {
    this.#write(() => this.#putSetting(`:${name}`, new TextEncoder().encode(value)))
  }

  #putSetting(name: string, value: Uint8Array): void {
    this.#sql.putSetting.run(name, format.sealSetting(name, value, this.#hasher))
  }

  #putOwn(name: keyof typeof format.ownSettings, value: Uint8Array): void {
    this.#putSetting(format.ownSettings[name], value)
  }

  #putKeptBytes(bytes: number): void {
    this.#reshaped = true
    this.#keptBytes = bytes
    this.#putOwn('keptBytes', new TextEncoder().encode(String(bytes)))
  }

  journalPut({ session, sequence, proposal, payload }: JournalRecord): void {
    const crc = format.journalCrc(session, sequence, proposal, payload, this.#hasher)
    this.#write(() => this.#sql.putJournal.run(session, sequence, crc, proposal, payload))
  }
  journalRemove(session: number, sequence: number): void {
    this.#write(() => this.#sql.dropJournal.run(session, sequence))
  }
  journalRemoveOne(session: number, sequence: number): void {
    this.#write(() => this.#sql.dropJournalOne.run(session, sequence))
  }
  journal(): JournalRecord[] {
    return this.#read(() => this.#reader.journal())
  }
  journalBlob(session: number, sequence: number): Uint8Array | undefined {
    return this.#read(() => this.#reader.journalRecord(session, sequence)?.payload)
  }

  commit(): void {
    if (!this.#db.open) return
    try {
      this.#db.commit()
    } catch (error) {
      throw this.#undo(error)
    }
    this.#reshaped = false
    this.#committed = this.#shape()
    this.#unsynced = true
  }

  sync(onDurable: (index: number) => void): void {
    this.#usable()
    this.#waiting.push(onDurable)
    if (this.#syncing === undefined) this.#startSync()
  }

  #startSync(): void {
    const callbacks = this.#waiting
    this.#waiting = []
    this.#syncing = { index: this.#committed.lastIndex, hash: this.#committed.lastHash }
    const position = this.#db.position
    const hardState = this.#committed.hardState
    const done = (error: unknown): void => {
      if (this.#closed) return
      if (error !== undefined) {
        // Linux reports a failed write-back once and then forgets the pages: nothing may be built on this file any more.
        this.#failure = error
        this.#log.error({ file: this.#place.path, error }, 'the log cannot be synced')
        throw error
      }
      const covered = this.#syncing!
      this.#syncing = undefined
      this.#covered(covered.index, covered.hash, position, hardState)
      if (this.#waiting.length > 0) this.#startSync()
      for (const callback of callbacks) callback(this.#durableIndex)
    }
    if (!this.#unsynced) return void setImmediate(() => done(undefined))
    this.#unsynced = false
    this.#db.sync(done)
  }

  syncNow(): void {
    this.#usable()
    if (!this.#unsynced) return
    const { lastIndex, lastHash, hardState } = this.#committed
    this.#unsynced = false
    try {
      this.#db.syncNow()
    } catch (error) {
      this.#failure = error
      throw error
    }
    this.#covered(lastIndex, lastHash, this.#db.position, hardState)
  }

  /** All up to `index` is on stable storage. */
  #covered(index: number, hash: Uint8Array, wal: WalPosition, hardState: HardState): void {
    this.#durableIndex = Math.max(this.#durableIndex, index)
    const mark = this.#mark.value
    // A blocking sync may have overtaken the one that ends now.
    const ahead = index >= mark.index
    const { term } = mark.hardState
    const newer = hardState.term > term || (hardState.term === term && hardState.vote !== undefined)
    const place = ahead ? { index, term: this.term(index) ?? 0, hash } : mark
    this.#mark.write({
      index: place.index,
      term: place.term,
      hash: place.hash,
      hardState: newer ? hardState : mark.hardState,
      wal: equalBytes(wal.salts, mark.wal.salts) && wal.frames < mark.wal.frames ? mark.wal : wal,
    })
  }

  compact(index: number, live: (blob: BlobId) => boolean): boolean {
    const end = Math.min(index, this.#index.last, this.#anchor.index + compactEntriesMax)
    if (end <= this.#anchor.index) return false
    this.#write(() => {
      let dropped = 0
      let kept = this.#keptBytes
      let at = this.#anchor.index
      while (at < end && dropped < compactBytesMax) {
        at++
        const cuts = this.#index.payloadBytes(at) === 0 ? [] : this.#reader.cuts(at)
        for (let part = 0; part < cuts.length; part++) {
          const id = at * blobsPerEntryMax + part
          if (live(id)) kept += cuts[part]!
          else {
            this.#sql.dropBlob.run(id)
            dropped += cuts[part]!
          }
        }
      }
      const hash = Uint8Array.from(hashOfEncoded(this.#reader.header(at)))
      this.#reshaped = true
      this.#putAnchor({ index: at, term: this.#index.term(at)!, hash })
      if (kept !== this.#keptBytes) this.#putKeptBytes(kept)
      this.#sql.dropEntries.run(at)
      this.#index.dropThrough(at)
    })
    return this.#anchor.index < Math.min(index, this.#index.last)
  }

  #putAnchor(anchor: LogAnchor): void {
    this.#putOwn('anchor', format.encodeAnchor(anchor))
    this.#anchor = anchor
  }

  /** Blobs of entries that are still in the log are left alone: they go when compaction comes to them. */
  dropBlobs(ids: readonly BlobId[]): void {
    this.#write(() => {
      let kept = this.#keptBytes
      for (const id of ids) {
        if (this.#index.has(Math.floor(id / blobsPerEntryMax))) continue
        const length = this.#sql.blobLength.get(id) as number | undefined
        if (length === undefined) continue
        this.#sql.dropBlob.run(id)
        kept -= length
      }
      if (kept !== this.#keptBytes) this.#putKeptBytes(kept)
    })
  }

  putBlob(id: BlobId, data: Uint8Array): void {
    assert(!this.#index.has(Math.floor(id / blobsPerEntryMax)), `blob ${id} belongs to an entry in the log`)
    this.#write(() => {
      const before = (this.#sql.blobLength.get(id) as number | undefined) ?? 0
      this.#sql.replaceBlob.run(id, format.blobCrc(id, data, this.#hasher), data)
      this.#putKeptBytes(this.#keptBytes + data.length - before)
    })
  }

  reset(anchor: LogAnchor): void {
    this.#write(() => {
      this.#lower(anchor.index, anchor.term, anchor.hash)
      this.#putAnchor(anchor)
      this.#putKeptBytes(this.#keptBytes + this.#index.payloadTotal)
      this.#sql.dropEntries.run(Number.MAX_SAFE_INTEGER)
      this.#index.dropThrough(this.#index.last)
      this.#index.anchorIndex = anchor.index
      this.#lastHash = anchor.hash
    })
  }

  blobIds(after: BlobId, limit: number): BlobId[] {
    return this.#read(() => this.#sql.blobIds.all(after, limit) as number[])
  }

  /** Commits, syncs, checkpoints and closes; without harm when done twice. */
  close(): void {
    if (this.#closed) return
    try {
      if (this.#failure === undefined) this.commit()
    } finally {
      this.#closed = true
      if (this.#db.open) this.#db.rollback()
      try {
        // Once all of the WAL is in the database it may be deleted, so the mark must not ask for it any more.
        this.#db.close(() => {
          const { lastIndex, lastHash, hardState } = this.#committed
          const wal = emptyMark.wal
          this.#mark.write({ index: lastIndex, term: this.term(lastIndex)!, hash: lastHash, hardState, wal }, true)
        })
      } finally {
        this.#mark.close()
      }
    }
  }

  #shape(): Shape {
    return {
      anchor: this.#anchor,
      hardState: this.#hardState,
      lastIndex: this.#index.last,
      lastHash: this.#lastHash,
      keptBytes: this.#keptBytes,
    }
  }

  #usable(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  #write(change: () => void): void {
    this.#usable()
    try {
      this.#db.begin()
      change()
    } catch (error) {
      throw this.#undo(error)
    }
  }

  #read<T>(look: () => T): T {
    try {
      return look()
    } catch (error) {
      throw translate(this.#place, error)
    }
  }

  /** Rolls the transaction back and the memory with it; answers the error to throw. */
  #undo(error: unknown): unknown {
    const failure = translate(this.#place, error)
    try {
      this.#db.rollback()
      if (this.#reshaped) {
        const loaded = loadLog(this.#db.db, this.#place, this.#hasher, false)
        this.#index = loaded.index
        this.#reshaped = false
      } else {
        this.#index.truncateFrom(this.#committed.lastIndex + 1)
      }
      this.#anchor = this.#committed.anchor
      this.#hardState = this.#committed.hardState
      this.#lastHash = this.#committed.lastHash
      this.#keptBytes = this.#committed.keptBytes
    } catch (second) {
      // Memory and disk may differ now: no further use.
      this.#failure = failure
      this.#log.error({ file: this.#place.path, error: second }, 'a transaction cannot be rolled back')
    }
    return failure
  }
}

type Statements = ReturnType<typeof prepare>

function prepare(db: Database.Database) {
  return {
    putEntry: db.prepare('INSERT INTO entry (idx, term, payload, cuts, header) VALUES (?, ?, ?, ?, ?)'),
    truncate: db.prepare('DELETE FROM entry WHERE idx >= ?'),
    dropEntries: db.prepare('DELETE FROM entry WHERE idx <= ?'),
    putBlob: db.prepare('INSERT INTO blob (id, crc, data) VALUES (?, ?, ?)'),
    replaceBlob: db.prepare('INSERT OR REPLACE INTO blob (id, crc, data) VALUES (?, ?, ?)'),
    dropBlob: db.prepare('DELETE FROM blob WHERE id = ?'),
    dropBlobRange: db.prepare('DELETE FROM blob WHERE id >= ? AND id < ?'),
    blobLength: db.prepare('SELECT length(data) FROM blob WHERE id = ?').pluck(),
    blobIds: db.prepare('SELECT id FROM blob WHERE id > ? ORDER BY id LIMIT ?').pluck(),
    putSetting: db.prepare('INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)'),
    putJournal: db.prepare(
      'INSERT OR REPLACE INTO journal (session, sequence, crc, proposal, payload) VALUES (?, ?, ?, ?, ?)',
    ),
    dropJournal: db.prepare('DELETE FROM journal WHERE session = ? AND sequence <= ?'),
    dropJournalOne: db.prepare('DELETE FROM journal WHERE session = ? AND sequence = ?'),
  }
}

function fill(db: Database.Database, owner: LogOwner, hasher: Hasher): void {
  const put = db.prepare('INSERT INTO setting (name, value) VALUES (?, ?)')
  const set = (name: string, value: Uint8Array): void => void put.run(name, format.sealSetting(name, value, hasher))
  set(format.ownSettings.owner, format.encodeOwner(owner))
  set(format.ownSettings.anchor, format.encodeAnchor({ index: 0, term: 0, hash: zeroHash }))
  set(format.ownSettings.hardState, format.encodeHardState({ term: 0, vote: undefined }))
  set(format.ownSettings.keptBytes, new TextEncoder().encode('0'))
}
