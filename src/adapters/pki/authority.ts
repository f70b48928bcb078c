import { createPrivateKey, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto'

import { RkfsError } from '../../base/errors.js'
import type { MemberId } from '../../base/ids.js'
import { channelIdOfCa, memberDnsName, memberIdOfKey } from './member-id.js'
import { readCertificate } from './verify.js'
import { generateKeyPem, keyPairOf, signing, x509 } from './web-crypto.js'

const dayMs = 86_400_000
const backdatedMs = 10 * 60_000
export const caValidDays = 20 * 365.25
export const memberValidDays = 2 * 365.25
/** A node's name: what a person reads. */
export const nodeNameCharsMax = 64
const signingRequestBytesMax = 16 * 1024

/** A channel's certificate authority, on its owner. */
export interface Authority {
  readonly channelId: string
  /** The CA's certificate, PEM. */
  readonly caPem: string
  /** The CA's key, PKCS #8, PEM. */
  readonly keyPem: string
}

export interface Validity {
  /** Milliseconds since 1970. */
  readonly now: number
  /** From `now`; the beginning is 10 minutes earlier, for clocks that differ. */
  readonly days: number
}

function dates(validity: Validity): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: new Date(validity.now - backdatedMs),
    notAfter: new Date(validity.now + validity.days * dayMs),
  }
}

/** Makes a CA for a channel: a new key and a self-signed certificate. */
export async function createAuthority(
  channel: string,
  validity: Validity = { now: Date.now(), days: caValidDays },
): Promise<Authority> {
  const keyPem = await generateKeyPem()
  const keys = await keyPairOf(createPrivateKey(keyPem))
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: new x509.Name([{ CN: [`rkfs channel ${channel}`] }]),
    ...dates(validity),
    keys,
    signingAlgorithm: signing,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const caPem = `${certificate.toString('pem')}\n`
  return { caPem, keyPem, channelId: channelIdOfCa(new X509Certificate(caPem)) }
}

/** Checks a node's name: 1 to 64 printable characters. Throws `usage`. */
export function checkNodeName(name: string): void {
  if (name.length < 1 || name.length > nodeNameCharsMax || !/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u.test(name)) {
    throw new RkfsError('usage', `bad node name ${JSON.stringify(name)}: it must have 1 to 64 printable characters`)
  }
}

/** A signing request (PKCS #10, DER) for a node's key. */
export async function createSigningRequest(key: KeyObject, name: string): Promise<Uint8Array> {
  checkNodeName(name)
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name([{ CN: [name] }]),
    keys: await keyPairOf(key),
    signingAlgorithm: signing,
  })
  return new Uint8Array(request.rawData)
}

/** The public key in a signing request whose signature holds. Throws `refused`. */
export async function openSigningRequest(der: Uint8Array): Promise<{ publicKey: KeyObject; memberId: MemberId }> {
  if (der.length > signingRequestBytesMax) throw new RkfsError('refused', 'the signing request is too long')
  try {
    const request = new x509.Pkcs10CertificateRequest(der as Uint8Array<ArrayBuffer>)
    if (!(await request.verify())) throw new Error('its signature does not hold')
    const publicKey = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' })
    if (publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('its key is not ECDSA P-256')
    return { publicKey, memberId: memberIdOfKey(publicKey) }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new RkfsError('refused', `bad signing request: ${why}`, { cause })
  }
}

/**
 * Signs a member's certificate (PEM) for `subject`: a signing request (DER), whose signature is checked, or a public
 * key. When `memberId` is given, the key must be that member's. Throws `refused`, or `usage` for a bad name.
 */
export async function issueCertificate(
  authority: Authority,
  subject: Uint8Array | KeyObject,
  memberId: MemberId | undefined,
  name: string,
  validity: Validity = { now: Date.now(), days: memberValidDays },
): Promise<string> {
  checkNodeName(name)
  const publicKey = subject instanceof Uint8Array ? (await openSigningRequest(subject)).publicKey : subject
  const id = memberIdOfKey(publicKey)
  if (memberId !== undefined && id !== memberId) {
    throw new RkfsError('refused', `the signing request is for member ${id}, not ${memberId}`)
  }
  const ca = new x509.X509Certificate(authority.caPem)
  const caKeys = await keyPairOf(createPrivateKey(authority.keyPem))
  const spki = new x509.PublicKey(publicKey.export({ type: 'spki', format: 'der' }) as Buffer<ArrayBuffer>)
  const { notBefore, notAfter } = dates(validity)
  const certificate = await x509.X509CertificateGenerator.create({
    subject: new x509.Name([{ CN: [name] }]),
    issuer: ca.subjectName,
    notBefore,
    notAfter: notAfter > ca.notAfter ? ca.notAfter : notAfter,
    publicKey: spki,
    signingKey: caKeys.privateKey,
    signingAlgorithm: signing,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth, x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: memberDnsName(id, authority.channelId) }]),
      await x509.SubjectKeyIdentifierExtension.create(spki),
      await x509.AuthorityKeyIdentifierExtension.create(ca),
    ],
  })
  return `${certificate.toString('pem')}\n`
}

/** A self-signed certificate (PEM) of a node's key: what a node without a channel shows on its port. */
export async function createSelfSigned(key: KeyObject, days = 10 * 365.25): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: new x509.Name([{ CN: [`rkfs node ${memberIdOfKey(key)}`] }]),
    ...dates({ now: Date.now(), days }),
    keys: await keyPairOf(key),
    signingAlgorithm: signing,
  })
  return `${certificate.toString('pem')}\n`
}

/** Builds an `Authority` from what is on disk, and checks that the key is the certificate's. Throws `refused`. */
export function authorityFrom(caPem: string, keyPem: string, what: string): Authority {
  const ca = readCertificate(caPem, what)
  if (!ca.checkPrivateKey(createPrivateKey(keyPem)))
    throw new RkfsError('refused', `${what}: its key does not match it`)
  return { caPem, keyPem, channelId: channelIdOfCa(ca) }
}
