import { assert, unreachable } from '../base/assert.js'
import type { MemberId } from '../base/ids.js'
import { Descent } from './descent.js'
import { Election } from './election.js'
import { ElectionTimer } from './election-timer.js'
import { Following } from './following.js'
import { Leading } from './leading.js'
import { plausible } from './plausible.js'
import { majoritiesOverlap } from './quorum.js'
import { State } from './state.js'
import { Succession } from './succession.js'
import type { Configuration, Outgoing, ProgressView, RaftCore, RaftEntry } from './types.js'
import type { RaftHost, RaftMessage, RaftOptions, Recovery, Role } from './types.js'

type VoteRequest = Extract<RaftMessage<unknown>, { kind: 'vote' | 'pre-vote' }>
type VoteReply = Extract<RaftMessage<unknown>, { kind: 'vote-reply' | 'pre-vote-reply' }>

/** Nobody led for so many election timeouts: who says that it does is followed, though no majority bears it out. */
const leaderlessTimeouts = 3
/** So many election timeouts at least between two elections in which a leader that has its majority stands again. */
const standAgainTimeouts = 10

/** The consensus core: roles and elections here, a follower's work in `Following`, a leader's in `Leading`. */
export class Raft<D> implements RaftCore<D> {
  readonly #state: State<D>
  readonly #timer: ElectionTimer
  readonly #succession: Succession
  readonly #descent: Descent<D>
  #following: Following<D>
  #leading: Leading<D> | undefined
  #election: Election | undefined
  /** Whom this member has followed in its term. */
  #followed: MemberId | undefined
  /** Who says to lead, and nobody else has said so yet. */
  #claimant: MemberId | undefined
  /** The ticks when a leader last spoke, the voters were last asked for their terms, this leader last stood again. */
  #ledAt = 0
  #askedAt = -Infinity
  #stoodAgainAt = -Infinity
  #told: { role: Role; term: number; leader: MemberId | undefined }

  constructor(options: RaftOptions, host: RaftHost<D>) {
    this.#state = new State(options, host)
    this.#timer = new ElectionTimer(options.electionTimeoutTicks, options.seed, options.id)
    this.#succession = new Succession(options.electionTimeoutTicks)
    this.#descent = new Descent(this.#state)
    this.#following = new Following(this.#state)
    this.#told = { role: 'follower', term: this.#state.term, leader: undefined }
  }

  get id(): MemberId {
    return this.#state.id
  }
  get role(): Role {
    return this.#state.role
  }
  get term(): number {
    return this.#state.term
  }
  get leader(): MemberId | undefined {
    return this.#state.leader
  }
  /** Ticks since the leader's last message, or since there was one. */
  get silence(): number {
    return this.#timer.silence
  }
  get commitIndex(): number {
    return this.#state.commitIndex
  }
  get configuration(): Configuration {
    return this.#state.configurations.latest
  }
  get isConfigurationCommitted(): boolean {
    return this.#state.configurations.latestIndex <= this.#state.commitIndex
  }
  get isAlwaysNeeded(): boolean {
    return this.#state.configurations.alwaysNeeds(this.id)
  }
  get lostVoter(): MemberId | undefined {
    return this.#state.lostVoter
  }
  get transferring(): MemberId | undefined {
    return this.#leading?.transferring
  }

  mayChangeConfiguration(): boolean {
    const { configurations, commitIndex, committedInTerm } = this.#state
    return this.#leading !== undefined && configurations.latestIndex <= commitIndex && committedInTerm
  }

  progress(member: MemberId): ProgressView | undefined {
    const progress = this.#leading?.progress(member)
    if (!this.#leading || !progress) return undefined
    const { match, next, state, inflightBytes } = progress
    const active = this.#leading.isActive(member)
    const acknowledges = active && this.#leading.acknowledges(member)
    return { match, next, state, inflightBytes, active, recovering: !progress.counts, acknowledges }
  }

  get recovery(): Recovery | undefined {
    return this.#state.recovery
  }

  /** Up to where this member's log equals that of the leader that it follows, on stable storage; 0 if it follows none. */
  get acknowledged(): number {
    return this.#leading || this.leader === undefined ? 0 : this.#following.acknowledgeable
  }

  reachableVoters(): number {
    if (this.#leading) return this.#leading.acknowledgingVoters()
    return this.#state.leader === undefined ? 1 : this.#following.acknowledging
  }

  // Events

  tick(): void {
    this.#state.now++
    this.#state.terms.tick()
    if (this.#leading) {
      this.#leading.tick()
      if (!this.#leading.hasQuorum()) this.#becomeFollower(this.term, undefined)
      else this.#maybeStandAgain()
    } else {
      this.#timer.tick()
      this.#maybeDescend()
      if (this.#timer.expired || (this.leader === undefined && this.#isSoleVoter())) this.campaign()
    }
    this.#conclude()
  }

  campaign(): void {
    if (this.#leading) return
    // a majority may be had only in a term that one member alone has been heard of
    if (!this.#isSoleVoter()) this.#climb(this.#state.terms.claimed)
    if (!this.#isPromotable()) {
      if (this.leader !== undefined) this.#becomeFollower(this.term, undefined)
      return
    }
    if (this.#isSoleVoter()) this.#becomeCandidate(false)
    else this.#becomePreCandidate()
    this.#conclude()
  }

  proposed(entries: readonly RaftEntry<D>[]): void {
    const { log, term } = this.#state
    assert(this.#leading, 'only a leader proposes')
    if (entries.length === 0) return
    assert(entries.at(-1)!.index === log.lastIndex, 'proposed entries end the log')
    for (const { term: entryTerm, configuration } of entries) {
      assert(entryTerm === term, 'proposed entries are of the current term')
      if (configuration) this.#assertMayChange(configuration)
    }
    assert(entries.filter(entry => entry.configuration).length <= 1, 'one configuration change at a time')
    this.#state.adoptConfigurations(entries)
    this.#leading.proposed(entries)
    this.#conclude()
  }

  #assertMayChange(configuration: Configuration): void {
    assert(
      this.mayChangeConfiguration(),
      'the last configuration is committed, and an entry of this term (thesis §4.1)',
    )
    assert(configuration.voters.length > 0, 'a configuration has a voter')
    assert(majoritiesOverlap(this.#state.voters, configuration.voters), 'a change adds or removes one voter at most')
  }

  durable(index: number, term?: number): void {
    this.#state.durable(index, term)
    this.#conclude()
  }

  owe(recovery: Recovery): void {
    this.#state.owe(recovery)
    // Who lacks what it acknowledged has no say; its entries are those of its log as it is.
    if (this.role !== 'follower') this.#becomeFollower(this.term, undefined)
    // it cannot count before it is there
    const { terms } = this.#state
    if (recovery.pledge.term - this.term <= terms.allowance) this.#climb(recovery.pledge.term)
    this.#following.owe()
    this.#conclude()
  }

  saw(from: MemberId, term: number): void {
    this.#show(from, term)
    this.#conclude()
  }

  loseVoter(member: MemberId | undefined): void {
    this.#state.lostVoter = member
    this.#conclude()
  }

  forget(member: MemberId): void {
    this.#leading?.forget(member)
  }

  /** Held again is all that it pledged: it counts. It follows this leader in this term, so that is its vote. */
  #maybeRecover(): void {
    const { recovery } = this.#state
    if (recovery === undefined || this.leader === undefined || !this.#following.hasRecovered) return
    if (this.term < recovery.pledge.term && !this.#descent.isPledgeDenied) return
    if (this.#state.vote === undefined) this.#state.saveTermAndVote(this.term, this.leader)
    this.#state.recovery = undefined
    this.#following.owe()
    this.#state.host.recovered()
  }

  restored(index: number, term: number, configuration: Configuration): void {
    if (index <= this.commitIndex) return
    // Its leader's term is this member's own from now on: it must not believe an earlier one's leader any more.
    if (term > this.term) this.#becomeFollower(term, undefined)
    this.#state.restore(index, term, configuration)
    this.#following.restored()
    this.#conclude()
  }

  truncateFrom(index: number): void {
    assert(this.#leading === undefined, 'a leader never removes an entry')
    this.#following.truncateFrom(index)
    this.#conclude()
  }

  heard(from: MemberId): void {
    this.#leading?.heard(from)
    if (from === this.leader) this.#timer.leaderSentBytes()
  }

  heardPart(from: MemberId): void {
    this.#leading?.heardPart(from)
    if (from === this.leader) this.#timer.leaderSentBytes()
  }

  disconnected(member: MemberId): void {
    this.#leading?.disconnected(member)
    // What it showed over the last connection says nothing of what it has now: its disk may be an older copy.
    if (member === this.leader && !this.#leading) this.#following = new Following(this.#state)
  }

  transferLeadership(to: MemberId): boolean {
    const begun = this.#leading?.transferTo(to) ?? false
    this.#conclude()
    return begun
  }

  readIndex(context: number): void {
    if (this.#leading) this.#leading.readIndex(this.id, context)
    else if (this.leader !== undefined) this.#state.send(this.leader, { kind: 'read-index', term: this.term, context })
    this.#conclude()
  }

  takeMessages(): Outgoing<D>[] {
    if (this.#leading) this.#leading.flush()
    else if (this.role === 'follower') this.#following.flush()
    return this.#state.takeOutbox()
  }

  step(from: MemberId, message: RaftMessage<D>): void {
    if (from === this.id || !plausible(message)) return
    const shown = shownTerm(message)
    if (shown !== undefined) this.#show(from, shown, message.kind === 'term-answer' ? message.leader : undefined)
    if (message.kind === 'pre-vote') this.#stepPreVote(from, message)
    else if (message.kind === 'pre-vote-reply') this.#stepPreVoteReply(from, message)
    else if (message.kind === 'vote') this.#stepVote(from, message)
    else if (message.kind === 'term-question') this.#answerTerm(from)
    else if (message.kind === 'term-answer') this.#maybeFollowClaimant()
    else if (message.term < this.term) this.#stepStale(from, message)
    else if (message.term > this.term) this.#stepAhead(from, message)
    else this.#stepCurrent(from, message)
    this.#conclude()
  }

  // Terms

  /** A member says in which term it is. That moves this one only to where a majority of the voters says to be. */
  #show(from: MemberId, term: number, leader?: MemberId): void {
    const { terms } = this.#state
    terms.show(from, term, leader)
    if (term > this.term) {
      const { ofMajority } = terms
      if (ofMajority > this.term) this.#becomeFollower(ofMajority, undefined)
    }
    if (Descent.isFar(this.term, term)) this.#askTerms()
  }

  /** Towards a term that no majority bears out, as far as may be gone. */
  #climb(to: number): void {
    const { terms } = this.#state
    const rise = Math.min(to - this.term, terms.allowance)
    if (rise > 0 && terms.spend(rise)) this.#becomeFollower(this.term + rise, undefined)
  }

  #askTerms(): void {
    const { now, options, configurations } = this.#state
    if (now - this.#askedAt < options.heartbeatTicks) return
    this.#askedAt = now
    for (const voter of new Set(configurations.voters.flat())) {
      if (voter !== this.id) this.#state.send(voter, { kind: 'term-question', term: this.term })
    }
  }

  #answerTerm(from: MemberId): void {
    const { term, vote } = this.#state
    this.#state.send(from, { kind: 'term-answer', term, leader: this.leader ?? vote })
  }

  /** Who said to lead does so, as the voters say that were asked. */
  #maybeFollowClaimant(): void {
    const claimant = this.#claimant
    if (claimant === undefined || this.#leading || this.leader !== undefined) return
    if (this.#state.terms.confirm(claimant)) this.#follow(claimant)
  }

  #follow(leader: MemberId): void {
    this.#becomeFollower(this.term, leader)
    this.#followed = leader
    this.#claimant = undefined
    this.#ledAt = this.#state.now
  }

  /**
   * One member's word is no reason to leave a leader that has a majority, or to follow another. If it is true, a majority
   * says so when it is asked; or nobody leads here, and the election timeout takes this member there.
   */
  #stepAhead(from: MemberId, message: RaftMessage<D>): void {
    if (message.kind === 'vote-reply' && this.#election?.kind === 'vote') this.#poll(this.#election, from, false)
    else if (isLeaders(message)) this.#doubt(from)
  }

  #doubt(claimant: MemberId): void {
    this.#claimant = claimant
    this.#askTerms()
  }

  /**
   * A member in a later term takes nothing from this leader, and pre-vote and leases keep it from being elected
   * (etcd-io/raft, Step; hashicorp/raft#605): so this one is elected anew, in a term after that.
   */
  #maybeStandAgain(): void {
    const { terms, now, options } = this.#state
    if (this.transferring !== undefined || !this.#isPromotable()) return
    if (now - this.#stoodAgainAt < standAgainTimeouts * options.electionTimeoutTicks) return
    const { ofShutOut } = terms
    if (ofShutOut === undefined || !terms.spend(ofShutOut + 1 - this.term)) return
    this.#stoodAgainAt = now
    this.#becomeFollower(this.term, undefined)
    this.#becomeCandidate(false, ofShutOut + 1)
  }

  #maybeDescend(): void {
    const { recovery } = this.#state
    const term = this.#descent.tick()
    const isPledgeFar = recovery !== undefined && Descent.isFar(recovery.pledge.term, this.term)
    if (this.#descent.isUnderWay || isPledgeFar) this.#askTerms()
    if (term === undefined) return
    this.#state.descendTo(term)
    this.#becomeFollower(term, undefined)
  }

  // Messages

  /** A leader of an earlier term must hear of the later one, or a member that it reaches in vain would stay cut off. */
  #stepStale(from: MemberId, message: RaftMessage<D>): void {
    if (!isLeaders(message)) return
    const { term } = this
    const none = {
      match: 0,
      rejectedIndex: 0,
      hintIndex: 0,
      hintTerm: 0,
      recovering: this.#state.recovery !== undefined,
    }
    this.#state.send(from, { kind: 'append-reply', term, success: false, ...none })
  }

  #stepCurrent(from: MemberId, message: RaftMessage<D>): void {
    this.#leading?.heard(from)
    switch (message.kind) {
      case 'append':
        if (this.#follows(from)) this.#following.append(from, message)
        return
      case 'heartbeat':
        if (this.#follows(from)) this.#following.heartbeat(from, message)
        return
      case 'snapshot':
        if (this.#follows(from)) this.#following.snapshot(from, message.index)
        return
      case 'timeout-now':
        if (this.role === 'follower' && this.leader === from) this.#stepTimeoutNow(message.target)
        return
      case 'vote-reply':
        if (this.#election?.kind === 'vote') this.#poll(this.#election, from, message.granted, message.recovering)
        return
      case 'append-reply':
        this.#leading?.appendReply(from, message)
        return
      case 'heartbeat-reply':
        this.#leading?.heartbeatReply(from, message)
        return
      case 'read-index':
        this.#leading?.readIndex(from, message.context)
        return
      case 'read-index-reply':
        if (this.leader === from) this.#state.host.readReady(message.context, message.index)
        return
      case 'pre-vote':
      case 'pre-vote-reply':
      case 'vote':
      case 'term-question':
      case 'term-answer':
        return unreachable(message as never)
      default:
        unreachable(message)
    }
  }

  #stepTimeoutNow(target: MemberId): void {
    if (target === this.id) {
      if (this.#isPromotable()) this.#becomeCandidate(true)
      return
    }
    const early = this.#succession.name(target, this.#state.now)
    if (early !== undefined) this.#stepVote(target, early)
  }

  /**
   * A message that only the leader of this term sends came. False if it cannot be, since another is (Raft §5.2), or if
   * nobody but the sender says so: this member has not voted for it, and no majority has that could be asked.
   */
  #follows(from: MemberId): boolean {
    if (this.leader !== undefined && this.leader !== from) {
      this.#state.host.twoLeaders(this.leader, from, this.term)
      return false
    }
    if (this.leader === undefined) {
      if (!this.#isLeader(from)) {
        this.#doubt(from)
        return false
      }
      this.#follow(from)
    }
    this.#timer.leaderSpoke()
    this.#ledAt = this.#state.now
    return true
  }

  #isLeader(from: MemberId): boolean {
    const { now, options, terms, vote } = this.#state
    if (from === vote || from === this.#followed || terms.confirm(from)) return true
    return now - this.#ledAt >= leaderlessTimeouts * options.electionTimeoutTicks
  }

  /** Heard from a live leader within the least election timeout: no other is wanted (thesis §4.2.3). */
  #inLease(): boolean {
    if (this.#leading) return true
    return this.leader !== undefined && this.#timer.inLease
  }

  #mayVoteFor(candidate: MemberId): boolean {
    const { vote } = this.#state
    return vote === candidate || (vote === undefined && this.leader === undefined)
  }

  /** Would this member vote for the sender? Changes nothing here (thesis §9.6). A member need not know the candidate (§4.1). */
  #stepPreVote(from: MemberId, request: VoteRequest): void {
    const { term } = request
    const free = term > this.term ? !this.#inLease() : term === this.term && this.#mayVoteFor(from)
    const granted = free && this.#isFit(from, request)
    // A refusal carries this member's term: if it is the higher one the sender learns it.
    this.#state.send(from, {
      kind: 'pre-vote-reply',
      term: granted ? term : this.term,
      granted,
      ...(free && !granted ? this.#recovers : {}),
    })
  }

  /** Whether a candidate's log has all that was committed, as far as can be told here. */
  #isFit(from: MemberId, { term, lastIndex, lastTerm, others = false }: VoteRequest): boolean {
    const { recovery, voters } = this.#state
    if (this.#descent.isUnderWay) return false
    // who has no vote is asked only where somebody has lost what it acknowledged
    const follows = recovery === undefined ? !voters.includes(this.id) : others
    if (follows && this.#state.mayChooseAsOthersDo(from, lastIndex, lastTerm)) return true
    return this.#state.isUpToDate(lastIndex, lastTerm) && this.#state.mayChoose(term, lastIndex, lastTerm)
  }

  get #recovers(): { recovering?: true } {
    return this.#state.recovery === undefined ? {} : { recovering: true }
  }

  #stepVote(from: MemberId, request: VoteRequest): void {
    const { term } = request
    if (term > this.term && !this.#mayGoOn(from, request)) return
    const isFit = this.#isFit(from, request)
    let granted = false
    if (term > this.term) {
      granted = isFit
      this.#becomeFollower(term, undefined, granted ? from : undefined)
    } else if (term === this.term && this.#mayVoteFor(from) && isFit) {
      granted = true
      if (this.#state.vote === undefined) this.#becomeFollower(term, undefined, from)
    }
    this.#state.send(from, { kind: 'vote-reply', term: this.term, granted, ...(granted ? {} : this.#recovers) })
  }

  /** Whether a later election is none that disturbs a live leader, and not too far ahead. */
  #mayGoOn(from: MemberId, request: VoteRequest): boolean {
    const { terms, now } = this.#state
    const { term, transfer } = request
    const isNamed = this.#leading?.hasTold(from) ?? this.#succession.isNamed(from, now)
    if (transfer && isNamed && term === this.term + 1) return true
    if (transfer && !this.#leading) this.#succession.hold(from, request, now)
    if (this.#inLease() && from !== this.leader) return false
    return terms.spend(term - this.term)
  }

  #stepPreVoteReply(from: MemberId, { term, granted, recovering }: VoteReply): void {
    if (this.#election?.kind !== 'pre-vote') return
    // the term of one that recovers may be one that is long over
    const isCurrent = granted ? term === this.term + 1 : recovering === true || term >= this.term
    if (isCurrent) this.#poll(this.#election, from, granted, recovering)
  }

  // Roles

  /** A vote counts in any configuration that may still decide: one that removes this member may need it yet (thesis §4.2.2). */
  #isPromotable(): boolean {
    const { host, recovery, configurations } = this.#state
    if (this.#descent.isUnderWay || recovery !== undefined) return false
    return host.mayLead() && host.mayVote() && configurations.votesInAny(this.id)
  }

  #isSoleVoter(): boolean {
    return this.#state.voters.length === 1 && this.#state.voters[0] === this.id
  }

  #becomeFollower(term: number, leader: MemberId | undefined, vote?: MemberId): void {
    if (term !== this.#told.term) {
      this.#followed = undefined
      this.#succession.clear()
    }
    if (this.#leading) this.#ledAt = this.#state.now
    this.#state.saveTermAndVote(term, vote ?? (term === this.term ? this.#state.vote : undefined))
    this.#leading = undefined
    this.#election = undefined
    this.#following = new Following(this.#state)
    this.#timer.reset()
    this.#enter('follower', leader)
  }

  #becomePreCandidate(): void {
    this.#election = new Election('pre-vote')
    this.#timer.reset()
    this.#enter('pre-candidate', undefined)
    this.#requestVotes(this.#election, this.term + 1, false)
  }

  #becomeCandidate(transfer: boolean, term = this.term + 1): void {
    this.#state.saveTermAndVote(term, this.id)
    this.#followed = undefined
    this.#succession.clear()
    this.#election = new Election('vote')
    this.#timer.reset()
    this.#enter('candidate', undefined)
    this.#requestVotes(this.#election, this.term, transfer)
  }

  #becomeLeader(): void {
    this.#election = undefined
    this.#leading = new Leading(this.#state)
    this.#enter('leader', this.id)
  }

  #enter(role: Role, leader: MemberId | undefined): void {
    const { term, host } = this.#state
    this.#state.role = role
    this.#state.leader = leader
    const told = this.#told
    if (told.role === role && told.term === term && told.leader === leader) return
    this.#told = { role, term, leader }
    host.roleChanged(role, term, leader)
  }

  #requestVotes(election: Election, term: number, transfer: boolean): void {
    for (const voter of this.#state.voters)
      if (voter !== this.id) this.#requestVote(election, voter, term, { transfer })
    this.#poll(election, this.id, true)
  }

  #requestVote(election: Election, to: MemberId, term: number, how: { transfer: boolean; others?: boolean }): void {
    const { log, lastTerm } = this.#state
    if (!election.ask(to) && !how.others) return
    this.#state.send(to, { kind: election.kind, term, lastIndex: log.lastIndex, lastTerm, ...how })
  }

  /** A voter lacks what it acknowledged, and chooses whom all others choose: they are asked, those without a vote, too. */
  #askOthers(election: Election): void {
    const { recovering } = election
    if (recovering === undefined) return
    const members = this.#state.configurations.members()
    const term = election.kind === 'vote' ? this.term : this.term + 1
    for (const member of members) {
      if (member !== this.id) this.#requestVote(election, member, term, { transfer: false })
    }
    if (election.mayAskAgain(members)) this.#requestVote(election, recovering, term, { transfer: false, others: true })
  }

  #poll(election: Election, from: MemberId, granted: boolean, recovering = false): void {
    election.record(from, granted, recovering)
    const result = election.result(this.#state.voters)
    if (result === 'open') this.#askOthers(election)
    if (result === 'lost') this.#becomeFollower(this.term, undefined)
    else if (result === 'won' && election.kind === 'pre-vote') this.#becomeCandidate(false)
    else if (result === 'won') this.#becomeLeader()
  }

  /** Every event ends here: what it changed may commit, confirm reads, or end this leadership. */
  #conclude(): void {
    const leading = this.#leading
    if (!leading) return this.#maybeRecover()
    leading.advance()
    if (this.#leading !== leading || !leading.isRemoved()) return
    leading.flush()
    leading.tellSuccessor()
    this.#becomeFollower(this.term, undefined)
  }
}

/** The term that the sender of a message is in, if it tells. */
function shownTerm(message: RaftMessage<unknown>): number | undefined {
  if (message.kind === 'pre-vote') return message.term - 1
  // granted is the term that was asked for
  return message.kind === 'pre-vote-reply' && message.granted ? undefined : message.term
}

/** Whether only a leader sends such a message. */
function isLeaders(message: RaftMessage<unknown>): boolean {
  return message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot'
}
