import { assert } from '../base/assert.js'
import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { Configurations } from './configurations.js'
import { joinRecoveries, reaches } from './recovery.js'
import { Terms } from './terms.js'
import type {
  Configuration,
  Outgoing,
  RaftEntry,
  RaftHost,
  RaftLog,
  RaftMessage,
  RaftOptions,
  Recovery,
  Role,
} from './types.js'

/** What every role shares: term and vote, the log with what is durable and committed, configurations, the outbox. */
export class State<D> {
  readonly options: RaftOptions
  readonly id: MemberId
  readonly host: RaftHost<D>
  readonly terms: Terms<D>
  role: Role = 'follower'
  leader: MemberId | undefined
  /** Ticks since the start. */
  now = 0
  /** What this member lacks of what it pledged; undefined: nothing that is known. */
  recovery: Recovery | undefined
  /** The other one of two voters is gone for good, as people say: this one decides alone. */
  lostVoter: MemberId | undefined
  #term: number
  #vote: MemberId | undefined
  #commitIndex: number
  #durableIndex: number
  #configurations: Configurations
  #outbox: Outgoing<D>[] = []

  constructor(options: RaftOptions, host: RaftHost<D>) {
    const { commitIndex, configuration, hardState } = options
    assert(options.heartbeatTicks >= 1, 'a heartbeat takes at least a tick')
    assert(options.heartbeatTicks < options.electionTimeoutTicks, 'heartbeats come faster than the election timeout')
    assert(host.log.term(commitIndex) !== undefined, 'the log reaches back and forth to the commit index')
    this.options = options
    this.id = options.id
    this.host = host
    this.#term = hardState.term
    this.#vote = hardState.vote
    this.#commitIndex = commitIndex
    this.recovery = options.recovery
    // What was written before a crash of the process may be in the file and not on the disk: the host syncs and says so.
    this.#durableIndex = commitIndex
    this.#configurations = new Configurations(commitIndex, configuration, host.log.configurationsAfter(commitIndex))
    this.terms = new Terms(this)
  }

  get log(): RaftLog<D> {
    return this.host.log
  }
  get term(): number {
    return this.#term
  }
  get vote(): MemberId | undefined {
    return this.#vote
  }
  get commitIndex(): number {
    return this.#commitIndex
  }
  /** This member's log is on stable storage up to here. Falls when it is truncated. */
  get durableIndex(): number {
    return this.#durableIndex
  }
  get configurations(): Configurations {
    return this.#configurations
  }
  get voters(): readonly MemberId[] {
    const { voters } = this.#configurations.latest
    const isLeft = voters.length === 2 && voters.includes(this.id) && this.lostVoter !== undefined
    return isLeft && voters.includes(this.lostVoter!) ? [this.id] : voters
  }
  get lastTerm(): number {
    const term = this.log.term(this.log.lastIndex)
    assert(term !== undefined, 'the last index has a term')
    return term
  }

  /** Persists term and vote before anything that depends on them is queued (Raft fig. 2). */
  saveTermAndVote(term: number, vote: MemberId | undefined): void {
    assert(term >= this.#term, 'terms do not fall')
    if (term === this.#term && vote === this.#vote) return
    assert(term > this.#term || this.#vote === undefined, 'one vote a term')
    failpoint('hard-state-saving')
    this.host.saveHardState({ term, vote })
    failpoint('hard-state-saved')
    this.#term = term
    this.#vote = vote
  }

  /**
   * Back to an earlier term, since nobody was ever chosen in a later one. What this member did in the earlier one is
   * forgotten: its vote there is taken to be used.
   */
  descendTo(term: number): void {
    assert(term < this.#term, 'an earlier term')
    this.host.saveHardState({ term, vote: this.id })
    this.#term = term
    this.#vote = this.id
    // it speaks of later terms
    this.#outbox = []
  }

  send(to: MemberId, message: RaftMessage<D>): void {
    this.#outbox.push({ to, message })
  }

  takeOutbox(): Outgoing<D>[] {
    const taken = this.#outbox
    this.#outbox = []
    return taken
  }

  /** Whether a log that ends so is at least as up to date as this one (Raft §5.4.1). */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.log.lastIndex)
  }

  owe(recovery: Recovery): void {
    this.recovery = joinRecoveries(this.recovery, recovery)
  }

  /** Whether a candidate of `term` with such a log may be chosen as far as this member's earlier pledges go. */
  mayChoose(term: number, lastIndex: number, lastTerm: number): boolean {
    if (!this.host.mayVote()) return false
    if (this.recovery === undefined) return true
    const { pledge, blind } = this.recovery
    // in a term that it spoke in it may have voted
    return !blind && term > pledge.term && reaches(pledge, lastIndex, lastTerm)
  }

  /**
   * Whether a candidate may be chosen that every other member has chosen, by who lacks what it pledged, or by who has no
   * vote itself. It has all that was committed: of a majority one at least is left beside the one that forgot, and is the
   * candidate, or chose it for its log; and whoever could have become a voter is a member that it knows, and asked. Where
   * two voters decide, a log that is longer than the candidate's shows nothing that was committed without it.
   */
  mayChooseAsOthersDo(candidate: MemberId, lastIndex: number, lastTerm: number): boolean {
    if (!this.host.mayVote()) return false
    return this.isUpToDate(lastIndex, lastTerm) || this.#configurations.needs(candidate)
  }

  /** Whether the leader's commit index is known to cover all that was committed before its term (Raft §8). */
  get committedInTerm(): boolean {
    return this.log.term(this.#commitIndex) === this.#term
  }

  commitTo(index: number): void {
    if (index <= this.#commitIndex) return
    assert(index <= this.log.lastIndex, 'only what is in the log is committed')
    this.#commitIndex = index
    this.#configurations.commitTo(index)
    this.host.committed(index)
  }

  /** A sync ended. One that began before a truncation speaks of entries that are gone: its term gives it away. */
  durable(index: number, term: number | undefined): void {
    if (index <= this.#durableIndex || index > this.log.lastIndex) return
    if (term !== undefined && this.log.term(index) !== term) return
    this.#durableIndex = index
  }

  /** Entries of a leader, after this log's end. */
  append(entries: readonly RaftEntry<D>[]): void {
    this.log.append(entries)
    this.adoptConfigurations(entries)
  }

  /** Configurations are in force as soon as their entry is in the log (thesis §4.1). */
  adoptConfigurations(entries: readonly RaftEntry<D>[]): void {
    let changed = false
    for (const { index, configuration } of entries)
      if (configuration !== undefined) {
        this.#configurations.append(index, configuration)
        changed = true
      }
    if (changed) this.host.configurationChanged(this.#configurations.latest)
  }

  truncateFrom(index: number): void {
    assert(index > this.#commitIndex, 'a committed entry is never removed')
    // Ranges of the time as leader that the host has not read yet would be filled with other entries.
    this.#outbox = this.#outbox.filter(({ message }) => message.kind !== 'append' || message.last < message.first)
    this.log.truncateFrom(index)
    this.#durableIndex = Math.min(this.#durableIndex, index - 1)
    if (this.#configurations.truncateFrom(index)) this.host.configurationChanged(this.#configurations.latest)
  }

  /** A snapshot took the place of the log up to `index`; what follows in the log stays if it was there. */
  restore(index: number, term: number, configuration: Configuration): void {
    assert(this.log.term(index) === term, 'the log goes on where the snapshot ends')
    this.#commitIndex = index
    this.#durableIndex = Math.min(Math.max(this.#durableIndex, index), this.log.lastIndex)
    this.#configurations = new Configurations(index, configuration, this.log.configurationsAfter(index))
    this.host.configurationChanged(this.#configurations.latest)
  }
}
