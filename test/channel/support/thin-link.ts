import { RateWindow, SharedWay, type UnderWay } from '../../../src/base/rate-window.js'
import { linkWindow, pieceBytesOf, wideBytes } from '../../../src/adapters/rpc/tuning.js'
import { laneOf, Lanes, type Lane } from '../../../src/channel/lanes.js'
import type { PeerMessage } from '../../../src/channel/transport-port.js'
import type { SimClock } from './sim-network.js'

/** Headers of a frame and of the packets that carry it, about. */
const overheadBytes = 120

interface Queued {
  readonly message: PeerMessage
  left: number
}

/** What a machine sends goes out one byte after the other, whoever it is for (tc-tbf without a bound). */
export class Egress {
  readonly way = new SharedWay()
  bytesPerMs: number
  #freeAt = 0

  constructor(bytesPerMs: number) {
    this.bytesPerMs = bytesPerMs
  }

  /** When so many bytes, sent now, have left. */
  leave(bytes: number, now: number): number {
    this.#freeAt = Math.max(this.#freeAt, now) + bytes / this.bytesPerMs
    return this.#freeAt
  }
}

/**
 * One direction of a connection over a thin link, as `adapters/rpc` uses it (`Outbox`): lanes, parts, and no more on the
 * wire than the other end has shown to acknowledge within a moment.
 */
export class ThinLink {
  readonly #clock: SimClock
  readonly #egress: Egress
  readonly #delayMs: () => number
  readonly #taken: () => void
  readonly #arrived: (message: PeerMessage | undefined) => void
  readonly #lanes = new Lanes<Queued>()
  readonly #window: RateWindow
  #queued = 0
  #closed = false
  #lastDue: number

  /** `lastDue`: when what was sent before is there. `taken`: something was acknowledged. `arrived`: a message is there; undefined: a part of one. */
  constructor(
    clock: SimClock,
    egress: Egress,
    lastDue: number,
    delayMs: () => number,
    taken: () => void,
    arrived: (message: PeerMessage | undefined) => void,
  ) {
    this.#clock = clock
    this.#egress = egress
    this.#window = new RateWindow(linkWindow, egress.way)
    this.#lastDue = lastDue
    this.#delayMs = delayMs
    this.#taken = taken
    this.#arrived = arrived
  }

  get windowBytes(): number {
    return this.#window.bytes
  }
  get isThin(): boolean {
    return this.#window.isLimited && this.#window.bytes < wideBytes
  }
  get bytes(): number {
    return this.#queued + this.#window.underWay
  }

  send(message: PeerMessage, bytes: number): void {
    this.#lanes.push(laneOf(message), { message, left: bytes + overheadBytes })
    this.#queued += bytes + overheadBytes
    this.#pump()
  }

  /** Nothing arrives any more. */
  close(): void {
    this.#closed = true
    this.#egress.way.delete(this.#window)
  }

  #pump(): void {
    this.#window.waiting = this.#queued
    while (!this.#closed) {
      const lane = this.#lanes.next()
      if (lane === undefined || (lane !== 0 && !this.#window.hasRoom(this.#clock.now))) return
      this.#sendPiece(lane)
    }
  }

  #sendPiece(lane: Lane): void {
    this.#lanes.went(lane)
    const item = this.#lanes.peek(lane)!
    const bytes = lane === 0 ? item.left : Math.min(item.left, pieceBytesOf(this.#window.bytes))
    item.left -= bytes
    this.#queued -= bytes
    this.#window.waiting = this.#queued
    if (item.left === 0) this.#lanes.shift(lane)
    const { now } = this.#clock
    const underWay = this.#window.begin(bytes, now)
    // a message is whole when its last part is there
    const message = item.left === 0 ? item.message : undefined
    this.#lastDue = Math.max(this.#lastDue, this.#egress.leave(bytes, now) + this.#delayMs())
    this.#clock.after(Math.ceil(this.#lastDue - now), () => this.#arrive(message, underWay))
  }

  #arrive(message: PeerMessage | undefined, underWay: UnderWay): void {
    if (this.#closed) return
    this.#arrived(message)
    this.#clock.after(this.#delayMs(), () => {
      if (this.#closed) return
      this.#window.end(underWay, this.#clock.now)
      this.#taken()
      this.#pump()
    })
  }
}
