import { X509Certificate } from 'node:crypto'
import type * as tls from 'node:tls'

import { Server, ServerCredentials, status, type ServerWritableStream } from '@grpc/grpc-js'

import { assert } from '../../base/assert.js'
import { RkfsError } from '../../base/errors.js'
import { messageBytesMax } from '../../base/limits.js'
import { SharedWay } from '../../base/rate-window.js'
import type { EnrollReply, EnrollRequest } from '../../gen/rkfs/v1/enrollment_pb.js'
import type { SnapshotChunk, SnapshotRequest, SubscribeRequest } from '../../gen/rkfs/v1/peer_pb.js'
import { createSelfSigned } from '../pki/authority.js'
import type { NodeKey } from '../pki/csp-home.js'
import { verifyMemberCertificate, type MemberCertificate } from '../pki/verify.js'
import { ChannelTransport, type ChannelTransportOptions } from './channel-transport.js'
import { decodeRun } from './greeting-codec.js'
import { serveEnroll, type EnrollHandler } from './enrollment.js'
import type { SubscribeCall } from './incoming.js'
import { QuietLog, type Log } from './log.js'
import { SecurePort } from './secure-port.js'
import { peerService } from './services.js'
import { serveStranger, type StrangerCalls } from './stranger-calls.js'
import { callError, callErrorOf } from './status.js'
import { Turns } from './turns.js'
import {
  enrollmentsWaitingMax,
  helloMs,
  memberConnectionsMax,
  memberStreamsMax,
  protocolVersion,
  requestBytesMax,
} from './tuning.js'

export interface RpcNodeOptions {
  /** host:port; port 0 lets the system choose. */
  readonly listen: string
  readonly nodeKey: NodeKey
  /** host:port that the peers are told, where it differs from `listen`. */
  readonly advertise?: string
  readonly log: Log
}

/** A channel on this node. `enroll` is given on the owner only. */
export type OpenChannelOptions = Omit<ChannelTransportOptions, 'log' | 'advertise' | 'way'> & {
  readonly enroll?: EnrollHandler
}

interface OpenChannel {
  readonly transport: ChannelTransport
  readonly ca: X509Certificate
  readonly enroll: EnrollHandler | undefined
}

/** Who called: a member of an open channel. */
interface Caller extends MemberCertificate {
  readonly channel: OpenChannel
  readonly certificate: Uint8Array
}

type Call = Pick<SubscribeCall, 'getAuthContext' | 'getPeer'>

/**
 * A node's network: one TLS port. Connections that hold a valid certificate of a member go to the gRPC server with the
 * members' calls; all others to one where only `Enroll` does anything, and not much of anything (`stranger-calls.ts`).
 */
export class RpcNode {
  readonly #options: RpcNodeOptions
  readonly #quiet: QuietLog
  readonly #channels = new Map<string, OpenChannel>()
  readonly #members: Server
  /** By remote address, for closing. Never for deciding who somebody is. */
  readonly #sockets = new Map<string, tls.TLSSocket>()
  /** Of each member in each channel, the oldest first: it alone pays for too many. */
  readonly #connections = new Map<string, Set<tls.TLSSocket>>()
  readonly #way = new SharedWay()
  readonly #enrollments = new Turns(enrollmentsWaitingMax)
  #port: SecurePort | undefined
  #address: string | undefined

  constructor(options: RpcNodeOptions) {
    this.#options = options
    this.#quiet = new QuietLog(options.log)
    this.#members = new Server(serverOptions(memberStreamsMax))
    this.#members.addService(peerService, {
      subscribe: (call: SubscribeCall) => this.#subscribe(call),
      fetchSnapshot: (call: ServerWritableStream<SnapshotRequest, SnapshotChunk>) => this.#snapshot(call),
    })
  }

  /** The address as others reach it (with the port that the system chose), once it is started. */
  get address(): string | undefined {
    return this.#address
  }

  /** Opens the port. Returns its address. Throws `busy` when it is taken, `usage` for a bad address. */
  async start(): Promise<string> {
    assert(!this.#port, 'the node was started before')
    const { nodeKey, listen } = this.#options
    const members = this.#members.createConnectionInjector(ServerCredentials.createInsecure())
    const port = new SecurePort({
      listen,
      fallback: { certificatePem: await createSelfSigned(nodeKey.key), keyPem: nodeKey.pem },
      member: (socket, channelId, member) => {
        this.#remember(this.#sockets, socket, socket)
        this.#count(`${channelId} ${member}`, socket)
        members.injectConnection(socket)
      },
      stranger: (socket, reason) => serveStranger(socket, reason, this.#strangerCalls),
    })
    this.#port = port
    this.#address = await port.start()
    return this.#address
  }

  /** Serves a channel, and connects to its other members once `setPeers` has named them. Throws `exists`. */
  openChannel(options: OpenChannelOptions): ChannelTransport {
    assert(this.#port, 'the node is not started')
    const { channelId, enroll } = options
    if (this.#channels.has(channelId)) throw new RkfsError('exists', `channel ${options.name} is open already`)
    this.#port.setChannel(options)
    const own = { log: this.#options.log, advertise: this.#advertise, way: this.#way }
    const transport = new ChannelTransport({ ...options, ...own }, () => {
      this.#channels.delete(channelId)
      this.#port?.removeChannel(channelId)
    })
    this.#channels.set(channelId, { transport, ca: new X509Certificate(options.caPem), enroll })
    return transport
  }

  get #advertise(): string {
    return this.#options.advertise || (this.#address ?? '')
  }

  /** A new certificate of this node in an open channel: for connections from now on. */
  renew(channelId: string, certificatePem: string, keyPem: string): void {
    const channel = this.#channels.get(channelId)
    assert(channel && this.#port, 'the channel is not open')
    const identity = { channelId, certificatePem, keyPem, caPem: channel.transport.caPem }
    this.#port.setChannel(identity)
    channel.transport.setIdentity(identity)
  }

  /** Closes all channels and the port; twice does no harm. */
  async stop(): Promise<void> {
    for (const { transport } of this.#channels.values()) await transport.close()
    this.#members.forceShutdown()
    await this.#port?.stop()
    this.#port = undefined
  }

  #remember<T>(map: Map<string, T>, socket: tls.TLSSocket, value: T): void {
    const key = `${socket.remoteAddress}:${socket.remotePort}`
    map.set(key, value)
    socket.on('close', () => {
      if (map.get(key) === value) map.delete(key)
    })
  }

  #count(key: string, socket: tls.TLSSocket): void {
    const theirs = this.#connections.get(key) ?? new Set()
    this.#connections.set(key, theirs.add(socket))
    socket.on('close', () => {
      theirs.delete(socket)
      if (theirs.size === 0 && this.#connections.get(key) === theirs) this.#connections.delete(key)
    })
    const [oldest] = theirs
    if (theirs.size > memberConnectionsMax) oldest!.destroy()
  }

  /**
   * The member who called in a channel, by the certificate of the very connection, verified for every call: it may have
   * expired meanwhile. Throws `not-member` with the reason.
   */
  #caller(call: Call, channelId: string): Caller {
    const certificate = call.getAuthContext()?.sslPeerCertificate?.raw
    if (!certificate) throw new RkfsError('not-member', 'this call needs a certificate of a member of the channel')
    const channel = this.#channels.get(channelId)
    if (!channel) throw new RkfsError('not-found', 'this node serves no such channel')
    return { ...verifyMemberCertificate(certificate, channel.ca, channelId, Date.now()), channel, certificate }
  }

  #subscribe(call: SubscribeCall): void {
    call.on('error', () => undefined)
    const timer = setTimeout(() => call.emit('error', callError(status.DEADLINE_EXCEEDED, 'no hello came')), helloMs)
    const give = (): void => clearTimeout(timer)
    call.once('close', give)
    call.once('cancelled', give)
    call.once('data', (request: SubscribeRequest) => {
      clearTimeout(timer)
      try {
        if (request.kind.case !== 'hello') throw new RkfsError('usage', 'a stream must begin with a hello')
        const hello = request.kind.value
        const caller = this.#caller(call, hello.channelId)
        if (hello.protocolVersion !== protocolVersion) {
          throw new RkfsError(
            'version',
            `protocol ${hello.protocolVersion} here meets protocol ${protocolVersion} there: upgrade the older one`,
          )
        }
        const socket = this.#sockets.get(call.getPeer())
        const { certificate } = caller
        const told = { certificate, address: hello.address, run: decodeRun(hello.run) }
        caller.channel.transport.acceptSubscribe(call, caller, told, {
          bytesRead: () => socket?.bytesRead ?? 0,
          cut: () => socket?.destroy(),
        })
      } catch (error) {
        this.#failed(call, error)
      }
    })
  }

  #snapshot(call: ServerWritableStream<SnapshotRequest, SnapshotChunk>): void {
    call.on('error', () => undefined)
    try {
      const caller = this.#caller(call, call.request.channel)
      caller.channel.transport.acceptSnapshot(call, caller.memberId, caller.certificate)
    } catch (error) {
      this.#failed(call, error)
    }
  }

  #failed(call: SubscribeCall | ServerWritableStream<SnapshotRequest, SnapshotChunk>, error: unknown): void {
    const refusal = callErrorOf(error)
    this.#quiet.warn(call.getPeer().replace(/:\d+$/, ''), 'a call was refused', {
      peer: call.getPeer(),
      reason: error instanceof Error ? error.message : String(error),
    })
    call.emit('error', refusal)
  }

  get #strangerCalls(): StrangerCalls {
    return {
      enroll: request => this.#enroll(request),
      refused: (peer, reason) => {
        this.#quiet.warn(peer.replace(/:\d+$/, ''), 'a stranger was refused', { peer, reason })
      },
      exceeded: peer => {
        this.#port?.strangerFailed()
        this.#quiet.warn(peer.replace(/:\d+$/, ''), 'a stranger was cut off', { peer, reason: 'it sent too much' })
      },
    }
  }

  async #enroll(request: EnrollRequest): Promise<EnrollReply> {
    const channel = this.#channels.get(request.channelId)
    if (!channel) throw new RkfsError('unavailable', 'this node serves no such channel')
    const { enroll } = channel
    if (!enroll) throw new RkfsError('unavailable', "this node is not the channel's owner: it admits nobody")
    try {
      return await serveEnroll(request, enroll, this.#enrollments)
    } catch (error) {
      this.#port?.strangerFailed()
      throw error
    }
  }
}

function serverOptions(streams: number): Record<string, number> {
  return {
    'grpc.max_receive_message_length': requestBytesMax,
    'grpc.max_send_message_length': messageBytesMax,
    'grpc.max_concurrent_streams': streams,
    'grpc.enable_channelz': 0,
  }
}
