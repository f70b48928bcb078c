import {
  performServerHandshake,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'

import { status } from '@grpc/grpc-js'

import { RkfsError } from '../../base/errors.js'
import type { EnrollReply, EnrollRequest } from '../../gen/rkfs/v1/enrollment_pb.js'
import { BoundedSocket } from './bounded-socket.js'
import { enrollmentService, peerService } from './services.js'
import { callErrorOf, type CallError } from './status.js'
import { requestBytesMax, strangerStreamsAtOnceMax } from './tuning.js'

/** Compressed or not (1), length (4), message: how gRPC frames a message. */
const prefixBytes = 5
const grpcHeaders = { ':status': 200, 'content-type': 'application/grpc' }
const membersCalls = Object.values(peerService).map(({ path }) => path)

export interface StrangerCalls {
  readonly enroll: (request: EnrollRequest) => Promise<EnrollReply>
  /** A member's call was refused; `peer`: its address. */
  readonly refused: (peer: string, reason: string) => void
  /** It sent more than a stranger may. */
  readonly exceeded: (peer: string) => void
}

/**
 * The calls of a connection whose other end is no member: `Enroll`, one message each way, spoken here in plain HTTP/2 and
 * cut after some streams and bytes (`BoundedSocket`). A gRPC server makes objects of each stream before it could be bounded.
 */
export function serveStranger(socket: TLSSocket, reason: string, calls: StrangerCalls): void {
  const peer = `${socket.remoteAddress}:${socket.remotePort}`
  const bounded = new BoundedSocket(socket, () => calls.exceeded(peer))
  bounded.on('error', () => {})
  const session: ServerHttp2Session = performServerHandshake(bounded, {
    settings: { maxConcurrentStreams: strangerStreamsAtOnceMax, enablePush: false, maxHeaderListSize: 8192 },
    maxSessionMemory: 1,
    maxHeaderListPairs: 64,
    maxOutstandingPings: 4,
    maxSettings: 8,
  })
  session.on('error', () => {})
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {})
    const path = headers[':path'] ?? ''
    if (path === enrollmentService.enroll.path) return takeEnroll(stream, calls)
    if (!membersCalls.includes(path)) return refuse(stream, callError(status.UNIMPLEMENTED, 'there is no such call'))
    calls.refused(peer, reason)
    refuse(stream, callError(status.UNAUTHENTICATED, reason))
  })
}

function callError(code: status, details: string): CallError {
  return { name: 'Error', message: details, code, details }
}

/** An answer without a message: its status stands in the one frame of headers. */
function refuse(stream: ServerHttp2Stream, { code, details }: CallError): void {
  if (stream.destroyed || stream.headersSent) return
  const told = { 'grpc-status': String(code), 'grpc-message': encodeURIComponent(details) }
  stream.respond({ ...grpcHeaders, ...told }, { endStream: true })
}

function takeEnroll(stream: ServerHttp2Stream, { enroll }: StrangerCalls): void {
  const parts: Buffer[] = []
  let bytes = 0
  stream.on('data', (part: Buffer) => {
    bytes += part.length
    if (bytes <= prefixBytes + requestBytesMax) parts.push(part)
    else stream.destroy()
  })
  stream.on('end', () => {
    answer(Buffer.concat(parts), enroll).then(
      reply => respond(stream, reply),
      (error: unknown) => refuse(stream, callErrorOf(error)),
    )
  })
}

async function answer(framed: Buffer, enroll: StrangerCalls['enroll']): Promise<Buffer> {
  if (framed.length < prefixBytes || framed[0] !== 0 || framed.readUInt32BE(1) !== framed.length - prefixBytes) {
    throw new RkfsError('usage', 'the request is not one plain message')
  }
  const { requestDeserialize, responseSerialize } = enrollmentService.enroll
  let request: EnrollRequest
  try {
    request = requestDeserialize(framed.subarray(prefixBytes))
  } catch (cause) {
    throw new RkfsError('usage', 'the request is malformed', { cause })
  }
  return responseSerialize(await enroll(request))
}

function respond(stream: ServerHttp2Stream, reply: Buffer): void {
  if (stream.destroyed) return
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status.OK) }))
  stream.respond(grpcHeaders, { waitForTrailers: true })
  const prefix = Buffer.alloc(prefixBytes)
  prefix.writeUInt32BE(reply.length, 1)
  stream.end(Buffer.concat([prefix, reply]))
}
