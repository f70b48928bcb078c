import type { MemberId } from '../base/ids.js'

/** Reads that wait at a leader, together; beyond it a read is dropped and its host's timeout applies. */
const pendingReadsMax = 8192

export interface ConfirmedRead {
  readonly from: MemberId
  readonly context: number
  readonly index: number
}

interface PendingRead extends ConfirmedRead {
  readonly round: number
}

/**
 * Reads that wait until the leader knows that it still is one (thesis §6.4), and until all is committed that it had
 * ordered when they came: its own programs were told of that, and may have told others. Each needs a heartbeat round that
 * was sent after it came. Any later round will do, and reads that come together share one.
 *
 * That an entry of the leader's term be committed first (§6.4 step 1) is implied: the log of a new leader has all that is
 * committed anywhere, and its commit index gets to the end of it only through such an entry (Raft §5.4.2).
 */
export class PendingReads {
  /** INVARIANT: index and round never descend. */
  #pending: PendingRead[] = []
  #roundWanted = 0

  /** A read that came when the log ended at `lastIndex`; to be confirmed by the round after `lastRound`. */
  add(from: MemberId, context: number, lastIndex: number, lastRound: number): void {
    if (this.#pending.length >= pendingReadsMax) return
    this.#roundWanted = lastRound + 1
    this.#pending.push({ from, context, index: lastIndex, round: this.#roundWanted })
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0
  }

  /** Whether a round after `lastRound` is waited for. */
  wantsRound(lastRound: number): boolean {
    return this.#roundWanted > lastRound && this.#pending.length > 0
  }

  /** Takes the reads that a quorum confirmed by answering `round` or a later one, if all before them is committed. */
  takeConfirmed(round: number, commitIndex: number): ConfirmedRead[] {
    const isReady = (read: PendingRead): boolean => read.round <= round && read.index <= commitIndex
    let count = 0
    while (count < this.#pending.length && isReady(this.#pending[count]!)) count++
    return count === 0 ? [] : this.#pending.splice(0, count)
  }
}
