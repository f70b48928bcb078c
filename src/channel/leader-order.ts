import { EAGAIN, ECANCELED, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM } from '../base/errno.js'
import { messageOf } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import { apply, membersDescriptor, membersVersion } from '../fs/apply.js'
import { payloadLength } from '../fs/extents.js'
import { decodeOperation, encodeOperation } from '../fs/operation-codec.js'
import {
  isContentOperation,
  isHousekeeping,
  madeInode,
  type MembersOperation,
  type Operation,
} from '../fs/operation.js'
import { refusedMax } from '../fs/records.js'
import { payloadMatches, zeroHash } from '../oplog/codec.js'
import type { Proposal } from '../oplog/entry.js'
import type { Raft } from '../raft/raft.js'
import { hasEnded, lastPlaced, refusalOf, rememberPlace, standingOf } from './change-number.js'
import type { Appender } from './appender.js'
import type { Complaints } from './complaints.js'
import type { Core } from './core.js'
import { decodeDescriptor, mayChange, mayMakeInode, withoutVote, type Descriptor, type Member } from './descriptor.js'
import type { PendingChange } from './pending-changes.js'
import type { ChannelPorts } from './ports.js'
import type { Resume, Resumptions } from './resumption.js'
import type { Roster } from './roster.js'
import type { ShownChanges } from './shown-changes.js'
import type { SmallWrites } from './small-writes.js'
import type { Space } from './space.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'
import type { Views } from './views.js'
import type { WriterBook } from './writer-book.js'

/**
 * What a leader gives a place in the log.
 *
 * INVARIANT: only changes of the session that its member has open are taken, each session's numbers in ascending order. The
 * last one taken stands in `ordered` with the change (`session` records): a second arrival has its place already (thesis
 * §6.3), and one of a session that has ended never gets one.
 */
export class LeaderOrder {
  readonly #self: MemberId
  readonly #ports: ChannelPorts
  readonly #complaints: Complaints
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #views: Views
  readonly #shown: ShownChanges
  readonly #writes: SmallWrites
  readonly #appender: Appender
  readonly #writers: WriterBook
  readonly #resumptions: Resumptions
  readonly #roster: Roster
  readonly #space: Space
  /** The number within its round of forwarding that each member's next proposal has. */
  readonly #expected = new Map<MemberId, number>()
  /** Members whose proposals were left aside: during a hand-over of leadership, or since the log does not name them. */
  readonly #leftAside = new Set<MemberId>()

  constructor(
    { self, ports, log, raft, views, complaints, roster }: Core,
    shown: ShownChanges,
    writes: SmallWrites,
    appender: Appender,
    writers: WriterBook,
    resumptions: Resumptions,
    space: Space,
  ) {
    this.#space = space
    this.#resumptions = resumptions
    this.#self = self
    this.#ports = ports
    this.#complaints = complaints
    this.#log = log
    this.#raft = raft
    this.#views = views
    this.#shown = shown
    this.#writes = writes
    this.#appender = appender
    this.#writers = writers
    this.#roster = roster
  }

  /** What an earlier leadership expected is void. */
  clear(): void {
    this.#expected.clear()
    this.#leftAside.clear()
    this.#resumptions.clear()
  }

  /** The first entry of a leadership: what came before is committed with it (Raft §5.4.2). */
  appendNoop(): void {
    this.#appendOwn({ kind: 'mark', id: 0 })
  }

  /**
   * Ends the session of a member that nobody has heard for the lease. False: it has none, or it has ended. Whatever is
   * ordered, or granted, after this rests on it.
   */
  endSession(member: MemberId, why = 'it was silent, and others have gone on'): boolean {
    const session = lastPlaced(this.#views.ordered, member)
    if (!this.#views.leading || session === undefined || session.ended) return false
    this.#writes.close()
    const index = this.#orderOwn({ kind: 'end-session', member })
    // what this member has on its way is shown until it is given up, and that is when the end is committed
    if (member === this.#self) this.#shown.conceal(index)
    this.#ports.report('warn', `the session of member ${member} is ended: ${why}`)
    return true
  }

  /** Answers where it stands. */
  #orderOwn(operation: Operation): number {
    const index = this.#log.lastIndex + 1
    const { ordered } = this.#views
    ordered.tag = index
    apply(ordered, operation, { time: this.#ports.now(), number: index })
    this.#appendOwn(operation)
    return index
  }

  /** As a new leader, before its own changes are ordered. `resume`: what it would say to another one. */
  resumeOwn(resume: Resume | undefined): void {
    if (resume === undefined || this.#resumptions.ownVerdict(this.#self, resume) === 'goes-on') return
    this.endSession(this.#self)
  }

  /**
   * Whether what a member had on its way at a time (monotonic milliseconds) has its place: it has begun a round since, and
   * all is ordered that it had then.
   */
  hasAllOf(member: MemberId, time: number): boolean {
    const declared = this.#resumptions.declaration(member)
    if (declared === undefined || declared.at <= time) return false
    const last = lastPlaced(this.#views.ordered, member)
    const { session, last: newest } = declared.resume
    return last !== undefined && (last.session > session || (last.session === session && last.sequence >= newest))
  }

  /** An entry that the leader makes of its own accord: it is of no session. */
  #appendOwn(operation: Operation): void {
    this.#appender.append(
      {
        kind: 'noop',
        origin: this.#self,
        session: 0,
        sequence: 0,
        time: this.#ports.now(),
        operation: encodeOperation(operation),
        payload: new Uint8Array(0),
        payloadHash: zeroHash,
        signature: new Uint8Array(0),
      },
      operation,
    )
  }

  /**
   * Gives a proposal its place in the log, or answers why not. 0 also for one that has its place already. Mounts are shown
   * it at once if it is this member's own and everything before it is shown.
   */
  order(proposal: Proposal, operation: Operation, own: PendingChange | undefined): number {
    this.#writes.close()
    const { ordered, joined } = this.#views
    const standing = standingOf(ordered, proposal.origin, proposal, operation)
    if (standing === 'ended') return ECANCELED
    if (standing === 'placed') {
      if (own !== undefined) own.ordered ??= this.#log.lastIndex
      return 0
    }
    // what the order has said of it stands, whatever room there is now
    const bad = refusalOf(lastPlaced(ordered, proposal.origin), proposal) ?? this.#check(operation, proposal.origin)
    if (bad !== 0) return bad
    if (own === undefined && this.#space.refuses(operation)) return ENOSPC
    const index = this.#log.lastIndex + 1
    const shows = own !== undefined && joined
    ordered.tag = index
    const stale = shows ? this.#views.staleBy(operation) : []
    if (shows) this.#views.announceLosses(operation)
    const replaced = operation.kind === 'members' ? this.#replacedBy(operation) : []
    const errno = apply(ordered, operation, { time: proposal.time, number: index })
    if (errno !== 0) return errno
    rememberPlace(ordered, proposal, operation)
    this.#appender.append(proposal, operation)
    for (const member of replaced) this.#raft.forget(member)
    if (!isHousekeeping(operation))
      this.#writers.count(proposal.origin, proposal.operation.length + proposal.payload.length)
    if (own !== undefined) own.ordered = index
    // what this member has on its way and is given up with its session is shown until the end of that is committed
    const endsOwn = operation.kind === 'end-session' && operation.member === this.#self
    if (shows) this.#views.shows(own, stale)
    else if (own === undefined || endsOwn) this.#shown.conceal(index)
    return 0
  }

  /** Whether the log names a member, so that its changes are taken: others, of whom this member was only told, have no say. */
  serves(member: MemberId): boolean {
    return this.#descriptorHas(({ members }) => members.some(({ id }) => id === member))
  }

  /** Whether something holds of the applied descriptor, or of the one that the log amounts to. */
  #descriptorHas(test: (descriptor: Descriptor) => boolean): boolean {
    const applied = this.#roster.descriptor
    if (test(applied)) return true
    const record = this.#views.ordered.get('setting', 0, 'members')
    // it is decoded only where it is another: who asks in vain, asks often
    if (record === undefined || membersVersion(record) === applied.version) return false
    return test(decodeDescriptor(membersDescriptor(this.#views.ordered)!))
  }

  /** Why the order refuses what the state would take: it depends on whose change it is. */
  #check(operation: Operation, origin: MemberId): number {
    if (operation.kind === 'members') return this.#checkMembers(operation, origin)
    if (operation.kind === 'refuse') return EPERM
    // whoever leads knows best what is to be relocated, and nobody but itself believes that the bytes are the same
    if (operation.kind === 'relocate') return origin === this.#self ? 0 : EPERM
    const ino = madeInode(operation)
    if (ino === undefined || this.#descriptorHas(descriptor => mayMakeInode(descriptor, origin, ino))) return 0
    // in the range of another member, that one could not make its own files any more
    const words = `member ${origin} made a file with inode number ${ino}, which is not of a range of its own: refused`
    this.#complaints.about(origin, 'foreign-number', 'warn', words)
    return EPERM
  }

  /** Who lost its log and joins anew, under its old id: what it acknowledged before counts no more. */
  #replacedBy({ descriptor }: MembersOperation): MemberId[] {
    const current = decodeDescriptor(membersDescriptor(this.#views.ordered)!)
    const next = decodeDescriptor(descriptor)
    const isOther = ({ id, slot }: Member): boolean => current.members.some(m => m.id === id && m.slot !== slot)
    return next.members.filter(isOther).map(({ id }) => id)
  }

  #checkMembers(operation: MembersOperation, origin: MemberId): number {
    const current = decodeDescriptor(membersDescriptor(this.#views.ordered)!)
    let next: Descriptor
    try {
      next = decodeDescriptor(operation.descriptor)
    } catch {
      return EINVAL
    }
    if (next.version !== operation.version || next.version !== current.version + 1) return EEXIST
    if (!mayChange(current, next, origin) && !this.#takesLostVote(current, next, origin)) return EPERM
    return this.#raft.mayChangeConfiguration() ? 0 : EAGAIN
  }

  /** Whether it only takes the vote of the other voter, which was given up for lost here, by command. */
  #takesLostVote(current: Descriptor, next: Descriptor, origin: MemberId): boolean {
    const { lostVoter } = this.#raft
    if (lostVoter === undefined || origin !== this.#self) return false
    return JSON.stringify(next) === JSON.stringify(withoutVote(current, lostVoter))
  }

  /** Orders what a member forwarded; answers a gap, or what was refused. `first`: the number of the first one in its round. */
  receive(from: MemberId, restart: boolean, first: number, proposals: readonly Proposal[]): void {
    if (!this.#views.leading) return
    if (this.#raft.transferring !== undefined || !this.serves(from)) {
      // it is missing now: what follows may not pass it, whatever was expected of an earlier round
      this.#expected.delete(from)
      this.#leftAside.add(from)
      return
    }
    if (!restart && this.#resumptions.mustDeclare(from)) {
      this.#expected.delete(from)
      this.#ports.transport.send(from, { kind: 'propose-again' })
      return
    }
    if (restart && !this.#maybeResume(from)) return
    if (restart) this.#expected.set(from, first)
    const expected = this.#expected.get(from)
    if (expected === undefined || first > expected) {
      this.#ports.transport.send(from, { kind: 'propose-again' })
      return
    }
    const refusals = new Map<number, { sequence: number; errno: number }[]>()
    for (const proposal of proposals.slice(expected - first)) {
      const errno = this.#receiveOne(from, proposal)
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

  /** Whether a member's changes can be taken, or refused, now. */
  #maybeResume(from: MemberId): boolean {
    const declared = this.#resumptions.declaration(from)?.resume
    // what it hands in is refused
    if (declared !== undefined && hasEnded(lastPlaced(this.#views.ordered, from), declared.session)) return true
    const verdict = this.#resumptions.verdict(from)
    if (verdict === 'ends') this.endSession(from)
    if (verdict !== 'not-yet') return true
    this.#expected.delete(from)
    this.#leftAside.add(from)
    return false
  }

  #receiveOne(from: MemberId, proposal: Proposal): number {
    if (proposal.origin !== from) {
      const words = `member ${from} proposed a change in the name of ${proposal.origin}: refused`
      this.#complaints.about(from, 'forged-origin', 'warn', words)
      return EPERM
    }
    let operation: Operation
    try {
      operation = decodeOperation(proposal.operation)
    } catch (error) {
      this.#complaints.about(from, 'nonsense', 'warn', `member ${from} proposed nonsense: ${messageOf(error)}`)
      return EINVAL
    }
    const length = payloadLength(operation)
    const sound =
      length === proposal.payload.length &&
      (proposal.kind === 'members') === (operation.kind === 'members') &&
      proposal.kind !== 'noop' &&
      payloadMatches({ payloadHash: proposal.payloadHash, payloadLength: length }, proposal.payload, this.#ports.hasher)
    if (!sound) {
      const words = `member ${from} proposed a change whose payload does not match: refused`
      this.#complaints.about(from, 'payload', 'warn', words)
      return EINVAL
    }
    const errno = this.order(proposal, operation, undefined)
    // of a file that is gone its member knows; its mount goes on with it
    if (errno === 0 || errno === ECANCELED || errno === ENOENT || !isContentOperation(operation)) return errno
    return this.#refuse(from, proposal, errno)
  }

  /** Its program may have been told of it: the state says that it has no place. */
  #refuse(member: MemberId, { session, sequence }: Proposal, errno: number): number {
    const { ordered } = this.#views
    const last = lastPlaced(ordered, member)
    if (refusalOf(last, { session, sequence }) !== undefined) return errno
    const known = last?.refused?.filter(refused => refused.session === session) ?? []
    if (known.length >= refusedMax) {
      this.endSession(member, `${refusedMax} changes of it have been refused`)
      return ECANCELED
    }
    this.#orderOwn({ kind: 'refuse', member, session, sequence, errno })
    return errno
  }

  /** What a member had on its way may be lost: it begins anew. */
  disconnected(member: MemberId): void {
    this.#expected.delete(member)
  }

  /** Asks for what was left aside: a hand-over of leadership came to nothing, or a removed member was admitted again. */
  askLeftAside(): void {
    if (this.#raft.transferring !== undefined) return
    for (const member of this.#leftAside) {
      if (this.#resumptions.isLooking(member) && !this.#maybeResume(member)) continue
      const asked = this.serves(member) && this.#ports.transport.send(member, { kind: 'propose-again' })
      if (asked) this.#leftAside.delete(member)
    }
  }
}
