import type { Rng } from '../../../src/base/rng.js'
import type { Channel } from '../../../src/channel/channel.js'
import { type BlobId, DamagedBlob, type LogAnchor, type LogStore } from '../../../src/channel/log-port.js'
import type { HeldState } from '../../../src/channel/state-holds.js'
import { goOnFrom, keepBlob, type RestoringChannel } from '../../../src/daemon/snapshot-transfer.js'
import { decodeRecord } from '../../../src/fs/records.js'
import type { AppliedPosition, RecordWrite, StateStore } from '../../../src/fs/store-port.js'
import type { Member } from './cluster.js'
import { SimSpace } from './sim-space.js'
import { SimLogStore, SimStateStore } from './sim-stores.js'

/** A member's state at an index, with the blobs that it refers to. */
export interface Snapshot {
  readonly position: AppliedPosition
  readonly writes: readonly RecordWrite[]
  readonly liveBytes: ReadonlyMap<number, number>
  readonly blobs: ReadonlyMap<BlobId, Uint8Array>
}

export interface Installed {
  readonly state: StateStore
  readonly anchor: LogAnchor
}

/** A member's stores, which outlive its process. */
export interface SimDisk {
  readonly log: LogStore & {
    /** No write finds room. */
    full: boolean
    /** From now on a blob's bytes are others, which its CRC shows. Answers whether that can be brought about. */
    damage(id: BlobId): boolean
    /** The next write, or sync, fails; what is on the disk then, only opening it anew tells. Undefined: none does. */
    fail(kind: 'write' | 'sync' | undefined): void
    /** One has failed: nothing may be built on what is here. */
    readonly failed: boolean
  }
  readonly state: StateStore
  /** How much it holds. */
  readonly space: SimSpace
  /** What the next process finds after the power went. */
  powerLost(rng: Rng): void
  /** … after the process was killed. */
  processLost(): void
  /** Puts a snapshot in place of state and log, as `daemon/snapshot-transfer.ts` does. */
  install(snapshot: Snapshot, channel: RestoringChannel): Installed
  close(): void
}

/** The state, written out, as it stays on disk until it is released; nobody else holds it. */
export function heldState(channel: Channel): HeldState {
  let held: HeldState | undefined
  channel.holdState(false, taken => (held = taken))
  if (held === undefined) throw new Error('somebody holds the state')
  return held
}

/** What `sendSnapshot` sends: records, and the blobs that they refer to. Throws `DamagedBlob`. */
export function takeSnapshot({ channel, state, log }: Member): Snapshot {
  const held = heldState(channel)
  const writes = [...state.all()]
  const liveBytes = new Map<number, number>()
  const ids = new Set<BlobId>()
  for (const { table, value } of writes) {
    if (table !== 'chunk') continue
    for (const { blob, length } of decodeRecord('chunk', value)) {
      liveBytes.set(blob, (liveBytes.get(blob) ?? 0) + length)
      ids.add(blob)
    }
  }
  held.release()
  const blobs = new Map<BlobId, Uint8Array>()
  for (const id of [...ids].sort((a, b) => a - b)) blobs.set(id, log.blob(id)!)
  return { position: state.position!, writes, liveBytes, blobs }
}

/** As `takeSnapshot`; undefined when something is damaged, which is asked for, or the disk fails. */
export function trySnapshot(member: Member): Snapshot | undefined {
  const { channel } = member
  try {
    return takeSnapshot(member)
  } catch (error) {
    if (!channel.serving || channel.diskFull !== undefined) return undefined
    if (!(error instanceof DamagedBlob)) throw error
    channel.heal(error, 1000, () => {})
    return undefined
  }
}

/** How a log has a blob, if at all. */
export function copyOf(log: LogStore, id: BlobId): 'whole' | 'damaged' | undefined {
  try {
    return log.blob(id) === undefined ? undefined : 'whole'
  } catch {
    return 'damaged'
  }
}

export function anchorOf({ index, term, hash }: AppliedPosition): LogAnchor {
  return { index, term, hash }
}

/** What comes before the old state is touched: the blobs. */
export function keepBlobs(log: LogStore, channel: RestoringChannel, { blobs }: Snapshot): void {
  for (const [id, data] of blobs) keepBlob(log, channel, BigInt(id), data)
  log.commit()
}

/** A disk in memory, which can lose what no sync covered. */
export class MemoryDisk implements SimDisk {
  readonly space = new SimSpace()
  log: SimLogStore
  state = new SimStateStore()

  constructor(schedule: (task: () => void) => void) {
    this.log = new SimLogStore(schedule, this.space)
  }

  powerLost(rng: Rng): void {
    this.log = this.log.crashed(rng)
    this.state = this.state.crashed(rng)
  }

  processLost(): void {
    this.log = this.log.killed()
  }

  /**
   * An older copy is put back: what the disk held so many transactions of the log before, or less. False: there is none.
   * `isFit`: of its state.
   */
  putBack(transactions: number, isFit: (state: SimStateStore) => boolean): boolean {
    for (let count = Math.min(transactions, this.log.commits - 1); count > 0; count--) {
      const log = this.log.earlier(this.log.commits - count)
      const state = this.state.fitting(log)
      if (state === undefined || log.anchor.index === 0 || !isFit(state)) continue
      this.log = log
      this.state = state
      return true
    }
    return false
  }

  /** What it holds, to be put in its place again: a copy of it runs meanwhile. */
  aside(): () => void {
    const { log, state } = this
    return () => {
      this.log = log
      this.state = state
    }
  }

  /** Another disk takes its place, with nothing on it. */
  emptied(): void {
    this.log = this.log.empty()
    this.state = new SimStateStore()
  }

  install(snapshot: Snapshot, channel: RestoringChannel): Installed {
    keepBlobs(this.log, channel, snapshot)
    const anchor = anchorOf(snapshot.position)
    goOnFrom(this.log, anchor)
    this.log.commit()
    this.log.syncNow()
    // both or neither, as `resumeInstall` sees to
    this.state = new SimStateStore([snapshot])
    return { state: this.state, anchor }
  }

  close(): void {
    this.log.close()
  }
}
