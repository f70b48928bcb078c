import type { ServerDuplexStream } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'

import { RkfsError } from '../../base/errors.js'
import type { SharedWay } from '../../base/rate-window.js'
import type { PeerMessage } from '../../channel/transport-port.js'
import type { SubscribeRequest } from '../../gen/rkfs/v1/peer_pb.js'
import { numberOf } from './fields.js'
import { splitMessage } from './frame-codec.js'
import { Outbox } from './outbox.js'
import { callError } from './status.js'
import { pingMs, protocolVersion, silentPingsMax } from './tuning.js'

export type SubscribeCall = ServerDuplexStream<SubscribeRequest, Buffer>

/** What a stream comes over. */
export interface Connection {
  /** Bytes that have come over it, those of messages that are still under way among them. */
  bytesRead(): number
  /** Ends it, for a peer that does not take a polite end. */
  cut(): void
}

export interface IncomingOptions {
  /** Which run of our home answers. */
  readonly run: string
  /** The end of the peer's certificate: the stream does not outlive it. */
  readonly expires: Date
  readonly connection: Connection
  /** The peer has taken something of what was sent to it. */
  readonly taken: () => void
  /** What all of this node's links share. */
  readonly way: SharedWay
  /** Once, unless `close` was called before. */
  readonly ended: (error: RkfsError) => void
}

/** A peer's stream to us: what we send to the peer goes down. */
export class Incoming {
  readonly #call: SubscribeCall
  readonly #options: IncomingOptions
  readonly #outbox: Outbox
  readonly #timer: NodeJS.Timeout
  #silentPings = 0
  #bytesRead = 0
  /** What the peer last said to have read. */
  #peerRead = 0n
  #closed = false

  /** Takes over a call whose hello has been read and found good. */
  constructor(call: SubscribeCall, options: IncomingOptions) {
    this.#call = call
    this.#options = options
    this.#outbox = new Outbox(frame => {
      if (!this.#closed) call.write(frame)
    }, options.way)
    this.#outbox.pushFirst({ kind: 'welcome', protocolVersion, run: options.run })
    this.#timer = setInterval(() => this.#tick(), pingMs)
    call.on('data', (request: SubscribeRequest) => this.#received(request))
    call.on('end', () => this.#failed(new RkfsError('unavailable', 'the peer closed the connection')))
    call.on('cancelled', () => this.#failed(new RkfsError('unavailable', 'the connection broke')))
    call.on('error', error => this.#failed(new RkfsError('unavailable', error.message)))
  }

  get outboxBytes(): number {
    return this.#outbox.bytes
  }
  get windowBytes(): number {
    return this.#outbox.windowBytes
  }
  get isThin(): boolean {
    return this.#outbox.isThin
  }

  /** Pings since it was heard. */
  get silentPings(): number {
    return this.#silentPings
  }

  /** False when the outbox is full. */
  send(message: PeerMessage): boolean {
    return this.#outbox.push(splitMessage(message))
  }

  /** Ends the stream with a reason for the peer, without an event; cut a second later if the peer does not take it. */
  close(code: status, reason: string): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    this.#outbox.close()
    const timer = setTimeout(() => this.#options.connection.cut(), 1000)
    timer.unref()
    this.#call.emit('error', callError(code, reason))
  }

  #received(request: SubscribeRequest): void {
    if (this.#closed) return
    this.#silentPings = 0
    const { kind } = request
    try {
      if (kind.case === 'ping') {
        const { number, bytesRead } = kind.value
        // a frame that is long for its link arrives, slowly
        if (bytesRead > this.#peerRead) this.#outbox.moved()
        this.#peerRead = bytesRead
        this.#outbox.pushFirst({ kind: 'pong', number })
      } else if (kind.case === 'received') {
        this.#outbox.acknowledged(numberOf(kind.value.bytes))
        this.#options.taken()
      } else throw new RkfsError('corrupt', 'the peer sent something that is neither hello nor ping')
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#failed(error)
    }
  }

  #tick(): void {
    const bytesRead = this.#options.connection.bytesRead()
    if (bytesRead > this.#bytesRead) this.#silentPings = 0
    this.#bytesRead = bytesRead
    if (this.#options.expires.getTime() < Date.now()) {
      this.#failed(new RkfsError('refused', `certificate expired on ${this.#options.expires.toISOString()}`))
    } else if (++this.#silentPings >= silentPingsMax) {
      this.#failed(new RkfsError('timeout', `silent for ${(silentPingsMax * pingMs) / 1000} s`))
    } else if (this.#outbox.stalled) {
      this.#failed(new RkfsError('timeout', 'the peer does not read what is sent to it'))
    }
  }

  #failed(error: RkfsError): void {
    if (this.#closed) return
    this.close(error.code === 'refused' ? status.PERMISSION_DENIED : status.UNAVAILABLE, error.message)
    this.#options.ended(error)
  }
}
