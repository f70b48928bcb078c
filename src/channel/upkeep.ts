import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { blobsPerEntryMax, MiB } from '../base/limits.js'
import type { StateStore } from '../fs/store-port.js'
import type { BlobHealing } from './blob-healing.js'
import type { Blobs } from './blobs.js'
import type { Core } from './core.js'
import { isDiskFull, type Health } from './health.js'
import { type BlobId, DamagedBlob, type LogStore } from './log-port.js'
import type { DiskPort } from './disk-port.js'
import type { Durability } from './durability.js'
import type { Positions } from './positions.js'
import { withReserve } from './reserve.js'
import type { RelocationLimits } from './relocation.js'
import type { Roster } from './roster.js'
import { dropTarget, type Keep, keepParts } from './space-policy.js'
import type { Space } from './space.js'
import type { StateHolds } from './state-holds.js'
import type { StagedLog } from './staged-log.js'
import type { Views } from './views.js'

const flushTicks = 5
const flushRecords = 8192
/** Records and counts that one turn writes: some ten milliseconds. */
const flushStepMax = 1024
const compactTicks = 30
/** Dead blobs that one step drops: some ten milliseconds. The next tick goes on. */
const droppedBlobsMax = 1024
/** Blobs that one step of the search for forgotten ones looks at. */
const sweepBlobs = 2000
/** How many entries of the log are kept; in bytes it is `keepOf` that says how much. */
export interface Retention {
  /** Entries that stay behind the last one that all members have. */
  readonly margin: number
  /** Entries that are kept for members that are away; those that were away for longer get a snapshot. */
  readonly entriesMax: number
  /** How many bytes of log an only member's copy of its state may be behind; `copyBytesUsual` where it is undefined. */
  readonly copyBytes?: number
  /** What of blobs that are in use may be in no file. */
  readonly relocation?: Partial<RelocationLimits>
}

/** The state of an only member is copied anew when its log has grown so much behind the copy, or twice the copy's size. */
const copyBytesUsual = 16 * MiB
/** … or so much, where the disk has little left. */
const copyBytesShort = MiB
/** After a copy, or a cleaning, that failed so many steps of compaction pass. */
const copyAgainSteps = 20
const cleanAgainSteps = 20

export const defaultRetention: Retention = { margin: 256, entriesMax: 500_000 }

/**
 * Writes the applied state out, and drops from the log what nobody needs any more.
 *
 * INVARIANT: entries and blobs go only when the state that stands for them is on stable storage (`#synced`), and blobs
 * only when neither an extent of it nor an open file without a name refers to them.
 */
export class Upkeep {
  readonly #self: MemberId
  readonly #store: LogStore
  #state: StateStore
  readonly #log: StagedLog
  readonly #views: Views
  readonly #roster: Roster
  readonly #health: Health
  readonly #positions: Positions
  readonly #blobs: Blobs
  readonly #healing: BlobHealing
  readonly #pinned: ReadonlyMap<BlobId, number>
  readonly #retention: Retention
  readonly #holds: StateHolds
  readonly #space: Space
  readonly #durability: Durability
  readonly #disk: DiskPort
  /** Bytes of the log when there was nothing more to drop. */
  #settledBytes = 0
  /** The last step had nothing to do. */
  #isDone = false
  /** The state is written out up to here … */
  #flushed: number
  /** … it is being written out up to here, while the table says so … */
  #flushing = 0
  /** … and on stable storage up to here; of what a process before this one wrote, no sync is known. */
  #synced = 0
  /** How far back the copy of an only member's state stands (0: there is none), and what is being done about it. */
  #copy: { copied: number; bytes: number; isUnderWay: boolean; wait: number }
  readonly #copyState: () => void
  /** Blobs that the state no longer refers to, but that stay: their entries are still in the log, or they are pinned. */
  readonly #dead = new Set<BlobId>()
  #moreToCompact = false
  #cleanWait = 0
  /** Where the search for blobs that an earlier run, or a state before a snapshot, left behind stands. */
  #swept = -1

  /** `pinned`: blobs that an open file without a name still shows. */
  constructor(
    { self, ports, log, views, roster, health, events }: Core,
    positions: Positions,
    blobs: Blobs,
    healing: BlobHealing,
    holds: StateHolds,
    space: Space,
    durability: Durability,
    pinned: ReadonlyMap<BlobId, number>,
    retention: Retention,
    copied: number | undefined,
  ) {
    this.#copy = { copied: copied ?? 0, bytes: 0, isUnderWay: false, wait: 0 }
    this.#copyState = () => events.copyState()
    this.#retention = retention
    this.#holds = holds
    this.#space = space
    this.#durability = durability
    this.#disk = ports.disk
    this.#self = self
    this.#store = ports.log
    this.#state = ports.state
    this.#log = log
    this.#views = views
    this.#roster = roster
    this.#health = health
    this.#positions = positions
    this.#blobs = blobs
    this.#healing = healing
    this.#pinned = pinned
    this.#flushed = ports.state.position?.index ?? 0
  }

  /** `mayRelocate`: blobs may come free by what is kept anew. */
  tick(ticks: number, mayRelocate: boolean): void {
    const { short, anyShort, keep } = this.#space
    const { bytes } = this.#log
    const isPressed = short || bytes > this.#settledBytes + keep.usual / 4 || (anyShort && bytes > keep.usual)
    if (isPressed || ticks % flushTicks === 0 || this.#views.table.dirtyCount > flushRecords) this.#beginFlush()
    if (isPressed || ticks % compactTicks === 0 || this.#moreToCompact) this.compact()
    if (short) this.#space.exhausted = this.#isDone && this.#flushed === this.#log.lastIndex && !mayRelocate
  }

  flush(): void {
    if (!this.#holds.held) this.#flush()
  }

  get #mayFlush(): boolean {
    return !this.#health.restoring && !this.#health.stateMissing
  }

  #beginFlush(): void {
    const { applied, table } = this.#views
    if (this.#holds.held || !this.#mayFlush || table.isFlushing || applied.index === this.#flushed) return
    this.#attempt(() => table.beginFlush(applied))
    this.#flushing = applied.index
  }

  /** Writes on what is being written out, as much as one turn may take. Answers whether there is more. */
  step(): boolean {
    const { table } = this.#views
    if (!table.isFlushing || !this.#mayFlush) return false
    this.#attempt(() => {
      // one that found no room is over: with the reserve given up the next tick begins it anew
      if (table.isFlushing) this.#written(table.stepFlush(flushStepMax), this.#flushing)
    })
    return table.isFlushing
  }

  #written(dead: readonly BlobId[] | undefined, index: number): void {
    if (dead === undefined) return
    this.#health.stateWritten()
    this.#flushed = index
    for (const blob of dead) this.#dead.add(blob)
  }

  /** All of it, now. */
  #flush(): void {
    const { applied, table } = this.#views
    if (!this.#mayFlush || (applied.index === this.#flushed && !table.isFlushing)) return
    this.#attempt(() => {
      if (table.isFlushing) this.#written(table.stepFlush(Infinity), this.#flushing)
      if (applied.index !== this.#flushed) this.#written(table.flush(applied), applied.index)
    })
  }

  #attempt(work: () => void): void {
    try {
      withReserve(this.#disk, true, work)
    } catch (error) {
      this.#health.stateWriteFailed(error)
    }
  }

  /** Writes the applied state out, for who holds it now; answers up to where it is on disk. Undefined: the disk fails. */
  writeOut(): number | undefined {
    this.#flush()
    try {
      withReserve(this.#disk, true, () => this.#store.settle())
    } catch (error) {
      this.#health.logWriteFailed(error)
      return undefined
    }
    return this.#flushed
  }

  /** Another state is in place, on stable storage. */
  restored(state: StateStore, index: number): void {
    this.#state = state
    this.#health.stateWritten()
    this.#flushed = this.#synced = index
    // what the state before referred to, and this one does not
    this.#dead.clear()
    this.#swept = -1
  }

  /** Drops what no member needs any more from the log: one bounded step. Where there is no room for it, the reserve is. */
  compact(): void {
    this.#isDone = false
    if (this.#store.awaitsSync) this.#durability.collected()
    if (this.#holds.held || this.#health.restoring || !this.#health.serving) return
    const keep = this.#space.keep
    const target = this.#compactTarget(keep)
    this.#sweep()
    const dead = this.#takeDead()
    try {
      const isCollected = withReserve(this.#disk, true, () => this.#collect(target, dead))
      // cleaning needs room: what was collected comes back first
      if (isCollected) this.#durability.collected()
      const isCleaned = this.#maybeClean(keep.usual * keepParts.dead)
      if (isCleaned) this.#durability.collected()
      if (isCollected || isCleaned) return
      this.#isDone = this.#swept === Infinity && !this.#store.awaitsSync && this.#store.pinnedBytes === 0
      this.#settledBytes = this.#log.bytes
    } catch (error) {
      // it is tried again with the next step
      if (!isDiskFull(error)) return this.#health.fail(error)
      for (const blob of dead) this.#dead.add(blob)
    }
  }

  /** Answers whether there was anything to collect. */
  #collect(target: number, dead: readonly BlobId[]): boolean {
    const isTarget = target >= this.#log.firstIndex
    this.#moreToCompact = this.#swept !== Infinity || (this.#dead.size > 0 && dead.length === droppedBlobsMax)
    if (!isTarget && dead.length === 0) return false
    if (this.#synced < this.#flushed) {
      this.#state.syncNow()
      failpoint('state-synced')
      this.#synced = this.#flushed
    }
    const free = dead.filter(blob => !this.#isLive(blob))
    if (free.length > 0) {
      this.#blobs.forget(free)
      this.#store.dropBlobs(free)
    }
    const pinned: BlobId[] = []
    if (isTarget) {
      const isMore = this.#store.compact(target, blob => {
        if (this.#isLive(blob)) return true
        if (!this.#pinned.has(blob)) return false
        pinned.push(blob)
        return true
      })
      this.#moreToCompact ||= isMore
    }
    this.#store.commit()
    for (const blob of pinned) this.#dead.add(blob)
    failpoint('compact-committed')
    return true
  }

  /** Answers whether something was moved. Without room for it, it is tried again after some steps. */
  #maybeClean(deadMax: number): boolean {
    if (this.#cleanWait > 0) {
      this.#cleanWait--
      return false
    }
    try {
      return withReserve(this.#disk, true, () => this.#clean(deadMax))
    } catch (error) {
      if (!isDiskFull(error)) throw error
      this.#cleanWait = cleanAgainSteps
      return false
    }
  }

  /** Answers whether something was moved. */
  #clean(deadMax: number): boolean {
    const { dead } = this.#store.bytes
    const damaged = (id: BlobId): void => this.#healing.note(new DamagedBlob(id, `blob ${id} cannot be read`))
    const isMore = this.#store.clean(damaged, { deadMax, room: this.#space.room, reserve: this.#disk.reserveBytes })
    this.#moreToCompact ||= isMore
    return isMore || this.#store.bytes.dead !== dead
  }

  /** The last entry that may go: flushed here, and neither needed by others nor to be kept for them. */
  #compactTarget(keep: Keep): number {
    let heldByAll = this.#flushed
    let heldByPresent = this.#flushed
    for (const { id } of this.#roster.descriptor.members) {
      if (id === this.#self) continue
      const held = this.#positions.of(id)?.durableIndex ?? 0
      heldByAll = Math.min(heldByAll, held)
      if (this.#space.isPresent(id)) heldByPresent = Math.min(heldByPresent, held)
    }
    const { margin, entriesMax } = this.#retention
    const { firstIndex, bytes } = this.#log
    const log = { firstIndex, bytes, sizeOf: (index: number) => this.#log.size(index) }
    const needs = { ceiling: this.#flushed, heldByAll, heldByPresent, margin, entriesMax }
    // what nobody can be sent helps nobody: who lacks it gets a snapshot
    const forsaken = Math.min(this.#healing.forsaken, this.#flushed)
    const logKeep = { ...keep, usual: keep.usual * keepParts.log }
    return Math.min(Math.max(dropTarget(log, needs, logKeep), forsaken), this.#copyLimit())
  }

  /**
   * An only member's log reaches back to the copy of its state, from which it is made anew when it is lost: nobody else has
   * it. Where it cannot be copied (a full disk) the log does not wait for it.
   */
  #copyLimit(): number {
    if (this.#roster.descriptor.members.length > 1) return Infinity
    const { copied, bytes, isUnderWay, wait } = this.#copy
    if (isUnderWay) return copied
    if (wait > 0) {
      this.#copy.wait--
      return Infinity
    }
    const usual = Math.max(this.#retention.copyBytes ?? copyBytesUsual, 2 * bytes)
    const most = this.#space.short ? Math.min(usual, copyBytesShort) : usual
    // one that the log has gone beyond meanwhile is of no use
    const lacks = copied === 0 || copied < this.#log.firstIndex - 1
    const behind = this.#flushed > copied && (lacks || this.#log.bytesAfter(copied) >= most)
    if (behind) {
      this.#copy.isUnderWay = true
      this.#copyState()
    }
    return copied
  }

  /** Undefined: it could not be copied. */
  stateCopied(copy: { readonly index: number; readonly bytes: number } | undefined): void {
    this.#copy.isUnderWay = false
    if (copy === undefined) this.#copy.wait = copyAgainSteps
    else this.#copy = { copied: copy.index, bytes: copy.bytes, isUnderWay: false, wait: 0 }
  }

  /** Dead blobs whose entries are gone, and which no open file without a name shows. */
  #takeDead(): BlobId[] {
    const end = this.#log.firstIndex * blobsPerEntryMax
    const dead: BlobId[] = []
    for (const blob of this.#dead) {
      if (dead.length === droppedBlobsMax) break
      if (blob < end && !this.#pinned.has(blob)) dead.push(blob)
    }
    for (const blob of dead) this.#dead.delete(blob)
    return dead
  }

  /** Finds the next unused blobs from before the log's beginning, once through all of them after a start. */
  #sweep(): void {
    const end = this.#log.firstIndex * blobsPerEntryMax
    if (this.#swept >= end) return
    const ids = this.#store.blobIds(this.#swept, sweepBlobs)
    const last = ids.at(-1)
    this.#swept = last === undefined || last >= end || ids.length < sweepBlobs ? Infinity : last
    for (const id of ids) if (id < end && !this.#isLive(id)) this.#dead.add(id)
  }

  /** A process that is started anew finds the state as it was written out last: what that refers to stays, too. */
  #isLive(blob: BlobId): boolean {
    return this.#views.table.refersTo(blob)
  }
}
