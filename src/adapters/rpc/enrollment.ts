import { create } from '@bufbuild/protobuf'
import { X509Certificate } from 'node:crypto'

import { RkfsError, messageOf } from '../../base/errors.js'
import { equalBytes } from '../../base/bytes.js'
import type { MemberId } from '../../base/ids.js'
import {
  EnrollReplySchema,
  EnrollRequestSchema,
  type EnrollReply,
  type EnrollRequest,
} from '../../gen/rkfs/v1/enrollment_pb.js'
import { checkNodeName, openSigningRequest } from '../pki/authority.js'
import type { Token } from '../pki/token.js'
import { verifyMemberCertificate } from '../pki/verify.js'
import { parseAddress } from './address.js'
import { connectPeer, shownCertificates } from './peer-client.js'
import { enrollmentService } from './services.js'
import { errorOfCall } from './status.js'
import { enrollConnectMs, enrollMs } from './tuning.js'

/** What a new member sends; its signing request has been checked and is `memberId`'s. */
export interface Enrollment {
  readonly channelId: string
  /** The token's secret. */
  readonly secret: Uint8Array
  /** PKCS #10, DER. */
  readonly csrDer: Uint8Array
  readonly memberId: MemberId
  readonly name: string
  /** host:port where it listens. */
  readonly address: string
}

/** What it gets. */
export interface Enrolled {
  /** X.509, DER. */
  readonly certificate: Uint8Array
  /** X.509, DER. */
  readonly ca: Uint8Array
  /** The channel's descriptor, opaque here. */
  readonly descriptor: Uint8Array
}

/** The owner's side; throws `refused` with the reason that the new member reads. */
export type EnrollHandler = (enrollment: Enrollment) => Promise<Enrolled>

const descriptorBytesMax = 1024 * 1024

/** Serves one request of a stranger: checks its form and its signature, then asks the handler. */
export async function serveEnroll(request: EnrollRequest, handler: EnrollHandler): Promise<EnrollReply> {
  const { channelId, secret, signingRequest, name, address } = request
  if (secret.length !== 16) throw new RkfsError('refused', 'the token is unknown here: ask the owner for another')
  checkNodeName(name)
  if (address.length > 255) throw new RkfsError('usage', 'the address is too long')
  parseAddress(address)
  const { memberId } = await openSigningRequest(signingRequest)
  const reply = await handler({ channelId, secret, csrDer: signingRequest, memberId, name, address })
  return create(EnrollReplySchema, {
    certificate: reply.certificate as Uint8Array<ArrayBuffer>,
    ca: reply.ca as Uint8Array<ArrayBuffer>,
    channelDescriptor: reply.descriptor as Uint8Array<ArrayBuffer>,
  })
}

export interface EnrollOptions {
  readonly token: Token
  /** PKCS #10, DER. */
  readonly csrDer: Uint8Array
  readonly name: string
  /** host:port where this node listens, as the others reach it. */
  readonly listenAddress: string
  readonly signal?: AbortSignal
}

/**
 * The new member's side: finds the owner at one of the token's addresses, makes sure that it holds the token's CA, and
 * asks for a certificate. Nothing is sent before the other side has proved itself. Throws `refused` with the owner's
 * reason, `unavailable` or `timeout` when no address answers.
 */
export async function enroll(options: EnrollOptions): Promise<Enrolled> {
  const { token, signal } = options
  const problems: string[] = []
  for (const address of token.addresses) {
    try {
      const caPem = await findAuthority(address, token, signal)
      return checkReply(await request(address, caPem, options), caPem, options)
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      if (signal?.aborted) throw new RkfsError('unavailable', 'given up', { cause: error })
      if (error.code !== 'unavailable' && error.code !== 'timeout' && error.code !== 'version') throw error
      problems.push(error.message)
    }
  }
  throw new RkfsError('unavailable', `nobody who could admit this node answers: ${problems.join('; ')}`)
}

/** The CA with the token's fingerprint, from the chain that is shown there. */
async function findAuthority(address: string, token: Token, signal: AbortSignal | undefined): Promise<string> {
  const chain = await shownCertificates(address, token.channelId, enrollConnectMs, signal)
  const certificates = chain.map(der => new X509Certificate(der))
  const ca = certificates.find(each => {
    return equalBytes(Buffer.from(each.fingerprint256.replaceAll(':', ''), 'hex'), token.caFingerprint)
  })
  if (!ca || !certificates[0]) {
    throw new RkfsError(
      'refused',
      `who answers at ${address} does not belong to channel ${token.channel} (CA fingerprint)`,
    )
  }
  verifyMemberCertificate(certificates[0], ca, token.channelId, Date.now())
  return ca.toString()
}

function request(address: string, caPem: string, options: EnrollOptions): Promise<EnrollReply> {
  const { token, csrDer, name, listenAddress, signal } = options
  const client = connectPeer({ address, channelId: token.channelId, caPem })
  const { path, requestSerialize, responseDeserialize } = enrollmentService.enroll
  const message = create(EnrollRequestSchema, {
    channelId: token.channelId,
    secret: token.secret as Uint8Array<ArrayBuffer>,
    signingRequest: csrDer as Uint8Array<ArrayBuffer>,
    name,
    address: listenAddress,
  })
  return new Promise<EnrollReply>((resolve, reject) => {
    const deadline = Date.now() + enrollMs
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      message,
      { deadline },
      (error, reply) => {
        signal?.removeEventListener('abort', abort)
        if (error) reject(errorOfCall(error))
        else if (reply) resolve(reply)
        else reject(new RkfsError('failed', 'the owner sent no answer'))
      },
    )
    const abort = (): void => call.cancel()
    signal?.addEventListener('abort', abort)
    if (signal?.aborted) abort()
  }).finally(() => client.close())
}

function checkReply(reply: EnrollReply, caPem: string, options: EnrollOptions): Enrolled {
  const { certificate, ca, channelDescriptor: descriptor } = reply
  const known = new X509Certificate(caPem)
  if (!equalBytes(ca, known.raw))
    throw new RkfsError('refused', 'the owner answered with another CA than that of the token')
  if (descriptor.length > descriptorBytesMax) throw new RkfsError('corrupt', "the channel's descriptor is too long")
  try {
    verifyMemberCertificate(certificate, known, options.token.channelId, Date.now())
  } catch (cause) {
    throw new RkfsError('refused', `the owner issued a certificate that is not valid here: ${messageOf(cause)}`, {
      cause,
    })
  }
  return { certificate, ca, descriptor }
}
