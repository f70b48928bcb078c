import { X509Certificate } from 'node:crypto'

import { RkfsError, messageOf } from '../../base/errors.js'
import type { MemberId } from '../../base/ids.js'
import { channelIdOfCa, memberIdOfKey } from './member-id.js'

/** What a valid member's certificate says. */
export interface MemberCertificate {
  readonly memberId: MemberId
  /** The node's name as people know it (subject CN). */
  readonly name: string
  readonly notAfter: Date
}

/** Reads a certificate, PEM or DER. Throws `corrupt`. */
export function readCertificate(bytes: Uint8Array | string, what: string): X509Certificate {
  try {
    return new X509Certificate(bytes)
  } catch (cause) {
    throw new RkfsError('corrupt', `${what} is not an X.509 certificate: ${messageOf(cause)}`, { cause })
  }
}

/** The subject's CN; empty when there is none. A name with a line break in it is cut there. */
export function commonName(certificate: X509Certificate): string {
  return /^CN=(.*)$/m.exec(certificate.subject ?? '')?.[1] ?? ''
}

/** Whether the certificate was signed with the key of that CA. */
export function isSignedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  try {
    return ca.ca && certificate.checkIssued(ca) && certificate.verify(ca.publicKey)
  } catch {
    return false // a key of another algorithm than the signature's
  }
}

function day(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

/** Checks the validity at `now` (milliseconds since 1970). Returns undefined, or the reason. */
export function validityProblem(certificate: X509Certificate, now: number): string | undefined {
  const from = new Date(certificate.validFrom)
  const to = new Date(certificate.validTo)
  if (!(now >= from.getTime())) return `certificate not yet valid: it begins on ${day(from)}`
  if (!(now <= to.getTime())) return `certificate expired on ${day(to)}`
  return undefined
}

/**
 * Whether `certificate` makes its holder a member of the channel at `now` (milliseconds since 1970). Throws `refused`
 * with the subject and the reason. A cheap, synchronous check: below a millisecond.
 */
export function verifyMemberCertificate(
  certificate: Uint8Array | X509Certificate,
  ca: Uint8Array | X509Certificate,
  expectedChannelId: string,
  now: number,
): MemberCertificate {
  const leaf = certificate instanceof X509Certificate ? certificate : readLeaf(certificate)
  const authority = ca instanceof X509Certificate ? ca : readCertificate(ca, "the channel's CA")
  const name = commonName(leaf)
  const memberId = memberIdOf(leaf)
  const refuse = (reason: string): never => {
    throw new RkfsError('refused', `member ${memberId}${name ? ` (${JSON.stringify(name)})` : ''}: ${reason}`)
  }
  if (channelIdOfCa(authority) !== expectedChannelId) {
    refuse(`the CA at hand is that of channel ${channelIdOfCa(authority)}, not of channel ${expectedChannelId}`)
  }
  if (!isSignedBy(leaf, authority)) refuse(`certificate signed by another CA than that of channel ${expectedChannelId}`)
  const problem =
    validityProblem(leaf, now) ?? validityProblem(authority, now)?.replace('certificate', 'CA certificate')
  if (problem) refuse(problem)
  if (leaf.ca) refuse('the certificate is a CA, not a member')
  const names = rkfsNames(leaf)
  if (names.length !== 1) refuse(`certificate has ${names.length} names <member>.<channel>.rkfs instead of one`)
  const [sanMember, sanChannel] = names[0]!
  if (sanChannel !== expectedChannelId) refuse(`certificate is for channel ${sanChannel}, not ${expectedChannelId}`)
  if (sanMember !== memberId) refuse(`the public key (SPKI) does not match the certificate's id ${sanMember}`)
  return { memberId, name, notAfter: new Date(leaf.validTo) }
}

function readLeaf(bytes: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(bytes)
  } catch (cause) {
    throw new RkfsError('refused', `what was shown is not an X.509 certificate`, { cause })
  }
}

function memberIdOf(leaf: X509Certificate): MemberId {
  try {
    return memberIdOfKey(leaf.publicKey)
  } catch (cause) {
    throw new RkfsError('refused', 'the certificate has a public key of an unknown kind', { cause })
  }
}

/** The pairs (member, channel) among the certificate's DNS names. Node puts names with odd characters in quotes. */
function rkfsNames(certificate: X509Certificate): [string, string][] {
  const names: [string, string][] = []
  for (const part of (certificate.subjectAltName ?? '').split(', ')) {
    const match = /^DNS:([0-9a-f]{16})\.([0-9a-f]{16})\.rkfs$/.exec(part)
    if (match) names.push([match[1]!, match[2]!])
  }
  return names
}
