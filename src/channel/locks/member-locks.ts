import { EAGAIN, EDEADLK, EINTR } from '../../base/errno.js'
import type { Lock, LockPlace, Range, Segment } from './lock.js'
import { LockTable } from './lock-table.js'
import type { Segments } from './segments.js'

/** Mounts with `locks=channel`, and those without. */
export type LockReach = 'channel' | 'local'

/**
 * The locks of all of a member's mounts of a channel, whatever options those have: one table, as one file system has. Locks
 * through mounts with `locks=channel` do not meet here among themselves: the leader's table is about those.
 */
export class MemberLocks {
  readonly #table = new LockTable((a, b) => a.startsWith('channel') && b.startsWith('channel'))
  readonly #waiting = new Map<string, (errno: number) => void>()
  #nextId = 1

  /** F_SETLK (`wait` false), F_SETLKW, flock(2). `done` may come within the call. Answers a way to give up waiting: EINTR. */
  acquire(reach: LockReach, lock: Lock, wait: boolean, done: (errno: number) => void): () => void {
    const id = String(this.#nextId++)
    const outcome = this.#table.acquire(within(reach, lock), wait, id)
    if (outcome === 'waiting') this.#waiting.set(id, done)
    this.#tell()
    if (outcome !== 'waiting') done(outcome === 'granted' ? 0 : outcome === 'busy' ? EAGAIN : EDEADLK)
    return () => {
      if (!this.#waiting.delete(id)) return
      this.#table.cancel(id)
      this.#tell()
      done(EINTR)
    }
  }

  release(reach: LockReach, place: LockPlace, range: Range): void {
    const ours = within(reach, place)
    if (this.#table.held.of(ours).length === 0) return
    this.#table.release(ours, range)
    this.#tell()
  }

  /** What a place holds. */
  held(reach: LockReach, place: LockPlace): Segments {
    return this.#table.held.of(within(reach, place))
  }

  /** A lock was granted here and refused by the leader: what its owner held in its range before is held again. */
  undo(reach: LockReach, lock: Lock, before: Segments): void {
    this.#table.release(within(reach, lock), lock)
    for (const { start, end, type, pid } of before) {
      const range = { start: Math.max(start, lock.start), end: Math.min(end, lock.end) }
      // of flock(2) another type is lost, as the leader has it
      if (range.start > range.end || (lock.space === 'flock' && type !== lock.type)) continue
      this.#table.acquire({ ...within(reach, lock), ...range, type, pid }, false, '')
    }
    this.#tell()
  }

  /** F_GETLK: the first lock that is in the way. */
  test(reach: LockReach, lock: Lock): Segment | undefined {
    return this.#table.test(within(reach, lock))
  }

  #tell(): void {
    for (const { lock, outcome } of this.#table.takeSettled()) {
      const done = this.#waiting.get(lock.id)
      this.#waiting.delete(lock.id)
      done?.(outcome === 'granted' ? 0 : EDEADLK)
    }
  }
}

function within<T extends LockPlace>(reach: LockReach, place: T): T {
  return { ...place, owner: `${reach}:${place.owner}` }
}
