import { EIO } from '../../base/errno.js'
import type { MemberId } from '../../base/ids.js'
import type { Role } from '../../raft/types.js'
import type { Agenda } from '../agenda.js'
import type { Core } from '../core.js'
import type { LeaderOrder } from '../leader-order.js'
import type { Roster } from '../roster.js'
import type { Transport } from '../transport-port.js'
import type { Views } from '../views.js'
import type { Waiters } from '../waiters.js'
import { LeaseClock } from './lease-clock.js'
import type { Lock, LockPlace } from './lock.js'
import type { CallDone } from './lock-calls.js'
import { LockClient } from './lock-client.js'
import type { LockMessage } from './lock-messages.js'
import { LockServer } from './lock-server.js'
import { lockTiming } from './lock-timing.js'

/** Waits until this member's changes so far are committed. */
export type Commit = (timeoutMs: number, done: (errno: number) => void) => void

/** One try to get the changes under a lock committed; without a majority there is another, for as long as it takes. */
const commitTryMs = 10_000

/** The locks of a channel on one member: what its mounts ask for (`LockClient`) and, while it leads, the table (`LockServer`). */
export class ChannelLocks {
  readonly #self: MemberId
  readonly #transport: Transport
  readonly #monotonicMs: () => number
  readonly #roster: Roster
  readonly #views: Views
  readonly #agenda: Agenda
  readonly #waiters: Waiters
  readonly #commit: Commit
  readonly #order: LeaderOrder
  readonly #clock: LeaseClock
  readonly #client: LockClient
  #server: LockServer | undefined
  /** The log's end when this member was elected: who is a member then is known when it is applied. */
  #ledFrom = 0
  #members: readonly MemberId[]
  /** When a member was last seen to leave. */
  #leftAt = -Infinity
  /** What this member tells itself. */
  #local: LockMessage[] = []
  #delivering = false
  readonly #listeners = new Set<(locks: readonly LockPlace[]) => void>()

  constructor(
    { self, session, ports, roster, views, agenda }: Core,
    waiters: Waiters,
    order: LeaderOrder,
    commit: Commit,
  ) {
    this.#order = order
    this.#self = self
    this.#transport = ports.transport
    this.#monotonicMs = () => ports.monotonicMs()
    this.#roster = roster
    this.#views = views
    this.#agenda = agenda
    this.#waiters = waiters
    this.#commit = commit
    this.#members = roster.descriptor.members.map(member => member.id)
    this.#clock = new LeaseClock(this.#monotonicMs, () => Number(ports.now() / 1_000_000n))
    const host = {
      send: (to: MemberId, message: LockMessage): boolean => this.#send(to, message),
      lost: (locks: readonly LockPlace[]): void => {
        ports.report('warn', 'locks are lost: no leader confirmed them in time', { locks: locks.length })
        for (const listener of this.#listeners) listener(locks)
      },
    }
    this.#client = new LockClient(session.run, host, lockTiming)
  }

  /** Ranges that this member's programs hold. */
  get heldCount(): number {
    return this.#client.held.count
  }

  /** Hears of locks that are not held any more though nobody gave them back. */
  onLost(listener: (locks: readonly LockPlace[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  // ---- programs ----

  /** Answers a way to give up waiting: EINTR. With 0 this member shows all that was committed when the lock was granted. */
  acquire(lock: Lock, wait: boolean, timeoutMs: number, done: (errno: number) => void): () => void {
    const granted: CallDone = (errno, index) => {
      if (errno !== 0) return done(errno)
      this.#waiters.whenApplied(index, timeoutMs, failed => {
        if (failed !== 0) this.release(lock, timeoutMs, () => {})
        done(failed)
      })
    }
    const id = this.#client.acquire(lock, wait, timeoutMs, this.#clock.now(), granted)
    this.#end()
    return () => {
      this.#client.cancel(id)
      this.#end()
    }
  }

  /** Gives a range back when this member's changes so far are committed; `done` then, or after `timeoutMs`. */
  release(lock: Lock, timeoutMs: number, done: () => void): void {
    this.#client.release(lock, timeoutMs, this.#clock.now(), ready => this.#whenCommitted(ready), done)
    this.#end()
  }

  #whenCommitted(ready: () => void): void {
    this.#commit(commitTryMs, errno => {
      if (this.#agenda.closed) return
      if (errno !== 0) return this.#whenCommitted(ready)
      ready()
      this.#end()
    })
  }

  test(lock: Lock, timeoutMs: number, done: CallDone): void {
    this.#client.test(lock, timeoutMs, this.#clock.now(), done)
    this.#end()
  }

  concerns(place: LockPlace): boolean {
    return this.#client.concerns(place)
  }

  /** Declares locks lost whose lease has run out: asked before anything is done that may be done under one. */
  check(): void {
    if (this.#client.held.count > 0) this.#client.valid(this.#clock.now())
  }

  // ---- time and network ----

  tick(): void {
    const members = this.#roster.descriptor.members.map(member => member.id)
    const now = this.#monotonicMs()
    if (this.#members.some(id => !members.includes(id))) this.#leftAt = now
    this.#members = members
    const allKnown = now - this.#leftAt > lockTiming.graceMs && this.#views.applied.index >= this.#ledFrom
    this.#server?.tick(now, allKnown ? members : undefined, members)
    this.#client.tick(this.#clock.now())
    this.#end()
  }

  /** `lastIndex`: the end of the log, with the entry that a new leader begins with. */
  roleChanged(role: Role, term: number, leader: MemberId | undefined, lastIndex: number): void {
    if (role !== 'leader') this.#server = undefined
    else if (this.#server?.term !== term) {
      this.#ledFrom = lastIndex
      const server: LockServer = new LockServer(
        term,
        this.#monotonicMs(),
        {
          send: (to, message) => this.#send(to, message),
          endSession: member => void this.#order.endSession(member),
          hasAllOf: (member, time) => this.#order.hasAllOf(member, time),
          confirm: context =>
            this.#waiters.confirmLead(index => {
              if (this.#server !== server) return
              server.confirmed(context, index)
              this.#end()
            }),
        },
        lockTiming,
      )
      this.#server = server
    }
    this.#client.leaderChanged(leader === undefined ? undefined : { id: leader, term }, this.#clock.now())
    this.#end()
  }

  connected(member: MemberId): void {
    this.#client.connected(member, this.#clock.now())
    this.#end()
  }

  receive(from: MemberId, message: LockMessage): void {
    this.#take(from, message)
    this.#end()
  }

  failAll(): void {
    this.#client.failAll(EIO)
  }

  #take(from: MemberId, message: LockMessage): void {
    if (message.kind === 'lock-calls') this.#server?.receive(from, message, this.#monotonicMs())
    else this.#client.receive(from, message, this.#clock.now())
  }

  #send(to: MemberId, message: LockMessage): boolean {
    if (to !== this.#self) return this.#transport.send(to, message)
    this.#local.push(message)
    return true
  }

  /** What this member tells itself is heard when the event at hand is done with. */
  #end(): void {
    if (this.#delivering) return
    this.#delivering = true
    for (let message = this.#local.shift(); message !== undefined; message = this.#local.shift()) {
      this.#take(this.#self, message)
    }
    this.#delivering = false
  }
}
