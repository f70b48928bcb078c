import { unreachable } from '../../base/assert.js'
import { EINTR, ENOLCK } from '../../base/errno.js'
import type { MemberId } from '../../base/ids.js'
import { HeldLocks } from './held-locks.js'
import type { Lock, LockPlace } from './lock.js'
import { Gates, resumable, wireCall, type CallDone, type LeaderOf, type PendingCall } from './lock-calls.js'
import {
  lockCallsPerMemberMax,
  lockItemsPerMessageMax,
  locksPerMemberMax,
  type FoundLock,
  type LockAgain,
  type LockAnswer,
  type LockAnswers,
  type LockCall,
  type LockCalls,
} from './lock-messages.js'
import type { LockTiming } from './lock-timing.js'

export interface LockClientHost {
  /** False: it is lost. */
  send(to: MemberId, message: LockCalls): boolean
  /** These are not held any more: the programs that believe so must not go on. */
  lost(locks: readonly LockPlace[]): void
}

/**
 * A member's side of the channel's locks: what its programs hold, and what they wait for.
 *
 * INVARIANT: `held` is what the leader's answers say, in their order, less what was given back since. It counts for as long
 * as the last renewal that was answered was sent less than `holderLeaseMs` ago; whoever looks asks `valid` first.
 */
export class LockClient {
  readonly held = new HeldLocks()
  readonly #session: number
  readonly #host: LockClientHost
  readonly #timing: LockTiming
  readonly #gates = new Gates()
  /** In the order of their ids. */
  readonly #calls = new Map<number, PendingCall>()
  #nextId = 1
  #leader: LeaderOf | undefined
  #round = 0
  /** Calls go out in this round; otherwise the next one must be begun. */
  #begun = false
  #sent = 0
  #heard = 0
  /** The renewal (0: the attachment) that has no answer. */
  #asked: { readonly stamp: number; readonly at: number } | undefined
  #askedAt = -Infinity
  /** When the last renewal that was answered was sent. */
  #renewedAt = -Infinity
  #nextStamp = 1
  /** Releases that the claims of this round imply. */
  #implied: PendingCall[] = []

  constructor(session: number, host: LockClientHost, timing: LockTiming) {
    this.#session = session
    this.#host = host
    this.#timing = timing
  }

  get pendingCalls(): number {
    return this.#calls.size
  }

  // ---- programs ----

  /** F_SETLK, F_SETLKW, flock(2). Answers the call's id, for `cancel`. `done` may come within the call. */
  acquire(lock: Lock, wait: boolean, timeoutMs: number, now: number, done: CallDone): number {
    this.valid(now)
    const call = this.#newCall('acquire', lock, wait, timeoutMs, now, done)
    if (this.held.count >= locksPerMemberMax || this.#calls.size >= lockCallsPerMemberMax) {
      answer(call, ENOLCK)
      return call.id
    }
    this.#calls.set(call.id, call)
    this.#gates.pass(lock, () => {
      if (call.givenUp) return
      call.ready = true
      // the leader drops it, so that it must not be held, or claimed, from now on
      this.held.dropBeforeConversion(lock)
      this.#sendCall(call, now)
    })
    return call.id
  }

  /**
   * Gives a range back. `prepare` calls back when the changes made under the lock are committed: before that nobody else
   * gets it. The answer is 0, at the latest after `timeoutMs`; what is left then goes on.
   */
  release(lock: Lock, timeoutMs: number, now: number, prepare: (ready: () => void) => void, done: CallDone): void {
    const call = this.#newCall('release', lock, false, timeoutMs, now, done)
    this.#calls.set(call.id, call)
    this.#gates.pass(lock, () => {
      this.#gates.close(lock)
      prepare(() => {
        call.ready = true
        this.held.change(lock, lock, undefined)
        this.#sendCall(call, now)
        this.#gates.open(lock)
      })
    })
  }

  /** F_GETLK. */
  test(lock: Lock, timeoutMs: number, now: number, done: CallDone): void {
    const call = this.#newCall('test', lock, false, timeoutMs, now, done)
    if (this.#calls.size >= lockCallsPerMemberMax) return answer(call, ENOLCK)
    this.#calls.set(call.id, call)
    call.ready = true
    this.#sendCall(call, now)
  }

  /** A signal: EINTR at once. What is granted all the same is undone. */
  cancel(id: number): void {
    const call = this.#calls.get(id)
    if (call !== undefined && call.kind === 'acquire' && !call.givenUp) this.#giveUp(call, EINTR)
  }

  /** Whether an owner holds, or asks for, anything of a file. */
  concerns({ space, ino, owner }: LockPlace): boolean {
    if (this.held.of({ space, ino, owner }).length > 0) return true
    for (const { lock } of this.#calls.values()) if (isSamePlace(lock, { space, ino, owner })) return true
    return false
  }

  /** Declares the locks lost when the lease has run out: false then. */
  valid(now: number): boolean {
    if (this.held.count === 0 || this.#hasLease(now)) return true
    const lost = [...this.held]
    this.held.clear()
    this.#begun = false
    this.#host.lost(lost)
    return false
  }

  /** Answers all that waits: this member serves no more. */
  failAll(errno: number): void {
    for (const call of this.#calls.values()) answer(call, call.kind === 'release' ? 0 : errno)
  }

  #hasLease(now: number): boolean {
    return now - this.#renewedAt < this.#timing.holderLeaseMs
  }

  #newCall(
    kind: PendingCall['kind'],
    lock: Lock,
    wait: boolean,
    timeoutMs: number,
    begunAt: number,
    done: CallDone,
  ): PendingCall {
    return { id: this.#nextId++, kind, lock, wait, timeoutMs, begunAt, done, ready: false, round: 0, givenUp: false }
  }

  #giveUp(call: PendingCall, errno: number): void {
    call.givenUp = true
    if (this.#begun && call.round === this.#round) {
      // its fate is told in this round, unless the round ends: then it is void
      if (call.kind === 'acquire') this.#send([{ kind: 'cancel', id: call.id }])
    } else this.#calls.delete(call.id)
    answer(call, errno)
  }

  // ---- time and network ----

  /** Another leader, another term, or none. */
  leaderChanged(leader: LeaderOf | undefined, now: number): void {
    if (leader?.id === this.#leader?.id && leader?.term === this.#leader?.term) return
    this.#leader = leader
    this.#begun = false
    this.#maybeBegin(now)
  }

  /** What was on the way to the leader, and from it, may be lost. */
  connected(member: MemberId, now: number): void {
    if (member !== this.#leader?.id) return
    this.#begun = false
    this.#maybeBegin(now)
  }

  tick(now: number): void {
    this.valid(now)
    for (const call of this.#calls.values()) {
      if (call.done === undefined || now < this.#deadline(call)) continue
      if (call.kind === 'release') answer(call, 0)
      else this.#giveUp(call, ENOLCK)
    }
    if (this.#asked !== undefined && now - this.#asked.at > this.#timing.silenceMs) this.#begun = false
    const active = this.held.count > 0 || this.#calls.size > 0
    if (this.#begun && active && this.#renewalDue(now)) this.#send([this.#renewal(now)])
    this.#maybeBegin(now)
  }

  /** A wait has no end while the leader is there; all else has, and so has a wait without a leader. */
  #deadline({ begunAt, timeoutMs, wait }: PendingCall): number {
    return (wait ? Math.max(begunAt, this.#renewedAt) : begunAt) + timeoutMs
  }

  receive(from: MemberId, message: LockAnswers | LockAgain, now: number): void {
    const { term, session, round } = message
    if (from !== this.#leader?.id || term !== this.#leader.term) return
    if (session !== this.#session || round !== this.#round || !this.#begun) return
    if (message.kind === 'lock-again' || message.first > this.#heard + 1) this.#begun = false
    else {
      for (const each of message.answers.slice(this.#heard + 1 - message.first)) {
        this.#heard++
        this.#take(each, now)
        if (!this.#begun) break
      }
    }
    this.#maybeBegin(now)
  }

  #take(told: LockAnswer, now: number): void {
    switch (told.kind) {
      case 'lost':
        this.held.change(told.lock, told.lock, undefined)
        return this.#host.lost([told.lock])
      case 'attached': {
        this.#renewed(0)
        const implied = this.#implied
        this.#implied = []
        for (const call of implied) this.#finish(call, 0)
        return
      }
      case 'renewed':
        return this.#renewed(told.stamp)
      case 'granted':
        return this.#granted(told.id, told.index, now)
      case 'denied':
      case 'released':
      case 'found': {
        const call = this.#calls.get(told.id)
        if (call === undefined) return
        // grants that came before it, as the leader sees it, are among what is given back
        if (told.kind === 'released') this.held.change(call.lock, call.lock, undefined)
        return this.#finish(
          call,
          told.kind === 'denied' ? told.errno : 0,
          told.kind === 'found' ? told.lock : undefined,
        )
      }
      default:
        unreachable(told)
    }
  }

  #granted(id: number, index: number, now: number): void {
    const call = this.#calls.get(id)
    if (call === undefined || call.givenUp || !this.#hasLease(now)) {
      // nobody wants it any more, or the lease has gone: the claims of a new round leave it out
      this.valid(now)
      this.#begun = false
      return
    }
    this.held.change(call.lock, call.lock, call.lock)
    this.#calls.delete(id)
    this.#takeBack(call)
    answer(call, 0, index)
  }

  /** Another thread of the owner's may have given back, since then, what was just granted: it is not held then. */
  #takeBack({ id, lock: granted }: PendingCall): void {
    for (const { id: later, kind, lock, ready } of this.#calls.values()) {
      if (later < id || !ready || !isSamePlace(lock, granted)) continue
      const converts = kind === 'acquire' && lock.space === 'flock' && lock.type !== granted.type
      if (kind === 'release' || converts) this.held.change(lock, lock, undefined)
    }
  }

  #finish(call: PendingCall, errno: number, found?: FoundLock): void {
    this.#calls.delete(call.id)
    answer(call, errno, 0, found)
  }

  #renewed(stamp: number): void {
    if (this.#asked?.stamp !== stamp) return
    this.#renewedAt = this.#asked.at
    this.#asked = undefined
  }

  /** Tells the leader all that is held and asked for, if it cannot know. */
  #maybeBegin(now: number): void {
    if (this.#begun || this.#leader === undefined) return
    this.valid(now)
    this.#begun = true
    this.#round++
    this.#sent = 0
    this.#heard = 0
    const again: PendingCall[] = []
    this.#implied = []
    for (const call of this.#calls.values()) {
      if (call.givenUp) this.#calls.delete(call.id)
      else if (call.kind === 'release' && call.ready) this.#implied.push(call)
      else if (call.ready) again.push(call)
    }
    for (const { kind, lock } of again) if (kind === 'acquire') this.held.dropBeforeConversion(lock)
    const claims = [...this.held].map((lock): LockCall => ({ kind: 'claim', lock }))
    const waiting = resumable(again)
    for (const call of again) call.round = this.#round
    this.#asked = { stamp: 0, at: now }
    this.#askedAt = now
    this.#send([...claims, { kind: 'attach', waiting }, ...again.map(wireCall)])
  }

  #renewalDue(now: number): boolean {
    return this.#asked === undefined && now - this.#askedAt >= this.#timing.renewMs
  }

  #renewal(now: number): LockCall {
    const stamp = this.#nextStamp++
    this.#asked = { stamp, at: now }
    this.#askedAt = now
    return { kind: 'renew', stamp }
  }

  #sendCall(call: PendingCall, now: number): void {
    if (!this.#begun) return this.#maybeBegin(now)
    call.round = this.#round
    // the lease must stand when the answer comes
    this.#send(this.#renewalDue(now) ? [this.#renewal(now), wireCall(call)] : [wireCall(call)])
  }

  #send(calls: readonly LockCall[]): void {
    const { id, term } = this.#leader!
    for (let at = 0; at < calls.length && this.#begun; at += lockItemsPerMessageMax) {
      const part = calls.slice(at, at + lockItemsPerMessageMax)
      const first = this.#sent + 1
      this.#sent += part.length
      const { kind, session, round } = { kind: 'lock-calls' as const, session: this.#session, round: this.#round }
      if (!this.#host.send(id, { kind, term, session, round, first, calls: part })) this.#begun = false
    }
  }
}

function isSamePlace(a: LockPlace, b: LockPlace): boolean {
  return a.owner === b.owner && a.ino === b.ino && a.space === b.space
}

function answer(call: PendingCall, errno: number, index = 0, found?: FoundLock): void {
  const { done } = call
  call.done = undefined
  done?.(errno, index, found)
}
