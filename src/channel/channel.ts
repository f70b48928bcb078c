import { assert, unreachable } from '../base/assert.js'
import { equalBytes, toHex } from '../base/bytes.js'
import { RkfsError } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import { appendBytesMax, electionTimeoutTicks, heartbeatTicks, inflightBytesMax } from '../base/limits.js'
import { membersDescriptor } from '../fs/apply.js'
import type { MembersOperation, Operation } from '../fs/operation.js'
import type { StateStore } from '../fs/store-port.js'
import type { TableView } from '../fs/table-view.js'
import type { View } from '../fs/view.js'
import { Raft } from '../raft/raft.js'
import type { Configuration, RaftHost, Role } from '../raft/types.js'
import { Agenda } from './agenda.js'
import { Applier } from './applier.js'
import { Appender } from './appender.js'
import { Blobs } from './blobs.js'
import type { Core } from './core.js'
import { configurationOf, decodeDescriptor, encodeDescriptor, type Descriptor } from './descriptor.js'
import { DigestExchange } from './digest-exchange.js'
import { Durability } from './durability.js'
import { Forwarding } from './forwarding.js'
import { Health } from './health.js'
import { LeaderDuties } from './leader-duties.js'
import { LeaderOrder } from './leader-order.js'
import type { LogAnchor } from './log-port.js'
import { OwnChanges } from './own-changes.js'
import { PendingChanges } from './pending-changes.js'
import type { ChangeOptions, ChannelEvents, ChannelObserver, ChannelPorts } from './ports.js'
import { Positions } from './positions.js'
import { RaftLink } from './raft-link.js'
import { openSession, recoverPending } from './recovery.js'
import { Roster } from './roster.js'
import { SmallWrites } from './small-writes.js'
import { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'
import type { PeerMessage, TransportEvents } from './transport-port.js'
import { Upkeep } from './upkeep.js'
import { Views } from './views.js'
import { Waiters } from './waiters.js'
import { WriterBook } from './writer-book.js'

export interface ChannelOptions {
  readonly self: MemberId
  readonly seed: number
  /** Who is in the channel as far as is known before the state says so (a newcomer's invitation). */
  readonly descriptor: Descriptor
}

/** Entries that `lagBytes` looks at. */
const lagEntriesMax = 100_000

/**
 * One channel's brain on one member: it orders changes while it leads, forwards them while it follows, applies the
 * committed log to the state, and shows its mounts the state with their own changes laid over it.
 *
 * Events come in as calls; what follows from them is staged, and goes out at the end of the turn (`#endTurn`): messages,
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
  readonly #views: Views
  readonly #roster: Roster
  readonly #pending = new PendingChanges()
  readonly #writers = new WriterBook()
  readonly #durability: Durability
  readonly #link: RaftLink
  readonly #writes: SmallWrites
  readonly #order: LeaderOrder
  readonly #duties: LeaderDuties
  readonly #forwarding: Forwarding
  readonly #waiters: Waiters
  readonly #own: OwnChanges
  readonly #positions: Positions
  readonly #digests: DigestExchange
  readonly #applier: Applier
  readonly #upkeep: Upkeep
  readonly blobs: Blobs
  /** Blobs that an open file without a name still shows (`OrphanFiles`). */
  readonly pinned = new Map<number, number>()
  /** The core's last change of role, until the channel has followed it. */
  #rolePending: { role: Role; term: number; leader: MemberId | undefined } | undefined
  #ticks = 0

  constructor(options: ChannelOptions, ports: ChannelPorts, events: ChannelEvents) {
    const { self } = options
    const { log, state, hasher } = ports
    this.self = self
    this.#ports = ports
    this.#events = events
    this.#agenda = new Agenda(
      ports,
      () => this.#turn(),
      () => this.#endTurn(),
    )
    this.#health = new Health(ports.report, reason => this.#stopServing(reason))
    this.#log = new StagedLog(log, hasher)
    this.#views = new Views(state, hasher, error => this.#health.damaged(error))
    const { applied } = this.#views
    if (applied.index > this.#log.lastIndex) {
      throw new RkfsError(
        'corrupt',
        `the log ends at entry ${this.#log.lastIndex}, but entry ${applied.index} was applied already: the log was damaged or replaced`,
      )
    }
    if (applied.index < log.anchor.index) {
      this.#health.stateMissing = true
      this.#views.standAt(log.anchor)
    }
    const stored = membersDescriptor(this.#views.table)
    const descriptor = stored === undefined ? options.descriptor : decodeDescriptor(stored)
    this.#roster = new Roster(self, descriptor, ports.transport, changed => events.descriptorChanged(changed))
    // syncs the log: what a crash left written is on stable storage from here on
    const session = openSession(ports, this.#views.table, self)
    this.#log.onTruncate = index => this.#truncating(index)
    this.#raft = new Raft<StoredEntry>(
      {
        id: self,
        hardState: log.hardState,
        commitIndex: this.#views.applied.index,
        configuration: configurationOf(descriptor),
        electionTimeoutTicks,
        heartbeatTicks,
        appendBytesMax,
        inflightBytesMax,
        seed: options.seed,
      },
      this.#raftHost(),
    )
    const core: Core = {
      self,
      session,
      ports,
      events,
      log: this.#log,
      raft: this.#raft,
      views: this.#views,
      roster: this.#roster,
      pending: this.#pending,
      agenda: this.#agenda,
      health: this.#health,
    }
    this.#durability = new Durability(core)
    this.#link = new RaftLink(core)
    const appender = new Appender(core)
    this.#writes = new SmallWrites(core, appender, this.#writers)
    this.#order = new LeaderOrder(core, this.#writes, appender, this.#writers)
    this.#duties = new LeaderDuties(core, this.#order, this.#writers, this.changeMembers.bind(this))
    this.#forwarding = new Forwarding(core)
    this.#waiters = new Waiters(core)
    this.#own = new OwnChanges(core, this.#writes, appender, this.#order, this.#forwarding, this.#waiters)
    this.#positions = new Positions(core)
    this.#digests = new DigestExchange(core)
    this.#applier = new Applier(core, this.#writes, appender, this.#own, this.#digests)
    this.blobs = new Blobs(log, id => this.#writes.blob(id) ?? (id < 0 ? this.#own.blob(id) : this.#log.recentBlob(id)))
    this.blobs.onDamage = error => this.#health.damaged(error)
    this.#upkeep = new Upkeep(core, this.#positions, this.blobs, this.pinned)
    recoverPending(core)
    this.#raft.durable(this.#durability.index)
    this.#turn()
  }

  // ---- what is asked of it ----

  /** The state as this member's programs see it. */
  get view(): View {
    return this.#views.view
  }
  get table(): TableView {
    return this.#views.table
  }
  get descriptor(): Descriptor {
    return this.#roster.descriptor
  }
  /** The slot of this member's inode numbers; undefined until it is admitted. */
  get slot(): number | undefined {
    return this.#roster.slot
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
    return { operations: this.#own.operations, bytes: this.#pending.bytes }
  }
  get diskFull(): string | undefined {
    return this.#health.diskFull
  }
  get failure(): string | undefined {
    return this.#health.failure
  }
  get quarantine(): string | undefined {
    return this.#health.quarantine
  }
  /** The first thing that could not be read from this member's disk; what is whole is still served. */
  get damage(): string | undefined {
    return this.#health.damage
  }
  get restoring(): boolean {
    return this.#health.restoring
  }
  get serving(): boolean {
    return this.#health.serving
  }

  progress(member: MemberId): { match: number; active: boolean } | undefined {
    return this.#raft.progress(member)
  }
  position(member: MemberId): { lastIndex: number; durableIndex: number; appliedIndex: number } | undefined {
    return this.#positions.of(member)
  }
  /** Bytes of log between an index and the end, capped for the sake of its cost. */
  lagBytes(from: number): number {
    let bytes = 0
    for (let index = Math.max(from + 1, this.#log.firstIndex); index <= this.#log.lastIndex; index++) {
      bytes += this.#log.size(index)
      if (index - from > lagEntriesMax) break
    }
    return bytes
  }
  digest(): { index: number; hash: string } {
    return { index: this.#views.applied.index, hash: toHex(this.#views.table.digest()) }
  }
  /** Whether the digest of what is stored is what its records amount to (`verify`). */
  checkDigest(records: Iterable<Uint8Array>): boolean {
    const sum = new Uint8Array(32)
    for (const hash of records) for (let i = 0; i < 32; i++) sum[i]! ^= hash[i]!
    return equalBytes(sum, this.#views.table.digest())
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
   * and the log or journal has them; all others when they are ordered, on the leader, or committed and applied, elsewhere.
   * Answers a way to give up waiting (a signal): it then fails with EINTR if it was not ordered yet.
   */
  change(operation: Operation, payload: Uint8Array, options: ChangeOptions): () => void {
    return this.#own.submit('change', operation, payload, options)
  }

  /** Changes the membership; `done` as for `change`, EAGAIN when another change of it is under way. */
  changeMembers(descriptor: Descriptor, timeoutMs: number, done: (errno: number) => void): void {
    const operation: MembersOperation = {
      kind: 'members',
      version: descriptor.version,
      descriptor: encodeDescriptor(descriptor),
    }
    this.#own.submit('members', operation, new Uint8Array(0), { timeoutMs, durable: true, done })
  }

  /** Sequence number of the newest change of this member; all with a number up to it are waited for by `whenDurable`. */
  get lastSequence(): number {
    return this.#own.lastSequence
  }

  /** Waits until this member's changes up to `sequence` are on a majority; `whole`: and all that its view shows now. */
  whenDurable(sequence: number, whole: boolean, timeoutMs: number, done: (errno: number) => void): () => void {
    this.#writes.close()
    return this.#waiters.whenDurable(sequence, whole, timeoutMs, done)
  }

  /** Waits until this member has applied all that was committed when the call began (`read=latest`). */
  readBarrier(timeoutMs: number, done: (errno: number) => void): void {
    this.#waiters.readBarrier(timeoutMs, done)
  }

  /** Waits until the applied state has reached an index. */
  whenApplied(index: number, timeoutMs: number, done: (errno: number) => void): void {
    this.#waiters.whenApplied(index, timeoutMs, done)
  }

  transferLeadership(to: MemberId): boolean {
    const started = this.#raft.transferLeadership(to)
    this.#agenda.hurry()
    this.#turn()
    return started
  }

  note(to: MemberId, topic: string, body: string): boolean {
    return this.#ports.transport.send(to, { kind: 'note', topic, body })
  }

  /** Writes the applied state out and keeps it as it is on disk until `release` (a snapshot is being opened). */
  holdFlush(): { index: number; release: () => void } {
    return this.#upkeep.hold()
  }

  /** Drops what no member needs any more from the log. */
  compact(): void {
    this.#upkeep.compact()
  }

  // ---- time and network ----

  tick(): void {
    if (this.#agenda.closed) return
    this.#ticks++
    this.#agenda.hurry()
    const health = this.#health
    if (health.sound && !health.restoring) health.guardDisk(() => this.#raft.tick())
    this.#expire()
    if (!this.#positions.maybeAnnounce(this.#ticks) && this.#ticks % idleTicks === 0) this.#digests.idle()
    if (health.stateMissing && !health.restoring) {
      const { leader } = this.#raft
      if (leader !== undefined && leader !== this.self) this.#events.snapshotNeeded(leader, this.appliedIndex)
    }
    if (this.#raft.role === 'leader') this.#duties.tick(this.#ticks)
    this.#upkeep.tick(this.#ticks)
    this.#turn()
  }

  #expire(): void {
    const now = this.#ports.monotonicMs()
    this.#own.expire(now)
    this.#waiters.expire(now)
    // answers that wait for a full disk: what a majority holds is true without this member's copy
    if (this.#health.diskFull !== undefined) this.#agenda.giveAnswers()
  }

  message(from: MemberId, message: PeerMessage): void {
    if (this.#agenda.closed) return
    if (message.kind === 'note') return this.#events.note(from, message.topic, message.body)
    if (!this.#health.sound || this.#health.restoring) return
    this.#raft.heard(from)
    if (!acknowledges(message)) this.#agenda.hurry()
    switch (message.kind) {
      case 'raft':
        this.#link.step(from, message.message)
        break
      case 'propose':
        this.#order.receive(from, message.restart, message.first, message.proposals)
        break
      case 'propose-refused':
        for (const { sequence, errno } of message.refusals) {
          if (from === this.#raft.leader) this.#own.refuse(message.session, sequence, errno, message.index)
        }
        break
      case 'propose-again':
        if (from === this.#raft.leader) this.#forwarding.restart()
        break
      case 'digest':
        this.#digests.hear(from, message.index, message.hash)
        break
      case 'diverged':
        this.#ports.report('warn', `member ${from} says that it differs: ${message.reason}`, { index: message.index })
        break
      case 'position':
        this.#positions.hear(from, message)
        break
      default:
        unreachable(message)
    }
    this.#turn()
  }

  connected(member: MemberId): void {
    this.#agenda.hurry()
    this.#raft.disconnected(member)
    if (member === this.#raft.leader) {
      this.#forwarding.restart()
      this.#waiters.askAgain()
    }
    this.#positions.announceAgain()
    this.#turn()
  }

  disconnected(member: MemberId): void {
    this.#raft.disconnected(member)
    this.#order.disconnected(member)
    this.#turn()
  }

  // ---- the turn ----

  /** Ends the event at hand; the rest of the turn runs when all events that are ready have been dealt with. */
  #turn(): void {
    if (this.#rolePending !== undefined) this.#changeRole()
    this.#agenda.schedule()
  }

  /** What cannot be read or does not fit stops this member: it must say nothing that rests on it. */
  #endTurn(): void {
    try {
      this.#runTurn()
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#health.fail(error)
    }
  }

  #runTurn(): void {
    if (this.#health.failure !== undefined) return
    this.#applier.applyUpTo(this.#mayApply)
    this.#waiters.check()
    if (this.#views.stale) {
      this.#applier.rebuildOverlay()
      this.#views.viewChanged()
    }
    this.#own.drain()
    const push = this.#agenda.takePush(this.#waiters.any || this.#own.anyUnanswered)
    if (push) {
      this.#writes.close()
      this.#forwarding.send()
      this.#link.send()
    }
    if (this.#durability.persist()) {
      this.#durability.note()
      this.#agenda.giveAnswers()
      if (push) this.#durability.sync()
      if (this.#agenda.hasAnswers) this.#turn()
    }
    if (this.#rolePending !== undefined || this.appliedIndex < this.#mayApply) this.#turn()
  }

  /** Committed, and durable here: otherwise a power cut could take out of the log what the state holds. */
  get #mayApply(): number {
    return this.#health.stateMissing ? 0 : Math.min(this.#raft.commitIndex, this.#durability.index)
  }

  // ---- the consensus core ----

  #raftHost(): RaftHost<StoredEntry> {
    return {
      log: this.#log,
      saveHardState: state => this.#ports.log.saveHardState(state),
      committed: () => {},
      roleChanged: (role, term, leader) => {
        this.#rolePending = { role, term, leader }
      },
      readReady: (context, index) => this.#waiters.readReady(context, index),
      configurationChanged: () => {},
      snapshotNeeded: (from, index) => this.#events.snapshotNeeded(from, index),
    }
  }

  #changeRole(): void {
    const { role, term, leader } = this.#rolePending!
    this.#rolePending = undefined
    const leading = role === 'leader'
    if (leading && !this.#views.leading) this.#takeLead()
    else if (!leading && this.#views.leading) this.#leaveLead()
    if (!leading) this.#forwarding.restart()
    this.#waiters.askAgain()
    this.#events.roleChanged(role, term, leader)
    if (this.#rolePending !== undefined) this.#changeRole()
  }

  #takeLead(): void {
    this.#writes.close()
    this.#views.leading = true
    this.#order.clear()
    this.#writers.clear()
    // the whole committed prefix is shown before anything is ordered on top of it
    this.#applier.rebuildOverlay()
    this.#order.appendNoop()
    this.#own.orderAll()
  }

  #leaveLead(): void {
    this.#views.leading = false
    this.#writes.close()
    this.#views.makeStale()
    this.#views.invalidateAll()
  }

  /** Entries from `index` on are about to be cut from this member's log. */
  #truncating(index: number): void {
    this.#durability.cut(index)
    // other entries will have these numbers, and so will their blobs
    this.blobs.clear()
    if (this.#views.observed) {
      for (let at = index; at <= this.#log.lastIndex; at++) {
        this.#views.invalidate(this.#views.staleBy(this.#log.entry(at).operation), undefined)
      }
    }
    this.#own.cutOff(index)
    this.#views.makeStale()
  }

  // ---- restoring and stopping ----

  /** The channel stands still while a snapshot replaces its state. */
  beginRestore(): void {
    this.#health.restoring = true
  }

  /** A snapshot was installed (or not, without `state`): the channel goes on from it. */
  restored(result: { state: StateStore; anchor: LogAnchor } | undefined): void {
    this.#health.restoring = false
    if (result === undefined) return this.#turn()
    const { state, anchor } = result
    this.#views.replace(state, { index: anchor.index, term: anchor.term, hash: anchor.hash })
    this.#upkeep.restored(state, anchor.index)
    this.#durability.restored(anchor.index)
    this.#health.stateMissing = false
    this.#log.reopened()
    this.blobs.clear()
    const stored = membersDescriptor(this.#views.table)
    assert(stored !== undefined, 'a snapshot carries the members')
    const descriptor = decodeDescriptor(stored)
    this.#raft.restored(anchor.index, anchor.term, configurationOf(descriptor))
    this.#roster.descriptor = descriptor
    this.#views.invalidateAll()
    this.#own.restored()
    this.#turn()
  }

  #stopServing(reason: string): void {
    this.#failAll()
    this.#events.quarantined(reason)
  }

  #failAll(): void {
    this.#own.failAll()
    this.#waiters.failAll()
  }

  /** Ends all waiting, writes the state out and lets go. The stores are closed by who opened them. */
  stop(): void {
    if (this.#agenda.closed) return
    if (this.serving) {
      this.#durability.persist()
      this.#upkeep.flush()
    }
    this.#agenda.close()
    this.#failAll()
    this.#agenda.giveAnswers()
  }
}

/** Where nothing has happened for so long, digests are compared. */
const idleTicks = 10

/** Acknowledgements alone hurry nobody: who waits is served at once all the same. */
function acknowledges(message: PeerMessage): boolean {
  if (message.kind === 'position') return true
  return (
    message.kind === 'raft' && (message.message.kind === 'append-reply' || message.message.kind === 'heartbeat-reply')
  )
}
