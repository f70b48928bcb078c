import { assert } from '../../base/assert.js'
import { equalBytes } from '../../base/bytes.js'
import { failpoint } from '../../base/failpoint.js'
import type { Hasher } from '../../base/hash.js'
import { messageOf, RkfsError } from '../../base/errors.js'
import { blobsPerEntryMax, MiB } from '../../base/limits.js'
import {
  type BlobId,
  type CleanBounds,
  DamagedBlob,
  type JournalRecord,
  type LogAnchor,
  type LogOwner,
  type LogRecord,
  type LogStore,
} from '../../channel/log-port.js'
import { cutOf } from '../../fs/extents.js'
import { decodeEntry, hashOfEncoded, payloadMatches } from '../../oplog/codec.js'
import type { EncodedEntry } from '../../oplog/entry.js'
import type { HardState } from '../../raft/types.js'
import { corrupt, type Place, type StoreLog, translate } from './failures.js'
import type { HotLog } from './hot-log.js'
import { LogDurability, type LogEnd } from './log-durability.js'
import * as format from './log-format.js'
import { type LogIndex } from './log-index.js'
import { loadLog } from './log-load.js'
import type { LogMark } from './log-mark.js'
import { openLog, type OpenedLog } from './log-opening.js'
import { LogReader } from './log-reader.js'
import { applyToIndex } from './log-replay.js'
import { LogTables } from './log-tables.js'
import { later, SegmentFiles, type StreamPosition } from './segment-files.js'
import type { SegmentReader } from './segment-reader.js'
import { type FilesPin, SegmentUpkeep } from './segment-upkeep.js'
import { appendOf, encodeMeta, journalOf, payloadOf, type LogWrite } from './stream-records.js'
import { WalDatabase, type WalPosition } from './wal-database.js'

const compactEntriesMax = 256
const compactBytesMax = 16 * MiB

/** What memory holds of the log beside the index; the committed one is kept to go back to. */
interface Shape {
  readonly anchor: LogAnchor
  readonly end: LogEnd
  readonly keptBytes: number
}

/** What waits in the segments for the database at most, before it is taken over once it is synced. */
const settleWrites = 256
const settleBytes = 8 * MiB
/** More than this is not written to the segments while the database cannot take it over. */
const hotBytesMax = 256 * MiB

/**
 * A channel's log: every write goes to the segments first, which a sync covers; `log.db` takes it over in batches and
 * refers to the large payloads where they lie. DESIGN.md beside this file says how it survives what.
 */
export class SqliteLogStore implements LogStore {
  readonly #db: WalDatabase
  readonly #place: Place
  readonly #hasher: Hasher
  readonly #log: StoreLog
  readonly #mark: LogMark
  readonly #segments: SegmentFiles
  readonly #segmentReader: SegmentReader
  readonly #reader: LogReader
  readonly #tables: LogTables
  readonly #durability: LogDurability
  readonly #upkeep: SegmentUpkeep
  #index: LogIndex
  readonly #hot: HotLog
  #anchor: LogAnchor
  #hardState: HardState
  #lastHash: Uint8Array
  #keptBytes: number
  #committed: Shape
  /** The uncommitted writes did more than append, so that undoing them makes the index anew. */
  #reshaped = false
  /** The database has the stream up to here. */
  #settled: StreamPosition
  /** Taking over failed: it is tried again when so many writes wait. */
  #settleHeld = 0
  /** The open transaction refers to bytes in the segments that were not synced yet. */
  #unsyncedBulk = false
  /** Where the stream ended when the open transaction began. */
  #streamBefore: StreamPosition
  #closed = false

  /**
   * Opens `log.db` at `path`, or makes it; `log.mark` and `segments` stand beside it. Throws `corrupt`, `version`,
   * `refused` (another owner's), `disk-full` or `failed`, and then has changed nothing. `segmentBytes`: the size of a
   * segment, which may be another one each time; `walBytes`: about the size of a WAL, a third of its bound.
   */
  static open(
    path: string,
    owner: LogOwner,
    hasher: Hasher,
    log: StoreLog,
    segmentBytes?: number,
    walBytes?: number,
  ): SqliteLogStore {
    return new SqliteLogStore(openLog(path, owner, hasher), hasher, log, segmentBytes, walBytes)
  }

  private constructor(
    opened: OpenedLog,
    hasher: Hasher,
    log: StoreLog,
    segmentBytes: number | undefined,
    walBytes: number | undefined,
  ) {
    const { place, loaded, replayed } = opened
    this.#place = place
    this.#hasher = hasher
    this.#log = log
    this.#mark = opened.mark
    this.#segmentReader = opened.segments
    this.#segments = new SegmentFiles(opened.segments.folder, loaded.settled, replayed.end, place, segmentBytes)
    this.#db = new WalDatabase(place, format.logFormat, log, walBytes)
    this.#reader = new LogReader(this.#db.db, place, hasher, opened.segments)
    this.#tables = new LogTables(this.#db.db, hasher, opened.live)
    this.#upkeep = new SegmentUpkeep(this.#segments, opened.segments, this.#tables, this.#reader)
    this.#index = loaded.index
    this.#hot = replayed.hot
    this.#anchor = loaded.anchor
    this.#hardState = loaded.hardState
    this.#lastHash = replayed.lastHash
    this.#keptBytes = loaded.keptBytes
    this.#settled = loaded.settled
    this.#streamBefore = this.#segments.position
    this.#committed = this.#shape()
    this.#durability = new LogDurability(place, log, this.#db, this.#segments, opened.mark, loaded.settled, {
      end: () => this.#committed.end,
      walSyncing: () => {
        const unused = this.#upkeep.unused(this.#settled)
        return () => {
          // asked again with a later sync
          if (!this.#upkeep.remove(unused)) this.#durability.touchWal()
        }
      },
      synced: () => this.#maybeSettle(),
    })
    try {
      // What was found is in the files, but perhaps not on the disk yet.
      this.#durability.syncNow()
      this.#settle()
    } catch (error) {
      this.#durability.fail(error)
      this.close()
      throw error
    }
  }

  get anchor(): LogAnchor {
    return this.#anchor
  }
  get lastIndex(): number {
    return this.#index.last
  }
  get durableIndex(): number {
    return this.#durability.index
  }
  get hardState(): HardState {
    return this.#hardState
  }
  get bytes(): LogStore['bytes'] {
    const { headerTotal, payloadTotal } = this.#index
    const dead = this.#upkeep.deadBytes + this.#segments.spareBytes
    return { entries: headerTotal, blobs: payloadTotal + this.#keptBytes, log: headerTotal + payloadTotal, dead }
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

  #push(write: LogWrite): void {
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
      this.#durability.lower({ index: before, term: this.term(before)!, hash })
      this.#reshaped = true
      this.#push({ kind: 'truncate', index })
      this.#lastHash = hash
    })
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
    if (hot !== undefined) return cutOf(hot.cuts, hot.payload, part)
    if (index > this.#anchor.index && !this.#hot.isSettled(index)) return undefined
    return this.#read(() => {
      const data = this.#reader.blob(id)
      if (data === undefined && this.#index.has(index) && part < this.#reader.cuts(index).length) {
        throw this.#reader.damagedBlob(id, 'it is missing')
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
    failpoint('hard-state-written')
    this.#durability.syncNow()
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
    this.#durability.check()
    try {
      if (this.#db.open) this.#commitTables()
      this.#commitStream()
    } catch (error) {
      throw this.#undo(error)
    }
  }

  /** No transaction refers to bytes that are not on stable storage: a WAL may get there at any time. */
  #commitTables(): void {
    // the next start, and each after it, need not read blobs again
    const settled = this.#unsyncedBulk && this.#hot.size === 0 ? this.#segments.position : undefined
    if (this.#unsyncedBulk) this.#durability.syncSegments()
    if (settled !== undefined) this.#putOwn('settled', format.encodePosition(settled))
    this.#unsyncedBulk = false
    this.#db.commit()
    this.#settled = settled ?? this.#settled
    this.#durability.touchWal()
    this.#reshaped = false
    this.#committed = this.#shape()
  }

  #commitStream(): void {
    const { fresh } = this.#hot
    if (fresh.length === 0) return
    const { segment, offset: start, follows } = this.#segments.begin()
    let offset = start
    const parts: Uint8Array[] = []
    for (const hot of fresh) {
      const meta = encodeMeta(hot.write, { segment, offset, follows }, this.#hasher)
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
    const writes = this.#hot.through(this.#durability.stream)
    const last = writes.at(-1)
    if (last === undefined) return
    const kept = this.#keptBytes
    try {
      this.#db.begin()
      for (const hot of writes) this.#tables.settle(hot, last.end)
      const dropped = this.#tables.takeForeignDropped()
      if (dropped > 0) this.#putKeptBytes(Math.max(0, kept - dropped))
      this.#putOwn('settled', format.encodePosition(last.end))
      failpoint('settle-open')
      this.#db.commit()
      failpoint('settle-committed')
    } catch (error) {
      this.#db.rollback()
      this.#tables.rolledBack()
      this.#keptBytes = kept
      throw translate(this.#place, error)
    }
    this.#committed = { ...this.#committed, keptBytes: this.#keptBytes }
    // what a sync of the WAL will allow to remove
    if (last.end.segment > this.#settled.segment) this.#durability.touchWal()
    this.#settled = last.end
    this.#hot.settled(writes.length)
  }

  settle(): void {
    this.commit()
    if (this.#hot.size === 0) return
    this.#durability.syncNow()
    this.#settle()
  }

  get awaitsSync(): boolean {
    return this.#upkeep.pinnedOf(this.#upkeep.unused(this.#settled)).free.length > 0
  }

  get pinnedBytes(): number {
    const { pinned } = this.#upkeep.pinnedOf(this.#upkeep.unused(this.#settled))
    return pinned.reduce((sum, segment) => sum + (this.#segments.complete.get(segment) ?? 0), 0)
  }

  /** Another reader is about to open the database: the segments that it may refer to stay as they are. */
  pin(): FilesPin {
    return this.#upkeep.pin()
  }

  sync(onDurable: (index: number) => void, failed: (error: unknown) => void): void {
    this.#durability.sync(onDurable, failed)
  }

  syncNow(): void {
    this.#durability.syncNow()
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
      failpoint('compact-open')
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
    const meta = encodeMeta({ kind: 'blob', id, data, crc }, at, this.#hasher)
    this.#segments.append([meta, data], meta.length + data.length)
    this.#unsyncedBulk = true
    return { segment: at.segment, offset: at.offset + meta.length }
  }

  heal(id: BlobId, data: Uint8Array): boolean {
    const index = Math.floor(id / blobsPerEntryMax)
    if (this.#hot.entry(index) !== undefined) return false
    if (index > this.#anchor.index && !(this.#index.has(index) && this.#hot.isSettled(index))) return false
    if (!this.#read(() => this.#fits(id, data))) return false
    this.#transact(() => {
      const crc = format.blobCrc(id, data, this.#hasher)
      const { segment, offset } = this.#appendBlob(id, crc, data)
      const before = this.#tables.putBlob(id, crc, data, segment, offset)
      if (!this.#index.has(index)) this.#putKeptBytes(this.#keptBytes + data.length - before)
    })
    this.commit()
    this.#upkeep.healed()
    return true
  }

  /** Whether bytes are those of a blob, as far as that is known here. */
  #fits(id: BlobId, data: Uint8Array): boolean {
    const index = Math.floor(id / blobsPerEntryMax)
    const part = id % blobsPerEntryMax
    const known = this.#reader.blobCheck(id)
    if (known !== undefined && (known.length !== data.length || known.crc !== format.blobCrc(id, data, this.#hasher))) {
      return false
    }
    if (!this.#index.has(index)) return true
    const cuts = this.#reader.cuts(index)
    if (cuts[part] !== data.length) return false
    const parts: Uint8Array[] = []
    for (let at = 0; at < cuts.length; at++) {
      try {
        const one = at === part ? data : this.#reader.blob(index * blobsPerEntryMax + at)
        if (one === undefined) return known !== undefined
        parts.push(one)
      } catch (error) {
        // another part is damaged, too: it comes next
        if (error instanceof DamagedBlob) return known !== undefined
        throw error
      }
    }
    return payloadMatches(decodeEntry(this.#reader.header(index), this.#hasher), Buffer.concat(parts), this.#hasher)
  }

  clean(damaged: (blob: BlobId) => void, bounds: CleanBounds): boolean {
    this.#segments.keepsSpare = this.#segments.segmentBytes <= bounds.deadMax
    const segment = this.#upkeep.sparse(this.#settled, bounds)
    if (segment === undefined) return false
    const found: BlobId[] = []
    this.#transact(() =>
      this.#upkeep.moveOut(
        segment,
        (id, crc, data) => this.#appendBlob(id, crc, data),
        blob => found.push(blob),
      ),
    )
    failpoint('clean-open')
    this.commit()
    failpoint('clean-committed')
    for (const blob of found) damaged(blob)
    return this.#upkeep.sparse(this.#settled, bounds) !== undefined
  }

  reset(anchor: LogAnchor): void {
    // what others will have there comes with blobs of the same names
    this.truncateFrom(anchor.index + 1)
    this.#transact(() => {
      // it is in neither log that a start may find: until this is committed, the old one; after it, the new one
      this.#durability.lower(anchor, this.#anchor)
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

  blobBytes(id: BlobId): number | undefined {
    return this.#read(() => this.#reader.blobCheck(id)?.length)
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
      if (!this.#durability.failed) this.#settleBeforeClose()
    } finally {
      this.#closed = true
      this.#durability.close()
      if (this.#db.open) this.#db.rollback()
      try {
        failpoint('log-closing')
        if (this.#durability.failed) this.#db.abandon()
        else this.#db.close(() => this.#durability.sealMark())
      } finally {
        this.#segments.close()
        this.#segmentReader.close()
        this.#mark.close()
      }
    }
  }

  #settleBeforeClose(): void {
    this.commit()
    this.#durability.syncNow()
    try {
      this.#settle()
    } catch (error) {
      // the segments have it all
      this.#log.warn({ file: this.#place.path, error: messageOf(error) }, 'the log is taken over at the next start')
    }
  }

  #shape(): Shape {
    const { last } = this.#index
    const end = { index: last, term: this.term(last)!, hash: this.#lastHash, hardState: this.#hardState }
    return { anchor: this.#anchor, end, keptBytes: this.#keptBytes }
  }

  /** Writes to the stream. */
  #write(change: () => void): void {
    this.#durability.check()
    try {
      if (this.#db.open) this.#commitTables()
      if (this.#hot.bytes > hotBytesMax && this.#hot.fresh.length === 0) {
        this.#durability.syncNow()
        this.#settle()
      }
      change()
    } catch (error) {
      throw this.#undo(error)
    }
  }

  /** Writes to the database itself, on top of all that the stream has. */
  #transact(change: () => void): void {
    this.#durability.check()
    if (!this.#db.open) {
      this.settle()
      this.#streamBefore = this.#segments.position
    }
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
    // what of it is in the files is not known: opening them anew tells
    if (failure instanceof RkfsError && failure.code !== 'disk-full') this.#durability.fail(failure)
    try {
      const tables = this.#db.open
      this.#db.rollback()
      this.#unsyncedBulk = false
      if (tables) {
        this.#tables.rolledBack()
        // nothing refers to what it has put there
        if (!this.#durability.failed) this.#segments.cut(later(this.#streamBefore, this.#durability.asked))
      }
      if (this.#reshaped) {
        this.#index = loadLog(this.#reader, this.#db.db, this.#hasher, false).index
        this.#hot.rollback(this.#index.last)
        for (const { write } of this.#hot.writes) applyToIndex(this.#index, write)
        this.#reshaped = false
      } else {
        this.#hot.rollback()
        this.#index.truncateFrom(this.#committed.end.index + 1)
      }
      this.#anchor = this.#committed.anchor
      this.#hardState = this.#committed.end.hardState
      this.#lastHash = this.#committed.end.hash
      this.#keptBytes = this.#committed.keptBytes
    } catch (second) {
      // Memory and disk may differ now: no further use.
      this.#durability.fail(translate(this.#place, second))
      this.#log.error({ file: this.#place.path, error: second }, 'a transaction cannot be rolled back')
    }
    return failure
  }
}
