import { assert } from '../base/assert.js'
import { ECANCELED, EINTR, EIO, ENOENT, ENOSPC, EROFS } from '../base/errno.js'
import { RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { uncommittedBytesMax } from '../base/limits.js'
import { getInode } from '../fs/apply.js'
import { encodeOperation } from '../fs/operation-codec.js'
import { isContentOperation, isHousekeeping, type Operation } from '../fs/operation.js'
import { takesSpace } from '../fs/takes-space.js'
import { zeroHash } from '../oplog/codec.js'
import type { EntryHeader, EntryKind, Proposal } from '../oplog/entry.js'
import type { Raft } from '../raft/raft.js'
import { compareChanges, hasEnded, lastPlaced, refusalOf } from './change-number.js'
import type { Agenda } from './agenda.js'
import type { Appender } from './appender.js'
import type { Core } from './core.js'
import type { EarlierRuns, Leftover } from './earlier-runs.js'
import type { Forwarding } from './forwarding.js'
import type { GivenUpChanges } from './given-up.js'
import type { Health } from './health.js'
import type { LeaderOrder } from './leader-order.js'
import type { Invalidation } from './mount-port.js'
import type { OwnSession } from './own-session.js'
import { journalRecord, losesNames, newChange, type PendingChange, type PendingChanges } from './pending-changes.js'
import type { ChangeOptions, ChannelPorts, LostChange } from './ports.js'
import type { Roster } from './roster.js'
import type { ShownChanges } from './shown-changes.js'
import type { SmallWrites } from './small-writes.js'
import type { Space } from './space.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'
import type { Views } from './views.js'
import type { Waiters } from './waiters.js'

/** How long a change waits for room that members are making. */
const roomMs = 5000

/** What a leader of a term said of a change, and the index up to which its log was the reason. */
interface Refusal {
  readonly errno: number
  readonly because: number
  readonly term: number
}

/** A change that is not accepted yet: there is no leader, or no room. */
interface Waiting {
  readonly operation: Operation
  readonly payload: Uint8Array
  readonly kind: EntryKind
  readonly options: ChangeOptions
  readonly deadline: number
  /** See `PendingChange`. */
  readonly stale: readonly Invalidation[]
  /** Once it is accepted. */
  change?: PendingChange
}

/**
 * This member's changes from the call of a program to the place in the log, or the refusal.
 *
 * INVARIANT: a change's sequence number is given when it is accepted, in the order of the calls; it stays in
 * `PendingChanges` until it is committed or refused, and its caller is answered once.
 */
export class OwnChanges {
  readonly #self: MemberId
  readonly #chunkExtents: number
  readonly #session: OwnSession
  readonly #ports: ChannelPorts
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #views: Views
  readonly #pending: PendingChanges
  readonly #agenda: Agenda
  readonly #health: Health
  readonly #shown: ShownChanges
  readonly #writes: SmallWrites
  readonly #appender: Appender
  readonly #order: LeaderOrder
  readonly #forwarding: Forwarding
  readonly #waiters: Waiters
  readonly #givenUp: GivenUpChanges
  readonly #earlier: EarlierRuns
  readonly #space: Space
  readonly #roster: Roster
  #waiting: Waiting[] = []
  /** Those that wait for room, each with the time until then (monotonic milliseconds). */
  readonly #roomless = new Map<Waiting, number>()
  #nextSequence = 1
  /** When a tick first found nobody to order changes. */
  #leaderlessSince: number | undefined
  /** Pending changes whose caller has no answer yet. */
  #unanswered = 0
  /** Refused, though their programs were told of success: believed when what the refusal rests on is applied here. */
  readonly #refusedBy = new Map<PendingChange, Refusal>()

  constructor(
    { self, session, ports, log, raft, views, pending, agenda, health, roster, chunkExtents }: Core,
    shown: ShownChanges,
    writes: SmallWrites,
    appender: Appender,
    order: LeaderOrder,
    forwarding: Forwarding,
    waiters: Waiters,
    givenUp: GivenUpChanges,
    earlier: EarlierRuns,
    space: Space,
  ) {
    this.#space = space
    this.#self = self
    this.#chunkExtents = chunkExtents
    this.#session = session
    this.#ports = ports
    this.#log = log
    this.#raft = raft
    this.#views = views
    this.#pending = pending
    this.#agenda = agenda
    this.#health = health
    this.#shown = shown
    this.#writes = writes
    this.#appender = appender
    this.#order = order
    this.#forwarding = forwarding
    this.#waiters = waiters
    this.#givenUp = givenUp
    this.#earlier = earlier
    this.#roster = roster
  }

  get hasSession(): boolean {
    return this.#session.isOpen
  }
  get lastSequence(): number {
    return this.#nextSequence - 1
  }
  /** Changes on their way, accepted or not. */
  get operations(): number {
    return this.#pending.size - (this.#opens(this.#pending.oldest) ? 1 : 0) + this.#waiting.length + this.#roomless.size
  }
  /** A program waits for the answer to a change that is on its way. */
  get anyUnanswered(): boolean {
    return this.#unanswered > 0
  }

  // ---- accepting ----

  /** Accepts a change, now or when it can be (`Channel.change`). Answers a way to give up: the caller gets EINTR. */
  submit(kind: EntryKind, operation: Operation, payload: Uint8Array, options: ChangeOptions): () => void {
    const deadline = this.#ports.monotonicMs() + options.timeoutMs
    const stale = losesNames(operation) ? this.#views.staleBy(operation) : []
    const waiting: Waiting = { operation, payload, kind, options, deadline, stale }
    if (!this.#health.serving || this.#agenda.closed) {
      options.done(EIO)
      return nothing
    }
    // what frees space passes
    if (this.#health.diskFull !== undefined && takesSpace(operation)) {
      options.done(ENOSPC)
      return nothing
    }
    const isReady = this.#ready()
    if (!isReady && this.#outageMs() >= options.timeoutMs) {
      options.done(EROFS)
      return nothing
    }
    if (this.#waiting.length > 0 || !isReady) this.#waiting.push(waiting)
    else this.#tryAccept(waiting)
    this.#agenda.turn()
    return () => {
      if (this.#roomless.delete(waiting)) return options.done(EINTR)
      const at = this.#waiting.indexOf(waiting)
      if (at >= 0) this.#waiting.splice(at, 1)
      else if (!this.#giveUp(waiting.change)) return
      options.done(EINTR)
    }
  }

  /** Opens a session if there is none, and accepts what waited, as far as that is possible now. */
  drain(): void {
    this.#giveUpLeftovers()
    if (this.#session.mayOpen && this.#mayOpen()) this.#openSession()
    for (const waiting of this.#roomless.keys()) if (this.#ready() && this.#findsRoom(waiting)) this.#take(waiting)
    while (this.#waiting.length > 0 && this.#ready()) this.#tryAccept(this.#waiting.shift()!)
  }

  #tryAccept(waiting: Waiting): void {
    if (this.#findsRoom(waiting)) this.#take(waiting)
  }

  /**
   * Whether there is room for a change now. If not it is refused, or it waits while members give back what they do not need;
   * others pass it meanwhile, above all those that make room.
   */
  #findsRoom(waiting: Waiting): boolean {
    const verdict = this.#space.verdict(waiting.operation)
    if (verdict === 'room') {
      this.#roomless.delete(waiting)
      return true
    }
    if (verdict === 'full') {
      this.#roomless.delete(waiting)
      this.#agenda.answer(() => waiting.options.done(ENOSPC))
    } else if (!this.#roomless.has(waiting)) {
      this.#roomless.set(waiting, Math.min(waiting.deadline, this.#ports.monotonicMs() + roomMs))
    }
    return false
  }

  #take(waiting: Waiting): void {
    const { operation, payload, options } = waiting
    try {
      if (!this.#writes.maybeContinue(operation, payload, options)) this.#accept(waiting)
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#health.fail(error)
      options.done(EIO)
    }
  }

  // ---- sessions ----

  #opens(change: PendingChange | undefined): boolean {
    return change?.operation.kind === 'open-session'
  }

  /** Whether a session can be opened now. Nobody takes a change from who is not admitted yet. */
  #mayOpen(): boolean {
    if (!this.#health.serving || this.#health.restoring) return false
    return this.#roster.slot !== undefined && this.#hasLeader() && this.#raft.transferring === undefined
  }

  /** See `Channel.writeBytes`. */
  get writeBytes(): number {
    return this.#isAlone() ? Infinity : this.#pending.windowBytes
  }

  /** Whether the links that changes of this member take to a majority have all shown to carry little. */
  get isThin(): boolean {
    const { transport } = this.#ports
    const { leader, configuration } = this.#raft
    if (!this.#views.leading) return leader !== undefined && transport.isThin(leader)
    const others = configuration.voters.filter(id => id !== this.#self && transport.connected(id))
    return others.length > 0 && others.every(id => transport.isThin(id))
  }

  #isAlone(): boolean {
    const { voters, learners } = this.#raft.configuration
    return voters.length + learners.length === 1 && this.#roster.peers.length === 1
  }

  #openSession(): void {
    // a number that the log knows of already would be refused
    const last = lastPlaced(this.#views.leading ? this.#views.ordered : this.#views.table, this.#self)
    if (last !== undefined && last.session >= this.#session.number) this.#session.over(last)
    if (this.#views.leading && this.#isAlone()) {
      const order = ({ proposal, operation }: Leftover): number => this.#order.order(proposal, operation, undefined)
      this.#earlier.goOn(order, () => this.#log.lastIndex)
    }
    const operation = { kind: 'open-session', chunkExtents: this.#chunkExtents } as const
    const change = newChange(
      this.#propose('change', operation, new Uint8Array(0)),
      operation,
      this.#views.applied.index,
      { durable: true, timeoutMs: 0 },
    )
    this.#session.opening(change.proposal)
    if (this.#views.leading) {
      const errno = this.#order.order(change.proposal, operation, change)
      assert(errno === 0, 'a leader refuses to open a session of its own')
    }
    this.#pending.add(change)
    this.#agenda.unsent(change.bytes)
    this.#agenda.hurry()
  }

  /** The applied state says something new of this member's sessions. */
  sessionsChanged(): void {
    const last = lastPlaced(this.#views.table, this.#self)
    if (this.#session.isOver(last)) {
      this.#giveUpAll()
      this.#session.over(last)
    }
    this.#giveUpLeftovers()
  }

  /** This session has ended, and what is not in the order by now will never be: all of it, or none. */
  #giveUpAll(): void {
    this.#writes.close()
    for (const change of this.#pending.values()) {
      this.#remove(change)
      const done = this.#takeAnswer(change)
      if (done !== undefined) this.#agenda.answer(() => done(EIO))
      else if (!this.#opens(change)) this.#lose(change, EIO, { kind: 'session-ended' })
      if (!change.visible) continue
      this.#shown.withdraw(change)
      this.#shown.tellMounts(change)
    }
    this.#waiters.givenUp()
    this.#givenUp.report()
  }

  /** Of what an earlier run left behind, what will never have a place. */
  #giveUpLeftovers(): void {
    const lost = this.#earlier.takeGivenUp()
    if (lost.length === 0) return
    for (const { proposal, operation, number } of lost) {
      this.#givenUp.add(proposal, operation, { kind: 'earlier-run' }, number)
    }
    this.#givenUp.report()
  }

  /** Its program believed it done: it is told, and the data is to be kept, if its mount has not taken it over. */
  #lose(change: PendingChange, errno: number, cause: LostChange['cause']): void {
    const { proposal, operation, journalled } = change
    const isLost = change.lost?.(errno) ?? true
    if (isLost) this.#givenUp.add(proposal, operation, cause, journalled ? proposal : undefined)
    else if (journalled) this.#log.unjournal(proposal.session, proposal.sequence)
  }

  /** Whether a change can be accepted now: there is a leader to order it, a session for it to belong to, and room. */
  #ready(): boolean {
    if (!this.#session.isOpen) return false
    if (this.#views.leading && hasEnded(lastPlaced(this.#views.ordered, this.#self), this.#session.number)) return false
    if (!this.#hasLeader() || !this.#pending.hasRoom(this.#isAlone())) return false
    if (!this.#views.leading) return true
    return this.#raft.transferring === undefined && this.#appender.uncommittedBytes < uncommittedBytesMax
  }

  #hasLeader(): boolean {
    const { leader } = this.#raft
    if (this.#views.leading) return true
    return leader !== undefined && leader !== this.#self && this.#ports.transport.connected(leader)
  }

  /**
   * How long there has been nobody to order changes. Who waited as long as a mount's `timeout` would not be served by
   * waiting as long again: the kernel lets the changes of one directory through one by one, with callers that no signal
   * reaches, so that the waits would add up.
   */
  #outageMs(): number {
    return this.#leaderlessSince === undefined ? 0 : this.#ports.monotonicMs() - this.#leaderlessSince
  }

  #accept(waiting: Waiting): void {
    const { operation, payload, kind, options, deadline, stale } = waiting
    this.#writes.close()
    const proposal = this.#propose(kind, operation, payload)
    const change: PendingChange = {
      ...newChange(proposal, operation, this.#views.applied.index, options),
      stale,
      deadline,
      accepted: options.done,
    }
    waiting.change = change
    if (!isHousekeeping(operation)) this.#unanswered++
    if (this.#views.leading) this.#acceptAsLeader(change, options)
    else this.#acceptElsewhere(change, options)
  }

  #propose(kind: EntryKind, operation: Operation, payload: Uint8Array): Proposal {
    return {
      kind,
      origin: this.#self,
      session: this.#session.number,
      sequence: this.#nextSequence++,
      time: this.#ports.now(),
      operation: encodeOperation(operation),
      payload,
      payloadHash: payload.length === 0 ? zeroHash : this.#ports.hasher.sha256(payload),
      signature: new Uint8Array(0),
    }
  }

  #acceptAsLeader(change: PendingChange, options: ChangeOptions): void {
    const errno = this.#writes.goesOn(change, options)
      ? this.#writes.openAsLeader(change)
      : this.#order.order(change.proposal, change.operation, change)
    // who is told what is committed is told so of refusals, too
    const isToldAtOnce = this.#views.joined && !change.durable
    if (errno !== 0) return this.#refused(change, errno, isToldAtOnce ? 0 : this.#log.lastIndex)
    // a change of names that rests on what is not committed yet is shown with that
    if (!change.visible && isContentOperation(change.operation) && this.#shown.show(change) !== 0) this.#writes.close()
    this.#pending.add(change)
    this.#answerIfShown(change)
  }

  #acceptElsewhere(change: PendingChange, options: ChangeOptions): void {
    if (isContentOperation(change.operation)) {
      const errno = this.#shown.show(change)
      if (errno !== 0) return this.#takeAnswer(change)!(errno)
      this.#writes.maybeOpen(change, options.durable)
    }
    this.#pending.add(change)
    this.#agenda.unsent(change.bytes)
    this.#answerIfShown(change)
  }

  /** The caller's answer, to be given once. */
  #takeAnswer(change: PendingChange): ((errno: number) => void) | undefined {
    const done = change.accepted
    if (done === undefined) return undefined
    change.accepted = undefined
    if (!isHousekeeping(change.operation)) this.#unanswered--
    return done
  }

  /** Answers the caller of a change that is shown, once the log or the journal has it. */
  #answerIfShown(change: PendingChange): void {
    if (!change.visible || change.durable) return
    const done = this.#takeAnswer(change)
    if (done === undefined) return
    change.told = true
    change.deadline = undefined
    if (change.ordered === undefined) {
      this.#journal(change)
      failpoint('change-journalled')
    }
    this.#agenda.answerChange(done, () => this.#shown.tellMounts(change))
  }

  // ---- what becomes of them ----

  /** As a new leader: what is not in the log yet is put there. */
  orderAll(): void {
    for (const change of this.#pending.values()) {
      if (change.ordered !== undefined) continue
      const errno = this.#order.order(change.proposal, change.operation, change)
      // what this session's end makes of them is seen when that is applied
      if (errno !== 0 && errno !== ECANCELED) this.#refused(change, errno, this.#log.lastIndex)
    }
  }

  /** See `Channel.closedNameless`. */
  closedNameless(ino: number): void {
    for (const change of this.#pending.values()) {
      const { operation } = change
      if (isContentOperation(operation) && operation.ino === ino) change.lost = errno => errno !== ENOENT
    }
  }

  /** Of what was refused and waits until this member has applied what that rests on: that is applied. */
  settleRefused(): void {
    for (const [change, { errno, because, term }] of this.#refusedBy) {
      const isPending = this.#pending.get(change.proposal.session, change.proposal.sequence) === change
      // another leader may have it in its log, or takes it
      if (!isPending || term !== this.#raft.term) this.#refusedBy.delete(change)
      else if (because <= this.#views.applied.index) this.#refused(change, errno, because)
    }
  }

  /** Brings what is shown of own changes up to date with the state. */
  refresh(): void {
    this.#writes.close()
    if (this.#views.stale) this.#shown.layOver()
    for (const change of this.#shown.maybeJoin()) this.#answerIfShown(change)
  }

  /** A change of this member is part of the applied state. `own`: itself, if it was on its way. */
  applied(entry: EntryHeader, own: PendingChange | undefined, errno: number): void {
    this.#earlier.applied(entry)
    if (this.#opens(own) && this.#session.isMine(entry)) this.#session.opened()
    if (own !== undefined) this.#settle(own, errno)
    if (entry.session >= this.#session.run) this.#views.reachedOwn(entry, own?.visible ?? false)
    // the leader takes a session's changes in order: older ones that it passed over were refused, and its word got lost
    for (const change of this.#pending.values()) {
      if (compareChanges(change.proposal, entry) > 0) break
      const refusal = refusalOf(lastPlaced(this.#views.table, this.#self), change.proposal)
      this.#refused(change, refusal ?? (this.#isNameless(change) ? ENOENT : EIO), 0)
    }
  }

  /** Whether a change concerns the content of a file that has lost its last name. */
  #isNameless({ operation }: PendingChange): boolean {
    return isContentOperation(operation) && getInode(this.#views.table, operation.ino) === undefined
  }

  /** A snapshot may take the place of the log: what that alone holds of own changes must outlive it. */
  journalUncommitted(): void {
    for (const change of this.#pending.values()) {
      if (change.ordered !== undefined && change.ordered > this.#raft.commitIndex) this.#journal(change)
    }
  }

  /**
   * A state from elsewhere is in place: own changes up to the last one that it contains are done. It does not tell which
   * of those before that one were refused, so a program that still waits for their outcome is not told of success. Of the
   * last one it is told where no names are concerned, as in a change of content or attributes: its kernel would take names
   * for what the change made them (d_move), which they may no longer be in this state, and was told to forget all before.
   */
  restored(): void {
    const { firstIndex, lastIndex } = this.#log
    const last = lastPlaced(this.#views.table, this.#self)
    for (const change of this.#pending.values()) {
      const { ordered } = change
      const comparison = last === undefined ? 1 : compareChanges(change.proposal, last)
      const refusal = refusalOf(last, change.proposal)
      if (refusal !== undefined) {
        this.#refused(change, refusal, 0)
        continue
      }
      if (comparison <= 0) this.#settle(change, comparison === 0 && isContentOperation(change.operation) ? 0 : EIO)
      // gone with the log, and no part of the history that the snapshot ends
      else if (ordered !== undefined && (ordered < firstIndex || ordered > lastIndex)) this.#cutOff(change)
    }
    this.#session.maybeOpenedIn(last)
    this.sessionsChanged()
  }

  /** The leader refused a change: because of the log up to index `because`. */
  refuse(session: number, sequence: number, errno: number, because: number): void {
    // that the session has ended is believed when it is committed: all that it has on its way is given up at once then
    if (errno === ECANCELED) return
    const change = this.#pending.get(session, sequence)
    if (change !== undefined) this.#refused(change, errno, because)
  }

  #refused(change: PendingChange, errno: number, because: number): void {
    // until the leader's log is committed, another one that has the change may win; and programs that have a file open keep
    // it with this change: the loss of its name is seen first
    if (change.told && this.#views.applied.index < because) {
      this.#refusedBy.set(change, { errno, because, term: this.#raft.term })
      return
    }
    this.#refusedBy.delete(change)
    this.#remove(change)
    const done = this.#takeAnswer(change)
    if (done !== undefined) {
      // a program that is told EEXIST must find the name: it waits for the entry that the refusal rests on, which may be cut
      if (this.#views.applied.index >= because) this.#agenda.answer(() => done(errno))
      else {
        // the log that wins instead may have a change that others were sent
        const inVain = change.sentRound === 0 ? EROFS : EIO
        change.stopWaiting = this.#waiters.whenApplied(because, this.#timeLeft(change), failure => {
          done(failure === 0 ? errno : failure === EINTR ? EINTR : inVain)
        })
      }
    } else if (this.#opens(change)) this.#session.over(lastPlaced(this.#views.table, this.#self))
    else {
      this.#lose(change, errno, { kind: 'refused', errno })
      this.#givenUp.report()
    }
    if (change.visible) {
      this.#shown.withdraw(change)
      this.#shown.tellMounts(change)
    }
    this.#waiters.check()
  }

  #timeLeft({ deadline }: PendingChange): number {
    return deadline === undefined ? 0 : Math.max(0, deadline - this.#ports.monotonicMs())
  }

  #settle(change: PendingChange, errno: number): void {
    this.#forget(change)
    const done = this.#takeAnswer(change)
    if (done !== undefined) this.#agenda.answer(() => done(errno))
  }

  /** It is on its way no more; the journal keeps what it has of it. */
  #remove(change: PendingChange): void {
    this.#pending.remove(change)
    this.#forwarding.settled(change)
  }

  #forget(change: PendingChange): void {
    const { session, sequence } = change.proposal
    this.#remove(change)
    if (change.journalled) this.#log.unjournal(session, sequence)
  }

  /** Entries of this member's own that are cut from its log are proposed again by it (DESIGN §2, promise 5). */
  cutOff(index: number): void {
    for (const change of this.#pending.values()) {
      if (change.ordered !== undefined && change.ordered >= index) this.#cutOff(change)
    }
  }

  #cutOff(change: PendingChange): void {
    change.ordered = undefined
    // another member may hold the entry and bring it back: its outcome is not known before it is seen
    if (change.sentRound === 0) change.sentRound = -1
    this.#journal(change)
  }

  /**
   * What a program was told of outlives this process. Anything else is not journalled: taking it out again, when its
   * program is told that it failed, waits for no sync, so that a loss of power could bring it back.
   */
  #journal(change: PendingChange): void {
    if (!change.told || change.journalled) return
    this.#log.journal(journalRecord(change))
    change.journalled = true
  }

  /**
   * What waited too long fails: EROFS when it was never ordered, EIO when nobody knows. Time counts while nothing moves:
   * where one change after the other gets to its end, slowly, each has its turn.
   */
  expire(now: number): void {
    if (this.#hasLeader()) this.#leaderlessSince = undefined
    else this.#leaderlessSince ??= now
    for (const [waiting, end] of this.#roomless) {
      if (end > now) continue
      this.#roomless.delete(waiting)
      this.#agenda.answer(() => waiting.options.done(ENOSPC))
    }
    const isLate = (deadline: number, timeoutMs: number): boolean =>
      deadline <= now && this.#pending.movedAt + timeoutMs <= now
    const late = this.#waiting.filter(({ deadline, options }) => isLate(deadline, options.timeoutMs))
    if (late.length > 0) {
      this.#waiting = this.#waiting.filter(waiting => !late.includes(waiting))
      for (const { options } of late) this.#agenda.answer(() => options.done(EROFS))
    }
    for (const change of this.#pending.values()) {
      const { deadline, timeoutMs, accepted } = change
      if (deadline === undefined || accepted === undefined || !isLate(deadline, timeoutMs)) continue
      const done = this.#takeAnswer(change)!
      const never = this.#maybeWithdraw(change)
      this.#shown.tellMounts(change)
      this.#agenda.answer(() => done(never ? EROFS : EIO))
    }
  }

  /** The caller of an accepted change is going away and waits no longer. False: it has its answer. */
  #giveUp(change: PendingChange | undefined): boolean {
    change?.stopWaiting?.()
    if (change === undefined || this.#takeAnswer(change) === undefined) return false
    this.#maybeWithdraw(change)
    this.#shown.tellMounts(change)
    this.#agenda.turn()
    return true
  }

  /** Takes back a change that nobody was told of. One that was sent, or stands in the log, may come true. */
  #maybeWithdraw(change: PendingChange): boolean {
    if (change.sentRound !== 0 || change.ordered !== undefined) return false
    this.#forget(change)
    if (change.visible) this.#shown.withdraw(change)
    return true
  }

  failAll(): void {
    const waiting = [...this.#waiting, ...this.#roomless.keys()]
    this.#waiting = []
    this.#roomless.clear()
    for (const { options } of waiting) options.done(EIO)
    for (const change of this.#pending.values()) this.#takeAnswer(change)?.(EIO)
  }
}

function nothing(): void {
  // what was answered at once cannot be given up
}
