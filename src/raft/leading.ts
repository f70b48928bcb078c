import type { MemberId } from '../base/ids.js'
import { lastPossibleMatch } from './conflict.js'
import { Progress } from './progress.js'
import { majority, quorumValue } from './quorum.js'
import { bytesHoldTimeouts } from './election-timer.js'
import { PendingReads } from './read-index.js'
import { Replication } from './replication.js'
import type { State } from './state.js'
import { Transfer } from './transfer.js'
import type { RaftEntry, RaftMessage } from './types.js'

type AppendReply = Extract<RaftMessage<unknown>, { kind: 'append-reply' }>
type HeartbeatReply = Extract<RaftMessage<unknown>, { kind: 'heartbeat-reply' }>

/** Who has acknowledged nothing new for so many election timeouts, and lacks something, does not count as reachable. */
const acknowledgeTimeouts = 3

/**
 * A leader in one term: made when it is elected, dropped when it steps down. Events change what it knows; `advance`
 * then draws all conclusions, and `flush` sends what each member should have by now.
 */
export class Leading<D> {
  readonly #state: State<D>
  readonly #members = new Map<MemberId, Progress>()
  readonly #reads = new PendingReads()
  readonly #replication: Replication<D>
  #round = 0
  #heartbeatTicks = 0
  #heartbeatDue = false
  #transfer: Transfer | undefined

  constructor(state: State<D>) {
    this.#state = state
    this.#replication = new Replication(state)
    this.#trackMembers()
  }

  progress(member: MemberId): Progress | undefined {
    return this.#members.get(member)
  }

  #trackMembers(): void {
    const { log, now } = this.#state
    for (const member of this.#state.configurations.members())
      if (member !== this.#state.id && !this.#members.has(member))
        this.#members.set(member, new Progress(log.lastIndex + 1, now))
  }

  // Events

  tick(): void {
    const { heartbeatTicks, electionTimeoutTicks } = this.#state.options
    if (++this.#heartbeatTicks >= heartbeatTicks) {
      this.#heartbeatTicks = 0
      this.#heartbeatDue = true
    }
    if (this.#transfer?.tick(electionTimeoutTicks)) this.#transfer = undefined
  }

  proposed(entries: readonly RaftEntry<D>[]): void {
    for (const { index, size } of entries) this.#replication.sizes.push(index, size)
    if (entries.some(entry => entry.configuration !== undefined)) {
      this.#trackMembers()
      if (this.#transfer && !this.#state.voters.includes(this.#transfer.to)) this.#transfer = undefined
    }
  }

  heard(from: MemberId): void {
    const progress = this.#members.get(from)
    if (progress) progress.heardAt = this.#state.now
  }

  heardPart(from: MemberId): void {
    const progress = this.#members.get(from)
    if (progress) progress.partAt = this.#state.now
  }

  /** What was in flight may be lost: asks first where the logs part. */
  disconnected(member: MemberId): void {
    const progress = this.#members.get(member)
    progress?.becomeProbe(progress.next, false)
  }

  appendReply(from: MemberId, reply: AppendReply): void {
    const progress = this.#members.get(from)
    const { log } = this.#state
    if (!progress) return
    progress.recovering = reply.recovering
    if (!reply.success) {
      // the empty prefix is in every log: nobody refuses that
      if (reply.rejectedIndex > log.lastIndex || reply.rejectedIndex === 0) return
      const hint = Math.min(reply.hintIndex, reply.rejectedIndex)
      if (reply.rejectedIndex <= progress.match) return this.#rolledBack(from, progress, hint, reply.hintTerm)
      progress.maybeBackUp(reply.rejectedIndex, lastPossibleMatch(log, hint, reply.hintTerm, progress.match))
      return
    }
    // Committed there, and not here: no message of this term tells a follower so while its leader has not got it.
    if (reply.hintIndex > log.lastIndex) this.#state.host.lacks(reply.hintIndex, reply.hintTerm, from)
    if (reply.match > log.lastIndex) return
    this.#acknowledged(progress, reply.match)
    const matches = Math.min(Math.max(reply.hintIndex, progress.match), log.lastIndex)
    if (progress.state === 'probe') progress.becomeReplicate(matches + 1)
    else this.#maybeEndSnapshot(progress, matches)
  }

  heartbeatReply(from: MemberId, reply: HeartbeatReply): void {
    const progress = this.#members.get(from)
    if (!progress || reply.round > this.#round || reply.match > this.#state.log.lastIndex) return
    progress.recovering = reply.recovering
    progress.round = Math.max(progress.round, reply.round)
    this.#acknowledged(progress, reply.match)
    progress.heartbeatAnswered(reply.round, reply.match)
    this.#maybeEndSnapshot(progress, progress.match)
    // The request, or the fetch that it began, may have failed: ask again now and then.
    const { now, options } = this.#state
    if (progress.snapshotAskedAt !== undefined && now - progress.snapshotAskedAt >= options.electionTimeoutTicks)
      progress.snapshotAskedAt = undefined
  }

  #acknowledged(progress: Progress, match: number): void {
    const { log, now } = this.#state
    if (progress.maybeUpdate(match) || match >= log.lastIndex) progress.acknowledgedAt = now
  }

  /**
   * A member refuses what it has acknowledged. Messages come in order over a connection, and none of an earlier one: its
   * disk went back in time. It is asked where the logs part, and does not count until it has all of it again.
   */
  #rolledBack(member: MemberId, progress: Progress, hint: number, hintTerm: number): void {
    const { match } = progress
    progress.becomeRolledBack(lastPossibleMatch(this.#state.log, hint, hintTerm, 0))
    this.#state.host.rolledBack(member, match)
  }

  /** It lost its log and was admitted anew. */
  forget(member: MemberId): void {
    const { log, now } = this.#state
    if (this.#members.has(member)) this.#members.set(member, new Progress(log.lastIndex + 1, now))
  }

  /** `held`: what the member says to have; what is sent next shows whether it is the same. */
  #maybeEndSnapshot(progress: Progress, held: number): void {
    if (progress.state === 'snapshot' && held + 1 >= this.#state.log.firstIndex) progress.becomeReplicate(held + 1)
  }

  // Leadership transfer (thesis §3.10)

  get transferring(): MemberId | undefined {
    return this.#transfer?.to
  }

  transferTo(to: MemberId): boolean {
    if (this.#transfer) return this.#transfer.to === to
    if (to === this.#state.id || !this.#state.voters.includes(to)) return false
    this.#transfer = new Transfer(to)
    return true
  }

  #maybeTellTarget(): void {
    const { log } = this.#state
    if (!this.#transfer || this.#transfer.told) return
    if (this.#members.get(this.#transfer.to)?.match !== log.lastIndex) return
    this.#transfer.told = true
    this.#tellToStand(this.#transfer.to)
  }

  /** All voters hear of it: they are asked for their votes within their lease. */
  #tellToStand(target: MemberId): void {
    const { id, term, voters } = this.#state
    for (const voter of voters) if (voter !== id) this.#state.send(voter, { kind: 'timeout-now', term, target })
  }

  /** Whether the member was told to stand, and may yet do so. */
  hasTold(member: MemberId): boolean {
    return this.#transfer?.told === true && this.#transfer.to === member
  }

  // Reads (thesis §6.4)

  readIndex(from: MemberId, context: number): void {
    if (from === this.#state.id || this.#members.has(from)) {
      this.#reads.add(from, context, this.#state.log.lastIndex, this.#round)
    }
  }

  #answerReads(): void {
    if (this.#reads.isEmpty) return
    const { commitIndex, id, term, host } = this.#state
    // who may have forgotten a vote confirms no leader
    const confirmed = this.#quorumOf(Infinity, progress => (progress.counts ? progress.round : 0))
    for (const { from, context, index } of this.#reads.takeConfirmed(confirmed, commitIndex))
      if (from === id) host.readReady(context, index)
      else this.#state.send(from, { kind: 'read-index-reply', term, context, index })
  }

  // Conclusions

  #quorumOf(own: number, valueOf: (progress: Progress) => number): number {
    const { voters, id } = this.#state
    return quorumValue(voters, voter => (voter === id ? own : valueOf(this.#members.get(voter)!)))
  }

  /** Called after every event. The host may propose or read from within its callbacks: nothing is half done then. */
  advance(): void {
    this.#maybeCommit()
    this.#answerReads()
    this.#maybeTellTarget()
  }

  /** The leader's own copy counts up to what is durable; earlier terms' entries are committed through its own (Raft §5.4.2). */
  #maybeCommit(): boolean {
    const { log, term, commitIndex, durableIndex } = this.#state
    const reached = this.#quorumOf(durableIndex, progress => (progress.counts ? progress.match : 0))
    if (reached <= commitIndex || log.term(reached) !== term) return false
    this.#state.commitTo(reached)
    return true
  }

  #isActive(progress: Progress): boolean {
    const { now, options } = this.#state
    const timeout = options.electionTimeoutTicks
    if (now - progress.heardAt < timeout) return true
    return now - progress.partAt < timeout && now - progress.heardAt < bytesHoldTimeouts * timeout
  }

  isActive(member: MemberId): boolean {
    const progress = this.#members.get(member)
    return progress !== undefined && this.#isActive(progress)
  }

  /** Voters heard from within an election timeout that have not left for a later term, itself included if it votes. */
  activeVoters(): number {
    const { voters, id, terms } = this.#state
    return voters.filter(voter => voter === id || (this.isActive(voter) && !terms.isAhead(voter))).length
  }

  /** What was sent to the member comes back acknowledged, and counts. One that was just found is given some time. */
  acknowledges(member: MemberId): boolean {
    const { now, options } = this.#state
    const progress = this.#members.get(member)
    if (!progress?.counts) return false
    return now - progress.acknowledgedAt < acknowledgeTimeouts * options.electionTimeoutTicks
  }

  /** Active voters that acknowledge, itself included if it votes. */
  acknowledgingVoters(): number {
    const { voters, id } = this.#state
    return voters.filter(voter => voter === id || (this.isActive(voter) && this.acknowledges(voter))).length
  }

  /** Check-quorum (thesis §6.2): a leader that no longer hears a majority has perhaps been replaced. */
  hasQuorum(): boolean {
    return this.activeVoters() >= majority(this.#state.voters.length)
  }

  /** The configuration without this member is committed: its work is done (thesis §4.2.2). */
  isRemoved(): boolean {
    const { configurations, commitIndex, voters, id } = this.#state
    return configurations.latestIndex <= commitIndex && !voters.includes(id)
  }

  /** The voter best able to take over; told to stand at once, so that a removal costs no election timeout. */
  tellSuccessor(): void {
    let best: { voter: MemberId; match: number } | undefined
    for (const voter of this.#state.voters) {
      const progress = this.#members.get(voter)
      if (progress && this.#isActive(progress) && (!best || progress.match > best.match))
        best = { voter, match: progress.match }
    }
    if (best) this.#tellToStand(best.voter)
  }

  /** Queues what members lack. Called when messages are taken, so that entries, commit and heartbeats travel together. */
  flush(): void {
    const heartbeat = this.#heartbeatDue
    const round = heartbeat || this.#reads.wantsRound(this.#round) ? ++this.#round : undefined
    this.#heartbeatDue = false
    const acknowledging = round === undefined ? 0 : this.acknowledgingVoters()
    for (const [member, progress] of this.#members) {
      this.#replication.sendEntries(member, progress)
      if (round !== undefined) this.#replication.sendHeartbeat(member, progress, round, heartbeat, acknowledging)
      this.#replication.maybeTellCommit(member, progress)
    }
    const members = this.#state.configurations.members()
    for (const member of this.#members.keys()) if (!members.has(member)) this.#members.delete(member)
  }
}
