import { assert } from '../base/assert.js'
import { RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { electionTimeoutTicks } from '../base/limits.js'
import { membersDescriptor } from '../fs/apply.js'
import type { MembersOperation, Operation } from '../fs/operation.js'
import type { StateStore } from '../fs/store-port.js'
import type { TableView } from '../fs/table-view.js'
import type { View } from '../fs/view.js'
import type { Raft } from '../raft/raft.js'
import { noPledge } from '../raft/recovery.js'
import type { Configuration, Pledge, ProgressView, Role } from '../raft/types.js'
import type { Agenda } from './agenda.js'
import type { Blobs } from './blobs.js'
import { lastPlaced } from './change-number.js'
import type { Complaints } from './complaints.js'
import { configurationOf, decodeDescriptor, encodeDescriptor, type Descriptor, type Member } from './descriptor.js'
import type { Finding, Findings } from './findings.js'
import type { Health } from './health.js'
import type { HomeSlot } from './home-slot.js'
import { Inbox } from './inbox.js'
import type { ChannelLocks } from './locks/channel-locks.js'
import type { DamagedBlob, LogAnchor } from './log-port.js'
import { makeParts, type Parts } from './parts.js'
import type { PendingChanges } from './pending-changes.js'
import type { Pledges } from './pledges.js'
import type { ChangeOptions, ChannelEvents, ChannelObserver, ChannelPorts } from './ports.js'
import { membersTopic, type Roster } from './roster.js'
import type { ToldSpace } from './space-policy.js'
import type { HeldState } from './state-holds.js'
import type { StagedLog } from './staged-log.js'
import { makeCore, type ChannelOptions, type CoreHost } from './start.js'
import type { DescribedEntry, StoredEntry } from './stored-entry.js'
import type { PeerMessage, TransportEvents } from './transport-port.js'
import { defaultRetention } from './upkeep.js'
import type { Views } from './views.js'

export type { ChannelOptions }

/** Where nothing has happened for so long, digests are compared. */
const idleTicks = 10
/** How often it is looked whether what was found about members is over. */
const reviewTicks = 10
/** What could not be kept as a copy is tried again after so many: two seconds. */
const keepAgainTicks = 20
/** For so long collecting may make room on a full disk, before those that wait are told. */
const fullTicksMax = 10
/** Elections come to an end within some of their timeouts. */
const askOthersTicks = 10 * electionTimeoutTicks

/**
 * One channel's brain on one member: it orders changes while it leads, forwards them while it follows, applies the
 * committed log to the state, and shows its mounts the state with their own changes laid over it.
 *
 * Events come in as calls; what follows from them is staged, and goes out at the end of the turn (`#runTurn`): messages,
 * then the write to the log, then the answers that depend on it, then the sync. This class takes the events, runs the
 * turn and changes roles; the work is done by the parts it puts together.
 */
export class Channel implements TransportEvents {
  readonly self: MemberId
  readonly #ports: ChannelPorts
  readonly #events: ChannelEvents
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #agenda: Agenda
  readonly #health: Health
  readonly #complaints: Complaints
  readonly #views: Views
  readonly #roster: Roster
  readonly #pending: PendingChanges
  readonly #findings: Findings
  readonly #pledges: Pledges
  readonly #homeSlot: HomeSlot
  readonly #parts: Parts
  readonly #inbox: Inbox
  readonly blobs: Blobs
  /** Blobs that an open file without a name still shows (`OrphanFiles`). */
  readonly pinned: Map<number, number>
  /** The core's last change of role, until the channel has followed it. */
  #rolePending: { role: Role; term: number; leader: MemberId | undefined } | undefined
  #wasUsable = false
  #ticks = 0
  /** For so many ticks the disk has been full. */
  #fullTicks = 0

  constructor(options: ChannelOptions, ports: ChannelPorts, events: ChannelEvents) {
    const core = makeCore(options, ports, events, this.#host())
    this.self = options.self
    this.pinned = options.pinned ?? new Map()
    this.#ports = ports
    this.#events = events
    this.#log = core.log
    this.#raft = core.raft
    this.#agenda = core.agenda
    this.#health = core.health
    this.#complaints = core.complaints
    this.#views = core.views
    this.#roster = core.roster
    this.#pending = core.pending
    this.#findings = core.findings
    this.#pledges = core.pledges
    this.#homeSlot = core.homeSlot
    const retention = options.retention ?? defaultRetention
    this.#parts = makeParts(
      core,
      this.pinned,
      retention,
      options.space ?? {},
      options.copied,
      (descriptor, timeoutMs, done) => this.changeMembers(descriptor, timeoutMs, done),
    )
    this.#inbox = new Inbox(core, this.#parts)
    this.blobs = this.#parts.blobs
    this.#parts.earlier.recover()
    this.#raft.durable(this.#parts.durability.index)
    this.#turn()
  }

  // ---- what is asked of it ----

  /** The state as this member's programs see it. */
  get view(): View {
    return this.#views.view
  }
  /** What is shown of own changes is about to be laid over the state anew. */
  get viewIsStale(): boolean {
    return this.#views.stale
  }
  get table(): TableView {
    return this.#views.table
  }
  get descriptor(): Descriptor {
    return this.#roster.descriptor
  }
  /** Whom this member talks to: those of the descriptor, and those that the log may add to it. */
  get peers(): readonly Member[] {
    return this.#roster.peers
  }
  /** Changes that an earlier run of the process left, and whose fate is not known yet. */
  get leftByEarlierRuns(): number {
    return this.#parts.earlier.size
  }
  /** Changes that are given up, and whose data could not be kept as copies yet. */
  get notKept(): number {
    return this.#parts.givenUp.size
  }
  /** A session is open: changes are taken at once where somebody orders them. */
  get hasSession(): boolean {
    return this.#parts.own.hasSession
  }
  /** The slot of this member's inode numbers; undefined until it is admitted. */
  get slot(): number | undefined {
    const { slot } = this.#roster
    return slot === this.#homeSlot.value ? slot : undefined
  }
  /** The highest inode number that the applied state knows of this member's; 0: none. */
  get highestInode(): number {
    return lastPlaced(this.#views.table, this.self)?.inode ?? 0
  }
  get role(): Role {
    return this.#raft.role
  }
  get leader(): MemberId | undefined {
    return this.#raft.leader
  }
  get term(): number {
    return this.#raft.term
  }
  get lastIndex(): number {
    return this.#log.lastIndex
  }
  get firstIndex(): number {
    return this.#log.firstIndex
  }
  get durableIndex(): number {
    return this.#ports.log.durableIndex
  }
  get commitIndex(): number {
    return this.#raft.commitIndex
  }
  get appliedIndex(): number {
    return this.#views.applied.index
  }
  get applied(): { index: number; term: number; hash: Uint8Array } {
    return this.#views.applied
  }
  get configuration(): Configuration {
    return this.#raft.configuration
  }
  get transferring(): MemberId | undefined {
    return this.#raft.transferring
  }
  get reachableVoters(): number {
    return this.#raft.reachableVoters()
  }
  get pending(): { operations: number; bytes: number } {
    return { operations: this.#parts.own.operations, bytes: this.#pending.bytes }
  }
  get diskFull(): string | undefined {
    return this.#health.diskFull
  }
  /** How full a member's disk is, this one's or another's, as it said last; undefined: it did not. */
  spaceOf(member: MemberId): ToldSpace | undefined {
    return this.#parts.space.of(member)
  }
  /** What programs can really write: what this member and those that order it have room for, in bytes; undefined: unknown. */
  get writableBytes(): number | undefined {
    return this.#parts.space.writable
  }
  /** Whether new content is refused for want of room, and where; undefined: it is not. */
  get lacksRoom(): 'here' | 'elsewhere' | undefined {
    return this.#parts.space.lacksRoom
  }
  get failure(): string | undefined {
    return this.#health.failure
  }
  get quarantine(): string | undefined {
    return this.#health.quarantine
  }
  /** The first thing that could not be read from this member's disk, and no other member has; what is whole is still served. */
  get damage(): string | undefined {
    return this.#health.damage ?? this.#parts.healing.lost
  }
  /** Blobs that this member's disk has lost: those that others are asked for, and those that came from them. */
  get healing(): { readonly wanted: number; readonly healed: number } {
    const { wanted, healed } = this.#parts.healing
    return { wanted, healed }
  }
  /**
   * Another member contradicts what is committed here, and no majority says which is right: the present leader's log, of
   * which nothing is taken, or somebody's state. What is here is still served.
   */
  get contradiction(): string | undefined {
    return this.#parts.link.contradiction ?? this.#parts.digests.undecided
  }
  /** What a member did lately that none should, for its line in the status. */
  complaintAbout(member: MemberId): string | undefined {
    return this.#complaints.latest(member)
  }
  /** Why this member neither votes nor counts: its home lacks what it acknowledged, and is brought up to date. */
  get recovering(): string | undefined {
    return this.#parts.standing.recovering
  }
  /** Whether a member gets files from here: the log names it. Whom others only vouch for is talked to, no more. */
  gives(member: MemberId): boolean {
    return this.#parts.order.serves(member) || this.#roster.isLogged(member)
  }
  /** What this member remembers that another holds. */
  pledgeOf(member: MemberId): Pledge {
    return this.#pledges.of(member)?.pledge ?? noPledge
  }
  /** What is wrong with members, this one or others, by name. */
  get findings(): readonly Finding[] {
    return this.#findings.all
  }
  /** The state was lost, and the log does not reach back to its beginning: another member must give it. */
  get stateMissing(): boolean {
    return this.#health.stateMissing
  }
  get restoring(): boolean {
    return this.#health.restoring
  }
  get serving(): boolean {
    return this.#health.serving
  }
  /**
   * Programs may see what is here. Where the state is missing, or this member is still being brought up to date, all their
   * calls fail: they would see less than there is, and take it for all.
   */
  get usable(): boolean {
    if (!this.#health.serving || this.#roster.isCatchingUp) return false
    // a state that does not name this member, and never has, is from before its admission: that of one that was removed does
    return this.#roster.isNamed || lastPlaced(this.#views.table, this.self) !== undefined
  }

  /** Locks that hold across the members (`-o locks=channel`). */
  get locks(): ChannelLocks {
    return this.#parts.locks
  }

  progress(member: MemberId): ProgressView | undefined {
    return this.#raft.progress(member)
  }
  position(member: MemberId): { lastIndex: number; durableIndex: number; appliedIndex: number } | undefined {
    return this.#parts.positions.of(member)
  }
  /** Bytes of log between an index and the end, capped for the sake of its cost. */
  lagBytes(from: number): number {
    return this.#log.bytesAfter(from)
  }
  digest(): { index: number; hash: string } {
    return this.#parts.digests.own
  }
  /** Whether the digest of what is stored is what its records amount to (`verify`). */
  checkDigest(records: Iterable<Uint8Array>): boolean {
    return this.#parts.digests.check(records)
  }
  /** An entry without its payload. */
  describe(index: number): DescribedEntry | undefined {
    if (index < this.#log.firstIndex || index > this.#log.lastIndex) return undefined
    return this.#log.described(index)
  }
  entry(index: number): StoredEntry | undefined {
    if (index < this.#log.firstIndex || index > this.#log.lastIndex) return undefined
    return this.#log.entry(index)
  }

  observe(observer: ChannelObserver): () => void {
    return this.#views.observe(observer)
  }

  /**
   * Makes a change. Content changes (write, append, truncate, allocate) are answered as soon as this member shows them
   * and the log or journal has them; all others when they are ordered, on a leader that hides nothing from its mounts, or
   * committed and applied.
   * Answers a way to give up waiting (its program dies): it then fails with EINTR if it was not ordered yet.
   */
  change(operation: Operation, payload: Uint8Array, options: ChangeOptions): () => void {
    return this.#parts.own.submit('change', operation, payload, options)
  }

  /** How long a write may be now that is one change; longer ones are made in pieces (`writeInPieces`). */
  get writeBytes(): number {
    return this.#parts.own.writeBytes
  }

  /** See `OwnChanges.isThin`. */
  get isThin(): boolean {
    return this.#parts.own.isThin
  }

  /** Changes the membership; `done` as for `change`, EAGAIN when another change of it is under way. */
  changeMembers(descriptor: Descriptor, timeoutMs: number, done: (errno: number) => void): void {
    const operation: MembersOperation = {
      kind: 'members',
      version: descriptor.version,
      descriptor: encodeDescriptor(descriptor),
    }
    this.#parts.own.submit('members', operation, new Uint8Array(0), { timeoutMs, durable: true, done })
  }

  /** Sequence number of the newest change of this member; all with a number up to it are waited for by `whenDurable`. */
  get lastSequence(): number {
    return this.#parts.own.lastSequence
  }

  /** A file that had lost its last name was closed: none of its changes is lost if it is refused for that. */
  closedNameless(ino: number): void {
    this.#parts.own.closedNameless(ino)
  }

  /** Whether this member's changes up to `sequence` are on a majority. */
  isDurable(sequence: number): boolean {
    return this.#parts.waiters.isDurable(sequence)
  }

  /** See `Waiters.whenDurable`. */
  whenDurable(sequence: number, timeoutMs: number, done: (errno: number) => void, isPatient = true): () => void {
    this.#parts.writes.close()
    return this.#parts.waiters.whenDurable(sequence, timeoutMs, done, isPatient)
  }

  /** Waits until this member has applied all that was committed, or ordered by the leader, when the call began. */
  readBarrier(timeoutMs: number, done: (errno: number) => void): () => void {
    return this.#parts.waiters.readBarrier(timeoutMs, done)
  }

  /** Nobody leads for the moment, so that what was acknowledged last may not be shown here yet (`untilLed`). */
  get isBetweenLeaders(): boolean {
    return this.#parts.interregnum.isOn
  }

  /** Waits until this member has caught up with the next leader, or none is found for some seconds. */
  untilLed(timeoutMs: number, done: (errno: number) => void): () => void {
    return this.#parts.interregnum.wait(timeoutMs, done)
  }

  /** Waits until the applied state has reached an index. */
  whenApplied(index: number, timeoutMs: number, done: (errno: number) => void): void {
    this.#parts.waiters.whenApplied(index, timeoutMs, done)
  }

  transferLeadership(to: MemberId): boolean {
    const started = this.#raft.transferLeadership(to)
    this.#agenda.hurry()
    this.#turn()
    return started
  }

  /** Of two voters the other one is gone for good: this one decides alone. Throws `refused` with the reason. */
  giveUpVoter(member: MemberId): void {
    this.#parts.lostVoter.giveUp(member)
    this.#agenda.hurry()
    this.#turn()
  }

  note(to: MemberId, topic: string, body: string): boolean {
    return this.#ports.transport.send(to, { kind: 'note', topic, body })
  }

  /** See `BlobHealing.want`. */
  heal(error: DamagedBlob, timeoutMs: number, done: (leftMs: number | undefined) => void): () => void {
    return this.#parts.healing.want(error, timeoutMs, done)
  }

  /** Writes the applied state out and keeps it as it is on disk for who opens it. See `StateHolds.take`. */
  holdState(exact: boolean, taken: (held: HeldState | undefined) => void): void {
    this.#parts.holds.take(exact, taken)
  }

  /** The state that was on disk was copied (`ChannelEvents.copyState`); undefined: it could not be. */
  stateCopied(copy: { readonly index: number; readonly bytes: number } | undefined): void {
    this.#parts.upkeep.stateCopied(copy)
  }

  /** Drops what no member needs any more from the log. */
  compact(): void {
    this.#parts.upkeep.compact()
  }

  // ---- time and network ----

  tick(): void {
    if (this.#agenda.closed || this.#health.failure !== undefined) return
    this.#guard(() => this.#tick())
    this.#turn()
  }

  #tick(): void {
    this.#ticks++
    this.#agenda.hurry()
    const health = this.#health
    if (health.sound && !health.restoring) health.guardDisk(() => this.#raft.tick())
    this.#parts.space.measure(this.#ticks)
    this.#expire()
    this.#parts.standing.tick()
    this.#parts.secondRuns.tick()
    this.#parts.lostVoter.tick()
    if (this.#ticks % reviewTicks === 0) this.#parts.proofs.review()
    this.#watchUsable()
    this.#parts.interregnum.tick()
    if (!this.#parts.positions.maybeAnnounce(this.#ticks) && this.#ticks % idleTicks === 0) this.#parts.digests.idle()
    if (this.#ticks % keepAgainTicks === 0) this.#parts.givenUp.report()
    if (health.stateMissing && !health.restoring) this.#askForState()
    if (this.#raft.role === 'leader') {
      this.#parts.contact.leads()
      this.#parts.duties.tick(this.#ticks)
      this.#parts.relocation.tick()
    } else this.#parts.relocation.stop()
    const { relocation, space, upkeep } = this.#parts
    upkeep.tick(this.#ticks, space.mayLoosen(relocation.mayGiveBack))
    this.#parts.holds.tick()
    this.#parts.healing.tick()
    this.#parts.locks.tick()
  }

  /**
   * Of the leader; of any other where nobody leads, which may be so because only this member's log is up to date. But
   * seldom: who takes a snapshot in does not vote meanwhile.
   */
  #askForState(): void {
    let from = this.#raft.leader
    if (from === undefined && this.#ticks % askOthersTicks === 0) {
      const others = this.peers.filter(({ id }) => id !== this.self && this.#ports.transport.connected(id))
      from = others[(this.#ticks / askOthersTicks) % others.length]?.id
    }
    if (from !== undefined) this.#events.snapshotNeeded(from, this.appliedIndex)
  }

  /** What kernels keep of a mount is forgotten when its calls begin to fail. */
  #watchUsable(): void {
    if (this.#wasUsable && !this.usable) this.#views.invalidateAll()
    this.#wasUsable = this.usable
  }

  #expire(): void {
    const now = this.#ports.monotonicMs()
    this.#parts.own.expire(now)
    this.#parts.waiters.expire(now)
    // answers that wait for a full disk: what a majority holds is true without this member's copy
    this.#fullTicks = this.#health.diskFull === undefined ? 0 : this.#fullTicks + 1
    if (this.#fullTicks >= fullTicksMax) this.#agenda.giveAnswers(false)
  }

  message(from: MemberId, message: PeerMessage): void {
    if (this.#agenda.closed) return
    if (message.kind === 'note' && message.topic === membersTopic) return this.#roster.hear(from, message.body)
    if (message.kind === 'note') return this.#events.note(from, message.topic, message.body)
    if (!this.#health.sound) return
    if (message.kind === 'greeting') {
      this.#guard(() => this.#parts.standing.hear(from, message))
      return this.#turn()
    }
    if (this.#health.restoring) {
      // whoever is to send the snapshot may need it from this member
      if (message.kind === 'blob-wanted') {
        this.#guard(() => this.#parts.healing.serve(from, message.id, message.term))
        this.#turn()
      }
      return
    }
    this.#guard(() => this.#inbox.take(from, message))
    this.#turn()
  }

  heard(from: MemberId): void {
    if (!this.#agenda.closed && this.#health.sound && !this.#health.restoring) this.#inbox.heardPart(from)
  }

  connected(member: MemberId): void {
    this.#agenda.hurry()
    this.#raft.disconnected(member)
    this.#parts.standing.greet(member)
    if (member === this.#raft.leader) {
      this.#parts.forwarding.restart()
      this.#parts.waiters.askAgain()
    }
    this.#parts.locks.connected(member)
    this.#parts.positions.announceAgain()
    this.#parts.digests.connected(member)
    this.#roster.greet(member)
    this.#turn()
  }

  /** The transport has refused a second node with a member's identity. */
  secondRun(member: MemberId): void {
    this.#parts.secondRuns.refused(member)
  }

  /** The transport of a member refuses this node: it is connected to another one with the same identity. */
  refusedAsSecond(by: MemberId): void {
    this.#parts.secondRuns.refusedBy(by)
  }

  disconnected(member: MemberId): void {
    this.#raft.disconnected(member)
    this.#parts.order.disconnected(member)
    this.#turn()
  }

  // ---- the turn ----

  /** Ends the event at hand; the rest of the turn runs when all events that are ready have been dealt with. */
  #turn(): void {
    if (this.#rolePending !== undefined) this.#guard(() => this.#changeRole())
    this.#agenda.schedule()
  }

  /** What cannot be read or does not fit stops this member: it must say nothing that rests on it. */
  #guard(step: () => void): void {
    try {
      step()
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#health.fail(error)
    }
  }

  #runTurn(): void {
    if (this.#health.failure !== undefined) return
    this.#parts.applier.applyUpTo(this.#mayApply)
    this.#parts.own.settleRefused()
    this.#parts.waiters.check()
    const { stale } = this.#views
    if (stale || this.#views.mayJoin) this.#parts.own.refresh()
    this.#views.tellDifferences()
    if (stale) this.#views.viewChanged()
    this.#parts.own.drain()
    const push = this.#agenda.takePush(this.#parts.waiters.any || this.#parts.own.anyUnanswered)
    if (push) {
      this.#parts.writes.close()
      this.#parts.forwarding.send()
      this.#parts.link.send()
      failpoint('messages-sent')
    }
    if (this.#parts.durability.persist()) {
      this.#parts.durability.note()
      this.#agenda.giveAnswers(true)
      failpoint('answers-given')
      if (push) this.#parts.durability.sync()
      if (this.#agenda.hasAnswers) this.#turn()
    }
    const isWriting = this.#parts.upkeep.step()
    const hasMore = this.appliedIndex < this.#mayApply && !this.#parts.holds.standsStill
    if (this.#rolePending !== undefined || hasMore || isWriting) this.#turn()
  }

  /** Committed, and durable here: otherwise a power cut could take out of the log what the state holds. */
  get #mayApply(): number {
    return this.#health.stateMissing ? 0 : Math.min(this.#raft.commitIndex, this.#parts.durability.index)
  }

  // ---- the consensus core ----

  #host(): CoreHost {
    return {
      turn: () => this.#turn(),
      endTurn: () => this.#guard(() => this.#runTurn()),
      stopped: reason => this.#stopServing(reason),
      truncating: index => this.#truncating(index),
      committed: () => {},
      roleChanged: (role, term, leader) => {
        this.#rolePending = { role, term, leader }
      },
      readReady: (context, index) => this.#parts.waiters.readReady(context, index),
      configurationChanged: () => {},
      snapshotNeeded: (from, index) => this.#events.snapshotNeeded(from, index),
      // without a state it would refuse whatever rests on one
      mayLead: () => !this.#health.stateMissing && !this.#parts.secondRuns.suspended,
      mayVote: () => this.#parts.standing.settled && !this.#parts.secondRuns.suspended,
      rolledBack: (member, acknowledged) => this.#parts.standing.rolledBack(member, acknowledged),
      lacks: (index, term, member) => this.#parts.proofs.lacks(index, term, member),
      twoLeaders: (one, other, term) => this.#parts.proofs.twoLeaders(one, other, term),
      recovered: () => this.#parts.standing.recovered(),
    }
  }

  #changeRole(): void {
    const { role, term, leader } = this.#rolePending!
    this.#rolePending = undefined
    const leading = role === 'leader'
    if (leading && !this.#views.leading) this.#takeLead()
    else if (!leading && this.#views.leading) this.#leaveLead()
    if (!leading) this.#parts.forwarding.restart()
    this.#parts.waiters.askAgain()
    this.#parts.locks.roleChanged(role, term, leader, this.lastIndex)
    this.#events.roleChanged(role, term, leader)
    if (this.#rolePending !== undefined) this.#changeRole()
  }

  #takeLead(): void {
    this.#parts.writes.close()
    this.#parts.order.clear()
    this.#parts.writers.clear()
    this.#parts.applier.layLogOver()
    failpoint('leader-elected')
    this.#parts.order.appendNoop()
    this.#parts.order.resumeOwn(this.#parts.contact.resume())
    this.#parts.own.orderAll()
  }

  #leaveLead(): void {
    this.#views.leave()
    this.#parts.writes.close()
    this.#parts.shown.part()
  }

  /** Entries from `index` on are about to be cut from this member's log. */
  #truncating(index: number): void {
    this.#parts.durability.cut(index)
    // other entries will have these numbers, and so will their blobs
    this.blobs.clear()
    this.#parts.own.cutOff(index)
    this.#parts.earlier.cutOff(index)
  }

  // ---- restoring and stopping ----

  /**
   * The channel stands still while a snapshot replaces its state. False, and nothing begins: the disk has no room for what
   * must outlive that.
   */
  beginRestore(): boolean {
    this.#parts.own.journalUncommitted()
    this.#parts.earlier.journalUncommitted(this.#raft.commitIndex)
    const { durability } = this.#parts
    this.#health.restoring =
      durability.persist() || (this.#health.diskFull !== undefined && durability.persistJournal())
    return this.#health.restoring
  }

  /**
   * While it stands still: the snapshot contradicts this log from `index` on, which is not committed and is cut. Throws
   * `disk-full` when that cannot be written; the next turn tries it again.
   */
  contradicted(index: number): void {
    this.#raft.truncateFrom(index)
    this.#log.persist()
  }

  /** Whether the members in a snapshot are of this channel. Throws `corrupt` if not: whoever sent it is no member of it. */
  checkMembers(descriptor: Uint8Array | undefined): void {
    const { id, name, owner } = this.descriptor
    const told = descriptor === undefined ? undefined : decodeDescriptor(descriptor)
    if (told?.id === id && told.name === name && told.owner === owner && told.members.length > 0) return
    throw new RkfsError('corrupt', 'a snapshot without the members of this channel')
  }

  /** What was begun cannot be finished: the channel stops here until it is opened anew. */
  fail(error: RkfsError): void {
    this.#health.fail(error)
  }

  /** A snapshot was installed (or not, without `result`): the channel goes on from it. */
  restored(result: { state: StateStore; anchor: LogAnchor } | undefined): void {
    this.#health.restoring = false
    // the leader's words were passed over meanwhile
    this.#parts.forwarding.restart()
    this.#parts.waiters.askAgain()
    if (result === undefined) return this.#turn()
    const { state, anchor } = result
    this.#views.replace(state, { index: anchor.index, term: anchor.term, hash: anchor.hash })
    this.#parts.upkeep.restored(state, anchor.index)
    this.#parts.durability.restored(anchor.index)
    this.#health.stateMissing = false
    this.#log.reopened()
    this.blobs.clear()
    const stored = membersDescriptor(this.#views.table)
    assert(stored !== undefined, 'a snapshot carries the members')
    const descriptor = decodeDescriptor(stored)
    this.#raft.restored(anchor.index, anchor.term, configurationOf(descriptor))
    this.#roster.descriptor = descriptor
    this.#views.invalidateAll()
    this.#parts.own.restored()
    this.#turn()
  }

  #stopServing(reason: string): void {
    this.#failAll()
    this.#agenda.giveAnswers(false)
    if (reason === this.quarantine) this.#roster.tellOthers({ kind: 'diverged', index: this.appliedIndex, reason })
    if (reason === this.failure) this.#events.failed(reason)
    else this.#events.quarantined(reason)
  }

  #failAll(): void {
    this.#parts.own.failAll()
    this.#parts.waiters.failAll()
    this.#parts.locks.failAll()
    this.#parts.healing.failAll()
    this.#parts.holds.failAll()
  }

  /** Ends all waiting, writes the state out and lets go. The stores are closed by who opened them. */
  stop(): void {
    if (this.#agenda.closed) return
    let isWritten = false
    if (this.serving) {
      isWritten = this.#parts.durability.persist()
      this.#parts.upkeep.flush()
    }
    this.#pledges.save()
    this.#agenda.close()
    this.#failAll()
    this.#agenda.giveAnswers(isWritten)
  }
}
