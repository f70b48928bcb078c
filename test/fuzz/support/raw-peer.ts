/** A client that sends what it likes to a node's port. */
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls'
import { Client, credentials, status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js'

export const methods = [
  '/rkfs.v1.Peer/Subscribe',
  '/rkfs.v1.Peer/FetchSnapshot',
  '/rkfs.v1.Enrollment/Enroll',
  '/rkfs.v1.Peer/Nothing',
]

export interface Credentials {
  readonly keyPem: string
  readonly certificatePem: string
}

const same = (bytes: Buffer): Buffer => bytes

export class RawPeer {
  readonly #client: Client

  /** Without credentials: a stranger who shows no certificate. */
  constructor(address: string, channelId: string, shown: Credentials | undefined) {
    const context = createSecureContext(shown && { key: shown.keyPem, cert: shown.certificatePem })
    const blind = { rejectUnauthorized: false, checkServerIdentity: () => undefined }
    this.#client = new Client(address, credentials.createFromSecureContext(context, blind), {
      'grpc.ssl_target_name_override': `${channelId}.rkfs`,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_send_message_length': -1,
    })
  }

  open(path: string, seconds: number): ClientDuplexStream<Buffer, Buffer> {
    const call = this.#client.makeBidiStreamRequest(path, same, same, { deadline: Date.now() + seconds * 1000 })
    return call.on('error', () => undefined).on('data', () => undefined)
  }

  /** Sends messages and answers how the call ended. */
  call(path: string, messages: readonly Uint8Array[], seconds = 5): Promise<string> {
    return new Promise(resolve => {
      const call = this.open(path, seconds)
      call.on('error', (error: ServiceError) => resolve(`${status[error.code]}: ${error.details}`))
      call.on('end', () => resolve('ended'))
      for (const message of messages) call.write(Buffer.from(message))
      call.end()
    })
  }

  close(): void {
    this.#client.close()
  }
}

/** A connection to the node at an address, which is as a gRPC client makes it; `shown` undefined: no certificate. */
export function connectToNode(
  address: { host: string; port: number },
  channelId: string,
  shown?: Credentials,
): TLSSocket {
  return connectTls({
    ...address,
    servername: `${channelId}.rkfs`,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
    ...(shown && { key: shown.keyPem, cert: shown.certificatePem }),
  })
}

/** A connection that speaks TLS and then whatever `bytes` are. */
export function rawTls(
  address: { host: string; port: number },
  channelId: string,
  shown: Credentials | undefined,
  bytes: readonly Uint8Array[],
): TLSSocket {
  const socket = connectToNode(address, channelId, shown)
  socket.on('error', () => undefined)
  socket.on('data', () => undefined)
  return socket.once('secureConnect', () => bytes.forEach(part => socket.write(part)))
}
