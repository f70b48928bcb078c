import { commitWindow, pendingBytesMax, pendingOperationsMax } from '../base/limits.js'
import { RateWindow, type UnderWay } from '../base/rate-window.js'
import { changeKey } from './change-number.js'
import { concernsSame } from './invalidations.js'
import type { JournalRecord } from './log-port.js'
import type { Invalidation } from './mount-port.js'
import type { ChangeOptions } from './ports.js'
import type { Operation } from '../fs/operation.js'
import type { Proposal } from '../oplog/entry.js'
import { encodeProposal } from '../oplog/proposal-codec.js'

/** A change of this member that is not known to be committed. */
export interface PendingChange {
  /** Of an open write (`OpenWrite`) these are its first part's until it is closed. */
  proposal: Proposal
  operation: Operation
  bytes: number
  readonly mount: number | undefined
  /** Its caller waits for a majority. */
  readonly durable: boolean
  /** Shown in this member's view before it is committed. */
  visible: boolean
  /** It is to be shown, but what it builds on is not there. */
  lacking: boolean
  /**
   * What it made stale when it was last shown: its own mount is told if its caller hears of no success. Before that, of a
   * change of names: what it would have made stale when it was asked for.
   */
  stale: readonly Invalidation[]
  /** What was applied here when it was made. */
  readonly madeAt: number
  /** Its caller was told of success. */
  told: boolean
  /** Stands in the journal. */
  journalled: boolean
  /** Where it stands in this member's own log, put there by itself as leader. */
  ordered: number | undefined
  /** The round of forwarding in which it was sent; 0: never. */
  sentRound: number
  /** Gives up waiting then (monotonic milliseconds); undefined once the caller was told of success. */
  deadline: number | undefined
  /** Offset that an append got when it was shown. */
  shownOffset: number | undefined
  /** The caller's answer: once, when the change is accepted or refused. */
  accepted: ((errno: number) => void) | undefined
  /** Refused, and its caller waits for what that rests on: gives up waiting, and answers EINTR. */
  stopWaiting: (() => void) | undefined
  /** See `ChangeOptions`. */
  lost: ((errno: number) => boolean) | undefined
  readonly timeoutMs: number
  /** Its bytes on the way to a majority. */
  readonly underWay: UnderWay[]
}

/**
 * The mount whose kernel learns of a change from the answer itself: nobody else need tell it. A caller that gave up does
 * not, nor a kernel whose names have come to mean other files since: it moves what it took for them (d_move).
 */
export function awaitedBy(change: PendingChange | undefined, stale: readonly Invalidation[]): number | undefined {
  if (change?.accepted === undefined) return undefined
  return losesNames(change.operation) && !concernsSame(change.stale, stale) ? undefined : change.mount
}

/** Whether an operation takes names away from the files they lead to. */
export function losesNames({ kind }: Operation): boolean {
  return kind === 'rename' || kind === 'unlink' || kind === 'rmdir'
}

/** Header, hashes and frames of one entry, about: what a change costs on its way beyond its own bytes. */
const overheadBytes = 256

/**
 * This member's changes on their way, in the order they were made: no more at a time than have shown to get to a majority
 * within a moment, so that its own writers wait, and not whoever has a small change ordered after theirs.
 */
export class PendingChanges {
  readonly #changes = new Map<string, PendingChange>()
  readonly #window = new RateWindow(commitWindow)
  readonly #now: () => number
  #bytes = 0
  #movedAt = -Infinity

  /** `now`: a clock, milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  get size(): number {
    return this.#changes.size
  }
  get bytes(): number {
    return this.#bytes
  }

  /** When one of them last got to its end. Who waits for others gives up some time after that, not before. */
  get movedAt(): number {
    return this.#movedAt
  }

  /** Whether another one may set out; `isAlone`: it has nowhere to go but this member's disk. */
  hasRoom(isAlone: boolean): boolean {
    if (this.#bytes > pendingBytesMax || this.#changes.size > pendingOperationsMax) return false
    return isAlone || this.#window.hasRoom(this.#now())
  }

  /** Bytes that may be on their way at a time. */
  get windowBytes(): number {
    return this.#window.bytes
  }

  add(change: PendingChange): void {
    this.#changes.set(changeKey(change.proposal), change)
    this.#bytes += change.bytes
    change.underWay.push(this.#window.begin(change.bytes + overheadBytes, this.#now()))
  }

  get(session: number, sequence: number): PendingChange | undefined {
    return this.#changes.get(changeKey({ session, sequence }))
  }

  grow(change: PendingChange, bytes: number): void {
    change.bytes += bytes
    this.#bytes += bytes
    change.underWay.push(this.#window.begin(bytes, this.#now()))
  }

  remove(change: PendingChange): void {
    if (!this.#changes.delete(changeKey(change.proposal))) return
    this.#bytes -= change.bytes
    const now = this.#now()
    const wasSent = change.ordered !== undefined || change.sentRound > 0
    // one that is taken back before it set out moves nothing: the others' time goes on
    if (wasSent || change.sentRound !== 0) this.#movedAt = now
    for (const bytes of change.underWay) {
      if (wasSent) this.#window.end(bytes, now)
      else this.#window.drop(bytes)
    }
  }

  /** Oldest first. */
  values(): IterableIterator<PendingChange> {
    return this.#changes.values()
  }

  get oldest(): PendingChange | undefined {
    return this.#changes.values().next().value
  }
}

/** A change as the journal keeps it over the death of this process. */
export function journalRecord(change: PendingChange): JournalRecord {
  const { session, sequence, payload } = change.proposal
  return { session, sequence, part: 0, proposal: encodeProposal(change.proposal), payload }
}

/** One that has just been accepted. */
export function newChange(
  proposal: Proposal,
  operation: Operation,
  madeAt: number,
  { mount, durable, lost, timeoutMs }: Pick<ChangeOptions, 'mount' | 'durable' | 'lost' | 'timeoutMs'>,
): PendingChange {
  return {
    proposal,
    operation,
    bytes: proposal.operation.length + proposal.payload.length,
    mount,
    durable,
    madeAt,
    visible: false,
    lacking: false,
    stale: [],
    told: false,
    journalled: false,
    ordered: undefined,
    sentRound: 0,
    deadline: undefined,
    shownOffset: undefined,
    accepted: undefined,
    stopWaiting: undefined,
    lost,
    timeoutMs,
    underWay: [],
  }
}
