import { unreachable } from '../../base/assert.js'
import { EAGAIN, EDEADLK, EINTR, ENOLCK } from '../../base/errno.js'
import type { MemberId } from '../../base/ids.js'
import { HeldLocks } from './held-locks.js'
import type { Lock } from './lock.js'
import {
  lockItemsPerMessageMax,
  locksPerChannelMax,
  locksPerMemberMax,
  type LockAgain,
  type LockAnswer,
  type LockAnswers,
  type LockCall,
  type LockCalls,
} from './lock-messages.js'
import { LockTable } from './lock-table.js'
import type { LockTiming } from './lock-timing.js'
import { covers } from './segments.js'

export interface LockServerHost {
  /** False: it is lost. */
  send(to: MemberId, message: LockAnswers | LockAgain): boolean
  /** Asks whether this member still leads; `confirmed` follows with the commit index, or nothing ever. */
  confirm(context: number): void
  /** Ends the session of a member by an entry of the order. What is confirmed after it is granted when that is committed. */
  endSession(member: MemberId): void
  /** Whether all that a member had on its way at a time (milliseconds) is in the order. */
  hasAllOf(member: MemberId, time: number): boolean
}

/** One member's process, as the leader knows it. */
interface Session {
  readonly member: MemberId
  readonly session: number
  round: number
  /** The number of the next call. */
  expected: number
  /** Answers sent in this round. */
  sent: number
  /** The round's claims are in. */
  attached: boolean
  /** When its last renewal came; undefined while it holds nothing. */
  heardAt: number | undefined
  claims: Lock[]
  /** Waits of an earlier round that go on: to be asked for again, without effect. */
  resumed: Set<number>
  outbox: LockAnswer[]
}

interface Unconfirmed {
  readonly session: Session
  readonly round: number
  readonly answer: LockAnswer
}

type Parked = { readonly session: Session; readonly call: Extract<LockCall, { kind: 'acquire' | 'test' }> }

/**
 * The leader's side of the channel's locks, for one term.
 *
 * A grant, and the renewal of a lease, are told only when a majority has confirmed the leadership in a round of heartbeats
 * that began after they were decided (a read index). So whatever a member believes to hold, the renewal that carries it was
 * sent before any later leader was elected, and that leader's time of grace is longer than the lease.
 */
export class LockServer {
  readonly term: number
  readonly table = new LockTable()
  readonly #host: LockServerHost
  readonly #timing: LockTiming
  readonly #startedAt: number
  readonly #sessions = new Map<MemberId, Session>()
  #grace = true
  /** What is asked for before the time of grace has ended. */
  #parked: Parked[] = []
  #unconfirmed: Unconfirmed[] = []
  #confirming: { readonly context: number; readonly answers: Unconfirmed[] }[] = []
  #nextContext = 1
  /** Members that were silent for the lease: what they may have held, undefined for anything, and when it was taken from them. */
  readonly #lapsed = new Map<MemberId, { readonly locks: HeldLocks | undefined; readonly at: number }>()

  constructor(term: number, now: number, host: LockServerHost, timing: LockTiming) {
    this.term = term
    this.#startedAt = now
    this.#host = host
    this.#timing = timing
  }

  get grace(): boolean {
    return this.#grace
  }

  receive(from: MemberId, message: LockCalls, now: number): void {
    if (message.term !== this.term) return
    const session = this.#sessionOf(from, message)
    if (session === undefined) return
    if (message.first > session.expected) return this.#again(from, message)
    for (const call of message.calls.slice(session.expected - message.first)) {
      session.expected++
      this.#perform(session, call, now)
      // the answers follow the table step by step
      this.#tellSettled()
    }
    this.#flush()
  }

  #again(to: MemberId, { session, round }: LockCalls): void {
    this.#host.send(to, { kind: 'lock-again', term: this.term, session, round })
  }

  /** The session that a message belongs to, begun anew where it begins a round; undefined: it is an old one, or a part is missing. */
  #sessionOf(member: MemberId, message: LockCalls): Session | undefined {
    const known = this.#sessions.get(member)
    const { session, round } = message
    if (known !== undefined) {
      if (session < known.session) return undefined
      if (session === known.session && round < known.round) return undefined
      if (session === known.session && round === known.round) return known
    }
    if (message.first !== 1) {
      this.#again(member, message)
      return undefined
    }
    if (known === undefined || session > known.session) {
      // another process of that member: the one before, and what it held, is gone
      if (known !== undefined) this.#end(known)
      const fresh: Session = {
        member,
        session,
        round,
        expected: 1,
        sent: 0,
        attached: false,
        heardAt: undefined,
        claims: [],
        resumed: new Set(),
        outbox: [],
      }
      this.#sessions.set(member, fresh)
      return fresh
    }
    Object.assign(known, { round, expected: 1, sent: 0, attached: false, claims: [], resumed: new Set(), outbox: [] })
    return known
  }

  #perform(session: Session, call: LockCall, now: number): void {
    switch (call.kind) {
      case 'claim':
        if (session.claims.length < locksPerMemberMax) session.claims.push(call.lock)
        else this.#tell(session, { kind: 'lost', lock: call.lock })
        return
      case 'attach':
        return this.#attach(session, call.waiting, now)
      case 'renew':
        session.heardAt = now
        return this.#confirmed(session, { kind: 'renewed', stamp: call.stamp })
      case 'acquire':
        session.heardAt ??= now
        if (session.resumed.delete(call.id)) return
        if (this.#grace) this.#park(session, call)
        else this.#acquire(session, call)
        return
      case 'cancel': {
        const parked = this.#parked.findIndex(each => each.session === session && each.call.id === call.id)
        if (parked >= 0) this.#parked.splice(parked, 1)
        else if (!this.table.cancel(idOf(session, call.id))) return
        this.#tell(session, { kind: 'denied', id: call.id, errno: EINTR })
        return
      }
      case 'release':
        this.table.release(ownLock(session, call.lock), call.lock)
        this.#tell(session, { kind: 'released', id: call.id })
        return
      case 'test':
        if (this.#grace) this.#park(session, call)
        else this.#test(session, call)
        return
      default:
        unreachable(call)
    }
  }

  /** Takes claims for what they are worth: in the time of grace unless another claims against it, later if it is known. */
  #attach(session: Session, waiting: readonly number[], now: number): void {
    const isOwn = (owner: string): boolean => owner.startsWith(prefixOf(session))
    const good: Lock[] = []
    for (const lock of session.claims) {
      const own = ownLock(session, lock)
      const holds = this.#grace
        ? this.#isFreeFor(own, isOwn) && this.table.held.count + good.length < locksPerChannelMax
        : covers(this.table.held.of(own), own, own.type)
      if (holds) good.push(own)
      else this.#tell(session, { kind: 'lost', lock })
    }
    const kept = new Set(waiting)
    this.#parked = this.#parked.filter(each => each.session !== session || kept.has(each.call.id))
    const ids = new Set(waiting.map(id => idOf(session, id)))
    for (const id of waiting) {
      const isParked = this.#parked.some(each => each.session === session && each.call.id === id)
      if (isParked || this.table.isWaiting(idOf(session, id))) session.resumed.add(id)
    }
    // what was granted and not yet told in an earlier round is among the claims, or void
    this.table.replace(isOwn, good, id => ids.has(id))
    session.claims = []
    session.attached = true
    session.heardAt = now
    this.#confirmed(session, { kind: 'attached' })
  }

  #isFreeFor(lock: Lock, isOwn: (owner: string) => boolean): boolean {
    for (const { owner } of this.table.held.conflicts(lock)) if (!isOwn(owner)) return false
    return true
  }

  #park(session: Session, call: Parked['call']): void {
    if (this.#parked.length < locksPerChannelMax) this.#parked.push({ session, call })
    else this.#tell(session, { kind: 'denied', id: call.id, errno: ENOLCK })
  }

  #acquire(session: Session, { id, lock, wait }: Extract<LockCall, { kind: 'acquire' }>): void {
    const { table } = this
    if (table.held.count + table.waitingCount >= locksPerChannelMax) {
      this.#tell(session, { kind: 'denied', id, errno: ENOLCK })
      return
    }
    const outcome = table.acquire(ownLock(session, lock), wait, idOf(session, id))
    if (outcome === 'granted') this.#grant(session, id, ownLock(session, lock))
    else if (outcome === 'busy') this.#tell(session, { kind: 'denied', id, errno: EAGAIN })
    else if (outcome === 'deadlock') this.#tell(session, { kind: 'denied', id, errno: EDEADLK })
  }

  #test(session: Session, { id, lock }: Extract<LockCall, { kind: 'test' }>): void {
    const found = this.table.test(ownLock(session, lock))
    if (found === undefined) this.#tell(session, { kind: 'found', id, lock: undefined })
    else {
      const { start, end, type, owner } = found
      const pid = owner.startsWith(prefixOf(session)) ? found.pid : 0
      this.#tell(session, { kind: 'found', id, lock: { start, end, type, pid } })
    }
  }

  /** To be told when the leadership is confirmed. */
  #confirmed(session: Session, answer: LockAnswer): void {
    this.#unconfirmed.push({ session, round: session.round, answer })
  }

  /** To be told at once, but after what was decided before: the member follows the table by its answers. */
  #tell(session: Session, answer: LockAnswer): void {
    const isTheirs = (each: Unconfirmed): boolean => each.session === session && each.round === session.round
    const waits = this.#unconfirmed.some(isTheirs) || this.#confirming.some(({ answers }) => answers.some(isTheirs))
    if (waits) this.#confirmed(session, answer)
    else session.outbox.push(answer)
  }

  /** A majority confirmed this leadership since `confirm(context)`; all was committed up to `index` when it was called. */
  confirmed(context: number, index: number): void {
    const ready = this.#confirming.filter(each => each.context <= context)
    this.#confirming = this.#confirming.filter(each => each.context > context)
    for (const { session, round, answer } of ready.flatMap(each => each.answers)) {
      if (session.round !== round) continue
      session.outbox.push(answer.kind === 'granted' ? { ...answer, index } : answer)
    }
    this.#flush()
  }

  /** `members`: all that may hold locks; undefined: somebody who left the channel lately may hold some, too. */
  tick(now: number, members: readonly MemberId[] | undefined, everybody: readonly MemberId[]): void {
    for (const session of this.#sessions.values()) {
      if (session.heardAt === undefined || now - session.heardAt <= this.#timing.leaderLeaseMs) continue
      // without locks there is nothing to lose: it may be silent for as long as it likes
      if (this.#has(session)) this.#lapse(session, now)
      else session.heardAt = undefined
    }
    if (this.#grace) this.#maybeEndGrace(now, members, everybody)
    this.#flush()
  }

  #has(session: Session): boolean {
    const prefix = prefixOf(session)
    for (const { owner } of this.table.waiting) if (owner.startsWith(prefix)) return true
    for (const { owner } of this.table.held) if (owner.startsWith(prefix)) return true
    return false
  }

  /** Ends when all have said what they hold, or can hold nothing any more. */
  #maybeEndGrace(now: number, members: readonly MemberId[] | undefined, everybody: readonly MemberId[]): void {
    const all = members?.every(member => this.#sessions.get(member)?.attached) ?? false
    if (!all && now - this.#startedAt < this.#timing.graceMs) return
    this.#grace = false
    // who has not said what it holds may have held anything
    for (const member of everybody) {
      if (!this.#sessions.get(member)?.attached) this.#lapsed.set(member, { locks: undefined, at: now })
    }
    const parked = this.#parked
    this.#parked = []
    for (const { session, call } of parked) {
      if (call.kind === 'acquire') this.#acquire(session, call)
      else this.#test(session, call)
    }
  }

  /** A silent member's locks are taken from it. Who gets one of them must not meet what it wrote under it (`#grant`). */
  #lapse(session: Session, now: number): void {
    const before = this.#lapsed.get(session.member)
    const locks = before === undefined ? new HeldLocks() : before.locks
    if (locks !== undefined) {
      for (const lock of this.table.held) if (lock.owner.startsWith(prefixOf(session))) locks.change(lock, lock, lock)
    }
    this.#lapsed.set(session.member, { locks, at: now })
    this.#end(session)
  }

  /** Before a lock that a silent member may have held goes to another, that member's session has ended. */
  #grant(session: Session, id: number, lock: Lock): void {
    for (const [member, { locks, at }] of this.#lapsed) {
      if (member === session.member) continue
      if (this.#host.hasAllOf(member, at)) this.#lapsed.delete(member)
      else if (locks === undefined || [...locks.conflicts(lock)].length > 0) {
        this.#lapsed.delete(member)
        this.#host.endSession(member)
      }
    }
    this.#confirmed(session, { kind: 'granted', id, index: 0 })
  }

  #end(session: Session): void {
    this.#sessions.delete(session.member)
    this.#parked = this.#parked.filter(each => each.session !== session)
    // answers on their way are void: the member must begin a round
    session.round = 0
    this.table.replace(
      owner => owner.startsWith(prefixOf(session)),
      [],
      () => false,
    )
  }

  #tellSettled(): void {
    for (const { lock, outcome } of this.table.takeSettled()) {
      const session = this.#sessions.get(lock.owner.slice(0, lock.owner.indexOf('#')))
      // one that begins a new round asks again: its claims will replace what it was granted just now
      if (session === undefined || !session.attached || !lock.owner.startsWith(prefixOf(session))) continue
      const id = Number(lock.id.slice(lock.id.lastIndexOf('/') + 1))
      if (outcome === 'granted') this.#grant(session, id, lock)
      else this.#tell(session, { kind: 'denied', id, errno: EDEADLK })
    }
  }

  /** Sends the answers, and asks whether this member still leads where they depend on it. */
  #flush(): void {
    this.#tellSettled()
    if (this.#unconfirmed.length > 0) {
      const context = this.#nextContext++
      this.#confirming.push({ context, answers: this.#unconfirmed })
      this.#unconfirmed = []
      this.#host.confirm(context)
    }
    for (const session of this.#sessions.values()) this.#deliver(session)
  }

  #deliver(to: Session): void {
    const answers = to.outbox
    if (answers.length === 0) return
    to.outbox = []
    const { member, session, round } = to
    for (let at = 0; at < answers.length; at += lockItemsPerMessageMax) {
      const part = answers.slice(at, at + lockItemsPerMessageMax)
      this.#host.send(member, {
        kind: 'lock-answers',
        term: this.term,
        session,
        round,
        first: to.sent + 1,
        answers: part,
      })
      to.sent += part.length
    }
  }
}

function prefixOf({ member, session }: Session): string {
  return `${member}#${session}/`
}

/** The lock with an owner that is the only one of its name in the channel. */
function ownLock(session: Session, lock: Lock): Lock {
  return { ...lock, owner: prefixOf(session) + lock.owner }
}

function idOf(session: Session, id: number): string {
  return prefixOf(session) + String(id)
}
