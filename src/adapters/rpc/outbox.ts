import { outboxBytesMax } from '../../base/limits.js'
import { encodeFrame, estimatedBytes, type FrameMessage } from './frame-codec.js'
import { coalescedBytesMax, coalescedMessagesMax, stalledMs, wireBytesMax } from './tuning.js'

/** Puts a frame on the wire; `taken` is called when the transport has taken it. */
export type WriteFrame = (frame: Buffer, taken: () => void) => void

interface Queued {
  readonly message: FrameMessage
  readonly bytes: number
}

/**
 * What waits for one peer, in order and bounded. Messages are encoded when the wire can take them, so that entries in
 * several outboxes exist once in memory; those queued in one turn of the loop share frames.
 */
export class Outbox {
  readonly #write: WriteFrame
  #queue: Queued[] = []
  #head = 0
  #bytes = 0
  #wireBytes = 0
  #scheduled = false
  #closed = false
  #moved = performance.now()

  constructor(write: WriteFrame) {
    this.#write = write
  }

  /** Bytes queued or on the wire, about. */
  get bytes(): number {
    return this.#bytes
  }

  /** The peer has not taken anything for too long. */
  get stalled(): boolean {
    return this.#bytes > 0 && performance.now() - this.#moved > stalledMs
  }

  /** False when the messages do not fit together: none is queued then. */
  push(messages: readonly FrameMessage[]): boolean {
    if (this.#closed) return false
    let bytes = 0
    for (const message of messages) bytes += estimatedBytes(message)
    if (this.#bytes + bytes > outboxBytesMax) return false
    for (const message of messages) this.#queue.push({ message, bytes: estimatedBytes(message) })
    this.#added(bytes)
    return true
  }

  /** Queues a small message before all others; never refused. */
  pushFirst(message: FrameMessage): void {
    if (this.#closed) return
    const bytes = estimatedBytes(message)
    if (this.#head > 0) this.#queue[--this.#head] = { message, bytes }
    else this.#queue.unshift({ message, bytes })
    this.#added(bytes)
  }

  close(): void {
    this.#closed = true
    this.#queue = []
    this.#head = 0
    this.#bytes = 0
  }

  #added(bytes: number): void {
    if (this.#bytes === 0) this.#moved = performance.now()
    this.#bytes += bytes
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    while (!this.#closed && this.#head < this.#queue.length && this.#wireBytes < wireBytesMax) {
      const { messages, bytes } = this.#take()
      const frame = frameOf(messages)
      this.#wireBytes += frame.length
      this.#write(frame, () => {
        this.#wireBytes -= frame.length
        this.#moved = performance.now()
        if (this.#closed) return
        this.#bytes -= bytes
        this.#pump()
      })
    }
  }

  /** The next frame's messages: at least one, more while they are small. */
  #take(): { messages: FrameMessage[]; bytes: number } {
    const messages: FrameMessage[] = []
    let bytes = 0
    while (this.#head < this.#queue.length && messages.length < coalescedMessagesMax) {
      const next = this.#queue[this.#head]!
      if (messages.length > 0 && bytes + next.bytes > coalescedBytesMax) break
      this.#head++
      messages.push(next.message)
      bytes += next.bytes
    }
    if (this.#head === this.#queue.length || this.#head > 1024) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    return { messages, bytes }
  }
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
