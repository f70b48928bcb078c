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
import { memberIdOfKey } from '../pki/member-id.js'
import type { Token } from '../pki/token.js'
import { readCertificate, verifyMemberCertificate } from '../pki/verify.js'
import { parseAddress } from './address.js'
import { checkServer, connectPeer, shownCertificates, type PeerTarget } from './peer-client.js'
import { enrollmentService } from './services.js'
import { errorOfCall } from './status.js'
import { enrollConnectMs, enrollMs } from './tuning.js'
import type { Turns } from './turns.js'

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
  /** A member that has its log asks for a new certificate; else it joins, perhaps anew. */
  readonly renewal: boolean
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
export interface EnrollHandler {
  /** Whether a secret may be redeemed. Asked first: it costs little, and whoever has none gets no further. */
  readonly check: (secret: Uint8Array) => void
  readonly enroll: (enrollment: Enrollment) => Promise<Enrolled>
}

const descriptorBytesMax = 1024 * 1024

/**
 * Serves one request of a stranger: checks its secret and its form, then, when it is its turn, its signature, and asks the
 * handler. One at a time: both cost, and admitting is a change of the membership, of which there is one at a time, too.
 */
export async function serveEnroll(request: EnrollRequest, handler: EnrollHandler, turns: Turns): Promise<EnrollReply> {
  const { channelId, secret, signingRequest, name, address, renewal } = request
  if (secret.length !== 16) throw new RkfsError('refused', 'the token is unknown here: ask the owner for another')
  handler.check(secret)
  checkNodeName(name)
  if (address.length > 255) throw new RkfsError('usage', 'the address is too long')
  parseAddress(address)
  const reply = await turns.take(async () => {
    const { memberId } = await openSigningRequest(signingRequest)
    return handler.enroll({ channelId, secret, csrDer: signingRequest, memberId, name, address, renewal })
  })
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
  /** Whose signing request it is. */
  readonly memberId: MemberId
  readonly name: string
  /** host:port where this node listens, as the others reach it. */
  readonly listenAddress: string
  readonly renewal: boolean
  readonly signal?: AbortSignal
}

/**
 * The new member's side: finds the owner at one of the token's addresses and asks it for a certificate. Nothing is sent
 * before the other side has proved that it holds the owner's key and a certificate of the token's CA: any other member, or
 * one that was removed, would spend the secret itself. Throws `refused` with the owner's reason, or when others than the
 * owner answer; `unavailable` when no address answers.
 */
export async function enroll(options: EnrollOptions): Promise<Enrolled> {
  const { token, signal } = options
  const problems: RkfsError[] = []
  for (const address of token.addresses) {
    let caPem: string
    try {
      caPem = await findOwner(address, token, signal)
    } catch (error) {
      problems.push(problemOf(error, signal))
      continue // it was sent nothing
    }
    try {
      return checkReply(await request(address, caPem, options), caPem, options)
    } catch (error) {
      const problem = problemOf(error, signal)
      if (problem.code !== 'unavailable' && problem.code !== 'timeout' && problem.code !== 'version') throw problem
      problems.push(problem)
    }
  }
  const refusal = problems.find(({ code }) => code === 'refused')
  if (refusal !== undefined && problems.length === 1) throw refusal
  const words = problems.map(({ message }) => message).join('; ')
  throw new RkfsError(
    refusal === undefined ? 'unavailable' : 'refused',
    `nobody who could admit this node answers: ${words}. Only the channel's owner can: start its node, or, if it is gone for good, make a new channel from a copy (\`rkfs status\` on another member says how)`,
  )
}

function problemOf(error: unknown, signal: AbortSignal | undefined): RkfsError {
  if (!(error instanceof RkfsError)) throw error
  if (signal?.aborted) throw new RkfsError('unavailable', 'given up', { cause: error })
  return error
}

/** Makes sure that the token's owner answers there. Returns the CA with the token's fingerprint, which it showed. */
async function findOwner(address: string, token: Token, signal: AbortSignal | undefined): Promise<string> {
  const chain = await shownCertificates(address, token.channelId, enrollConnectMs, signal)
  const certificates = chain.map(der => readCertificate(der, `what ${address} shows`))
  const ca = certificates.find(each => {
    return equalBytes(Buffer.from(each.fingerprint256.replaceAll(':', ''), 'hex'), token.caFingerprint)
  })
  if (!ca || !certificates[0]) {
    if (certificates[0] && isKeyOf(certificates[0], token.owner)) {
      throw new RkfsError('unavailable', `the owner answers at ${address}, but does not serve ${token.channel} (yet)`)
    }
    throw new RkfsError(
      'refused',
      `who answers at ${address} does not belong to channel ${token.channel} (CA fingerprint)`,
    )
  }
  checkServer(ownerOf(token, address, ca.toString()), certificates[0].raw)
  return ca.toString()
}

function isKeyOf({ publicKey }: X509Certificate, member: MemberId): boolean {
  try {
    return memberIdOfKey(publicKey) === member
  } catch {
    return false // a kind of key that Node does not know
  }
}

function ownerOf({ channelId, owner }: Token, address: string, caPem: string): PeerTarget {
  return { address, channelId, caPem, member: owner }
}

function request(address: string, caPem: string, options: EnrollOptions): Promise<EnrollReply> {
  const { token, csrDer, name, listenAddress, renewal, signal } = options
  const client = connectPeer(ownerOf(token, address, caPem))
  const { path, requestSerialize, responseDeserialize } = enrollmentService.enroll
  const message = create(EnrollRequestSchema, {
    channelId: token.channelId,
    secret: token.secret as Uint8Array<ArrayBuffer>,
    signingRequest: csrDer as Uint8Array<ArrayBuffer>,
    name,
    address: listenAddress,
    renewal,
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
    const { memberId } = verifyMemberCertificate(certificate, known, options.token.channelId, Date.now())
    if (memberId !== options.memberId) throw new RkfsError('refused', `it is for member ${memberId}`)
  } catch (cause) {
    throw new RkfsError('refused', `the owner issued a certificate that is not valid here: ${messageOf(cause)}`, {
      cause,
    })
  }
  return { certificate, ca, descriptor }
}
