import { constants, X509Certificate } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import * as tls from 'node:tls'

import { RkfsError, messageOf } from '../../base/errors.js'
import type { MemberId } from '../../base/ids.js'
import { channelIdOfDnsName } from '../pki/member-id.js'
import { verifyMemberCertificate } from '../pki/verify.js'
import { formatAddress, parseAddress } from './address.js'
import { Handshakes } from './handshakes.js'
import { Strangers } from './strangers.js'
import { handshakeMs } from './tuning.js'

/** What the port shows for a channel, and whom it lets in. */
export interface PortIdentity {
  readonly channelId: string
  readonly certificatePem: string
  readonly keyPem: string
  readonly caPem: string
}

export interface PortOptions {
  /** host:port; port 0 lets the system choose. */
  readonly listen: string
  /** Shown while there is no channel: the node's key with a certificate of its own. */
  readonly fallback: { readonly certificatePem: string; readonly keyPem: string }
  /** A connection whose other end holds a valid certificate of the channel. */
  readonly member: (socket: tls.TLSSocket, channelId: string, member: MemberId) => void
  /** Any other; `reason` says why it is no member. */
  readonly stranger: (socket: tls.TLSSocket, reason: string) => void
}

interface Entry {
  readonly context: tls.SecureContext
  readonly options: tls.SecureContextOptions
  readonly ca: X509Certificate
}

/** TLS 1.3; no tickets: a resumed session would skip the exchange of certificates. */
const secureBase = { minVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET } as const

/**
 * The one TLS port of a node, for all its channels: the server name chooses the certificate. Who connects is verified
 * here, by our own rules, and never by the default ones of Node, so that a refusal has a reason.
 */
export class SecurePort {
  readonly #options: PortOptions
  readonly #server: Server
  readonly #tls: tls.Server
  readonly #channels = new Map<string, Entry>()
  readonly #sockets = new Set<Socket>()
  readonly #strangers = new Strangers()
  readonly #handshakes = new Handshakes()

  constructor(options: PortOptions) {
    this.#options = options
    this.#tls = tls.createServer({
      ...this.#fallback(),
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      handshakeTimeout: handshakeMs,
      SNICallback: (name, done) => done(null, this.#channels.get(channelIdOfDnsName(name) ?? '')?.context),
    })
    this.#tls.on('secureConnection', socket => this.#secured(socket))
    this.#tls.on('tlsClientError', (_error, socket) => socket.destroy())
    this.#server = createServer({ noDelay: true }, socket => this.#connected(socket))
  }

  /** Returns the address as it is: with the port that the system chose. Throws `busy` or `usage`. */
  start(): Promise<string> {
    const { host, port } = parseAddress(this.#options.listen)
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(cause, this.#options.listen)))
      this.#server.listen({ host, port }, () => {
        this.#server.removeAllListeners('error')
        this.#server.on('error', () => undefined) // accept(2) failing, for lack of descriptors: the client tries again
        const bound = this.#server.address()
        resolve(formatAddress(host, typeof bound === 'object' && bound ? bound.port : port))
      })
    })
  }

  /** Serves a channel (again, with a new certificate). */
  setChannel(identity: PortIdentity): void {
    const options = {
      ...secureBase,
      key: identity.keyPem,
      cert: `${identity.certificatePem}\n${identity.caPem}`,
      ca: identity.caPem,
    }
    const context = tls.createSecureContext(options)
    this.#channels.set(identity.channelId, { context, options, ca: new X509Certificate(identity.caPem) })
    this.#chooseDefault()
  }

  removeChannel(channelId: string): void {
    if (this.#channels.delete(channelId)) this.#chooseDefault()
  }

  async stop(): Promise<void> {
    this.#strangers.close()
    this.#handshakes.close()
    for (const socket of this.#sockets) socket.destroy()
    if (this.#server.listening) await new Promise(resolve => this.#server.close(resolve))
  }

  #fallback(): tls.SecureContextOptions {
    const { certificatePem, keyPem } = this.#options.fallback
    return { ...secureBase, cert: certificatePem, key: keyPem, ca: certificatePem }
  }

  /** A client without a server name gets the first channel's certificate. */
  #chooseDefault(): void {
    const [first] = this.#channels.values()
    this.#tls.setSecureContext(first?.options ?? this.#fallback())
  }

  #connected(socket: Socket): void {
    const key = connectionKey(socket)
    this.#sockets.add(socket)
    this.#strangers.add(key, socket)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#strangers.remove(key, socket)
    })
    this.#handshakes.begin(socket, () => this.#tls.emit('connection', socket))
  }

  /** A stranger failed at what it asked for: it and its like are let in more slowly. */
  strangerFailed(): void {
    this.#handshakes.failed()
  }

  #secured(socket: tls.TLSSocket): void {
    socket.on('error', () => undefined)
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy()
      return
    }
    const certificate = socket.getPeerX509Certificate()
    const channelId = channelIdOfDnsName(serverNameOf(socket)) ?? ''
    const channel = this.#channels.get(channelId)
    if (!certificate) return this.#options.stranger(socket, 'this call needs a certificate of a member of the channel')
    if (!channel) return this.#options.stranger(socket, 'this node serves no such channel')
    try {
      const { memberId } = verifyMemberCertificate(certificate, channel.ca, channelId, Date.now())
      this.#strangers.remove(connectionKey(socket))
      this.#handshakes.giveBack()
      this.#options.member(socket, channelId, memberId)
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#options.stranger(socket, error.message)
    }
  }
}

function serverNameOf(socket: tls.TLSSocket): string | undefined {
  const { servername } = socket as { servername?: string | false }
  return servername || undefined
}

function connectionKey(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`
}

function listenError(cause: NodeJS.ErrnoException, listen: string): RkfsError {
  switch (cause.code) {
    case 'EADDRINUSE':
      return new RkfsError(
        'busy',
        `${listen} is in use by another program: choose another with --listen HOST:PORT, or stop that program`,
        { cause },
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new RkfsError('usage', `${listen} is not an address of this machine: choose another with --listen`, {
        cause,
      })
    case 'EACCES':
      return new RkfsError('usage', `${listen} needs privileges: choose a port above 1023 with --listen`, { cause })
    default:
      return new RkfsError('failed', `cannot listen on ${listen}: ${messageOf(cause)}`, { cause })
  }
}
