import { assert, unreachable } from '../base/assert.js'
import { equalBytes, toHex } from '../base/bytes.js'
import { EAGAIN, EEXIST, EINTR, EINVAL, EIO, ENOSPC, EPERM, EROFS } from '../base/errno.js'
import { messageOf, RkfsError } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import {
  appendBytesMax,
  blobsPerEntryMax,
  electionTimeoutTicks,
  forwardBytesMax,
  heartbeatTicks,
  inflightBytesMax,
  KiB,
  pendingBytesMax,
  pendingOperationsMax,
  uncommittedBytesMax,
} from '../base/limits.js'
import { apply, getInode, membersDescriptor } from '../fs/apply.js'
import { extendWrite } from '../fs/content.js'
import { cutOf, firstBlob } from '../fs/extents.js'
import { decodeOperation, encodeOperation } from '../fs/operation-codec.js'
import { isContentOperation, RENAME_WHITEOUT, type MembersOperation, type Operation } from '../fs/operation.js'
import { isDirectory, S_IFDIR, S_IFMT } from '../fs/records.js'
import { OverlayView } from '../fs/overlay-view.js'
import type { StateStore } from '../fs/store-port.js'
import { TableView } from '../fs/table-view.js'
import type { View } from '../fs/view.js'
import { encodeEntry, payloadMatches, zeroHash } from '../oplog/codec.js'
import type { EncodedEntry, EntryHeader, EntryKind, Proposal } from '../oplog/entry.js'
import { Raft } from '../raft/raft.js'
import type { Configuration, HardState, RaftEntry, RaftHost, RaftMessage, Role } from '../raft/types.js'
import { Blobs } from './blobs.js'
import { configurationOf, decodeDescriptor, encodeDescriptor, mayChange, type Descriptor } from './descriptor.js'
import { DigestBook } from './digest-book.js'
import { invalidationsOf } from './invalidations.js'
import type { JournalRecord, LogAnchor } from './log-port.js'
import type { Invalidation } from './mount-port.js'
import { changeOfJournal, isSmallWrite, OpenWrite } from './open-write.js'
import { journalRecord, PendingChanges, type PendingChange } from './pending-changes.js'
import type { ChangeOptions, ChannelEvents, ChannelObserver, ChannelPorts } from './ports.js'
import { raftEntryOf, StagedLog } from './staged-log.js'
import { openEntry, type StoredEntry } from './stored-entry.js'
import type { PeerMessage, TransportEvents } from './transport-port.js'
import { WriterBook } from './writer-book.js'

export interface ChannelOptions {
  readonly self: MemberId
  readonly seed: number
  /** Who is in the channel as far as is known before the state says so (a newcomer's invitation). */
  readonly descriptor: Descriptor
}

interface Waiter {
  /** Own changes up to this sequence number must be committed … */
  readonly sequence: number
  /** … and, while this member leads, the log up to this index. */
  readonly index: number
  readonly deadline: number
  readonly done: (errno: number) => void
}

interface Barrier {
  readonly deadline: number
  readonly done: (errno: number) => void
  index: number | undefined
}

interface Waiting {
  readonly operation: Operation
  readonly payload: Uint8Array
  readonly kind: EntryKind
  readonly options: ChangeOptions
  readonly deadline: number
  cancelled: boolean
}

/** Changes that nobody waits for are sent and synced in batches of so many bytes, or after so many milliseconds. */
const batchBytes = 512 * KiB
const batchMs = 3

/** A refusal is told after this time at the latest, whether its reason was seen here or not. */
const refusalDelayMs = 2000

/** Digests are compared at multiples of this, and where the channel rests. */
const digestInterval = 1024
/** Committed changes that the overlay may still show before it is made anew. */
const placedMax = 4096
const applyBudget = 512
const flushTicks = 5
const flushRecords = 8192
const compactTicks = 30
/** Blobs that one step of the search for forgotten ones looks at. */
const sweepBlobs = 2000
/** Entries that stay behind the last one that all members have. */
const compactMargin = 256
/** Entries that are kept for members that are away; those that were away for longer get a snapshot. */
const retainedEntriesMax = 500_000

/**
 * One channel's brain on one member: it orders changes while it leads, forwards them while it follows, applies the
 * committed log to the state, and shows its mounts the state with their own changes laid over it.
 *
 * Events come in as calls; what follows from them is staged, and goes out at the end of the turn (`#endTurn`): messages,
 * then the write to the log, then the answers that depend on it, then the sync.
 */
export class Channel implements TransportEvents {
  readonly self: MemberId
  readonly #ports: ChannelPorts
  readonly #events: ChannelEvents
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  #table: TableView
  #overlay: OverlayView
  /** The overlay holds the uncommitted log (a leader's) or this member's own changes. */
  #leading = false
  #applied: { index: number; term: number; hash: Uint8Array }
  #flushed: number
  #synced: number
  /** This member's log is on stable storage up to here; nothing beyond is applied, so that the state never outruns it. */
  #durable: number
  /** The state was lost and the log no longer reaches back to its beginning. */
  #stateMissing = false
  #descriptor: Descriptor
  readonly #pending = new PendingChanges()
  /** The newest of this member's changes, while small writes may still become part of it. */
  #open: OpenWrite | undefined
  /** Where this leader's last small write ended: one that goes on there is the first of more, as a rule. */
  #written: { readonly ino: number; readonly kind: string; readonly end: number } | undefined
  #waiting: Waiting[] = []
  #waiters: Waiter[] = []
  readonly #barriers = new Map<number, Barrier>()
  #nextContext = 1
  readonly #session: number
  #nextSequence = 1
  /** Sequence numbers of this session below it are committed or refused. */
  #forwardRound = 1
  #forwardNext = 1
  #forwardRestart = true
  #forwardBytes = 0
  readonly #expected = new Map<MemberId, number>()
  /** Members whose proposals were left aside during a hand-over of leadership: they are asked again if it comes to nothing. */
  readonly #leftAside = new Set<MemberId>()
  /** Where this session's changes that the overlay still shows stand in the log, by sequence number. */
  readonly #placed = new Map<number, number>()
  #uncommittedBytes = 0
  #answers: (() => void)[] = []
  #scheduled = false
  /** What is queued must go out at the end of this turn. */
  #urgent = true
  #pushArmed = false
  #unsentBytes = 0
  /** Changes in `#pending` whose caller has no answer yet. */
  #unanswered = 0
  #rolePending: { role: Role; term: number; leader: MemberId | undefined } | undefined
  #overlayStale = false
  /** A change of this member's own could not be laid over the state as it is. */
  #overlayLacks = false
  #ticks = 0
  #diskFull: string | undefined
  #failure: string | undefined
  #quarantine: string | undefined
  #damage: string | undefined
  #stopped = false
  #restoring = false
  readonly #observers = new Set<ChannelObserver>()
  readonly #positions = new Map<MemberId, { lastIndex: number; durableIndex: number; appliedIndex: number }>()
  #announced = ''
  readonly #digests: DigestBook
  readonly #writers = new WriterBook()
  readonly blobs: Blobs
  #dead: number[] = []
  #compacting = false

  constructor(options: ChannelOptions, ports: ChannelPorts, events: ChannelEvents) {
    this.self = options.self
    this.#ports = ports
    this.#events = events
    const { log, state, hasher } = ports
    this.#log = new StagedLog(log, hasher)
    this.#table = new TableView(state, hasher)
    this.#overlay = new OverlayView(this.#table)
    this.#watchTable()
    const position = state.position
    this.#applied = position ?? { index: 0, term: 0, hash: zeroHash }
    if (this.#applied.index > this.#log.lastIndex) {
      throw new RkfsError(
        'corrupt',
        `the log ends at entry ${this.#log.lastIndex}, but entry ${this.#applied.index} was applied already: the log was damaged or replaced`,
      )
    }
    this.#flushed = this.#synced = this.#applied.index
    this.#durable = log.durableIndex
    if (this.#applied.index < log.anchor.index) {
      this.#stateMissing = true
      this.#applied = log.anchor
    }
    this.blobs = new Blobs(
      log,
      id => this.#openBlob(id) ?? (id < 0 ? this.#journalledBlob(id) : this.#log.recentBlob(id)),
    )
    this.blobs.onDamage = error => this.#damaged(error)
    this.#digests = new DigestBook(options.self)
    const stored = membersDescriptor(this.#table)
    this.#descriptor = stored === undefined ? options.descriptor : decodeDescriptor(stored)
    this.#session = this.#openSession()
    // opening the session synced the log: what a crash left written is on stable storage now
    this.#durable = log.durableIndex
    this.#log.onTruncate = index => this.#truncating(index)
    this.#raft = new Raft<StoredEntry>(
      {
        id: options.self,
        hardState: log.hardState,
        commitIndex: this.#applied.index,
        configuration: configurationOf(this.#descriptor),
        electionTimeoutTicks,
        heartbeatTicks,
        appendBytesMax,
        inflightBytesMax,
        seed: options.seed,
      },
      this.#raftHost(),
    )
    this.#loadJournal()
    this.#overlayStale = true
    this.#raft.durable(this.#durable)
    this.#turn()
  }

  // ---- what is asked of it ----

  /** The state as this member's programs see it. */
  get view(): View {
    return this.#overlay.empty ? this.#table : this.#overlay
  }
  get table(): TableView {
    return this.#table
  }
  get descriptor(): Descriptor {
    return this.#descriptor
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
    return this.#applied.index
  }
  get applied(): { index: number; term: number; hash: Uint8Array } {
    return this.#applied
  }
  get configuration(): Configuration {
    return this.#raft.configuration
  }
  get pending(): { operations: number; bytes: number } {
    return { operations: this.#pending.size + this.#waiting.length, bytes: this.#pending.bytes }
  }
  get reachableVoters(): number {
    return this.#raft.reachableVoters()
  }
  get diskFull(): string | undefined {
    return this.#diskFull
  }
  get failure(): string | undefined {
    return this.#failure
  }
  get quarantine(): string | undefined {
    return this.#quarantine
  }
  /** The first thing that could not be read from this member's disk; what is whole is still served. */
  get damage(): string | undefined {
    return this.#damage
  }
  get restoring(): boolean {
    return this.#restoring
  }
  get serving(): boolean {
    return this.#quarantine === undefined && this.#failure === undefined && !this.#stateMissing
  }
  get transferring(): MemberId | undefined {
    return this.#raft.transferring
  }

  progress(member: MemberId): { match: number; active: boolean } | undefined {
    return this.#raft.progress(member)
  }
  position(member: MemberId): { lastIndex: number; durableIndex: number; appliedIndex: number } | undefined {
    return this.#positions.get(member)
  }
  /** Bytes of log between an index and the end, capped for the sake of its cost. */
  lagBytes(from: number): number {
    let bytes = 0
    for (let index = Math.max(from + 1, this.#log.firstIndex); index <= this.#log.lastIndex; index++) {
      bytes += this.#log.size(index)
      if (index - from > 100_000) break
    }
    return bytes
  }
  digest(): { index: number; hash: string } {
    return { index: this.#applied.index, hash: toHex(this.#table.digest()) }
  }
  entry(index: number): StoredEntry | undefined {
    if (index < this.#log.firstIndex || index > this.#log.lastIndex) return undefined
    return this.#log.entry(index)
  }

  observe(observer: ChannelObserver): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  /** The slot of this member's inode numbers; undefined until it is admitted. */
  get slot(): number | undefined {
    return this.#descriptor.members.find(m => m.id === this.self)?.slot
  }

  /**
   * Makes a change. Content changes (write, append, truncate, allocate) are answered as soon as this member shows them
   * and the log or journal has them; all others when they are ordered, on the leader, or committed and applied, elsewhere.
   * Answers a way to give up waiting (a signal): it then fails with EINTR if it was not ordered yet.
   */
  change(operation: Operation, payload: Uint8Array, options: ChangeOptions): () => void {
    return this.#submit('change', operation, payload, options)
  }

  #submit(kind: EntryKind, operation: Operation, payload: Uint8Array, options: ChangeOptions): () => void {
    const deadline = this.#ports.monotonicMs() + options.timeoutMs
    const waiting: Waiting = { operation, payload, kind, options, deadline, cancelled: false }
    if (!this.serving) {
      options.done(EIO)
      return () => {}
    }
    if (this.#diskFull !== undefined) {
      options.done(ENOSPC)
      return () => {}
    }
    if (this.#waiting.length > 0 || !this.#ready()) this.#waiting.push(waiting)
    else {
      try {
        if (!this.#continueWrite(waiting)) this.#accept(waiting)
      } catch (error) {
        if (!(error instanceof RkfsError)) throw error
        this.#fail(error)
        options.done(EIO)
        return () => {}
      }
    }
    this.#turn()
    return () => {
      if (waiting.cancelled) return
      const at = this.#waiting.indexOf(waiting)
      if (at < 0) return
      waiting.cancelled = true
      this.#waiting.splice(at, 1)
      options.done(EINTR)
    }
  }

  /** Changes the membership; `done` as for `change`, EAGAIN when another change of it is under way. */
  changeMembers(descriptor: Descriptor, timeoutMs: number, done: (errno: number) => void): void {
    const operation: MembersOperation = {
      kind: 'members',
      version: descriptor.version,
      descriptor: encodeDescriptor(descriptor),
    }
    this.#submit('members', operation, new Uint8Array(0), { timeoutMs, durable: true, done })
  }

  /** Sequence number of the newest change of this member; all with a number up to it are waited for by `whenDurable`. */
  get lastSequence(): number {
    return this.#nextSequence - 1
  }

  /** Waits until this member's changes up to `sequence` are on a majority; `whole`: and all that its view shows now. */
  whenDurable(sequence: number, whole: boolean, timeoutMs: number, done: (errno: number) => void): () => void {
    this.#closeWrite()
    const index = whole && this.#leading ? this.#log.lastIndex : 0
    const waiter: Waiter = { sequence, index, deadline: this.#ports.monotonicMs() + timeoutMs, done }
    if (this.#isDurable(waiter)) done(0)
    else {
      this.#waiters.push(waiter)
      this.#turn()
    }
    return () => {
      const at = this.#waiters.indexOf(waiter)
      if (at < 0) return
      this.#waiters.splice(at, 1)
      done(EINTR)
    }
  }

  #isDurable(waiter: Waiter): boolean {
    if (this.#leading && this.#raft.commitIndex < waiter.index) return false
    const oldest = this.#pending.oldest
    if (oldest === undefined) return true
    // changes of an earlier run of this member come first and count as older
    return oldest.proposal.session === this.#session && oldest.proposal.sequence > waiter.sequence
  }

  /** Waits until this member has applied all that was committed when the call began (`read=latest`). */
  readBarrier(timeoutMs: number, done: (errno: number) => void): void {
    const context = this.#nextContext++
    this.#barriers.set(context, { deadline: this.#ports.monotonicMs() + timeoutMs, done, index: undefined })
    this.#raft.readIndex(context)
    this.#urgent = true
    this.#turn()
  }

  /** Waits until the applied state has reached an index. */
  whenApplied(index: number, timeoutMs: number, done: (errno: number) => void): void {
    if (this.#applied.index >= index) return done(0)
    this.#barriers.set(this.#nextContext++, { deadline: this.#ports.monotonicMs() + timeoutMs, done, index })
  }

  transferLeadership(to: MemberId): boolean {
    const started = this.#raft.transferLeadership(to)
    this.#urgent = true
    this.#turn()
    return started
  }

  note(to: MemberId, topic: string, body: string): boolean {
    return this.#ports.transport.send(to, { kind: 'note', topic, body })
  }

  // ---- time and network ----

  tick(): void {
    if (this.#stopped) return
    this.#ticks++
    this.#urgent = true
    const healthy = this.#quarantine === undefined && this.#failure === undefined
    if (healthy && !this.#restoring) this.#guardDisk(() => this.#raft.tick())
    this.#expire()
    this.#announce()
    if (this.#stateMissing && !this.#restoring) {
      const leader = this.#raft.leader
      if (leader !== undefined && leader !== this.self) this.#events.snapshotNeeded(leader, this.#applied.index)
    }
    if (this.#raft.role === 'leader') this.#lead()
    if (this.#ticks % flushTicks === 0 || this.#table.dirtyCount > flushRecords) this.#flush()
    if (this.#ticks % compactTicks === 0 || this.#compacting) this.compact()
    this.#turn()
  }

  message(from: MemberId, message: PeerMessage): void {
    if (this.#stopped) return
    if (message.kind === 'note') return this.#events.note(from, message.topic, message.body)
    if (this.#quarantine !== undefined || this.#failure !== undefined || this.#restoring) return
    this.#raft.heard(from)
    // acknowledgements alone hurry nobody: who waits is served at once all the same
    const acknowledges =
      message.kind === 'position' ||
      (message.kind === 'raft' &&
        (message.message.kind === 'append-reply' || message.message.kind === 'heartbeat-reply'))
    if (!acknowledges) this.#urgent = true
    switch (message.kind) {
      case 'raft':
        this.#stepRaft(from, message.message)
        break
      case 'propose':
        this.#receiveProposals(from, message.restart, message.first, message.proposals)
        break
      case 'propose-refused':
        for (const { sequence, errno } of message.refusals) {
          const change = this.#pending.get(message.session, sequence)
          if (change !== undefined && from === this.#raft.leader) this.#refused(change, errno, message.index)
        }
        break
      case 'propose-again':
        if (from === this.#raft.leader) this.#restartForwarding()
        break
      case 'digest':
        this.#compareDigest(from, message.index, message.hash)
        break
      case 'diverged':
        this.#ports.report('warn', `member ${from} says that it differs: ${message.reason}`, { index: message.index })
        break
      case 'position':
        this.#positions.set(from, message)
        break
      default:
        unreachable(message)
    }
    this.#turn()
  }

  connected(member: MemberId): void {
    this.#urgent = true
    this.#raft.disconnected(member)
    if (member === this.#raft.leader) {
      this.#restartForwarding()
      this.#askAgain()
    }
    this.#announced = ''
    this.#turn()
  }

  disconnected(member: MemberId): void {
    this.#raft.disconnected(member)
    this.#expected.delete(member)
    this.#turn()
  }

  #stepRaft(from: MemberId, message: RaftMessage<EncodedEntry>): void {
    if (message.kind !== 'append') {
      this.#guardDisk(() => this.#raft.step(from, message))
      return
    }
    let entries: RaftEntry<StoredEntry>[]
    try {
      entries = message.entries.map(({ data }) => raftEntryOf(openEntry(data, this.#ports.hasher, true)))
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#ports.report('warn', `member ${from} sent a damaged entry: ${error.message}`)
      return
    }
    try {
      this.#guardDisk(() => this.#raft.step(from, { ...message, entries }))
    } catch (error) {
      if (!(error instanceof RkfsError) || error.code !== 'corrupt') throw error
      this.#quarantineSelf(`member ${from} sent what does not fit this log: ${error.message}`)
    }
  }

  /** A term or vote that does not fit on the disk: the core changed nothing, and what asked for it comes again. */
  #guardDisk(step: () => void): void {
    try {
      step()
    } catch (error) {
      if (!(error instanceof RkfsError) || error.code !== 'disk-full') throw error
      this.#diskFull = error.message
    }
  }

  // ---- consensus ----

  #raftHost(): RaftHost<StoredEntry> {
    return {
      log: this.#log,
      saveHardState: (state: HardState) => {
        this.#ports.log.saveHardState(state)
      },
      committed: () => {},
      roleChanged: (role, term, leader) => {
        this.#rolePending = { role, term, leader }
      },
      readReady: (context, index) => {
        const barrier = this.#barriers.get(context)
        if (barrier !== undefined) barrier.index = index
      },
      configurationChanged: () => {},
      snapshotNeeded: (from, index) => {
        this.#events.snapshotNeeded(from, index)
      },
    }
  }

  /** Ends the event at hand; the rest of the turn runs when all events that are ready have been dealt with. */
  #turn(): void {
    if (this.#rolePending !== undefined) this.#changeRole()
    if (this.#scheduled || this.#stopped) return
    this.#scheduled = true
    this.#ports.schedule(() => {
      this.#scheduled = false
      if (!this.#stopped) this.#endTurn()
    })
  }

  /** What cannot be read or does not fit stops this member: it must say nothing that rests on it. */
  #endTurn(): void {
    try {
      this.#runTurn()
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#fail(error)
    }
  }

  #runTurn(): void {
    if (this.#failure !== undefined) return
    this.#applyCommitted()
    if (this.#overlayStale) {
      this.#rebuildOverlay()
      for (const observer of this.#observers) observer.viewChanged()
    }
    this.#drainWaiting()
    const push = this.#urgent || this.#unsentBytes >= batchBytes || this.#someoneWaits()
    if (push) {
      this.#urgent = false
      this.#unsentBytes = 0
      this.#closeWrite()
      this.#forward()
      this.#sendMessages()
    } else this.#pushLater()
    if (this.#persist()) {
      this.#noteDurable()
      const answers = this.#answers
      this.#answers = []
      for (const answer of answers) answer()
      if (push) this.#sync()
      if (this.#answers.length > 0) this.#turn()
    }
    if (this.#rolePending !== undefined || this.#applied.index < Math.min(this.#raft.commitIndex, this.#durable))
      this.#turn()
  }

  /** Whether a program waits for a majority, or for the order. */
  #someoneWaits(): boolean {
    return this.#waiters.length > 0 || this.#unanswered > 0
  }

  /**
   * Changes that nobody waits for leave together: with the next message that is due (an acknowledgement of the batch
   * before, as a rule), when they are many, or after some milliseconds.
   */
  #pushLater(): void {
    if (this.#pushArmed) return
    this.#pushArmed = true
    this.#ports.delay(batchMs, () => {
      this.#pushArmed = false
      this.#urgent = true
      this.#turn()
    })
  }

  #sendMessages(): void {
    /** The same entries for several members are one message, which the transport encodes once. */
    const shared = new Map<string, PeerMessage>()
    for (const { to, message } of this.#raft.takeMessages()) {
      const { transport } = this.#ports
      if (message.kind !== 'append' || message.last < message.first) {
        transport.send(to, { kind: 'raft', message: message as RaftMessage<EncodedEntry> })
        continue
      }
      // the log may have been cut between the decision and now: what is gone is not sent
      if (message.last > this.#log.lastIndex || message.first < this.#log.firstIndex) continue
      const key = `${message.term}/${message.previousIndex}/${message.first}/${message.last}/${message.commit}`
      let outgoing = shared.get(key)
      if (outgoing !== undefined) {
        if (!transport.send(to, outgoing)) this.#raft.disconnected(to)
        continue
      }
      let index = message.first
      const entries: RaftEntry<EncodedEntry>[] = this.#log.encoded(message.first, message.last).map(data => ({
        index: index++,
        term: message.term,
        size: data.header.length + data.payload.length,
        data,
      }))
      outgoing = { kind: 'raft', message: { ...message, entries } }
      shared.set(key, outgoing)
      if (!transport.send(to, outgoing)) this.#raft.disconnected(to)
    }
  }

  /** Whether all that is staged is written. */
  #persist(): boolean {
    try {
      this.#log.persist()
      if (this.#diskFull !== undefined) this.#ports.report('info', 'the disk has room again')
      this.#diskFull = undefined
      return true
    } catch (error) {
      if (!(error instanceof RkfsError) || error.code !== 'disk-full') {
        this.#fail(error)
        return false
      }
      if (this.#diskFull === undefined) this.#ports.report('error', error.message)
      this.#diskFull = error.message
      return false
    }
  }

  #sync(): void {
    const { log } = this.#ports
    this.#noteDurable()
    if (this.#durable >= this.#log.lastIndex) return
    const generation = this.#log.generation
    log.sync(() => {
      if (this.#stopped) return
      // an index that was cut off meanwhile is other entries' now: the next sync tells
      if (generation === this.#log.generation) this.#noteDurable()
      else this.#sync()
      this.#turn()
    })
  }

  /** What the log has on stable storage, by a sync that was asked for or by one of its own. */
  #noteDurable(): void {
    // what is decided but not written may have cut off what the log still counts
    if (this.#log.dirty) return
    const durable = Math.min(this.#ports.log.durableIndex, this.#log.lastIndex)
    if (durable <= this.#durable) return
    this.#durable = durable
    this.#raft.durable(durable)
    // a follower's acknowledgement; a leader's own copy hurries nobody
    if (!this.#leading) this.#urgent = true
  }

  #changeRole(): void {
    const change = this.#rolePending!
    this.#rolePending = undefined
    const { role, term, leader } = change
    const leading = role === 'leader'
    if (leading && !this.#leading) this.#takeLead()
    else if (!leading && this.#leading) this.#leaveLead()
    if (!leading) this.#restartForwarding()
    this.#askAgain()
    this.#events.roleChanged(role, term, leader)
    if (this.#rolePending !== undefined) this.#changeRole()
  }

  /** Read indexes that an earlier leader, or connection, was asked for are asked for again. */
  #askAgain(): void {
    for (const [context, barrier] of this.#barriers) if (barrier.index === undefined) this.#raft.readIndex(context)
  }

  #takeLead(): void {
    this.#closeWrite()
    this.#leading = true
    this.#expected.clear()
    this.#leftAside.clear()
    this.#writers.clear()
    // the whole committed prefix is applied before anything is ordered on top of it
    this.#rebuildOverlay()
    this.#appendEntry(
      {
        kind: 'noop',
        origin: this.self,
        session: 0,
        sequence: 0,
        time: this.#ports.now(),
        operation: encodeOperation({ kind: 'mark', id: 0 }),
        payload: new Uint8Array(0),
        payloadHash: zeroHash,
        signature: new Uint8Array(0),
      },
      { kind: 'mark', id: 0 },
    )
    for (const change of this.#pending.values()) {
      if (change.ordered !== undefined) continue
      const errno = this.#order(change.proposal, change.operation, change)
      if (errno !== 0) this.#refused(change, errno)
    }
  }

  #leaveLead(): void {
    this.#leading = false
    this.#closeWrite()
    this.#overlayStale = true
    for (const observer of this.#observers) observer.invalidateAll()
  }

  /** The duties of a leader at each tick. */
  #lead(): void {
    const heavy = this.#writers.tick()
    if (heavy !== undefined && heavy !== this.self && this.#raft.configuration.voters.includes(heavy)) {
      const progress = this.#raft.progress(heavy)
      if (progress?.active && progress.match + 4096 >= this.#log.lastIndex && this.#ports.transport.connected(heavy)) {
        this.#ports.report('info', `leadership moves to ${heavy}, which makes most of the changes`)
        this.#raft.transferLeadership(heavy)
      }
    }
    if (this.#diskFull !== undefined && this.#ticks % electionTimeoutTicks === 0) {
      const other = this.#raft.configuration.voters.find(id => id !== this.self && this.#raft.progress(id)?.active)
      if (other !== undefined) this.#raft.transferLeadership(other)
    }
    if (this.#raft.transferring === undefined && this.#leftAside.size > 0) {
      for (const member of this.#leftAside) this.#ports.transport.send(member, { kind: 'propose-again' })
      this.#leftAside.clear()
    }
    if (this.#ticks % 3 === 0) this.#maybePromote()
  }

  /** A learner that the owner wants as a voter becomes one when it has nearly all of the log (thesis §4.2.1). */
  #maybePromote(): void {
    if (!this.#raft.mayChangeConfiguration() || this.#raft.transferring !== undefined) return
    const learner = this.#descriptor.members.find(m => {
      const progress = this.#raft.progress(m.id)
      return (
        m.role === 'voter' &&
        m.state === 'learner' &&
        progress !== undefined &&
        progress.active &&
        progress.match + 64 >= this.#raft.commitIndex
      )
    })
    if (learner === undefined) return
    const descriptor: Descriptor = {
      ...this.#descriptor,
      version: this.#descriptor.version + 1,
      members: this.#descriptor.members.map(m => (m.id === learner.id ? { ...m, state: 'voter' as const } : m)),
    }
    this.changeMembers(descriptor, 5000, errno => {
      if (errno === 0) this.#ports.report('info', `${learner.name} (${learner.id}) is a voter now`)
    })
  }

  // ---- ordering, as leader ----

  /** Gives a proposal its place in the log, or answers why not. 0 also for one that has its place already. */
  #order(proposal: Proposal, operation: Operation, own: PendingChange | undefined): number {
    this.#closeWrite()
    const last = this.#overlay.get('session', 0, proposal.origin)
    if (
      last !== undefined &&
      (proposal.session < last.session || (proposal.session === last.session && proposal.sequence <= last.sequence))
    ) {
      if (own !== undefined) own.ordered ??= this.#log.lastIndex
      return 0
    }
    if (operation.kind === 'members') {
      const errno = this.#checkMembers(operation, proposal.origin)
      if (errno !== 0) return errno
    }
    const index = this.#log.lastIndex + 1
    this.#overlay.tag = index
    const stale = this.#observers.size === 0 ? [] : invalidationsOf(operation, this.#overlay)
    this.#announceLosses(operation)
    const errno = apply(this.#overlay, operation, { time: proposal.time, number: index })
    if (errno !== 0) return errno
    this.#overlay.set('session', 0, proposal.origin, { session: proposal.session, sequence: proposal.sequence })
    this.#appendEntry(proposal, operation)
    this.#writers.count(proposal.origin, proposal.operation.length + proposal.payload.length)
    if (own !== undefined) {
      own.ordered = index
      own.visible = true
    }
    this.#invalidate(stale, own?.mount)
    return 0
  }

  #checkMembers(operation: MembersOperation, origin: MemberId): number {
    const current = decodeDescriptor(membersDescriptor(this.#overlay)!)
    let next: Descriptor
    try {
      next = decodeDescriptor(operation.descriptor)
    } catch {
      return EINVAL
    }
    if (next.version !== operation.version || next.version !== current.version + 1) return EEXIST
    if (!mayChange(current, next, origin)) return EPERM
    return this.#raft.mayChangeConfiguration() ? 0 : EAGAIN
  }

  #appendEntry(proposal: Proposal, operation: Operation): void {
    const index = this.#log.lastIndex + 1
    const previousHash = this.#log.hash(index - 1)
    const header = encodeEntry(proposal, index, this.#raft.term, previousHash, this.#ports.hasher)
    const entry: EntryHeader = {
      ...proposal,
      index,
      term: this.#raft.term,
      payloadLength: proposal.payload.length,
      previousHash,
      hash: header.subarray(header.length - 32),
    }
    const stored: StoredEntry = { header, payload: proposal.payload, entry, operation }
    const raftEntry = raftEntryOf(stored)
    this.#uncommittedBytes += raftEntry.size
    this.#unsentBytes += raftEntry.size
    this.#log.append([raftEntry])
    this.#raft.proposed([raftEntry])
    this.#events.entryAppended(stored)
  }

  #receiveProposals(from: MemberId, restart: boolean, first: number, proposals: readonly Proposal[]): void {
    if (!this.#leading) return
    if (this.#raft.transferring !== undefined) {
      this.#leftAside.add(from)
      return
    }
    if (restart) this.#expected.set(from, first)
    const expected = this.#expected.get(from)
    if (expected === undefined || first > expected) {
      this.#ports.transport.send(from, { kind: 'propose-again' })
      return
    }
    const refusals = new Map<number, { sequence: number; errno: number }[]>()
    for (const proposal of proposals.slice(expected - first)) {
      const errno = this.#receiveProposal(from, proposal)
      if (errno === 0) continue
      const list = refusals.get(proposal.session) ?? []
      list.push({ sequence: proposal.sequence, errno })
      refusals.set(proposal.session, list)
    }
    this.#expected.set(from, Math.max(expected, first + proposals.length))
    for (const [session, list] of refusals) {
      const index = this.#log.lastIndex
      this.#ports.transport.send(from, { kind: 'propose-refused', session, index, refusals: list })
    }
  }

  #receiveProposal(from: MemberId, proposal: Proposal): number {
    if (proposal.origin !== from) {
      this.#ports.report('warn', `member ${from} proposed a change in the name of ${proposal.origin}: refused`)
      return EPERM
    }
    let operation: Operation
    try {
      operation = decodeOperation(proposal.operation)
    } catch (error) {
      this.#ports.report('warn', `member ${from} proposed nonsense: ${messageOf(error)}`)
      return EINVAL
    }
    const length = operation.kind === 'write' || operation.kind === 'append' ? operation.length : 0
    const sound =
      length === proposal.payload.length &&
      (proposal.kind === 'members') === (operation.kind === 'members') &&
      proposal.kind !== 'noop' &&
      payloadMatches({ payloadHash: proposal.payloadHash, payloadLength: length }, proposal.payload, this.#ports.hasher)
    if (!sound) {
      this.#ports.report('warn', `member ${from} proposed a change whose payload does not match: refused`)
      return EINVAL
    }
    return this.#order(proposal, operation, undefined)
  }

  // ---- this member's own changes ----

  /** Whether a change can be accepted now: there is a leader to order it, and room. */
  #ready(): boolean {
    if (this.#pending.bytes > pendingBytesMax || this.#pending.size > pendingOperationsMax) return false
    if (this.#leading) return this.#raft.transferring === undefined && this.#uncommittedBytes < uncommittedBytesMax
    const leader = this.#raft.leader
    return (
      leader !== undefined &&
      leader !== this.self &&
      this.#ports.transport.connected(leader) &&
      this.#diskFull === undefined
    )
  }

  #accept({ operation, payload, kind, options, deadline }: Waiting): void {
    this.#closeWrite()
    const proposal: Proposal = {
      kind,
      origin: this.self,
      session: this.#session,
      sequence: this.#nextSequence++,
      time: this.#ports.now(),
      operation: encodeOperation(operation),
      payload,
      payloadHash: payload.length === 0 ? zeroHash : this.#ports.hasher.sha256(payload),
      signature: new Uint8Array(0),
    }
    const change: PendingChange = {
      proposal,
      operation,
      bytes: proposal.operation.length + payload.length,
      mount: options.mount,
      visible: false,
      journalled: false,
      ordered: undefined,
      sentRound: 0,
      deadline,
      shownOffset: undefined,
      accepted: options.done,
      lost: options.lost,
    }
    if (this.#leading) {
      const errno = this.#goesOn(change, options)
        ? this.#openAsLeader(change)
        : this.#order(proposal, operation, change)
      if (errno !== 0) return options.done(errno)
      this.#pending.add(change)
      this.#unanswered++
      if (!options.durable) this.#answerLater(change)
      return
    }
    if (isContentOperation(operation)) {
      const errno = this.#show(change)
      if (errno !== 0) return options.done(errno)
      if (isSmallWrite(operation) && !options.durable) {
        const start = operation.kind === 'write' ? operation.offset : change.shownOffset!
        this.#open = new OpenWrite(change, start, -proposal.sequence, proposal.sequence)
      }
    }
    this.#pending.add(change)
    this.#unanswered++
    this.#unsentBytes += change.bytes
    this.#log.journal(journalRecord(change))
    change.journalled = true
    if (change.visible && !options.durable) this.#answerLater(change)
  }

  /** Whether a leader's small write follows on its last one. */
  #goesOn({ operation }: PendingChange, options: ChangeOptions): boolean {
    const before = this.#written
    this.#written = undefined
    if (!isSmallWrite(operation) || options.durable) return false
    const { ino, kind } = operation
    const start = operation.kind === 'write' ? operation.offset : (getInode(this.#overlay, ino)?.size ?? 0)
    this.#written = { ino, kind, end: start + operation.length }
    return before?.ino === ino && before.kind === kind && before.end === start
  }

  /** As leader: shows a write where it will stand in the log, and lets it grow before it is put there. */
  #openAsLeader(change: PendingChange): number {
    const { operation, proposal } = change
    assert(isSmallWrite(operation), 'only small writes are left open')
    const index = this.#log.lastIndex + 1
    const start = operation.kind === 'write' ? operation.offset : (getInode(this.#overlay, operation.ino)?.size ?? 0)
    this.#overlay.tag = index
    const stale = this.#observers.size === 0 ? [] : invalidationsOf(operation, this.#overlay)
    const errno = apply(this.#overlay, operation, { time: proposal.time, number: index })
    if (errno !== 0) return errno
    this.#overlay.set('session', 0, proposal.origin, { session: proposal.session, sequence: proposal.sequence })
    change.visible = true
    this.#log.journal(journalRecord(change))
    change.journalled = true
    this.#unsentBytes += change.bytes
    this.#open = new OpenWrite(change, start, index, index)
    this.#invalidate(stale, change.mount)
    return 0
  }

  /** Makes a small write part of the open one if it goes on where that ends. */
  #continueWrite({ operation, payload, options }: Waiting): boolean {
    const open = this.#open
    if (open === undefined || options.durable || !isSmallWrite(operation)) return false
    if (!open.continues(operation, options.mount)) return false
    const { ino, length } = operation
    // another member's change may have moved the end of the file
    if (operation.kind === 'append' && getInode(this.#overlay, ino)?.size !== open.end) return false
    const write = { kind: 'write', ino, offset: open.end, length, killPrivileges: false } as const
    this.#overlay.tag = open.tag
    const stale = this.#observers.size === 0 ? [] : invalidationsOf(write, this.#overlay)
    const time = this.#ports.now()
    const place = { time, number: open.number }
    if (extendWrite(this.#overlay, ino, open.end, length, open.payload.length, place) !== 0) return false
    this.#log.journal(open.take(payload, time))
    this.#pending.grow(open.change, length)
    this.#unsentBytes += length
    if (this.#leading) this.#written = { ino, kind: operation.kind, end: open.end }
    this.#invalidate(stale, options.mount)
    this.#answers.push(() => options.done(0))
    return true
  }

  /** The open write grows no more; a leader gives it the place in the log at which it is shown already. */
  #closeWrite(): void {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    const { change } = open
    const { proposal, operation } = open.proposal(this.#ports.hasher)
    change.proposal = proposal
    change.operation = operation
    if (!this.#leading) return
    assert(open.number === this.#log.lastIndex + 1, 'an open write has lost its place in the log')
    this.#appendEntry(proposal, operation)
    this.#writers.count(proposal.origin, change.bytes)
    change.ordered = open.number
  }

  /** The blob of the open write. */
  #openBlob(id: number): Uint8Array | undefined {
    const open = this.#open
    return open !== undefined && id === firstBlob(open.number) ? open.payload : undefined
  }

  /** Lays a change of this member over the state before it is ordered. */
  #show(change: PendingChange): number {
    const { operation, proposal } = change
    this.#overlay.tag = proposal.sequence
    const stale = invalidationsOf(operation, this.#overlay)
    if (operation.kind === 'append') change.shownOffset = getInode(this.#overlay, operation.ino)?.size
    const errno = apply(this.#overlay, operation, { time: proposal.time, number: -proposal.sequence })
    if (errno === 0) {
      change.visible = true
      this.#invalidate(stale, change.mount)
    }
    return errno
  }

  /** The caller's answer, to be given once. */
  #takeAnswer(change: PendingChange): ((errno: number) => void) | undefined {
    const done = change.accepted
    if (done === undefined) return undefined
    change.accepted = undefined
    this.#unanswered--
    return done
  }

  /** Answers the caller once the log or the journal has its change. */
  #answerLater(change: PendingChange): void {
    const done = this.#takeAnswer(change)
    change.deadline = undefined
    if (done !== undefined) this.#answers.push(() => done(0))
  }

  #drainWaiting(): void {
    while (this.#waiting.length > 0 && this.#ready()) {
      const waiting = this.#waiting.shift()!
      waiting.cancelled = true
      this.#accept(waiting)
    }
  }

  /** The leader will never order this change. */
  #refused(change: PendingChange, errno: number, because = 0): void {
    this.#forget(change)
    const done = this.#takeAnswer(change)
    if (done !== undefined) {
      // a program that is told EEXIST must find the name: it waits for the entry that the refusal rests on
      if (this.#applied.index >= because) this.#answers.push(() => done(errno))
      else this.whenApplied(because, refusalDelayMs, () => done(errno))
    } else {
      change.lost?.(errno)
      const path = 'ino' in change.operation ? `inode ${change.operation.ino}` : ''
      this.#events.lostChange(change.operation, change.proposal.payload, errno, path)
    }
    if (change.visible) {
      this.#overlayStale = true
      this.#invalidate(invalidationsOf(change.operation, this.#overlay), undefined)
    }
    this.#checkWaiters()
  }

  #forget(change: PendingChange): void {
    const { session, sequence } = change.proposal
    this.#pending.remove(change)
    if (change.sentRound === this.#forwardRound) this.#forwardBytes -= change.bytes
    if (change.journalled) this.#log.unjournal(session, sequence)
  }

  #restartForwarding(): void {
    this.#forwardRound++
    this.#forwardNext = 1
    this.#forwardRestart = true
    this.#forwardBytes = 0
  }

  /** Sends what was not sent to this leader on this connection, oldest first. */
  #forward(): void {
    const leader = this.#raft.leader
    if (this.#leading || leader === undefined || leader === this.self || this.#pending.size === 0) return
    if (!this.#ports.transport.connected(leader)) return
    let batch: PendingChange[] = []
    let bytes = 0
    const send = (): boolean => {
      if (batch.length === 0) return true
      const sent = this.#ports.transport.send(leader, {
        kind: 'propose',
        restart: this.#forwardRestart,
        first: this.#forwardNext,
        proposals: batch.map(change => change.proposal),
      })
      if (sent) {
        for (const change of batch) change.sentRound = this.#forwardRound
        this.#forwardRestart = false
        this.#forwardNext += batch.length
        this.#forwardBytes += bytes
      }
      batch = []
      bytes = 0
      return sent
    }
    for (const change of this.#pending.values()) {
      if (change.sentRound === this.#forwardRound) continue
      if (this.#forwardBytes + bytes > forwardBytesMax) break
      if (batch.length > 0 && (bytes + change.bytes > appendBytesMax || batch.length >= 256) && !send()) return
      batch.push(change)
      bytes += change.bytes
    }
    send()
  }

  /** Entries of this member's own that are cut from its log are proposed again by it (DESIGN §2, promise 5). */
  #truncating(index: number): void {
    this.#durable = Math.min(this.#durable, index - 1)
    // other entries will have these numbers, and so will their blobs
    this.blobs.clear()
    if (this.#observers.size > 0) {
      for (let at = index; at <= this.#log.lastIndex; at++) {
        this.#invalidate(invalidationsOf(this.#log.entry(at).operation, this.view), undefined)
      }
    }
    for (const change of this.#pending.values()) {
      if (change.ordered === undefined || change.ordered < index) continue
      change.ordered = undefined
      // another member may hold the entry and bring it back: its outcome is not known before it is seen
      if (change.sentRound === 0) change.sentRound = -1
      if (change.journalled) continue
      this.#log.journal(journalRecord(change))
      change.journalled = true
    }
    this.#overlayStale = true
  }

  #openSession(): number {
    const { log } = this.#ports
    // a member that was rebuilt under its old identity must not meet numbers that it used before: the clock and the
    // replicated record keep it ahead of them
    const used = Math.max(Number(log.setting('session') ?? '0'), this.#table.get('session', 0, this.self)?.session ?? 0)
    const session = Math.max(used + 1, Number(this.#ports.now() / 1_000_000_000n))
    log.setSetting('session', String(session))
    log.commit()
    log.syncNow()
    return session
  }

  /** After a start: what the journal and the uncommitted log hold of this member's own changes is on its way again. */
  #loadJournal(): void {
    const found: PendingChange[] = []
    const add = (proposal: Proposal, operation: Operation, journalled: boolean, ordered: number | undefined): void => {
      found.push({
        proposal,
        operation,
        bytes: proposal.operation.length + proposal.payload.length,
        mount: undefined,
        visible: true,
        journalled,
        ordered,
        sentRound: 0,
        deadline: undefined,
        shownOffset: undefined,
        accepted: undefined,
        lost: undefined,
      })
    }
    const inLog = new Set<string>()
    for (let index = this.#applied.index + 1; index <= this.#log.lastIndex; index++) {
      const stored = this.#log.entry(index)
      if (stored.entry.origin !== this.self || stored.entry.kind === 'noop') continue
      inLog.add(`${stored.entry.session}/${stored.entry.sequence}`)
      add({ ...stored.entry, payload: stored.payload }, stored.operation, false, index)
    }
    const done = this.#table.get('session', 0, this.self)
    const journal = new Map<string, JournalRecord[]>()
    for (const record of this.#ports.log.journal()) {
      const key = `${record.session}/${record.sequence}`
      journal.set(key, [...(journal.get(key) ?? []), record])
    }
    for (const records of journal.values()) {
      const { session, sequence } = records[0]!
      const applied =
        done !== undefined && (session < done.session || (session === done.session && sequence <= done.sequence))
      if (applied || inLog.has(`${session}/${sequence}`)) {
        this.#log.unjournal(session, sequence)
        continue
      }
      const { proposal, operation } = changeOfJournal(records, this.#ports.hasher)
      add(proposal, operation, true, undefined)
    }
    found.sort((a, b) => a.proposal.session - b.proposal.session || a.proposal.sequence - b.proposal.sequence)
    for (const change of found) this.#pending.add(change)
  }

  #journalledBlob(id: number): Uint8Array | undefined {
    const number = -id
    const sequence = Math.floor(number / blobsPerEntryMax)
    const change = this.#pending.get(this.#session, sequence)
    if (change === undefined) {
      // committed, and still shown by an overlay record that newer changes share: its blobs are the entry's
      const index = this.#placed.get(sequence)
      if (index === undefined) return undefined
      const id = index * blobsPerEntryMax + (number % blobsPerEntryMax)
      return this.#log.recentBlob(id) ?? this.#ports.log.blob(id)
    }
    return cutOf(change.operation, change.proposal.payload, number % blobsPerEntryMax)
  }

  // ---- applying ----

  #applyCommitted(): void {
    const commit = this.#stateMissing ? 0 : Math.min(this.#raft.commitIndex, this.#durable)
    if (this.#applied.index >= commit) {
      this.#checkWaiters()
      return
    }
    let budget = applyBudget
    while (this.#applied.index < commit && budget-- > 0) {
      let stored: StoredEntry
      try {
        stored = this.#log.entry(this.#applied.index + 1)
      } catch (error) {
        return this.#fail(error)
      }
      this.#applyEntry(stored)
    }
    if (this.#leading) this.#overlay.drop(this.#applied.index)
    if (this.#digests.heardOf(this.#applied.index) && !this.#digests.has(this.#applied.index)) this.#publishDigest()
    this.#checkWaiters()
  }

  #applyEntry(stored: StoredEntry): void {
    const { entry, operation } = stored
    const own = entry.origin === this.self ? this.#pending.get(entry.session, entry.sequence) : undefined
    if (this.#leading)
      this.#uncommittedBytes = Math.max(0, this.#uncommittedBytes - stored.header.length - entry.payloadLength)
    let errno = 0
    if (entry.kind !== 'noop') {
      const shown = this.#leading || (own?.visible ?? false)
      let stale: Invalidation[] = []
      if (!shown) {
        if (this.#observers.size > 0) stale = invalidationsOf(operation, this.view)
        this.#announceLosses(operation)
      } else if (!this.#leading && operation.kind === 'append' && own?.shownOffset !== undefined) {
        const size = getInode(this.#table, operation.ino)?.size ?? 0
        if (size !== own.shownOffset) {
          const from = Math.min(size, own.shownOffset)
          this.#invalidate([{ kind: 'inode', ino: operation.ino, offset: from, length: 0 }], undefined)
        }
      }
      // a change that was not laid over the state, under one that was: lay those anew
      this.#watch = !this.#leading && !shown && !this.#overlay.empty
      errno = apply(this.#table, operation, { time: entry.time, number: entry.index })
      this.#table.set('session', 0, entry.origin, { session: entry.session, sequence: entry.sequence })
      this.#watch = false
      if (this.#overlayLacks) this.#overlayStale = true
      if (errno !== 0) this.#ports.report('error', `entry ${entry.index} does not apply`, { errno })
      this.#invalidate(stale, own?.mount)
    }
    this.#applied = { index: entry.index, term: entry.term, hash: entry.hash }
    if (entry.origin === this.self) this.#ownCommitted(entry, own, errno)
    if (operation.kind === 'members' && errno === 0) {
      this.#descriptor = decodeDescriptor(operation.descriptor)
      this.#events.descriptorChanged(this.#descriptor)
    } else if (operation.kind === 'mark' && entry.kind === 'change') {
      this.#events.marked(operation.id, entry.index, entry.origin)
    }
    if (entry.index % digestInterval === 0) this.#publishDigest()
  }

  #watch = false
  #watchTable(): void {
    this.#table.onDamage = error => this.#damaged(error)
    this.#table.onChange = (table, ino, key) => {
      if (this.#watch && this.#overlay.has(table, ino, key)) this.#overlayStale = true
    }
  }

  #ownCommitted(entry: EntryHeader, own: PendingChange | undefined, errno: number): void {
    if (own !== undefined) {
      this.#forget(own)
      const done = this.#takeAnswer(own)
      if (done !== undefined) this.#answers.push(() => done(errno))
    }
    if (!this.#leading && entry.session === this.#session) {
      this.#overlay.drop(entry.sequence)
      if (this.#overlay.empty) this.#placed.clear()
      else if (own?.visible) {
        this.#placed.set(entry.sequence, entry.index)
        if (this.#placed.size > placedMax) this.#overlayStale = true
      }
    }
    // the leader takes a session's changes in order: older ones that it passed over were refused, and its word got lost
    for (const change of this.#pending.values()) {
      const { session, sequence } = change.proposal
      if (session > entry.session || (session === entry.session && sequence > entry.sequence)) break
      this.#refused(change, EIO)
    }
  }

  #rebuildOverlay(): void {
    this.#closeWrite()
    this.#overlayStale = false
    this.#overlayLacks = false
    this.#overlay.clear()
    this.#placed.clear()
    if (this.#leading) {
      this.#uncommittedBytes = 0
      for (let index = this.#applied.index + 1; index <= this.#log.lastIndex; index++) {
        const { entry, operation } = this.#log.entry(index)
        this.#uncommittedBytes += this.#log.size(index)
        if (entry.kind === 'noop') continue
        this.#overlay.tag = index
        apply(this.#overlay, operation, { time: entry.time, number: index })
        this.#overlay.set('session', 0, entry.origin, { session: entry.session, sequence: entry.sequence })
      }
      return
    }
    for (const change of this.#pending.values()) {
      if (!change.visible || change.proposal.session !== this.#session) continue
      this.#overlay.tag = change.proposal.sequence
      if (change.operation.kind === 'append') {
        const size = getInode(this.#overlay, change.operation.ino)?.size
        if (size !== undefined && change.shownOffset !== undefined && size !== change.shownOffset) {
          const from = Math.min(size, change.shownOffset)
          this.#invalidate([{ kind: 'inode', ino: change.operation.ino, offset: from, length: 0 }], undefined)
        }
        change.shownOffset = size
      }
      const place = { time: change.proposal.time, number: -change.proposal.sequence }
      // what it builds on is perhaps not committed yet: it is laid over the state again when that has moved
      if (apply(this.#overlay, change.operation, place) !== 0) this.#overlayLacks = true
    }
  }

  #checkWaiters(): void {
    if (this.#waiters.length > 0) {
      const ready = this.#waiters.filter(waiter => this.#isDurable(waiter))
      if (ready.length > 0) {
        // what a program saw committed, the others are told at once
        this.#urgent = true
        this.#waiters = this.#waiters.filter(waiter => !ready.includes(waiter))
        for (const waiter of ready) this.#answers.push(() => waiter.done(0))
      }
    }
    for (const [context, barrier] of this.#barriers) {
      if (barrier.index === undefined || barrier.index > this.#applied.index) continue
      this.#barriers.delete(context)
      this.#answers.push(() => barrier.done(0))
    }
  }

  /** What waited too long fails: EROFS when it was never ordered, EIO when nobody knows. */
  #expire(): void {
    const now = this.#ports.monotonicMs()
    const late = this.#waiting.filter(waiting => waiting.deadline <= now)
    if (late.length > 0) {
      this.#waiting = this.#waiting.filter(waiting => waiting.deadline > now)
      for (const waiting of late) {
        waiting.cancelled = true
        this.#answers.push(() => waiting.options.done(EROFS))
      }
    }
    for (const change of this.#pending.values()) {
      if (change.deadline === undefined || change.deadline > now || change.accepted === undefined) continue
      const done = this.#takeAnswer(change)!
      const never = change.sentRound === 0 && change.ordered === undefined
      if (never) {
        this.#forget(change)
        if (change.visible) this.#overlayStale = true
      }
      this.#answers.push(() => done(never ? EROFS : EIO))
    }
    const tired = this.#waiters.filter(waiter => waiter.deadline <= now)
    if (tired.length > 0) {
      this.#waiters = this.#waiters.filter(waiter => waiter.deadline > now)
      for (const waiter of tired) this.#answers.push(() => waiter.done(EIO))
    }
    for (const [context, barrier] of this.#barriers) {
      if (barrier.deadline > now) continue
      this.#barriers.delete(context)
      this.#answers.push(() => barrier.done(EIO))
    }
    if (this.#diskFull !== undefined && this.#answers.length > 0) {
      // answers that wait for a full disk: what a majority holds is true without this member's copy
      const answers = this.#answers
      this.#answers = []
      for (const answer of answers) answer()
    }
  }

  // ---- mounts ----

  #invalidate(items: readonly Invalidation[], exceptMount: number | undefined): void {
    if (items.length === 0) return
    for (const observer of this.#observers) if (observer.mount !== exceptMount) observer.invalidate(items)
  }

  /** Tells the mounts of an inode that is about to lose its last name, while the view still shows it. */
  #announceLosses(operation: Operation): void {
    if (this.#observers.size === 0) return
    let ino: number | undefined
    if (operation.kind === 'unlink' || operation.kind === 'rmdir')
      ino = this.view.get('entry', operation.parent, operation.name)?.ino
    else if (operation.kind === 'rename' && (operation.flags & ~RENAME_WHITEOUT) === 0) {
      ino = this.view.get('entry', operation.newParent, operation.newName)?.ino
      const moved = this.view.get('entry', operation.parent, operation.name)
      // only what `apply` will do counts: without a source, or with a directory over a file, nothing is lost
      const type = ino === undefined ? undefined : getInode(this.view, ino)?.mode
      if (moved === undefined || moved.ino === ino || type === undefined) return
      if ((moved.type === S_IFDIR) !== ((type & S_IFMT) === S_IFDIR)) return
    }
    if (ino === undefined) return
    const inode = getInode(this.view, ino)
    if (inode === undefined || (isDirectory(inode) ? inode.children > 0 : inode.nlink > 1)) return
    for (const observer of this.#observers) observer.losing(ino, this.view)
  }

  // ---- upkeep ----

  #announce(): void {
    const position = {
      lastIndex: this.#log.lastIndex,
      durableIndex: this.#ports.log.durableIndex,
      appliedIndex: this.#applied.index,
    }
    const text = `${position.lastIndex}/${position.durableIndex}/${position.appliedIndex}`
    if (text === this.#announced && this.#ticks % 20 !== 0) {
      if (this.#ticks % 10 === 0) this.#publishIdleDigest()
      return
    }
    this.#announced = text
    for (const member of this.#descriptor.members) {
      if (member.id !== this.self) this.#ports.transport.send(member.id, { kind: 'position', ...position })
    }
  }

  #publishIdleDigest(): void {
    if (this.#raft.role === 'leader' && !this.#digests.has(this.#applied.index)) this.#publishDigest()
  }

  #publishDigest(): void {
    const { index } = this.#applied
    const hash = this.#table.digest()
    this.#digests.record(index, hash)
    for (const member of this.#descriptor.members) {
      if (member.id !== this.self) this.#ports.transport.send(member.id, { kind: 'digest', index, hash })
    }
    this.#judge(index)
  }

  #compareDigest(from: MemberId, index: number, hash: Uint8Array): void {
    this.#digests.hear(from, index, hash)
    if (index === this.#applied.index && !this.#digests.has(index)) this.#publishDigest()
    else this.#judge(index)
  }

  /** Promise 2: a member that differs from a majority stops serving and says so. */
  #judge(index: number): void {
    const verdict = this.#digests.judge(index, this.#raft.configuration.voters)
    if (verdict === undefined) return
    if (verdict === 'self') {
      this.#quarantineSelf(`its state at entry ${index} differs from that of a majority of the members`)
      for (const member of this.#descriptor.members) {
        this.#ports.transport.send(member.id, { kind: 'diverged', index, reason: this.#quarantine! })
      }
    } else this.#ports.report('error', `the state of member ${verdict} differs at entry ${index}`)
  }

  #damaged(error: unknown): void {
    if (this.#damage !== undefined) return
    this.#damage = messageOf(error)
    this.#ports.report('error', `something on this member's disk cannot be read: ${this.#damage}`)
  }

  #quarantineSelf(reason: string): void {
    if (this.#quarantine !== undefined) return
    this.#quarantine = reason
    this.#ports.report('error', `this member stops serving: ${reason}`)
    this.#failAll()
    this.#events.quarantined(reason)
  }

  /** A fault of this member's own storage: it stops, so that it says nothing that is not so. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = messageOf(error)
    this.#ports.report('error', `the channel stops here: ${this.#failure}`)
    this.#failAll()
    this.#events.quarantined(this.#failure)
  }

  #failAll(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { options } of waiting) options.done(EIO)
    for (const change of this.#pending.values()) {
      this.#takeAnswer(change)?.(EIO)
    }
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.done(EIO)
    for (const barrier of this.#barriers.values()) barrier.done(EIO)
    this.#barriers.clear()
  }

  #flush(): void {
    if (this.#flushHeld || this.#restoring || this.#stateMissing || this.#applied.index === this.#flushed) return
    try {
      const dead = this.#table.flush(this.#applied)
      this.#flushed = this.#applied.index
      for (const blob of dead) this.#dead.push(blob)
    } catch (error) {
      if (!(error instanceof RkfsError) || error.code !== 'disk-full') return this.#fail(error)
      this.#diskFull = error.message
    }
  }

  #flushHeld = false
  /** Writes the applied state out and keeps it as it is on disk until `release` (a snapshot is being opened). */
  holdFlush(): { index: number; release: () => void } {
    this.#flush()
    this.#ports.log.settle()
    this.#flushHeld = true
    return { index: this.#flushed, release: () => (this.#flushHeld = false) }
  }

  /** Drops what no member needs any more from the log. */
  compact(): void {
    if (this.#flushHeld || this.#restoring || !this.serving || this.#diskFull !== undefined) return
    let needed = this.#flushed
    for (const member of this.#descriptor.members) {
      if (member.id === this.self) continue
      const position = this.#positions.get(member.id)
      needed = Math.min(needed, position?.durableIndex ?? 0)
    }
    const target = Math.max(needed, this.#flushed - retainedEntriesMax) - compactMargin
    const dead = this.#dead.filter(blob => Math.floor(blob / blobsPerEntryMax) < this.#log.firstIndex)
    if (dead.length > 0) {
      const gone = new Set(dead)
      this.#dead = this.#dead.filter(blob => !gone.has(blob))
    }
    const forgotten = this.#sweep()
    dead.push(...forgotten)
    if (target < this.#log.firstIndex && dead.length === 0) return
    try {
      if (this.#synced < this.#flushed) {
        this.#ports.state.syncNow()
        this.#synced = this.#flushed
      }
      const free = dead.filter(blob => !this.#isUsed(blob))
      if (free.length > 0) {
        this.blobs.forget(free)
        this.#ports.log.dropBlobs(free)
      }
      if (target >= this.#log.firstIndex) {
        const more = this.#ports.log.compact(target, blob => this.#isUsed(blob))
        this.#compacting = more
      }
      this.#ports.log.commit()
      if (this.#ports.log.clean()) this.#compacting = true
    } catch (error) {
      if (!(error instanceof RkfsError) || error.code !== 'disk-full') this.#fail(error)
    }
  }

  /** Where the search for blobs that an earlier run left behind stands. */
  #swept = -1

  /** The next unused blobs from before the log's beginning, once through all of them after a start. */
  #sweep(): number[] {
    const end = this.#log.firstIndex * blobsPerEntryMax
    if (this.#swept >= end) return []
    const ids = this.#ports.log.blobIds(this.#swept, sweepBlobs)
    const last = ids.at(-1)
    this.#swept = last === undefined || last >= end || ids.length < sweepBlobs ? Infinity : last
    return ids.filter(id => id < end && !this.#isUsed(id))
  }

  /** Blobs that an open file without a name still shows (`OrphanFiles`). */
  readonly pinned = new Map<number, number>()

  #isUsed(blob: number): boolean {
    return this.pinned.has(blob) || this.#table.liveBytes(blob) > 0
  }

  /** The channel stands still while a snapshot replaces its state. */
  beginRestore(): void {
    this.#restoring = true
  }

  /** A snapshot was installed (or not, without `state`): the channel goes on from it. */
  restored(result: { state: StateStore; anchor: LogAnchor } | undefined): void {
    this.#restoring = false
    if (result === undefined) return this.#turn()
    const { state, anchor } = result
    this.#table = new TableView(state, this.#ports.hasher)
    this.#overlay = new OverlayView(this.#table)
    this.#watchTable()
    ;(this.#ports as { state: StateStore }).state = state
    this.#applied = { index: anchor.index, term: anchor.term, hash: anchor.hash }
    this.#flushed = this.#synced = this.#durable = anchor.index
    this.#stateMissing = false
    this.#log.reopened()
    this.blobs.clear()
    this.#overlayStale = true
    const stored = membersDescriptor(this.#table)
    assert(stored !== undefined, 'a snapshot carries the members')
    this.#descriptor = decodeDescriptor(stored)
    this.#raft.restored(anchor.index, anchor.term, configurationOf(this.#descriptor))
    this.#events.descriptorChanged(this.#descriptor)
    for (const observer of this.#observers) observer.invalidateAll()
    this.#dropAppliedJournal()
    this.#turn()
  }

  /** Own changes that the snapshot contains are done. */
  #dropAppliedJournal(): void {
    const done = this.#table.get('session', 0, this.self)
    if (done === undefined) return
    for (const change of this.#pending.values()) {
      const { session, sequence } = change.proposal
      if (session > done.session || (session === done.session && sequence > done.sequence)) continue
      this.#forget(change)
      const answer = this.#takeAnswer(change)
      if (answer !== undefined) this.#answers.push(() => answer(0))
    }
  }

  /** Whether the digest of what is stored is what its records amount to (`verify`). */
  checkDigest(records: Iterable<Uint8Array>): boolean {
    const sum = new Uint8Array(32)
    for (const hash of records) for (let i = 0; i < 32; i++) sum[i]! ^= hash[i]!
    return equalBytes(sum, this.#table.digest())
  }

  /** Ends all waiting, writes the state out and lets go. The stores are closed by who opened them. */
  stop(): void {
    if (this.#stopped) return
    if (this.serving) {
      this.#persist()
      this.#flush()
    }
    this.#stopped = true
    this.#failAll()
    const answers = this.#answers
    this.#answers = []
    for (const answer of answers) answer()
  }
}
