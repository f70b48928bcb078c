import { status } from '@grpc/grpc-js'

import { RkfsError, messageOf } from '../../base/errors.js'
import type { MemberId } from '../../base/ids.js'
import type { SharedWay } from '../../base/rate-window.js'
import type { PeerMessage } from '../../channel/transport-port.js'
import { callError } from './status.js'
import { Incoming, type Connection, type SubscribeCall } from './incoming.js'
import { PeerRun } from './peer-run.js'
import type { PeerTarget } from './peer-client.js'
import { Subscription } from './subscription.js'
import { backoffMaxMs, backoffMinMs, stableMs, staleAttemptMs } from './tuning.js'

export interface PeerLinkEvents {
  connected(): void
  disconnected(reason: string): void
  message(message: PeerMessage): void
  /** Bytes of a message have come that is still under way, or the peer has taken some of one. */
  heard(): void
  /** Why there is no connection; undefined when there is one. Only when it changed. */
  problem(reason: string | undefined): void
  /** A second node with the peer's identity was refused. */
  secondRun(): void
  /** The peer refuses this node: it is connected to another one of the same identity. */
  refusedAsSecond(): void
}

/**
 * Both directions to one peer: our subscription to it, which carries what it sends, and its subscription to us, which
 * carries what we send. They stand and fall together: when one breaks the other is closed too, so that no message of an
 * old connection arrives after one of a new.
 *
 * INVARIANT: `#subscription` and `#incoming` are of the same epoch; an event of any other object is ignored.
 */
export class PeerLink {
  readonly id: MemberId
  readonly #events: PeerLinkEvents
  readonly #runs = new PeerRun()
  readonly #way: SharedWay
  #target: PeerTarget
  #subscription: Subscription | undefined
  #subscribed = false
  #incoming: Incoming | undefined
  #retry: NodeJS.Timeout | undefined
  #oneWay: NodeJS.Timeout | undefined
  #attempts = 0
  #attemptAt = 0
  #connectedAt: number | undefined
  #expires: Date | undefined
  #problem: string | undefined
  #closed = false

  /** `way`: what all of this node's links share. */
  constructor(id: MemberId, target: PeerTarget, way: SharedWay, events: PeerLinkEvents) {
    this.id = id
    this.#way = way
    this.#target = target
    this.#events = events
    this.#subscribe()
  }

  get connected(): boolean {
    return this.#connectedAt !== undefined
  }
  get rttMs(): number | undefined {
    return this.connected ? this.#subscription?.rttMs : undefined
  }
  get expires(): Date | undefined {
    return this.#expires
  }
  get problem(): string | undefined {
    return this.#problem
  }
  get outboxBytes(): number {
    return this.#incoming?.outboxBytes ?? 0
  }
  /** Bytes that the link carries within a moment; undefined while it does not stand. */
  get windowBytes(): number | undefined {
    return this.connected ? this.#incoming?.windowBytes : undefined
  }
  get isThin(): boolean {
    return this.connected && this.#incoming!.isThin
  }

  /** A new address or a new certificate of our own: used by the next attempt, at once when there is no connection. */
  retarget(target: PeerTarget): void {
    const moved = target.address !== this.#target.address
    this.#target = target
    if (!moved || this.connected) return
    this.#subscription?.close()
    this.#subscription = undefined
    this.#subscribe()
  }

  send(message: PeerMessage): boolean {
    return this.connected && this.#incoming!.send(message)
  }

  /**
   * The peer has opened its stream to us; its certificate and hello are good. False: it was refused, since another run of its
   * home is connected.
   */
  accept(call: SubscribeCall, expires: Date, run: string, connection: Connection): boolean {
    const before = this.#runs.run
    if (!this.#runs.admit(run, this.#silentPings, performance.now())) {
      call.emit('error', this.#refusal)
      this.#events.secondRun()
      return false
    }
    if (before !== run && (this.#incoming ?? this.#subscribed)) {
      this.#reset(new RkfsError('unavailable', anotherRun), status.ALREADY_EXISTS)
    } else if (this.#incoming) this.#reset(new RkfsError('unavailable', 'the peer connected anew'))
    const incoming: Incoming = new Incoming(call, {
      expires,
      run: this.#target.run ?? '',
      connection,
      taken: () => {
        if (this.#incoming === incoming && this.connected) this.#events.heard()
      },
      way: this.#way,
      ended: error => {
        if (this.#incoming === incoming) this.#reset(error)
      },
    })
    this.#incoming = incoming
    this.#expires ??= expires
    this.#hurry()
    this.#maybeConnected()
    return true
  }

  /** Since the run that is connected was heard; undefined: none is. */
  get #silentPings(): number | undefined {
    const subscription = this.#subscribed ? this.#subscription?.silentPings : undefined
    const incoming = this.#incoming?.silentPings
    return subscription === undefined || incoming === undefined
      ? (subscription ?? incoming)
      : Math.min(subscription, incoming)
  }

  get #refusal(): Error {
    return callError(status.ALREADY_EXISTS, `another node with the identity of member ${this.id} is connected here`)
  }

  /** Who answers at the peer's address goes before who only came to us. */
  #admitAnswering(run: string): boolean {
    const { run: before } = this.#runs
    if (this.#runs.admit(run, this.#silentPings, performance.now())) {
      if (before === run || this.#incoming === undefined) return true
    } else if (this.connected || this.#incoming === undefined) return false
    this.#incoming.close(status.ALREADY_EXISTS, this.#refusal.message)
    this.#incoming = undefined
    this.#events.secondRun()
    this.#runs.take(run, before, performance.now())
    return true
  }

  /** The peer is alive: do not wait for the rest of a long backoff, or for an attempt that began when it was not. */
  #hurry(): void {
    const sinceMs = performance.now() - this.#attemptAt
    if (this.#subscribed || sinceMs < (this.#subscription ? staleAttemptMs : backoffMinMs)) return
    this.#subscription?.close()
    this.#subscription = undefined
    this.#subscribe()
  }

  /** Closes both directions for good. `disconnected` follows if they stood. */
  close(code: status, reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#reset(new RkfsError('unavailable', reason), code)
  }

  #subscribe(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    if (this.#closed) return
    this.#attempts++
    this.#attemptAt = performance.now()
    this.#subscribed = false
    try {
      this.#subscription = this.#open()
    } catch (error) {
      // A bad address, or a bad certificate of ours.
      this.#attemptFailed(
        error instanceof RkfsError ? error : new RkfsError('failed', messageOf(error), { cause: error }),
      )
    }
  }

  #open(): Subscription {
    const subscription: Subscription = new Subscription(this.#target, {
      standing: (expires, run) => {
        if (this.#subscription !== subscription) return
        if (!this.#admitAnswering(run)) {
          subscription.close()
          this.#events.secondRun()
          return this.#attemptFailed(new RkfsError('exists', anotherRun))
        }
        this.#subscribed = true
        this.#expectBack()
        this.#expires = expires ?? this.#expires
        this.#maybeConnected()
      },
      message: message => {
        if (this.#subscription === subscription && this.connected) this.#events.message(message)
      },
      heard: () => {
        if (this.#subscription === subscription && this.connected) this.#events.heard()
      },
      ended: error => {
        if (this.#subscription !== subscription) return
        if (error.code === 'exists') this.#events.refusedAsSecond()
        if (this.#subscribed) this.#reset(error)
        else this.#attemptFailed(error)
      },
    })
    return subscription
  }

  /** The peer answers us, and is to connect to us, too: where it does not, only this side can know what is wrong here. */
  #expectBack(): void {
    clearTimeout(this.#oneWay)
    this.#oneWay = setTimeout(() => {
      if (!this.#subscribed || this.#incoming !== undefined || this.#closed) return
      this.#setProblem(
        `it answers, and ${cannotReachUs} ${this.#target.advertise ?? ''}, as it is told: ${unreachableRemedy}`,
      )
    }, oneWayMs).unref()
  }

  #maybeConnected(): void {
    if (this.connected || !this.#subscribed || !this.#incoming) return
    this.#connectedAt = performance.now()
    this.#setProblem(undefined)
    this.#events.connected()
  }

  /** Nothing stood, so nothing breaks: the peer's own subscription may stay. */
  #attemptFailed(error: RkfsError): void {
    this.#subscription = undefined
    this.#setProblem(error.message)
    this.#later()
  }

  #reset(error: RkfsError, code: status = status.UNAVAILABLE): void {
    const stoodMs = this.#connectedAt === undefined ? 0 : performance.now() - this.#connectedAt
    const wasConnected = this.connected
    this.#runs.closed(performance.now())
    this.#connectedAt = undefined
    this.#subscribed = false
    this.#subscription?.close()
    this.#subscription = undefined
    this.#incoming?.close(code, error.message)
    this.#incoming = undefined
    if (stoodMs >= stableMs) this.#attempts = 0
    if (!this.#closed) {
      this.#setProblem(error.message)
      this.#later()
    } else clearTimeout(this.#retry)
    if (wasConnected) this.#events.disconnected(error.message)
  }

  #later(): void {
    clearTimeout(this.#retry)
    const ceiling = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#attempts, 10))
    this.#retry = setTimeout(() => this.#subscribe(), ceiling * (0.5 + Math.random() / 2))
  }

  #setProblem(reason: string | undefined): void {
    if (reason === this.#problem) return
    this.#problem = reason
    this.#events.problem(reason)
  }
}

/** How long a peer that answers may take to connect back. */
const oneWayMs = 5000
/** In the words about a peer that does not reach this node, though this node reaches it. */
export const cannotReachUs = 'cannot reach this node at'
const unreachableRemedy =
  'correct `advertise` (or `listen`) in this node’s config.toml and restart it, or open that port in the firewall'
const anotherRun = 'another node of the same identity answers'
