import { failpoint } from '../base/failpoint.js'
import { KiB } from '../base/limits.js'
import type { Raft } from '../raft/raft.js'
import type { Agenda } from './agenda.js'
import type { Core } from './core.js'
import type { DiskPort } from './disk-port.js'
import type { Health } from './health.js'
import { withReserve } from './reserve.js'
import type { LogStore } from './log-port.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'
import type { Views } from './views.js'

/** What is staged for the log may use the reserve up if it is no more than this: deletions, and what members agree on. */
const reservedBytesMax = 256 * KiB

/**
 * How what is decided gets into the log, and onto stable storage.
 *
 * INVARIANT: `index` never counts an entry that was written after the sync that covers it was asked for: cutting the log
 * lowers it at once, and what is staged but not written holds it where it is.
 */
export class Durability {
  readonly #store: LogStore
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #views: Views
  readonly #agenda: Agenda
  readonly #health: Health
  readonly #disk: DiskPort
  #index: number
  /** A sync is due though the log may not have grown. */
  #due = false

  constructor({ ports, log, raft, views, agenda, health }: Core) {
    this.#store = ports.log
    this.#log = log
    this.#raft = raft
    this.#views = views
    this.#agenda = agenda
    this.#health = health
    this.#disk = ports.disk
    this.#index = ports.log.durableIndex
  }

  /** This member's log is on stable storage up to here; nothing beyond is applied, so that the state never outruns it. */
  get index(): number {
    return this.#index
  }

  /** Writes all that is staged; false while there is no room for it, or when that failed. */
  persist(): boolean {
    const { content, other } = this.#log.stagedBytes
    const writes = this.#log.dirty
    try {
      // not for a stream of content, in however small pieces it comes
      withReserve(this.#disk, content === 0 && other <= reservedBytesMax, () => this.#log.persist())
    } catch (error) {
      this.#health.logWriteFailed(error)
      return false
    }
    if (this.#health.logFull !== undefined && (writes || this.#hasRoom)) this.#health.logWritten()
    return true
  }

  /** For a term or vote, which nothing that is staged stands for. */
  get #hasRoom(): boolean {
    const space = this.#disk.space()
    return space === undefined || space.freeBytes >= reservedBytesMax
  }

  /** Writes what is staged for the journal, where entries find no room; false when that does not either. */
  persistJournal(): boolean {
    try {
      withReserve(this.#disk, true, () => this.#log.persistJournal())
    } catch (error) {
      this.#health.logWriteFailed(error)
      return false
    }
    return true
  }

  /** Something was collected: what only that held is removed when a sync covers it. */
  collected(): void {
    this.#store.sync(() => {}, this.#failed)
  }

  /** What this turn writes is synced at its end, whatever it is: the log's end alone tells nothing of the journal. */
  demand(): void {
    this.#due = true
    this.#agenda.hurry()
  }

  /** Has all that is written synced, if entries or `demand` ask for it; a turn follows. */
  sync(): void {
    this.note()
    if (this.#index >= this.#log.lastIndex && !this.#due) return
    this.#due = false
    const { generation } = this.#log
    this.#store.sync(() => {
      if (this.#agenda.closed) return
      // an index that was cut off meanwhile is other entries' now: the next sync tells
      if (generation === this.#log.generation) this.note()
      else this.sync()
      this.#agenda.turn()
    }, this.#failed)
  }

  readonly #failed = (error: unknown): void => {
    if (!this.#agenda.closed) this.#health.fail(error)
  }

  /** What the log has on stable storage, by a sync that was asked for or by one of its own. */
  note(): void {
    // what is decided but not written may have cut off what the log still counts
    if (this.#log.dirty) return
    const durable = Math.min(this.#store.durableIndex, this.#log.lastIndex)
    if (durable <= this.#index) return
    failpoint('sync-covered')
    this.#index = durable
    this.#raft.durable(durable)
    // a follower's acknowledgement; a leader's own copy hurries nobody
    if (!this.#views.leading) this.#agenda.hurry()
  }

  /** Entries from `index` on are cut off. */
  cut(index: number): void {
    this.#index = Math.min(this.#index, index - 1)
  }

  /** The log begins after `index`. */
  restored(index: number): void {
    this.#index = index
  }
}
