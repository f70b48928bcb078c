import { create } from '@bufbuild/protobuf'
import { status, type ServerWritableStream } from '@grpc/grpc-js'

import { assert } from '../../base/assert.js'
import type { MemberId } from '../../base/ids.js'
import type { SharedWay } from '../../base/rate-window.js'
import type { PeerMessage, Transport, TransportEvents } from '../../channel/transport-port.js'
import { SnapshotRequestSchema, type SnapshotChunk, type SnapshotRequest } from '../../gen/rkfs/v1/peer_pb.js'
import type { MemberCertificate } from '../pki/verify.js'
import { addressReach } from './address.js'
import type { Connection, SubscribeCall } from './incoming.js'
import { QuietLog, type Log } from './log.js'
import type { PeerTarget } from './peer-client.js'
import { PeerLink } from './peer-link.js'
import type { PortIdentity } from './secure-port.js'
import { fetchChunks, serveSnapshot, type SnapshotHandler } from './snapshots.js'
import { callError } from './status.js'
import { linkWindow, snapshotsPerMemberMax } from './tuning.js'

/** Another member of the channel. */
export interface Peer {
  readonly id: MemberId
  /** host:port. */
  readonly address: string
}

/** What is known about the connection to a peer. */
export interface PeerInfo {
  readonly connected: boolean
  readonly rttMs: number | undefined
  /** The end of its certificate. */
  readonly certExpires: Date | undefined
  /** Why there is no connection. */
  readonly problem: string | undefined
  readonly outboxBytes: number
}

export interface ChannelTransportOptions extends PortIdentity {
  /** The channel's name, for messages. */
  readonly name: string
  readonly self: MemberId
  /** The reason why a member with a valid certificate is not let in (it was removed); undefined when it is. */
  readonly authorize: (member: MemberId, certificate: Uint8Array) => string | undefined
  readonly events: TransportEvents
  /** Why there is no connection to a peer; undefined when there is one again. */
  readonly onPeerProblem: (member: MemberId, reason: string | undefined) => void
  readonly snapshot: SnapshotHandler
  readonly log: Log
  /** What all of this node's links share. */
  readonly way: SharedWay
  /** Which run of this node's home it is, 16 hex digits; empty: not told. */
  readonly run?: string
  /** Where this node listens, for the peers; host:port. */
  readonly advertise?: string
}

/** What a caller says of itself, with its certificate. */
export interface PeerHello {
  readonly certificate: Uint8Array
  readonly address: string
  readonly run: string
}

/** What is asked of `fetchSnapshot`. */
export interface FetchOptions {
  /** The least index that will do. */
  readonly index: number
  readonly signal?: AbortSignal
}

/** One channel's connections to its other members. */
export class ChannelTransport implements Transport {
  readonly #options: ChannelTransportOptions
  readonly #links = new Map<MemberId, PeerLink>()
  readonly #snapshots = new Map<MemberId, Set<ServerWritableStream<SnapshotRequest, SnapshotChunk>>>()
  readonly #fetches = new Set<AbortController>()
  readonly #quiet: QuietLog
  /** For what is usual, unless it happens all the time. */
  readonly #news: QuietLog
  readonly #onClose: () => void
  #identity: PortIdentity
  #peers: readonly Peer[] = []
  /** Where somebody here says that peers are (`rkfs member address`), while the descriptor has the address `instead`. */
  readonly #redirected = new Map<MemberId, { readonly address: string; readonly instead: string }>()
  /** Where peers say that they listen, while the descriptor still has the address `instead`. */
  readonly #moved = new Map<MemberId, { readonly address: string; readonly instead: string }>()
  #closed = false

  /** Made by `RpcNode.openChannel` alone. */
  constructor(options: ChannelTransportOptions, onClose: () => void) {
    this.#options = options
    this.#identity = options
    this.#quiet = new QuietLog(options.log)
    this.#news = new QuietLog(options.log, 60_000, 5)
    this.#onClose = onClose
  }

  get channelId(): string {
    return this.#options.channelId
  }
  get caPem(): string {
    return this.#options.caPem
  }

  /** All other members of the channel. Who is no longer among them is disconnected at once. */
  setPeers(peers: readonly Peer[]): void {
    assert(!this.#closed, 'setPeers on a closed transport')
    this.#peers = peers
    const wanted = new Map(peers.filter(peer => peer.id !== this.#options.self).map(peer => [peer.id, peer]))
    for (const [id, link] of this.#links) {
      if (wanted.has(id)) continue
      this.#links.delete(id)
      link.close(status.PERMISSION_DENIED, this.#reasonFor(id))
      for (const call of this.#snapshots.get(id) ?? []) {
        call.emit('error', callError(status.PERMISSION_DENIED, this.#reasonFor(id)))
      }
    }
    for (const peer of wanted.values()) {
      const target = this.#target(peer)
      const link = this.#links.get(peer.id)
      if (link) link.retarget(target)
      else this.#links.set(peer.id, this.#link(target, peer.id))
    }
  }

  /**
   * A peer, known by its certificate, says where it listens. It holds until the descriptor has another address for it. An
   * address that only the peer's own machine can reach does not replace one that others can, and one where somebody else
   * answers does no harm: we look at the certificate there.
   */
  moved(member: MemberId, address: string): void {
    const peer = this.#peers.find(each => each.id === member)
    if (peer === undefined || address === '' || member === this.#options.self) return
    try {
      const reach = addressReach(address)
      if (reach === 'wildcard' || (reach === 'loopback' && addressReach(peer.address) === 'network')) return
    } catch {
      return
    }
    if (address === peer.address) this.#moved.delete(member)
    else this.#moved.set(member, { address, instead: peer.address })
    this.#links.get(member)?.retarget(this.#target(peer))
  }

  /** Where peers are, whatever they and the descriptor say, while that has the address `instead`. Goes before `moved`. */
  redirect(redirections: ReadonlyMap<MemberId, { readonly address: string; readonly instead: string }>): void {
    this.#redirected.clear()
    for (const [member, each] of redirections) this.#redirected.set(member, each)
    for (const peer of this.#peers) this.#links.get(peer.id)?.retarget(this.#target(peer))
  }

  /** A new certificate of this node's own: for connections from now on. */
  setIdentity(identity: PortIdentity): void {
    this.#identity = identity
    this.setPeers(this.#peers)
  }

  send(to: MemberId, message: PeerMessage): boolean {
    return this.#links.get(to)?.send(message) ?? false
  }
  connected(member: MemberId): boolean {
    return this.#links.get(member)?.connected ?? false
  }
  rttMs(member: MemberId): number | undefined {
    return this.#links.get(member)?.rttMs
  }
  isThin(member: MemberId): boolean {
    return this.#links.get(member)?.isThin ?? false
  }
  windowBytes(member: MemberId): number {
    return this.#links.get(member)?.windowBytes ?? linkWindow.initialBytes
  }

  peerInfo(member: MemberId): PeerInfo {
    const link = this.#links.get(member)
    return {
      connected: link?.connected ?? false,
      rttMs: link?.rttMs,
      certExpires: link?.expires,
      problem: link?.problem,
      outboxBytes: link?.outboxBytes ?? 0,
    }
  }

  /**
   * Fetches a member's snapshot at `index` or later, chunk by chunk, as fast as they are taken. Throws the other side's
   * error, `unavailable` when it breaks or is aborted, `timeout` when nothing comes for a minute.
   */
  async *fetchSnapshot(from: Peer, options: FetchOptions): AsyncGenerator<SnapshotChunk, void, undefined> {
    const abort = new AbortController()
    this.#fetches.add(abort)
    const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal
    const request = create(SnapshotRequestSchema, { channel: this.channelId, index: BigInt(options.index) })
    try {
      yield* fetchChunks(this.#target(from), request, signal)
    } finally {
      this.#fetches.delete(abort)
    }
  }

  /** A call with a valid certificate and hello: hands the stream to the member's link, or refuses it by name. */
  acceptSubscribe(call: SubscribeCall, from: MemberCertificate, hello: PeerHello, connection: Connection): void {
    const { certificate, run, address } = hello
    const refusal = this.#refusal(from.memberId, certificate)
    const link = this.#links.get(from.memberId)
    if (refusal !== undefined || !link) {
      if (refusal !== undefined) this.#quiet.warn(from.memberId, refusal, { channel: this.#options.name })
      call.emit(
        'error',
        refusal === undefined
          ? callError(status.UNAVAILABLE, `member ${from.memberId} is not known here yet`)
          : callError(status.PERMISSION_DENIED, refusal),
      )
      return
    }
    // one that is refused moves nobody to its address
    if (link.accept(call, from.notAfter, run, connection)) this.moved(from.memberId, address)
  }

  /** A member asks for our snapshot. */
  acceptSnapshot(
    call: ServerWritableStream<SnapshotRequest, SnapshotChunk>,
    from: MemberId,
    certificate: Uint8Array,
  ): void {
    const refusal = this.#refusal(from, certificate)
    const calls = this.#snapshots.get(from) ?? new Set()
    if (refusal !== undefined) {
      call.emit('error', callError(status.PERMISSION_DENIED, refusal))
    } else if (calls.size >= snapshotsPerMemberMax) {
      call.emit('error', callError(status.RESOURCE_EXHAUSTED, 'two snapshots are on their way to this member already'))
    } else {
      this.#snapshots.set(from, calls.add(call))
      void serveSnapshot(call, from, this.#options.snapshot, (level, message, fields) => {
        if (level === 'warn') this.#quiet.warn(`${from} snapshot`, message, fields ?? {})
        else this.#options.log(level, message, fields)
      }).finally(() => {
        calls.delete(call)
        if (calls.size === 0) this.#snapshots.delete(from)
      })
    }
  }

  /** Closes all connections of the channel; twice does no harm. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const abort of this.#fetches) abort.abort()
    for (const link of this.#links.values()) link.close(status.UNAVAILABLE, 'the node leaves the channel or stops')
    for (const calls of this.#snapshots.values()) {
      for (const call of calls) call.emit('error', callError(status.UNAVAILABLE, 'the node stops'))
    }
    this.#links.clear()
    this.#onClose()
  }

  #target(peer: Peer): PeerTarget {
    const { channelId, caPem, advertise, run } = this.#options
    const instead = [this.#redirected.get(peer.id), this.#moved.get(peer.id)]
    const address = instead.find(each => each?.instead === peer.address)?.address ?? peer.address
    return { address, member: peer.id, channelId, caPem, own: this.#identity, advertise, run }
  }

  #refusal(member: MemberId, certificate: Uint8Array): string | undefined {
    if (this.#closed) return 'the channel is closed here'
    if (member === this.#options.self) return `member ${member} is this node itself`
    return this.#options.authorize(member, certificate)
  }

  #reasonFor(member: MemberId): string {
    return `member ${member} is not a member of channel ${this.#options.name} (any more)`
  }

  #link(target: PeerTarget, id: MemberId): PeerLink {
    const { events, name, way } = this.#options
    return new PeerLink(id, target, way, {
      connected: () => {
        this.#news.say('info', `${id} connected`, 'peer connected', { channel: name, peer: id })
        events.connected(id)
      },
      disconnected: reason => {
        this.#news.say('info', `${id} disconnected`, 'peer disconnected', { channel: name, peer: id, reason })
        events.disconnected(id, reason)
      },
      message: message => events.message(id, message),
      heard: () => events.heard(id),
      secondRun: () => events.secondRun?.(id),
      refusedAsSecond: () => events.refusedAsSecond?.(id),
      problem: reason => {
        if (reason !== undefined) this.#quiet.warn(id, 'no connection to a peer', { channel: name, peer: id, reason })
        this.#options.onPeerProblem(id, reason)
      },
    })
  }
}
