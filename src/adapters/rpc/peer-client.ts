import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import * as tls from 'node:tls'

import { type ChannelCredentials, Client, credentials } from '@grpc/grpc-js'

import { RkfsError, messageOf } from '../../base/errors.js'
import type { MemberId } from '../../base/ids.js'
import { messageBytesMax } from '../../base/limits.js'
import { channelDnsName, memberIdOfKey } from '../pki/member-id.js'
import { isSignedBy, verifyMemberCertificate, type MemberCertificate } from '../pki/verify.js'
import { parseAddress } from './address.js'
import type { PortIdentity } from './secure-port.js'
import { flowControlWindowBytes } from './tuning.js'

/** Who a client is and whom it wants. Without `own` it shows no certificate (enrollment). */
export interface PeerTarget {
  readonly address: string
  readonly channelId: string
  readonly caPem: string
  /** The only member that will do; any member of the channel when it is left out. */
  readonly member?: MemberId
  readonly own?: PortIdentity
  /** Where we listen, for the peer; host:port. */
  readonly advertise?: string
  /** Which run of our home this is: 16 hex digits; empty: not told. */
  readonly run?: string
}

/** Options of every gRPC client here: one connection a client, no proxy, no name service beyond addresses, no retries. */
const clientOptions = {
  'grpc.max_receive_message_length': messageBytesMax,
  'grpc.max_send_message_length': messageBytesMax,
  'grpc-node.flow_control_window': flowControlWindowBytes,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
}

/** Checks what a server showed. Throws `refused` with the reason. */
export function checkServer(target: PeerTarget, certificate: Uint8Array): MemberCertificate {
  const ca = new X509Certificate(target.caPem)
  if (showsAnother(target, certificate, ca)) {
    throw new RkfsError('refused', `member ${target.member} runs, but does not serve this channel (yet)`)
  }
  const found = verifyMemberCertificate(certificate, ca, target.channelId, Date.now())
  if (target.member !== undefined && found.memberId !== target.member) {
    throw new RkfsError('refused', `member ${found.memberId} answers at ${target.address}, not ${target.member}`)
  }
  return found
}

/**
 * Whether it is the wanted member's key in a certificate that is not this channel's: a node shows its own, or that of
 * another channel, for one that it has not opened.
 */
function showsAnother({ member }: PeerTarget, certificate: Uint8Array, ca: X509Certificate): boolean {
  try {
    const leaf = new X509Certificate(certificate)
    return memberIdOfKey(leaf.publicKey) === member && !isSignedBy(leaf, ca)
  } catch {
    return false // not a certificate, or of an unknown kind of key: the caller says so
  }
}

/**
 * A client whose end is final. grpc-js leaves a subchannel that waits to connect again in its backoff when the channel is
 * closed: it connects once more, and keeps that connection, which nobody uses, as long as the other end stands.
 */
export class PeerClient extends Client {
  isClosed = false
  socket: Socket | undefined

  /** Bytes that have come over its connection, those of messages that are still under way among them. */
  get bytesRead(): number {
    return this.socket?.bytesRead ?? 0
  }

  override close(): void {
    this.isClosed = true
    super.close()
  }
}

/** A gRPC client that talks to that member and to nobody else. `identified` hears what the server's certificate says. */
export function connectPeer(
  target: PeerTarget,
  identified: (result: MemberCertificate | RkfsError) => void = () => undefined,
): PeerClient {
  const { own } = target
  parseAddress(target.address)
  const context = tls.createSecureContext({
    minVersion: 'TLSv1.3',
    ca: target.caPem,
    ...(own && { key: own.keyPem, cert: `${own.certificatePem}\n${own.caPem}` }),
  })
  const checked = credentials.createFromSecureContext(context, {
    checkServerIdentity(_host, certificate) {
      if (client.isClosed) return new Error('the client is closed')
      try {
        identified(checkServer(target, certificate.raw))
        return undefined
      } catch (cause) {
        const error = cause instanceof RkfsError ? cause : new RkfsError('refused', messageOf(cause), { cause })
        identified(error)
        return error
      }
    },
  })
  watchSocket(checked, socket => {
    client.socket = socket
  })
  const client = new PeerClient(`dns:${target.address}`, checked, {
    ...clientOptions,
    'grpc.ssl_target_name_override': channelDnsName(target.channelId),
  })
  return client
}

/**
 * Hears of the socket of each connection before TLS begins on it. grpc-js shows it nowhere else, and tells of whole messages
 * only: of one that is long, on a thin link, nothing would be heard for many seconds.
 */
function watchSocket(checked: ChannelCredentials, watch: (socket: Socket) => void): void {
  const create = checked._createSecureConnector.bind(checked)
  checked._createSecureConnector = (...args) => {
    const connector = create(...args)
    const connect = connector.connect.bind(connector)
    connector.connect = socket => {
      watch(socket)
      return connect(socket)
    }
    return connector
  }
}

/** The certificates that whoever listens there shows, leaf first, as DER. Throws `unavailable` or `timeout`. */
export function shownCertificates(
  address: string,
  channelId: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Uint8Array[]> {
  const { host, port } = parseAddress(address)
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host,
      port,
      servername: channelDnsName(channelId),
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false, // the caller judges what is shown; nothing is sent here
    })
    const finish = (result: Uint8Array[] | RkfsError): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
      socket.destroy()
      if (result instanceof RkfsError) reject(result)
      else resolve(result)
    }
    const aborted = (): void => finish(new RkfsError('unavailable', 'given up'))
    const timer = setTimeout(
      () => finish(new RkfsError('timeout', `${address} does not answer within ${timeoutMs / 1000} s`)),
      timeoutMs,
    )
    signal?.addEventListener('abort', aborted)
    if (signal?.aborted) aborted()
    socket.on('error', cause => {
      finish(new RkfsError('unavailable', `${address} cannot be reached: ${messageOf(cause)}`, { cause }))
    })
    socket.on('secureConnect', () => finish(chainOf(socket)))
  })
}

function chainOf(socket: tls.TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = []
  let at: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  while (at?.raw && chain.length < 8) {
    chain.push(at.raw)
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate
  }
  return chain
}
