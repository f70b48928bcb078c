import { assert } from '../../base/assert.js'
import { equalBytes } from '../../base/bytes.js'
import { failpoint } from '../../base/failpoint.js'
import type { LogAnchor } from '../../channel/log-port.js'
import type { HardState } from '../../raft/types.js'
import { type Place, type StoreLog, translate } from './failures.js'
import { emptyMark, type LogMark } from './log-mark.js'
import { isBefore, type SegmentFiles, type StreamPosition } from './segment-files.js'
import type { WalDatabase, WalPosition } from './wal-database.js'

/** The end of what is committed, and so of what a sync that begins now will cover. */
export interface LogEnd extends LogAnchor {
  readonly hardState: HardState
}

interface Waiting {
  readonly onDurable: (index: number) => void
  readonly failed: (error: unknown) => void
}

/** What the syncs of a log ask of it. */
export interface SyncedLog {
  end(): LogEnd
  /** A sync that covers all transactions begins; what is answered is called when it has succeeded. */
  walSyncing(): () => void
  /** A sync has succeeded; those who asked for it are told afterwards. */
  synced(): void
}

/** What of a log is on stable storage: its syncs, and the mark that tells the next start of them. */
export class LogDurability {
  readonly #place: Place
  readonly #log: StoreLog
  readonly #db: WalDatabase
  readonly #segments: SegmentFiles
  readonly #mark: LogMark
  readonly #synced: SyncedLog
  #index = 0
  #stream: StreamPosition
  /** A sync was asked for that covers the stream up to here. */
  #asked: StreamPosition
  /** A transaction that a sync must cover was committed since the last one began. */
  #walDirty = true
  #waiting: Waiting[] = []
  /** The sync that is under way; truncation lowers what it will have covered. */
  #syncing: LogEnd | undefined
  #failure: unknown
  #closed = false

  constructor(
    place: Place,
    log: StoreLog,
    db: WalDatabase,
    segments: SegmentFiles,
    mark: LogMark,
    stream: StreamPosition,
    synced: SyncedLog,
  ) {
    this.#place = place
    this.#log = log
    this.#db = db
    this.#segments = segments
    this.#mark = mark
    this.#stream = this.#asked = stream
    this.#synced = synced
  }

  /** Entries up to here are on stable storage. */
  get index(): number {
    return this.#index
  }
  /** The stream is on stable storage up to here. */
  get stream(): StreamPosition {
    return this.#stream
  }
  /** The mark may come to say that the stream reaches up to here. */
  get asked(): StreamPosition {
    return this.#asked
  }
  /** Memory and disk may differ: nothing may be built on these files any more. */
  get failed(): boolean {
    return this.#failure !== undefined
  }

  /** Throws when the files may not be used any more. */
  check(): void {
    if (this.failed) throw this.#failure
  }

  fail(failure: unknown): void {
    this.#failure = failure
  }

  /** The next sync must cover the database's WAL, too. */
  touchWal(): void {
    this.#walDirty = true
  }

  sync(onDurable: (index: number) => void, failed: (error: unknown) => void): void {
    this.check()
    this.#waiting.push({ onDurable, failed })
    if (this.#syncing === undefined) this.#start()
  }

  #start(): void {
    const told = this.#waiting
    this.#waiting = []
    const { hardState } = (this.#syncing = this.#synced.end())
    const stream = (this.#asked = this.#segments.position)
    const wal = this.#walDirty && !this.#db.open ? this.#db.position : undefined
    const walSynced = wal && this.#synced.walSyncing()
    const finish = (error: unknown): void => {
      if (this.#closed) return
      try {
        if (error !== undefined) throw error
        // a blocking one has failed meanwhile
        this.check()
        const covered = { ...this.#syncing!, hardState }
        this.#syncing = undefined
        this.#cover(covered, stream, wal)
        walSynced?.()
      } catch (failure) {
        return this.#tellFailure(told, translate(this.#place, failure))
      }
      this.#synced.synced()
      if (this.#waiting.length > 0) this.#start()
      for (const { onDurable } of told) onDurable(this.#index)
    }
    const syncWal = (error: unknown): void => {
      if (error !== undefined || wal === undefined || this.#closed) finish(error)
      else this.#db.sync(finish)
    }
    if (wal !== undefined) this.#walDirty = false
    if (this.#segments.dirty) this.#segments.sync(syncWal)
    else setImmediate(syncWal, undefined)
  }

  #tellFailure(told: readonly Waiting[], failure: unknown): void {
    this.#syncFailed(failure)
    const all = [...told, ...this.#waiting]
    this.#waiting = []
    for (const { failed } of all) failed(failure)
  }

  syncNow(): void {
    this.check()
    assert(!this.#db.open, 'a sync within a transaction')
    const position = (this.#asked = this.#segments.position)
    const wal = this.#walDirty ? this.#db.position : undefined
    const walSynced = wal && this.#synced.walSyncing()
    this.syncSegments()
    if (wal !== undefined) {
      this.#orFail(() => this.#db.syncNow())
      this.#walDirty = false
    }
    this.#orFail(() => this.#cover(this.#synced.end(), position, wal))
    walSynced?.()
  }

  /** Puts the segments alone on stable storage: within a transaction, before it refers to what was put there. */
  syncSegments(): void {
    this.#orFail(() => this.#segments.syncNow())
  }

  #orFail(sync: () => void): void {
    try {
      sync()
    } catch (error) {
      throw this.#syncFailed(translate(this.#place, error))
    }
  }

  /** Linux reports a failed write-back once and then forgets the pages. */
  #syncFailed(error: unknown): unknown {
    if (this.failed) return error
    this.#failure = error
    this.#log.error({ file: this.#place.path, error }, 'the log cannot be synced')
    return error
  }

  /** All up to `end`, and of the stream up to `stream`, is on stable storage; the WAL too if it is given. */
  #cover(end: LogEnd, stream: StreamPosition, wal: WalPosition | undefined): void {
    this.#index = Math.max(this.#index, end.index)
    if (isBefore(this.#stream, stream)) this.#stream = stream
    failpoint('segment-synced')
    const mark = this.#mark.value
    // A blocking sync may have overtaken the one that ends now.
    const { index, term, hash } = end.index >= mark.index ? end : mark
    const { hardState } = end
    const newer =
      hardState.term > mark.hardState.term || (hardState.term === mark.hardState.term && hardState.vote !== undefined)
    const older = wal === undefined || (equalBytes(wal.salts, mark.wal.salts) && wal.frames < mark.wal.frames)
    this.#mark.write({
      index,
      term,
      hash,
      hardState: newer && wal !== undefined ? hardState : mark.hardState,
      wal: older ? mark.wal : wal,
      stream: this.#stream,
    })
  }

  /**
   * The log is about to end at `end`, which may be an earlier entry, or one of another history: what is known to be durable,
   * and the mark, go back before it does, the mark to `known`: a place that the log has reached before as well as after.
   */
  lower(end: LogAnchor, known = end): void {
    const { index, hash } = end
    const isBeyond = (reached: LogAnchor): boolean =>
      reached.index > index || (reached.index === index && !equalBytes(reached.hash, hash))
    const mark = this.#mark.value
    if (isBeyond(mark)) {
      this.#mark.write({ ...mark, ...known }, true)
      failpoint('mark-lowered')
    }
    this.#index = Math.min(this.#index, index)
    if (this.#syncing && isBeyond(this.#syncing)) this.#syncing = { ...this.#syncing, ...known }
  }

  /** No sync is answered any more. */
  close(): void {
    this.#closed = true
  }

  /**
   * All of the WAL is in the database and may be deleted: the mark asks for it no more. Of the segments it asks for what a
   * sync has covered: none may have come before the log was closed.
   */
  sealMark(): void {
    const { wal } = emptyMark
    const hardState = this.failed ? this.#mark.value.hardState : this.#synced.end().hardState
    this.#mark.write({ ...this.#mark.value, hardState, wal }, true)
    failpoint('log-closed')
  }
}
