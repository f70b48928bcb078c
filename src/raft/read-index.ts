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
 * Reads that wait until the leader knows that it still is one (thesis §6.4): each needs a heartbeat round that was
 * sent after it came. Any later round will do, and reads that come together share one.
 */
export class PendingReads {
  /** Came before this leader committed an entry of its term, so that its commit index may be behind (§6.4 step 1). */
  #early: { readonly from: MemberId; readonly context: number }[] = []
  #pending: PendingRead[] = []
  #roundWanted = 0

  /** Keeps a read until `admit`. */
  add(from: MemberId, context: number): void {
    if (this.#early.length + this.#pending.length < pendingReadsMax) this.#early.push({ from, context })
  }

  /** Gives what came the present commit index; to be confirmed by the round after `lastRound`. */
  admit(commitIndex: number, lastRound: number): void {
    for (const { from, context } of this.#early)
      this.#pending.push({ from, context, index: commitIndex, round: lastRound + 1 })
    if (this.#early.length > 0) this.#roundWanted = lastRound + 1
    this.#early = []
  }

  /** Whether a round after `lastRound` is waited for. */
  wantsRound(lastRound: number): boolean {
    return this.#roundWanted > lastRound && this.#pending.length > 0
  }

  /** Takes the reads that a quorum confirmed by answering `round` or a later one. */
  takeConfirmed(round: number): ConfirmedRead[] {
    let count = 0
    while (count < this.#pending.length && this.#pending[count]!.round <= round) count++
    return count === 0 ? [] : this.#pending.splice(0, count)
  }
}
