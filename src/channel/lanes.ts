import { Fifo } from '../base/fifo.js'
import type { PeerMessage } from './transport-port.js'

/**
 * What goes before what on the way to a member. 0: what keeps the group alive, and acknowledgements; it passes all else.
 * 1: changes, forwarded or ordered, and what must not pass them. 2: what others ask for and no program of theirs writes.
 * Within a lane messages keep their order.
 */
export type Lane = 0 | 1 | 2

export const laneCount = 3

/**
 * An append without entries stays behind those with entries: it asks, or tells, of what they bring. All other words of the
 * consensus core say which index or round they rest on, so that they may come first.
 */
export function laneOf(message: PeerMessage): Lane {
  switch (message.kind) {
    case 'raft':
      return message.message.kind === 'append' ? 1 : 0
    case 'propose':
    case 'resume':
    case 'note':
      return 1
    case 'blob':
      return 2
    case 'propose-refused':
    case 'propose-again':
    case 'digest':
    case 'diverged':
    case 'position':
    case 'blob-wanted':
    case 'greeting':
    case 'lock-calls':
    case 'lock-answers':
    case 'lock-again':
      return 0
  }
}

/** One piece in so many is of the last lane while there is something in it, so that the second does not starve it. */
const lastLaneOneIn = 8

/** Things that wait in their lanes. */
export class Lanes<T> {
  readonly #lanes: readonly Fifo<T>[] = Array.from({ length: laneCount }, () => new Fifo<T>())
  /** Pieces of the lane before the last one, since one of that went. */
  #ahead = 0

  push(lane: Lane, item: T): void {
    this.#lanes[lane]!.push(item)
  }

  /** Before all others of its lane. */
  pushFirst(lane: Lane, item: T): void {
    this.#lanes[lane]!.pushFirst(item)
  }

  peek(lane: Lane): T | undefined {
    return this.#lanes[lane]!.first
  }

  shift(lane: Lane): T | undefined {
    return this.#lanes[lane]!.shift()
  }

  clear(): void {
    for (const lane of this.#lanes) lane.clear()
  }

  /** The lane whose turn it is, of those that have something; `has`: whether a lane has more than what waits here. */
  next(has: (lane: Lane) => boolean = () => false): Lane | undefined {
    const isReady = (lane: Lane): boolean => this.peek(lane) !== undefined || has(lane)
    if (isReady(0)) return 0
    if (isReady(2) && (!isReady(1) || this.#ahead + 1 >= lastLaneOneIn)) return 2
    return isReady(1) ? 1 : undefined
  }

  /** A piece of a lane goes out. */
  went(lane: Lane): void {
    if (lane === 1) this.#ahead++
    else if (lane === 2) this.#ahead = 0
  }
}
