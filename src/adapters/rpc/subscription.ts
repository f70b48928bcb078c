import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { ClientDuplexStream } from '@grpc/grpc-js'

import { malformed } from '../../base/bytes.js'
import { RkfsError, messageOf } from '../../base/errors.js'
import { SubscribeRequestSchema, type SubscribeRequest } from '../../gen/rkfs/v1/peer_pb.js'
import type { PeerMessage } from '../../channel/transport-port.js'
import { Assembly } from './assembly.js'
import { decodeFrame, type FrameMessage } from './frame-codec.js'
import { encodeRun } from './greeting-codec.js'
import { checkServer, connectPeer, shownCertificates, type PeerClient, type PeerTarget } from './peer-client.js'
import { Receipts } from './receipts.js'
import { peerService } from './services.js'
import { errorOfCall } from './status.js'
import { connectMs, pingMs, protocolVersion, silentPingsMax } from './tuning.js'

export interface SubscriptionEvents {
  /** The peer has welcomed us; its messages follow. `expires`: the end of its certificate. `run`: of its home; empty: not told. */
  standing(expires: Date | undefined, run: string): void
  message(message: PeerMessage): void
  /** Bytes of a message have come that is still under way. */
  heard(): void
  /** Once, unless `close` was called before. */
  ended(error: RkfsError): void
}

/** Our stream to one peer: what the peer sends to us comes down. One connection, used once. */
export class Subscription {
  readonly #target: PeerTarget
  readonly #events: SubscriptionEvents
  readonly #client: PeerClient
  readonly #call: ClientDuplexStream<SubscribeRequest, Buffer>
  readonly #timer: NodeJS.Timeout
  readonly #started = performance.now()
  #state: 'connecting' | 'standing' | 'ended' = 'connecting'
  #expires: Date | undefined
  #identityProblem: RkfsError | undefined
  #silentPings = 0
  #bytesRead = 0
  readonly #assembly = new Assembly()
  readonly #receipts: Receipts
  #pingNumber = 0
  #pingSent = 0
  #rttMs: number | undefined

  constructor(target: PeerTarget, events: SubscriptionEvents) {
    this.#target = target
    this.#events = events
    this.#client = connectPeer(target, result => {
      if (result instanceof RkfsError) this.#identityProblem = result
      else this.#expires = result.notAfter
    })
    const { path, requestSerialize, responseDeserialize } = peerService.subscribe
    this.#call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
    this.#call.on('data', (bytes: Buffer) => this.#received(bytes))
    this.#call.on('error', error => void this.#failed(errorOfCall(error)))
    this.#call.on('end', () => void this.#failed(new RkfsError('unavailable', 'the peer closed the connection')))
    this.#receipts = new Receipts(bytes => this.#write({ case: 'received', value: { bytes: BigInt(bytes) } }))
    this.#call.write(
      create(SubscribeRequestSchema, {
        kind: {
          case: 'hello',
          value: {
            channelId: target.channelId,
            protocolVersion,
            address: target.advertise ?? '',
            run: encodeRun(target.run ?? ''),
          },
        },
      }),
    )
    this.#timer = setInterval(() => this.#tick(), pingMs)
  }

  get rttMs(): number | undefined {
    return this.#rttMs
  }

  /** Pings since it was heard. */
  get silentPings(): number {
    return this.#silentPings
  }

  /** Ends it without an event. Twice does no harm. */
  close(): void {
    this.#state = 'ended'
    clearInterval(this.#timer)
    this.#receipts.close()
    this.#call.cancel()
    this.#client.close()
  }

  #received(bytes: Buffer): void {
    if (this.#state === 'ended') return
    this.#silentPings = 0
    this.#receipts.add(bytes.length)
    try {
      this.#takeFrame(bytes)
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      void this.#failed(error)
    }
  }

  #takeFrame(bytes: Uint8Array, isAssembled = false): void {
    for (const message of decodeFrame(bytes)) {
      if (message.kind !== 'part') this.#take(message)
      else if (isAssembled) throw malformed('frame: a part of a part')
      else {
        this.#events.heard()
        const whole = this.#assembly.take(message)
        if (whole !== undefined) this.#takeFrame(whole, true)
      }
      if (this.#ended) return
    }
  }

  get #ended(): boolean {
    return this.#state === 'ended'
  }

  #take(message: Exclude<FrameMessage, { kind: 'part' }>): void {
    switch (message.kind) {
      case 'welcome':
        if (this.#state !== 'connecting') throw new RkfsError('corrupt', 'the peer welcomed us twice')
        this.#state = 'standing'
        this.#ping()
        this.#events.standing(this.#expires, message.run)
        return
      case 'pong':
        if (message.number === this.#pingNumber) this.#rttMs = performance.now() - this.#pingSent
        return
      default:
        if (this.#state !== 'standing') throw new RkfsError('corrupt', 'the peer sent messages before its welcome')
        this.#events.message(message)
    }
  }

  #tick(): void {
    if (this.#state === 'connecting') {
      if (performance.now() - this.#started > connectMs) {
        void this.#failed(new RkfsError('timeout', `no answer from ${this.#target.address}`))
      }
      return
    }
    const { bytesRead } = this.#client
    if (bytesRead > this.#bytesRead) {
      if (this.#silentPings > 0) this.#events.heard()
      this.#silentPings = 0
    }
    this.#bytesRead = bytesRead
    // Counted in pings, not in time: a node that was itself stopped for a while must not blame its peers.
    if (++this.#silentPings >= silentPingsMax) {
      void this.#failed(new RkfsError('timeout', `silent for ${(silentPingsMax * pingMs) / 1000} s`))
      return
    }
    this.#ping()
  }

  #ping(): void {
    this.#pingNumber = (this.#pingNumber + 1) % 2 ** 32
    this.#pingSent = performance.now()
    const bytesRead = BigInt(this.#client.bytesRead)
    this.#write({ case: 'ping', value: { number: this.#pingNumber, bytesRead } })
  }

  #write(kind: MessageInitShape<typeof SubscribeRequestSchema>['kind']): void {
    this.#call.write(create(SubscribeRequestSchema, { kind }))
  }

  async #failed(error: RkfsError): Promise<void> {
    if (this.#ended) return
    const connecting = this.#state === 'connecting'
    this.close()
    this.#events.ended(this.#identityProblem ?? (connecting ? await this.#explain(error) : error))
  }

  /** OpenSSL says "certificate has expired"; we look at what is shown and say when, and whose. */
  async #explain(error: RkfsError): Promise<RkfsError> {
    if (error.code !== 'unavailable' || !/certificate|issuer|CERT_|SELF_SIGNED/i.test(error.message)) return error
    try {
      const [leaf] = await shownCertificates(this.#target.address, this.#target.channelId, 2000)
      if (leaf) checkServer(this.#target, leaf)
      return error
    } catch (cause) {
      return cause instanceof RkfsError && cause.code === 'refused'
        ? cause
        : new RkfsError(error.code, error.message, { cause: messageOf(cause) })
    }
  }
}
