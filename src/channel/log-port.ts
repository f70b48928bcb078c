/**
 * The port to one channel's change log: entries, their payloads cut into blobs, term and vote, and the journal of this
 * member's own changes that are not yet in the log. Implemented on SQLite (`adapters/sqlite`) and in memory (tests, simulator).
 *
 * Appends, truncations and the journal's changes are collected until `commit` (one a turn of the event loop); any other
 * write first commits them. What was committed is safe from the death of the process, and after `sync` from the loss of
 * power.
 */
import { RkfsError } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import type { EncodedEntry } from '../oplog/entry.js'
import type { HardState } from '../raft/types.js'

/** An entry to store. `cuts`: the lengths of the blobs its payload is cut into, in order; their sum is the payload's length. */
export interface LogRecord extends EncodedEntry {
  readonly index: number
  readonly term: number
  readonly cuts: readonly number[]
}

/** A payload's blob: `index * blobsPerEntryMax + part`. Negative: of a journalled change, `-(sequence * blobsPerEntryMax + part)`. */
export type BlobId = number

/** A blob that should be here is damaged or missing, or the disk does not give it: another member may have it. */
export class DamagedBlob extends RkfsError {
  readonly blob: BlobId

  constructor(blob: BlobId, message: string, options?: { cause?: unknown }) {
    super('corrupt', message, options)
    this.blob = blob
  }
}

/** Where the log begins: the entry before `firstIndex`. Index 0, term 0 and zero hash for a log that was never cut. */
export interface LogAnchor {
  readonly index: number
  readonly term: number
  readonly hash: Uint8Array
}

/**
 * One change of this member that is not known to be in the log, or a part of one that grew while it waited (`OpenWrite`).
 * `proposal`: of part 0 the encoded proposal without its payload, of the others their time.
 */
export interface JournalRecord {
  readonly session: number
  readonly sequence: number
  readonly part: number
  readonly proposal: Uint8Array
  readonly payload: Uint8Array
}

export interface LogStore {
  readonly anchor: LogAnchor
  /** `anchor.index` when there are no entries. */
  readonly lastIndex: number
  /** All entries up to here are on stable storage. */
  readonly durableIndex: number
  readonly hardState: HardState
  /**
   * `entries` and `blobs`: headers, and blobs, that are in use. `log`: headers and payloads of the entries in the log. `dead`:
   * what its files take beside all that.
   */
  readonly bytes: { readonly entries: number; readonly blobs: number; readonly log: number; readonly dead: number }

  /** Entries follow `lastIndex` without a gap. Throws `disk-full`: then nothing of this transaction is kept. */
  append(records: readonly LogRecord[]): void
  /** Removes `index` and all after it, with their blobs. */
  truncateFrom(index: number): void
  /** The term at an index from `anchor.index` to `lastIndex`, else undefined. */
  term(index: number): number | undefined
  /** The encoded header at an index after the anchor, else undefined. */
  header(index: number): Uint8Array | undefined
  /** Entries `from..to` (inclusive) with their payloads put together. Throws `DamagedBlob`, or `corrupt` if an entry is missing or damaged. A blob that compaction dropped is not in this range. */
  read(from: number, to: number): EncodedEntry[]
  /** Bytes (header and payload) of the entry at an index. */
  size(index: number): number
  /** A blob, its CRC checked; undefined when it is not here. Throws `DamagedBlob` when it should be, and cannot be read. */
  blob(id: BlobId): Uint8Array | undefined

  /** Term and vote, on stable storage when it returns (ends the open transaction). */
  saveHardState(state: HardState): void
  /** Small settings, e.g. the session number; part of the open transaction. */
  setting(name: string): string | undefined
  setSetting(name: string, value: string): void

  journalPut(record: JournalRecord): void
  /** All parts of a change. */
  journalRemove(session: number, sequence: number): void
  /** All of them, by session, sequence and part. */
  journal(): JournalRecord[]

  /** Makes what was written so far safe from the death of this process; no effect when nothing was. */
  commit(): void
  /**
   * Asks for a sync that covers all that is committed; `onDurable` is called with the last index it covered. At most one
   * is under way; calls meanwhile make one more follow. `failed` is called instead when one fails: nothing may be built on
   * this log any more, all that writes throws, and only opening it anew tells what is there.
   */
  sync(onDurable: (index: number) => void, failed: (error: unknown) => void): void
  /** As `sync`, blocking. */
  syncNow(): void
  /** Files of its that nothing refers to any more go with the next sync. */
  readonly awaitsSync: boolean
  /** Bytes of files that nothing refers to any more, and that somebody still reads. */
  readonly pinnedBytes: number

  /** Drops entries up to `index` (committed, applied and synced in the state) and of their blobs those that `live` denies. Works in bounded steps: answers whether more is left to do. */
  compact(index: number, live: (blob: BlobId) => boolean): boolean
  /** Drops blobs of entries before the anchor that nothing refers to any more. */
  dropBlobs(ids: readonly BlobId[]): void
  /**
   * Puts a blob that cannot be read in its place again, as another member has it. Answers false, and changes nothing, when
   * these are not its bytes, by its CRC, its length, or the hash of its entry's payload, as far as they are known here.
   */
  heal(id: BlobId, data: Uint8Array): boolean
  /** For the installation of a snapshot: stores blobs of entries that are not in the log; replaces what is there. */
  putBlob(id: BlobId, data: Uint8Array): void
  /** For the installation of a snapshot: forgets all entries; the log starts after `anchor`. Blobs of entries up to it stay. */
  reset(anchor: LogAnchor): void
  /**
   * Rewrites what is left in files whose content is mostly dead, or which hold the most dead bytes while there are more than
   * `deadMax` of them in all, so that their space is free; one bounded step. Answers whether more is left to do. `damaged` is
   * told of each blob that could not be read; its file stays as it is until it is healed. Throws `disk-full`: then
   * what it had written is given back.
   */
  clean(damaged: (blob: BlobId) => void, bounds: CleanBounds): boolean
  /** Makes all that was committed visible to other readers of the database (a snapshot), on stable storage. */
  settle(): void
  /** All blob ids in ascending order from `after` on, at most `limit`. */
  blobIds(after: BlobId, limit: number): BlobId[]
  /** How long a blob of an entry before the anchor is; undefined when it is not here. */
  blobBytes(id: BlobId): number | undefined
  close(): void
}

/** What cleaning goes by, in bytes. */
export interface CleanBounds {
  /** So many may be dead. */
  readonly deadMax: number
  /** So many are free. */
  readonly room: number
  /** So many more may be taken where most of a file is dead. */
  readonly reserve: number
}

/** Who wrote the log: refused when it is another's. */
export interface LogOwner {
  readonly channelId: string
  readonly member: MemberId
}
