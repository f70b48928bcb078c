import type { LockSpace } from './lock.js'
import { fileKey, overlap, type Lock, type LockPlace, type Range } from './lock.js'
import { HeldLocks, type AreApart } from './held-locks.js'

/** A lock that is waited for. `id` is the asker's name for it; `turn` is its place among all that wait. */
export interface WaitingLock extends Lock {
  readonly id: string
  readonly turn: number
}

/** `busy`: it is held by another, and the asker does not wait. */
export type AcquireOutcome = 'granted' | 'waiting' | 'busy' | 'deadlock'

/** What became of one that waited. */
export interface Settled {
  readonly lock: WaitingLock
  readonly outcome: 'granted' | 'deadlock'
}

/**
 * Which locks are held and which are waited for: a deterministic state machine without clock or network.
 *
 * Those that wait are served in the order in which they came: one waits for what is held and for those before it that
 * it conflicts with. One that does not wait only meets what is held, as on a local file system. Where the order alone
 * would close a circle (somebody before it waits, in the end, for this owner), it gives way: a deadlock is only what
 * held locks make of it.
 *
 * INVARIANTS: no two owners hold conflicting ranges. Nothing waits that could be granted. No circle of owners waits for
 * locks that they hold, as far as fcntl(2) locks go.
 */
export class LockTable {
  readonly held: HeldLocks
  readonly #areApart: AreApart
  /** In the order of their turns. */
  readonly #waiting = new Map<string, WaitingLock>()
  #settled: Settled[] = []
  #nextTurn = 1

  constructor(areApart: AreApart = () => false) {
    this.held = new HeldLocks(areApart)
    this.#areApart = areApart
  }

  get waiting(): Iterable<WaitingLock> {
    return this.#waiting.values()
  }
  get waitingCount(): number {
    return this.#waiting.size
  }
  isWaiting(id: string): boolean {
    return this.#waiting.has(id)
  }

  /** F_SETLK (`wait` false), F_SETLKW, flock(2). */
  acquire(lock: Lock, wait: boolean, id: string): AcquireOutcome {
    const { space, ino, owner, start, end, type, pid } = lock
    const wanted: WaitingLock = { space, ino, owner, start, end, type, pid, id, turn: this.#nextTurn++ }
    this.held.dropBeforeConversion(wanted)
    const busy = this.#isHeld(wanted)
    if (!busy && (!wait || this.#mayPass(wanted))) {
      this.#grant(wanted)
      this.#promote()
      return 'granted'
    }
    if (!wait) {
      this.#promote()
      return 'busy'
    }
    if (busy && this.#isDeadlock(wanted)) return 'deadlock'
    this.#waiting.set(id, wanted)
    this.#promote()
    // its own wait may close a circle of the order, which then gives way
    const at = this.#settled.findIndex(settled => settled.lock.id === id)
    if (at < 0) return 'waiting'
    const [settled] = this.#settled.splice(at, 1)
    return settled!.outcome
  }

  /** F_UNLCK, LOCK_UN, and the end of an owner (the whole range). */
  release(place: LockPlace, range: Range): void {
    this.held.change(place, range, undefined)
    this.#promote()
  }

  /** Stops waiting. False: it does not wait (any more). */
  cancel(id: string): boolean {
    const found = this.#waiting.delete(id)
    if (found) this.#promote()
    return found
  }

  /** Drops all that the owners hold that `isTheirs` names, then holds `locks` instead. */
  replace(isTheirs: (owner: string) => boolean, locks: readonly Lock[], keepsWaiting: (id: string) => boolean): void {
    const theirs = Array.from(this.held).filter(({ owner }) => isTheirs(owner))
    for (const lock of theirs) this.held.change(lock, lock, undefined)
    for (const { id, owner } of this.#waiting.values()) {
      if (isTheirs(owner) && !keepsWaiting(id)) this.#waiting.delete(id)
    }
    for (const lock of locks) this.held.change(lock, lock, lock)
    this.#promote()
  }

  /** F_GETLK: the first lock that is in the way. */
  test(
    lock: Lock,
  ): (Range & { readonly type: 'read' | 'write'; readonly pid: number; readonly owner: string }) | undefined {
    let first
    for (const found of this.held.conflicts(lock)) if (first === undefined || found.start < first.start) first = found
    return first
  }

  /** Takes what became of those that waited, in the order in which it did. */
  takeSettled(): Settled[] {
    const settled = this.#settled
    this.#settled = []
    return settled
  }

  #grant(lock: WaitingLock): void {
    this.held.change(lock, lock, lock)
  }

  #isHeld(lock: Lock): boolean {
    for (const _ of this.held.conflicts(lock)) return true
    return false
  }

  /** Whether those before it that it conflicts with all wait for this owner themselves. */
  #mayPass(lock: WaitingLock): boolean {
    for (const before of this.#before(lock)) if (!this.#reaches([before.owner], lock.owner, true)) return false
    return true
  }

  *#before(lock: WaitingLock): Generator<WaitingLock> {
    for (const other of this.#waiting.values()) {
      if (other.turn >= lock.turn) return
      if (other.owner === lock.owner || this.#areApart(other.owner, lock.owner)) continue
      if (fileKey(other) === fileKey(lock) && overlap(other, lock))
        if (other.type === 'write' || lock.type === 'write') yield other
    }
  }

  /** fcntl(2), EDEADLK: a holder waits, in the end, for a lock of the asker's. flock(2) looks for no deadlock. */
  #isDeadlock(lock: Lock): boolean {
    if (lock.space === 'flock') return false
    const holders = new Set<string>()
    for (const { owner } of this.held.conflicts(lock)) holders.add(owner)
    return this.#reaches(holders, lock.owner, false)
  }

  /** Whether one of the owners waits for the other one's locks, or, with `order`, for its turn. */
  #reaches(from: Iterable<string>, to: string, order: boolean): boolean {
    const seen = new Set<string>(from)
    const queue = [...seen]
    for (let owner = queue.pop(); owner !== undefined; owner = queue.pop()) {
      if (owner === to) return true
      for (const wanted of this.#waiting.values()) {
        if (wanted.owner !== owner || (!order && wanted.space === ('flock' satisfies LockSpace))) continue
        for (const next of this.#waitsFor(wanted, order)) {
          if (seen.has(next)) continue
          seen.add(next)
          queue.push(next)
        }
      }
    }
    return false
  }

  *#waitsFor(wanted: WaitingLock, order: boolean): Generator<string> {
    for (const { owner } of this.held.conflicts(wanted)) yield owner
    if (order) for (const { owner } of this.#before(wanted)) yield owner
  }

  /** Grants what can be granted, first come first served, until nothing more can. */
  #promote(): void {
    let again = this.#waiting.size > 0
    while (again) {
      again = false
      for (const wanted of this.#waiting.values()) {
        let outcome: Settled['outcome']
        if (this.#isHeld(wanted)) {
          // an owner that waits for several locks may have closed a circle by getting one of them
          if (!this.#isDeadlock(wanted)) continue
          outcome = 'deadlock'
        } else if (this.#mayPass(wanted)) {
          outcome = 'granted'
          this.#grant(wanted)
        } else continue
        this.#waiting.delete(wanted.id)
        this.#settled.push({ lock: wanted, outcome })
        again = true
      }
    }
  }
}
