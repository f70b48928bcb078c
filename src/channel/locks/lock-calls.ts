import type { MemberId } from '../../base/ids.js'
import { placeKey, type Lock, type LockPlace } from './lock.js'
import type { FoundLock, LockCall } from './lock-messages.js'

export type CallDone = (errno: number, index: number, found: FoundLock | undefined) => void

/** A call of a program, until it is answered and its fate is known. */
export interface PendingCall {
  readonly id: number
  readonly kind: 'acquire' | 'release' | 'test'
  readonly lock: Lock
  readonly wait: boolean
  readonly timeoutMs: number
  readonly begunAt: number
  /** The answer, once. `index`: what must be applied before the program goes on. */
  done: CallDone | undefined
  /** May be sent: it is neither behind a release of its owner's, nor a release whose changes are not committed. */
  ready: boolean
  /** The round in which it was sent last; 0: it never was. */
  round: number
  /** Nobody waits for it any more: if it is granted all the same, that is undone. */
  givenUp: boolean
}

/** The leader that is talked to. */
export interface LeaderOf {
  readonly id: MemberId
  readonly term: number
}

export function wireCall({ kind, id, lock, wait }: PendingCall): LockCall {
  return kind === 'acquire' ? { kind, id, lock, wait } : { kind, id, lock }
}

/**
 * The calls that may go on waiting where they did in an earlier round. None of an open file (flock(2)) that several wait
 * for: what they take from each other depends on the order in which the leader hears of them, which must be known here.
 */
export function resumable(calls: readonly PendingCall[]): number[] {
  const waits = calls.filter(({ kind }) => kind === 'acquire')
  const counts = new Map<string, number>()
  for (const { lock } of waits) counts.set(placeKey(lock), (counts.get(placeKey(lock)) ?? 0) + 1)
  const may = ({ round, lock }: PendingCall): boolean =>
    round > 0 && (lock.space !== 'flock' || counts.get(placeKey(lock)) === 1)
  return waits.filter(may).map(({ id }) => id)
}

/** Holds calls of one owner on one file back while a release of the two waits for its changes to be committed. */
export class Gates {
  readonly #queues = new Map<string, (() => void)[]>()

  /** Runs `start` at once, or when the gate is open. */
  pass(place: LockPlace, start: () => void): void {
    const queue = this.#queues.get(placeKey(place))
    if (queue === undefined) start()
    else queue.push(start)
  }

  close(place: LockPlace): void {
    this.#queues.set(placeKey(place), [])
  }

  /** What waits runs, up to the one that closes it again. */
  open(place: LockPlace): void {
    const key = placeKey(place)
    const queue = this.#queues.get(key) ?? []
    this.#queues.delete(key)
    while (queue.length > 0) {
      queue.shift()!()
      const closed = this.#queues.get(key)
      if (closed === undefined) continue
      this.#queues.set(key, [...queue, ...closed])
      return
    }
  }
}
