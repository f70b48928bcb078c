import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { lastPossibleMatch } from './conflict.js'
import type { State } from './state.js'
import type { RaftEntry, RaftMessage } from './types.js'

type Heartbeat = Extract<RaftMessage<unknown>, { kind: 'heartbeat' }>
type Append<D> = Extract<RaftMessage<D>, { kind: 'append' }>

/**
 * A follower of one leader in one term (or of none yet): made anew when either changes, and with each connection.
 *
 * INVARIANT: matched ≤ lastIndex. `matched` is what this leader has shown to be equal to its own log, over this
 * connection. A suffix that an earlier leader left here may be durable and still be wrong; what is committed here is in
 * every later leader's log by the rules (Raft §5.4.3), but not in that of one whose voters' disks went back in time. So
 * only min(durable, matched) is ever acknowledged, and nothing before the leader has shown something.
 */
export class Following<D> {
  readonly #state: State<D>
  #matched = 0
  /** No answer by itself is worth less than what is committed: that much is told when the leader asks. */
  #acknowledged: number
  #answerOwed = false
  /** Voters that acknowledge, as the leader said; until then that one and this. */
  acknowledging = 2
  /** Where the leader's log ended when it first said so: who holds that holds all that was committed before. */
  #goal: number | undefined

  constructor(state: State<D>) {
    this.#state = state
    this.#acknowledged = state.commitIndex
  }

  /** The log equals the leader's up to here and is on stable storage. */
  get acknowledgeable(): number {
    return Math.min(this.#state.durableIndex, this.#matched)
  }

  append(from: MemberId, message: Append<D>): void {
    const state = this.#state
    const { previousIndex, previousTerm, entries } = message
    // Nothing can be compared with what this log has given up: the answer's hint says where it begins.
    if (previousIndex + entries.length < state.log.firstIndex - 1) return void (this.#answerOwed = true)
    if (previousIndex >= state.log.firstIndex - 1 && state.log.term(previousIndex) !== previousTerm)
      return this.#refuse(from, previousIndex, previousTerm)
    const missing = this.#missing(entries)
    if (missing === undefined) return
    if (missing.length > 0) {
      if (missing[0]!.index <= state.log.lastIndex) {
        failpoint('log-truncating')
        state.truncateFrom(missing[0]!.index)
        failpoint('log-truncated')
      }
      state.append(missing)
    }
    this.#matched = Math.max(this.#matched, previousIndex + entries.length)
    // New entries are acknowledged once they are synced. An empty append with a commit index is a notice and needs no
    // answer; all others are questions.
    const notice = entries.length === 0 && message.commit > 0
    if (missing.length === 0 && !notice) this.#answerOwed = true
    state.commitTo(Math.min(message.commit, this.#matched))
  }

  /**
   * The entries that the log lacks, from the first that is absent or of another term (Raft fig. 2, AppendEntries 3–4).
   * Undefined if they contradict what is committed, or what this leader sent before: no honest leader does.
   */
  #missing(entries: readonly RaftEntry<D>[]): readonly RaftEntry<D>[] | undefined {
    const { log } = this.#state
    for (let i = 0; i < entries.length; i++) {
      const { index, term } = entries[i]!
      if (index < log.firstIndex - 1) continue
      if (log.term(index) === term) continue
      return index <= this.#settled ? undefined : entries.slice(i)
    }
    return []
  }

  /** What no honest leader contradicts: what this one has shown, and what is committed. */
  get #settled(): number {
    return Math.max(this.#matched, this.#state.commitIndex)
  }

  #refuse(from: MemberId, rejectedIndex: number, previousTerm: number): void {
    const { log, term } = this.#state
    const hintIndex = lastPossibleMatch(log, Math.min(rejectedIndex, log.lastIndex), previousTerm, this.#settled)
    const hintTerm = log.term(hintIndex) ?? 0
    const refusal = {
      kind: 'append-reply',
      term,
      success: false,
      match: 0,
      rejectedIndex,
      hintIndex,
      hintTerm,
    } as const
    this.#state.send(from, { ...refusal, recovering: this.#recovering })
  }

  get #recovering(): boolean {
    return this.#state.recovery !== undefined
  }

  /** This member has just learned that it lacks what it pledged. */
  owe(): void {
    this.#goal = undefined
    this.#answerOwed = true
  }

  /**
   * Whether what was lost is here again, on stable storage: all that the leader had when it first spoke. It was chosen
   * without this member's vote, or holds what this one pledged: it has all that was committed before its term
   * (Raft §5.4.3), and in its own term it has what it was told.
   */
  get hasRecovered(): boolean {
    return this.#goal !== undefined && this.acknowledgeable >= this.#goal
  }

  heartbeat(from: MemberId, { commit, round, last, acknowledging }: Heartbeat): void {
    this.acknowledging = acknowledging
    this.#goal ??= last
    // Bounded here as well: after a restart within the term less is known to match than the leader remembers.
    this.#state.commitTo(Math.min(commit, this.#matched))
    const match = (this.#acknowledged = this.acknowledgeable)
    const { term } = this.#state
    this.#state.send(from, { kind: 'heartbeat-reply', term, round, match, recovering: this.#recovering })
  }

  /** The leader's log begins after what this member has. */
  snapshot(from: MemberId, index: number): void {
    if (index > this.#state.commitIndex) this.#state.host.snapshotNeeded(from, index)
    else this.#answerOwed = true
  }

  /** Entries from `index` on contradict what is committed. */
  truncateFrom(index: number): void {
    this.#state.truncateFrom(index)
    this.#matched = Math.min(this.#matched, index - 1)
  }

  /** A snapshot was installed: the leader is told where to go on, and shows whether that is its own log. */
  restored(): void {
    this.#matched = Math.min(this.#matched, this.#state.log.lastIndex)
    this.#answerOwed = true
  }

  /** One acknowledgement for all that came or was synced since the last call. */
  flush(): void {
    const { leader, term, log } = this.#state
    const match = this.acknowledgeable
    if (leader === undefined || (!this.#answerOwed && match <= this.#acknowledged)) return
    this.#answerOwed = false
    this.#acknowledged = match
    // The hint of a success tells what matches and is perhaps not synced, or not shown, yet: the leader need not send it.
    const hintIndex = this.#settled
    const hintTerm = log.term(hintIndex) ?? 0
    const reply = { kind: 'append-reply', term, success: true, match, rejectedIndex: 0, hintIndex, hintTerm } as const
    this.#state.send(leader, { ...reply, recovering: this.#recovering })
  }
}
