import { RateWindow, type SharedWay, type UnderWay } from '../../base/rate-window.js'
import { RkfsError } from '../../base/errors.js'
import { outboxBytesMax } from '../../base/limits.js'
import { laneOf, Lanes, type Lane } from '../../channel/lanes.js'
import { encodeFrame, estimatedBytes, type FrameMessage } from './frame-codec.js'
import {
  coalescedBytesMax,
  coalescedMessagesMax,
  linkWindow,
  pieceBytesOf,
  stalledMs,
  urgentBytesMax,
  wideBytes,
} from './tuning.js'

/** Puts a frame on the wire. */
export type WriteFrame = (frame: Buffer) => void

interface Queued {
  readonly message: FrameMessage
  readonly bytes: number
}

/** A frame that is too long for the link, and up to where it was sent. */
interface Cut {
  readonly frame: Buffer
  at: number
}

/**
 * What waits for one peer, bounded, in lanes (`channel/lanes.ts`). No more is on the wire than the link has shown to carry
 * within a moment, as the peer acknowledges it; frames that are longer than that go in parts, between which what is urgent
 * passes. Messages are encoded when the wire can take them, so that entries in several outboxes exist once in memory;
 * those queued in one turn of the loop share frames.
 */
export class Outbox {
  readonly #write: WriteFrame
  readonly #lanes = new Lanes<Queued>()
  readonly #cut = new Map<Lane, Cut>()
  readonly #window: RateWindow
  readonly #way: SharedWay
  /** On the wire, oldest first; `end`: bytes written until then. */
  #sent: { readonly end: number; readonly underWay: UnderWay }[] = []
  #written = 0
  #acknowledged = 0
  #queued = 0
  #scheduled = false
  #closed = false
  #moved = performance.now()

  /** `way`: all of this node's outboxes share it. */
  constructor(write: WriteFrame, way: SharedWay) {
    this.#write = write
    this.#way = way
    this.#window = new RateWindow(linkWindow, way)
  }

  /** Bytes queued or on the wire, about. */
  get bytes(): number {
    return this.#queued + this.#window.underWay
  }

  /** Bytes that the link carries within a moment. */
  get windowBytes(): number {
    return this.#window.bytes
  }

  /** It has shown to carry little. */
  get isThin(): boolean {
    return this.#window.isLimited && this.#window.bytes < wideBytes
  }

  /** The peer has not taken anything for too long. */
  get stalled(): boolean {
    return this.bytes > 0 && performance.now() - this.#moved > stalledMs
  }

  /** False when the messages do not fit together: none is queued then. */
  push(messages: readonly FrameMessage[]): boolean {
    if (this.#closed) return false
    let bytes = 0
    for (const message of messages) bytes += estimatedBytes(message)
    if (this.bytes + bytes > outboxBytesMax) return false
    if (this.bytes === 0) this.#moved = performance.now()
    for (const message of messages) {
      this.#lanes.push(laneOfFrame(message), { message, bytes: estimatedBytes(message) })
    }
    this.#added(bytes)
    return true
  }

  /** Queues a small message before all others; never refused. */
  pushFirst(message: FrameMessage): void {
    if (this.#closed) return
    const bytes = estimatedBytes(message)
    if (this.bytes === 0) this.#moved = performance.now()
    this.#lanes.pushFirst(0, { message, bytes })
    this.#added(bytes)
  }

  /** The peer has so many bytes of what was written, of all that was. Throws `corrupt` when that cannot be. */
  acknowledged(bytes: number): void {
    if (bytes > this.#written || bytes < this.#acknowledged) {
      throw new RkfsError('corrupt', 'the peer acknowledged what was not sent to it')
    }
    const now = performance.now()
    this.#acknowledged = bytes
    let count = 0
    for (; count < this.#sent.length && this.#sent[count]!.end <= bytes; count++) {
      this.#window.end(this.#sent[count]!.underWay, now)
    }
    if (count === 0) return
    this.#sent.splice(0, count)
    this.moved()
    this.#pump()
  }

  /** Something of what is on the wire has reached the peer. */
  moved(): void {
    this.#moved = performance.now()
  }

  close(): void {
    this.#closed = true
    this.#way.delete(this.#window)
    this.#lanes.clear()
    this.#cut.clear()
    this.#queued = 0
  }

  #added(bytes: number): void {
    this.#queued += bytes
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    const now = performance.now()
    this.#window.waiting = this.#queued
    while (!this.#closed) {
      const lane = this.#lanes.next(each => this.#cut.has(each))
      if (lane === undefined || !this.#hasRoom(lane, now)) return
      this.#lanes.went(lane)
      const frame = this.#next(lane)
      this.#window.waiting = this.#queued
      this.#written += frame.length
      this.#sent.push({ end: this.#written, underWay: this.#window.begin(frame.length, now) })
      this.#write(frame)
    }
  }

  /** What is urgent waits for nothing that is before it, unless the peer takes nothing at all. */
  #hasRoom(lane: Lane, now: number): boolean {
    if (lane === 0) return this.#window.underWay < this.#window.bytes + urgentBytesMax
    return this.#window.hasRoom(now)
  }

  /** The next frame of a lane, or the next part of one. */
  #next(lane: Lane): Buffer {
    const pieceBytes = pieceBytesOf(this.#window.bytes)
    const cut = this.#cut.get(lane)
    if (cut !== undefined) return this.#part(lane, cut, pieceBytes)
    const frame = frameOf(this.#take(lane, Math.min(coalescedBytesMax, pieceBytes)))
    if (lane === 0 || frame.length <= pieceBytes) return frame
    const begun = { frame, at: 0 }
    this.#cut.set(lane, begun)
    this.#queued += frame.length
    return this.#part(lane, begun, pieceBytes)
  }

  #part(lane: Lane, cut: Cut, pieceBytes: number): Buffer {
    const data = cut.frame.subarray(cut.at, cut.at + pieceBytes)
    cut.at += data.length
    this.#queued -= data.length
    const last = cut.at === cut.frame.length
    if (last) this.#cut.delete(lane)
    return encodeFrame([{ kind: 'part', lane, last, data }])
  }

  /** The next frame's messages: at least one, more while they are small. */
  #take(lane: Lane, bytesMax: number): FrameMessage[] {
    const messages: FrameMessage[] = []
    let bytes = 0
    while (messages.length < coalescedMessagesMax) {
      const next = this.#lanes.peek(lane)
      if (next === undefined || (messages.length > 0 && bytes + next.bytes > bytesMax)) break
      this.#lanes.shift(lane)
      messages.push(next.message)
      bytes += next.bytes
    }
    this.#queued -= bytes
    return messages
  }
}

function laneOfFrame(message: FrameMessage): Lane {
  return message.kind === 'welcome' || message.kind === 'pong' || message.kind === 'part' ? 0 : laneOf(message)
}

/** Frames of messages that go to several peers alike, so that bulk is encoded once. */
const encoded = new WeakMap<FrameMessage, Buffer>()

function frameOf(messages: readonly FrameMessage[]): Buffer {
  const only = messages.length === 1 ? messages[0]! : undefined
  if (only === undefined || estimatedBytes(only) < coalescedBytesMax) return encodeFrame(messages)
  let frame = encoded.get(only)
  if (frame === undefined) encoded.set(only, (frame = encodeFrame(messages)))
  return frame
}
