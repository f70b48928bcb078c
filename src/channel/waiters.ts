import { EINTR, EIO } from '../base/errno.js'
import type { Raft } from '../raft/raft.js'
import type { Agenda } from './agenda.js'
import type { Core } from './core.js'
import type { Health } from './health.js'
import type { PendingChanges } from './pending-changes.js'
import type { ChannelPorts } from './ports.js'
import type { StoredEntry } from './stored-entry.js'
import type { Views } from './views.js'

interface Waiter {
  /** Own changes up to this sequence number must be committed. */
  readonly sequence: number
  readonly deadline: number
  /** Time counts while nothing moves, for so long; undefined: all of it counts. */
  readonly patienceMs: number | undefined
  readonly done: (errno: number) => void
}

interface Barrier {
  readonly deadline: number
  readonly done: (errno: number) => void
  /** What must be applied; undefined until the leader has said it. */
  index: number | undefined
}

/**
 * Programs that wait for a majority, or for the state to get somewhere.
 *
 * INVARIANT: each is told once: 0, EIO at its deadline or when this member stops, EINTR when it gives up.
 */
export class Waiters {
  readonly #ports: ChannelPorts
  readonly #raft: Raft<StoredEntry>
  readonly #views: Views
  readonly #pending: PendingChanges
  readonly #agenda: Agenda
  readonly #health: Health
  #waiters: Waiter[] = []
  readonly #barriers = new Map<number, Barrier>()
  readonly #confirmations = new Map<number, (index: number) => void>()
  #nextContext = 1

  constructor({ ports, raft, views, pending, agenda, health }: Core) {
    this.#ports = ports
    this.#raft = raft
    this.#views = views
    this.#pending = pending
    this.#agenda = agenda
    this.#health = health
  }

  /** Somebody waits for a majority. */
  get any(): boolean {
    return this.#waiters.length > 0
  }

  /** Nobody is told anything any more. */
  get #isOver(): boolean {
    return this.#agenda.closed || !this.#health.sound
  }

  /**
   * Waits until this member's changes up to `sequence` are on a majority. What it shows of others' is there already. Who is
   * patient goes on waiting while one after the other gets there.
   */
  whenDurable(sequence: number, timeoutMs: number, done: (errno: number) => void, isPatient = true): () => void {
    const deadline = this.#ports.monotonicMs() + timeoutMs
    const waiter: Waiter = { sequence, deadline, patienceMs: isPatient ? timeoutMs : undefined, done }
    // of what it gave up when its disk failed it may not have been able to tell yet
    if (!this.#health.sound) done(EIO)
    else if (this.isDurable(sequence)) done(0)
    else if (this.#isOver) done(EIO)
    else {
      this.#waiters.push(waiter)
      this.#agenda.turn()
    }
    return () => {
      const at = this.#waiters.indexOf(waiter)
      if (at < 0) return
      this.#waiters.splice(at, 1)
      done(EINTR)
    }
  }

  /** Whether this member's changes up to `sequence` are on a majority. */
  isDurable(sequence: number): boolean {
    const oldest = this.#pending.oldest
    if (oldest === undefined) return true
    // while a session is opened nothing else is on its way
    return oldest.operation.kind === 'open-session' || oldest.proposal.sequence > sequence
  }

  /**
   * Waits until this member has applied all that was committed, or ordered by the leader, when the call began
   * (`read=latest`). Answers a way to give up.
   */
  readBarrier(timeoutMs: number, done: (errno: number) => void): () => void {
    const context = this.#nextContext++
    if (this.#isOver) done(EIO)
    else {
      this.#barriers.set(context, { deadline: this.#ports.monotonicMs() + timeoutMs, done, index: undefined })
      this.#raft.readIndex(context)
      this.#agenda.hurry()
      this.#agenda.turn()
    }
    return () => this.#giveUp(context)
  }

  /**
   * As leader: hears the commit index when a majority has confirmed, since this call, that this member still leads; never
   * when it does not. Within the call where it decides alone.
   */
  confirmLead(done: (index: number) => void): void {
    const context = this.#nextContext++
    this.#confirmations.set(context, done)
    this.#agenda.hurry()
    this.#raft.readIndex(context)
    this.#agenda.turn()
  }

  /** The leader's answer to `readIndex`. */
  readReady(context: number, index: number): void {
    const confirmed = this.#confirmations.get(context)
    this.#confirmations.delete(context)
    confirmed?.(index)
    const barrier = this.#barriers.get(context)
    if (barrier !== undefined) barrier.index = index
  }

  /** Read indexes that an earlier leader, or connection, was asked for are asked for again. */
  askAgain(): void {
    // the leadership that was to be confirmed is over
    if (!this.#views.leading) this.#confirmations.clear()
    for (const [context, barrier] of this.#barriers) if (barrier.index === undefined) this.#raft.readIndex(context)
  }

  /** Waits until the applied state has reached an index. Answers a way to give up. */
  whenApplied(index: number, timeoutMs: number, done: (errno: number) => void): () => void {
    const context = this.#nextContext++
    if (this.#views.applied.index >= index) done(0)
    else if (this.#isOver) done(EIO)
    else this.#barriers.set(context, { deadline: this.#ports.monotonicMs() + timeoutMs, done, index })
    return () => this.#giveUp(context)
  }

  #giveUp(context: number): void {
    const barrier = this.#barriers.get(context)
    if (this.#barriers.delete(context)) barrier!.done(EINTR)
  }

  /** What is waited for was given up: those that wait for a majority are told so. */
  givenUp(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) this.#agenda.answer(() => waiter.done(EIO))
  }

  /** Answers those that have what they waited for. */
  check(): void {
    if (this.#waiters.length > 0) {
      const ready = this.#waiters.filter(waiter => this.isDurable(waiter.sequence))
      if (ready.length > 0) {
        // what a program saw committed, the others are told at once
        this.#agenda.hurry()
        this.#waiters = this.#waiters.filter(waiter => !ready.includes(waiter))
        for (const waiter of ready) this.#agenda.answer(() => waiter.done(0))
      }
    }
    for (const [context, barrier] of this.#barriers) {
      if (barrier.index === undefined || barrier.index > this.#views.applied.index) continue
      this.#barriers.delete(context)
      this.#agenda.answer(() => barrier.done(0))
    }
  }

  expire(now: number): void {
    const { movedAt } = this.#pending
    const late = this.#waiters.filter(({ deadline, patienceMs }) => {
      return deadline <= now && (patienceMs === undefined || movedAt + patienceMs <= now)
    })
    if (late.length > 0) {
      this.#waiters = this.#waiters.filter(waiter => !late.includes(waiter))
      for (const waiter of late) this.#agenda.answer(() => waiter.done(EIO))
    }
    for (const [context, barrier] of this.#barriers) {
      if (barrier.deadline > now) continue
      this.#barriers.delete(context)
      this.#agenda.answer(() => barrier.done(EIO))
    }
  }

  failAll(): void {
    const waiters = this.#waiters
    this.#waiters = []
    const barriers = [...this.#barriers.values()]
    this.#barriers.clear()
    for (const { done } of [...waiters, ...barriers]) done(EIO)
  }
}
