import type Database from 'better-sqlite3'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { assert } from '../../base/assert.js'
import { equalBytes } from '../../base/bytes.js'
import type { Hasher } from '../../base/hash.js'
import { messageOf, RkfsError } from '../../base/errors.js'
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
import { applyToIndex, checkSegments, liveSegments, type Replayed, replaySegments } from './log-replay.js'
import { LogTables } from './log-tables.js'
import type { HotLog } from './hot-log.js'
import { isBefore, listSegments, SegmentFiles, segmentSize, type StreamPosition, streamStart } from './segment-files.js'
import { SegmentReader, segmentsName } from './segment-reader.js'
import { appendOf, encodeMeta, journalOf, payloadOf, type StreamWrite } from './stream-records.js'
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

/** What waits in the segments for the database at most, before it is taken over once it is synced. */
const settleWrites = 256
const settleBytes = 8 * MiB
/** More than this is not written to the segments while the database cannot take it over. */
const hotBytesMax = 256 * MiB
/** A segment of which less than this part is live is cleaned, so many bytes at a time. */
const cleanBelow = 0.5
const cleanBytesMax = 8 * MiB

/**
 * A channel's log: every write goes to the segments first, which a sync covers; `log.db` takes it over in batches and
 * refers to the large payloads where they lie. DESIGN.md beside this file says how it survives what.
 */
export class SqliteLogStore implements LogStore {
  #db: WalDatabase
  #place: Place
  #hasher: Hasher
  #log: StoreLog
  #mark: LogMark
  #segments: SegmentFiles
  #segmentReader: SegmentReader
  #reader: LogReader
  #tables: LogTables
  #index: LogIndex
  #hot: HotLog
  #anchor: LogAnchor
  #hardState: HardState
  #lastHash: Uint8Array
  #keptBytes: number
  #committed: Shape
  /** The uncommitted writes did more than append, so that undoing them makes the index anew. */
  #reshaped = false
  #durableIndex = 0
  /** The stream is on stable storage up to here, and in the database up to there. */
  #synced: StreamPosition
  #settled: StreamPosition
  /** Taking over failed: it is tried again when so many writes wait. */
  #settleHeld = 0
  /** The open transaction refers to bytes in the segments that were not synced yet. */
  #unsyncedBulk = false
  /** A transaction that a sync must cover was committed since the last one began. */
  #walDirty = true
  readonly #existing: Set<number>
  /** Segments that could not be cleaned: something in them is damaged. */
  readonly #uncleanable = new Set<number>()
  #pins = 0
  #waiting: ((index: number) => void)[] = []
  /** The sync that is under way; truncation lowers what it will have covered. */
  #syncing: { index: number; hash: Uint8Array } | undefined
  #failure: unknown
  #closed = false

  /**
   * Opens `log.db` at `path`, or makes it; `log.mark` and `segments` stand beside it. Throws `corrupt`, `version`,
   * `refused` (another owner's), `disk-full` or `failed`, and then has changed nothing.
   */
  static open(path: string, owner: LogOwner, hasher: Hasher, log: StoreLog): SqliteLogStore {
    const place: Place = { path, remedy: logRemedy(path, owner) }
    const markPath = join(dirname(path), 'log.mark')
    const folder = join(dirname(path), segmentsName)
    const marked = LogMark.exists(markPath)
    if (!existsSync(path)) {
      if (marked) throw corrupt(place, 'it is missing, but its mark is there')
      if (listSegments(folder).length > 0) throw corrupt(place, 'it is missing, but its segments are there')
      createDatabase(place, format.logFormat, db => fill(db, owner, hasher))
    }
    const header = readWalHeader(path)
    const segments = new SegmentReader(folder, place)
    const found = inspectDatabase(place, format.logFormat, statSync(path).size, db => {
      const reader = new LogReader(db, place, hasher, segments)
      checkOwner(reader.ownSetting('owner'), owner, place)
      const mark = marked ? LogMark.read(markPath, place, hasher) : undefined
      if (mark !== undefined) {
        const [, frames] = db.prepare('PRAGMA wal_checkpoint(NOOP)').raw().get() as [number, number]
        checkWal(mark, header, frames, place)
      }
      const loaded = loadLog(reader, db, hasher, true)
      const replayed = replaySegments(folder, loaded, reader, hasher)
      if (mark !== undefined) checkMark(mark, loaded, replayed, reader)
      // The process died between making the log and its mark; or the mark was lost.
      else if (loaded.index.last > 0 || loaded.hardState.term > 0) {
        throw corrupt(place, `its mark ${markPath} is missing`)
      }
      checkSegments(folder, liveSegments(db), place)
      return { loaded, replayed }
    })
    const mark = marked ? LogMark.open(markPath, place, hasher) : LogMark.create(markPath, hasher)
    return new SqliteLogStore(place, hasher, log, mark, segments, found.loaded, found.replayed)
  }

  private constructor(
    place: Place,
    hasher: Hasher,
    log: StoreLog,
    mark: LogMark,
    segments: SegmentReader,
    loaded: LoadedLog,
    replayed: Replayed,
  ) {
    this.#place = place
    this.#hasher = hasher
    this.#log = log
    this.#mark = mark
    this.#segmentReader = segments
    this.#segments = new SegmentFiles(segments.folder, replayed.end, place)
    this.#existing = new Set(listSegments(segments.folder))
    this.#db = new WalDatabase(place, format.logFormat, log)
    this.#reader = new LogReader(this.#db.db, place, hasher, segments)
    this.#tables = new LogTables(this.#db.db, hasher)
    this.#index = loaded.index
    this.#hot = replayed.hot
    this.#anchor = loaded.anchor
    this.#hardState = loaded.hardState
    this.#lastHash = replayed.lastHash
    this.#keptBytes = loaded.keptBytes
    this.#synced = this.#settled = loaded.settled
    this.#committed = this.#shape()
    // What was found is in the files, but perhaps not on the disk yet.
    this.syncNow()
    this.#settle()
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
        const { index, header, payload, cuts } = record
        assert(index === this.#index.last + 1, `entry ${index} is appended after entry ${this.#index.last}`)
        assert(
          equalBytes(format.previousHashOf(header), this.#lastHash),
          `entry ${index} does not follow the one before it`,
        )
        assert(cuts.length <= blobsPerEntryMax, `entry ${index} has too many blobs`)
        assert(
          cuts.reduce((sum, cut) => sum + cut, 0) === payload.length,
          `the blobs of entry ${index} are not its payload`,
        )
        this.#push(appendOf(record, this.#hasher))
        this.#lastHash = hashOfEncoded(header)
      }
      // Not a view: the message that the header came in would be kept alive.
      this.#lastHash = Uint8Array.from(this.#lastHash)
    })
  }

  #push(write: StreamWrite): void {
    this.#hot.push(write)
    applyToIndex(this.#index, write)
  }

  truncateFrom(index: number): void {
    if (index > this.#index.last) return
    assert(index > this.#anchor.index, `entry ${index} is removed, but the log starts after ${this.#anchor.index}`)
    this.#write(() => {
      const before = index - 1
      const hash =
        before === this.#anchor.index ? this.#anchor.hash : Uint8Array.from(hashOfEncoded(this.header(before)!))
      this.#lower(before, this.#termAt(before), hash)
      this.#reshaped = true
      this.#push({ kind: 'truncate', index })
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
    if (!this.#index.has(index)) return undefined
    return this.#hot.entry(index)?.header ?? this.#read(() => this.#reader.header(index))
  }

  read(from: number, to: number): EncodedEntry[] {
    return this.#read(() => {
      const entries: EncodedEntry[] = []
      for (let index = from; index <= to; index++) {
        if (!this.#index.has(index)) throw corrupt(this.#place, `entry ${index} is missing`)
        const hot = this.#hot.entry(index)
        entries.push(hot === undefined ? this.#reader.entry(index) : { header: hot.header, payload: hot.payload })
      }
      return entries
    })
  }

  /** As the port says; but a missing blob of an entry that is still in the log is damage, not absence. */
  blob(id: BlobId): Uint8Array | undefined {
    const index = Math.floor(id / blobsPerEntryMax)
    const part = id % blobsPerEntryMax
    const hot = this.#hot.entry(index)
    if (hot !== undefined) {
      let at = 0
      for (let i = 0; i < part; i++) at += hot.cuts[i] ?? 0
      const length = hot.cuts[part]
      return length === undefined ? undefined : hot.payload.subarray(at, at + length)
    }
    if (index > this.#anchor.index && !this.#hot.isSettled(index)) return undefined
    return this.#read(() => {
      const data = this.#reader.blob(id)
      if (data === undefined && this.#index.has(index) && part < this.#reader.cuts(index).length) {
        throw corrupt(this.#place, `blob ${id} of entry ${index} is missing`)
      }
      return data
    })
  }

  saveHardState(state: HardState): void {
    this.#transact(() => {
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
    this.#transact(() => this.#tables.putSetting(`:${name}`, new TextEncoder().encode(value)))
  }

  #putOwn(name: keyof typeof format.ownSettings, value: Uint8Array): void {
    this.#tables.putSetting(format.ownSettings[name], value)
  }

  #putKeptBytes(bytes: number): void {
    this.#keptBytes = bytes
    this.#putOwn('keptBytes', new TextEncoder().encode(String(bytes)))
  }

  journalPut(record: JournalRecord): void {
    this.#write(() => this.#push(journalOf(record, this.#hasher)))
  }
  journalRemove(session: number, sequence: number): void {
    this.#write(() => this.#push({ kind: 'unjournal', session, sequence }))
  }
  journal(): JournalRecord[] {
    return this.#hot.journal(this.#read(() => this.#reader.journal()))
  }

  commit(): void {
    this.#usable()
    try {
      if (this.#db.open) this.#commitTables()
      this.#commitStream()
    } catch (error) {
      throw this.#undo(error)
    }
  }

  /** No transaction refers to bytes that are not on stable storage: a WAL may get there at any time. */
  #commitTables(): void {
    if (this.#unsyncedBulk) this.#segments.syncNow()
    this.#unsyncedBulk = false
    this.#db.commit()
    this.#walDirty = true
    this.#reshaped = false
    this.#committed = this.#shape()
  }

  #commitStream(): void {
    const { fresh } = this.#hot
    if (fresh.length === 0) return
    if (this.#hot.bytes > hotBytesMax) {
      this.syncNow()
      this.#settle()
    }
    const { segment, offset: start } = this.#segments.begin()
    this.#existing.add(segment)
    let offset = start
    const parts: Uint8Array[] = []
    for (const hot of fresh) {
      const meta = encodeMeta(hot.write, { segment, offset }, this.#hasher)
      const payload = payloadOf(hot.write)
      hot.payloadAt = { segment, offset: offset + meta.length }
      offset += meta.length + payload.length
      hot.end = { segment, offset }
      parts.push(meta)
      if (payload.length > 0) parts.push(payload)
    }
    this.#segments.append(parts, offset - start)
    this.#hot.committed()
    this.#reshaped = false
    this.#committed = this.#shape()
  }

  /** Takes what is synced over into the database. */
  #settle(): void {
    const writes = this.#hot.through(this.#synced)
    const last = writes.at(-1)
    if (last === undefined) return
    try {
      this.#db.begin()
      for (const hot of writes) this.#tables.settle(hot, last.end)
      this.#putOwn('settled', format.encodePosition(last.end))
      this.#db.commit()
    } catch (error) {
      this.#db.rollback()
      this.#tables.rolledBack()
      throw translate(this.#place, error)
    }
    // what a sync of the WAL will allow to remove
    if (last.end.segment > this.#settled.segment) this.#walDirty = true
    this.#settled = last.end
    this.#hot.settled(writes.length)
  }

  settle(): void {
    this.commit()
    if (this.#hot.size === 0) return
    this.syncNow()
    this.#settle()
  }

  /** The segments stay as they are until the answered function is called: another reader has the database open. */
  pin(): () => void {
    this.#pins++
    let held = true
    return () => {
      if (held) this.#pins--
      held = false
    }
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
    const { position: stream } = this.#segments
    const { hardState } = this.#committed
    const wal = this.#walDirty && !this.#db.open ? this.#db.position : undefined
    const unused = wal === undefined ? [] : this.#unused()
    const finish = (error: unknown): void => {
      if (this.#closed) return
      if (error !== undefined) throw this.#syncFailed(error)
      const covered = this.#syncing!
      this.#syncing = undefined
      this.#covered(covered.index, covered.hash, stream, wal, hardState)
      this.#remove(unused)
      this.#maybeSettle()
      if (this.#waiting.length > 0) this.#startSync()
      for (const callback of callbacks) callback(this.#durableIndex)
    }
    const syncWal = (error: unknown): void => {
      if (error !== undefined || wal === undefined || this.#closed) finish(error)
      else this.#db.sync(finish)
    }
    if (wal !== undefined) this.#walDirty = false
    if (this.#segments.dirty) this.#segments.sync(syncWal)
    else setImmediate(syncWal, undefined)
  }

  /** Linux reports a failed write-back once and then forgets the pages: nothing may be built on these files any more. */
  #syncFailed(error: unknown): unknown {
    this.#failure = error
    this.#log.error({ file: this.#place.path, error }, 'the log cannot be synced')
    return error
  }

  #maybeSettle(): void {
    if (this.#db.open || this.#hot.size < this.#settleHeld) return
    if (this.#hot.size < settleWrites && this.#hot.bytes < settleBytes) return
    try {
      this.#settle()
      this.#settleHeld = 0
    } catch (error) {
      // the segments have it all: it is tried again when there is more of it
      this.#settleHeld = this.#hot.size + settleWrites
      this.#log.warn({ file: this.#place.path, error: messageOf(error) }, 'the log cannot be taken over now')
    }
  }

  syncNow(): void {
    this.#usable()
    assert(!this.#db.open, 'a sync within a transaction')
    const { lastIndex, lastHash, hardState } = this.#committed
    const { position } = this.#segments
    const wal = this.#walDirty ? this.#db.position : undefined
    try {
      this.#segments.syncNow()
      if (wal !== undefined) this.#db.syncNow()
    } catch (error) {
      throw this.#syncFailed(error)
    }
    if (wal !== undefined) this.#walDirty = false
    this.#covered(lastIndex, lastHash, position, wal, hardState)
  }

  /** Segments that the database has taken over and does not refer to. */
  #unused(): number[] {
    const { live } = this.#tables
    return [...this.#existing].filter(segment => segment < this.#settled.segment && !live.has(segment))
  }

  #remove(segments: readonly number[]): void {
    if (this.#pins > 0 && segments.length > 0) {
      // asked again with a later sync
      this.#walDirty = true
      return
    }
    for (const segment of segments) {
      if (!this.#existing.delete(segment)) continue
      this.#segmentReader.forget(segment)
      this.#segments.remove(segment)
    }
  }

  /** All up to `index`, and of the stream up to `stream`, is on stable storage; the WAL too if it is given. */
  #covered(
    index: number,
    hash: Uint8Array,
    stream: StreamPosition,
    wal: WalPosition | undefined,
    hardState: HardState,
  ): void {
    this.#durableIndex = Math.max(this.#durableIndex, index)
    if (isBefore(this.#synced, stream)) this.#synced = stream
    const mark = this.#mark.value
    // A blocking sync may have overtaken the one that ends now.
    const ahead = index >= mark.index
    const { term } = mark.hardState
    const newer = hardState.term > term || (hardState.term === term && hardState.vote !== undefined)
    const place = ahead ? { index, term: this.term(index) ?? 0, hash } : mark
    const older = wal === undefined || (equalBytes(wal.salts, mark.wal.salts) && wal.frames < mark.wal.frames)
    this.#mark.write({
      index: place.index,
      term: place.term,
      hash: place.hash,
      hardState: newer && wal !== undefined ? hardState : mark.hardState,
      wal: older ? mark.wal : wal,
      stream: this.#synced,
    })
  }

  compact(index: number, live: (blob: BlobId) => boolean): boolean {
    const end = Math.min(index, this.#index.last, this.#anchor.index + compactEntriesMax)
    if (end <= this.#anchor.index) return false
    this.#transact(() => {
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
            this.#tables.dropBlob(id)
            dropped += cuts[part]!
          }
        }
      }
      const hash = Uint8Array.from(hashOfEncoded(this.#reader.header(at)))
      this.#reshaped = true
      this.#putAnchor({ index: at, term: this.#index.term(at)!, hash })
      if (kept !== this.#keptBytes) this.#putKeptBytes(kept)
      this.#tables.dropEntries(at)
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
    this.#transact(() => {
      let kept = this.#keptBytes
      for (const id of ids) {
        if (this.#index.has(Math.floor(id / blobsPerEntryMax))) continue
        kept -= this.#tables.dropBlob(id) ?? 0
      }
      if (kept !== this.#keptBytes) this.#putKeptBytes(kept)
    })
  }

  putBlob(id: BlobId, data: Uint8Array): void {
    assert(!this.#index.has(Math.floor(id / blobsPerEntryMax)), `blob ${id} belongs to an entry in the log`)
    this.#transact(() => {
      const crc = format.blobCrc(id, data, this.#hasher)
      const { segment, offset } = this.#appendBlob(id, crc, data)
      const before = this.#tables.putBlob(id, crc, data, segment, offset)
      this.#putKeptBytes(this.#keptBytes + data.length - before)
    })
  }

  /** Within a transaction that will refer to it: puts a blob at the end of the stream. Answers where it lies. */
  #appendBlob(id: BlobId, crc: number, data: Uint8Array): StreamPosition {
    const at = this.#segments.begin()
    this.#existing.add(at.segment)
    const meta = encodeMeta({ kind: 'blob', id, data, crc }, at, this.#hasher)
    this.#segments.append([meta, data], meta.length + data.length)
    this.#unsyncedBulk = true
    return { segment: at.segment, offset: at.offset + meta.length }
  }

  clean(): boolean {
    const segment = this.#sparse()
    if (segment === undefined) return false
    try {
      this.#transact(() => {
        let bytes = 0
        for (const row of this.#tables.bulkOf(segment, 4096)) {
          if ((bytes += row.length) > cleanBytesMax && bytes > row.length) break
          const data = this.#segmentReader.read(segment, row.offset, row.length)
          if (format.blobCrc(row.id, data, this.#hasher) !== row.crc) {
            throw corrupt(this.#place, `the CRC of blob ${row.id} does not match`)
          }
          const to = this.#appendBlob(row.id, row.crc, data)
          this.#tables.moveBulk(row, segment, to.segment, to.offset)
        }
        if (bytes === 0) this.#uncleanable.add(segment)
      })
      this.commit()
    } catch (error) {
      if (!(error instanceof RkfsError) || error.code !== 'corrupt') throw error
      // who reads it is told; the rest of the segment stays as it is
      this.#uncleanable.add(segment)
      this.#log.error({ file: this.#place.path, segment, error: error.message }, 'a segment cannot be cleaned')
    }
    return this.#sparse() !== undefined
  }

  /** A complete segment most of whose content is dead. */
  #sparse(): number | undefined {
    for (const [segment, live] of this.#tables.live) {
      if (segment >= this.#settled.segment || this.#uncleanable.has(segment)) continue
      if (live < (segmentSize(this.#segments.folder, segment) ?? 0) * cleanBelow) return segment
    }
    return undefined
  }

  reset(anchor: LogAnchor): void {
    this.#transact(() => {
      this.#lower(anchor.index, anchor.term, anchor.hash)
      this.#putAnchor(anchor)
      this.#putKeptBytes(this.#keptBytes + this.#index.payloadTotal)
      this.#reshaped = true
      this.#tables.dropEntries(Number.MAX_SAFE_INTEGER)
      this.#index.dropThrough(this.#index.last)
      this.#hot.reset(anchor.index)
      this.#index.anchorIndex = anchor.index
      this.#lastHash = anchor.hash
    })
  }

  blobIds(after: BlobId, limit: number): BlobId[] {
    const ids = this.#read(() => this.#tables.blobIds(after, limit)).filter(id => this.#isKnown(id))
    for (const { index, cuts } of this.#hot.records()) {
      for (let part = 0; part < cuts.length && ids.length < limit; part++) {
        const id = index * blobsPerEntryMax + part
        if (id > after) ids.push(id)
      }
    }
    return ids
  }

  /** Whether a blob's row is not one that a removal, which the database has not seen yet, took away. */
  #isKnown(id: BlobId): boolean {
    const index = Math.floor(id / blobsPerEntryMax)
    return index <= this.#anchor.index || this.#hot.isSettled(index)
  }

  /** Commits, takes all over, syncs, checkpoints and closes; without harm when done twice. */
  close(): void {
    if (this.#closed) return
    try {
      if (this.#failure === undefined) this.#settleBeforeClose()
    } finally {
      this.#closed = true
      if (this.#db.open) this.#db.rollback()
      try {
        // Once all of the WAL is in the database it may be deleted, so the mark must not ask for it any more.
        this.#db.close(() => {
          const { lastIndex, lastHash, hardState } = this.#committed
          const { wal } = emptyMark
          const stream = this.#synced
          this.#mark.write(
            { index: lastIndex, term: this.term(lastIndex)!, hash: lastHash, hardState, wal, stream },
            true,
          )
        })
      } finally {
        this.#segments.close()
        this.#segmentReader.close()
        this.#mark.close()
      }
    }
  }

  #settleBeforeClose(): void {
    this.commit()
    this.syncNow()
    try {
      this.#settle()
    } catch (error) {
      // the segments have it all
      this.#log.warn({ file: this.#place.path, error: messageOf(error) }, 'the log is taken over at the next start')
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

  /** Writes to the stream. */
  #write(change: () => void): void {
    this.#usable()
    try {
      if (this.#db.open) this.#commitTables()
      change()
    } catch (error) {
      throw this.#undo(error)
    }
  }

  /** Writes to the database itself, on top of all that the stream has. */
  #transact(change: () => void): void {
    this.#usable()
    if (!this.#db.open) this.settle()
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

  /** Undoes what is not committed, on disk and in memory; answers the error to throw. */
  #undo(error: unknown): unknown {
    const failure = translate(this.#place, error)
    try {
      const tables = this.#db.open
      this.#db.rollback()
      this.#unsyncedBulk = false
      if (tables) this.#tables.rolledBack()
      if (this.#reshaped) {
        this.#index = loadLog(this.#reader, this.#db.db, this.#hasher, false).index
        this.#hot.rollback(this.#index.last)
        for (const { write } of this.#hot.writes) applyToIndex(this.#index, write)
        this.#reshaped = false
      } else {
        this.#hot.rollback()
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

function fill(db: Database.Database, owner: LogOwner, hasher: Hasher): void {
  const put = db.prepare('INSERT INTO setting (name, value) VALUES (?, ?)')
  const set = (name: string, value: Uint8Array): void => void put.run(name, format.sealSetting(name, value, hasher))
  set(format.ownSettings.owner, format.encodeOwner(owner))
  set(format.ownSettings.anchor, format.encodeAnchor({ index: 0, term: 0, hash: zeroHash }))
  set(format.ownSettings.hardState, format.encodeHardState({ term: 0, vote: undefined }))
  set(format.ownSettings.keptBytes, new TextEncoder().encode('0'))
  set(format.ownSettings.settled, format.encodePosition(streamStart))
}
