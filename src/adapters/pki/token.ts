import { createHash } from 'node:crypto'

import { assert } from '../../base/assert.js'
import { ByteReader, ByteWriter, equalBytes, fromHex, fromLatin1, toHex } from '../../base/bytes.js'
import { RkfsError } from '../../base/errors.js'
import { isChannelName, isMemberId, type MemberId } from '../../base/ids.js'

/** What the owner hands to a new member, apart from the network (`rkfs member invite`). */
export interface Token {
  readonly channel: string
  /** 16 hexadecimal digits. */
  readonly channelId: string
  /** Who gave it out, and the only one to whom its secret is shown: a certificate of the channel is not enough. */
  readonly owner: MemberId
  /** host:port of the owner, the best first; 1 to 8. */
  readonly addresses: readonly string[]
  /** SHA-256 over the DER of the channel's CA certificate: 32 bytes. */
  readonly caFingerprint: Uint8Array
  /** 16 bytes. */
  readonly secret: Uint8Array
  /** Unix time in seconds. */
  readonly expires: number
}

/** Stands in the prefix. Version 1 did not name the owner. */
const version = 2
const checksumBytes = 8
const secretBytes = 16
const fingerprintBytes = 32
const addressesMax = 8
const addressCharsMax = 255
const tokenCharsMax = 4096

function checksum(body: Uint8Array, prefix = `rkfs${version}-`): Uint8Array {
  return createHash('sha256').update(prefix).update(body).digest().subarray(0, checksumBytes)
}

/** One line of URL-safe text: `rkfs2-`, then base64url of the fields and a checksum. */
export function encodeToken(token: Token): string {
  assert(isChannelName(token.channel), 'a token for a channel without a proper name')
  assert(isMemberId(token.owner), 'a token without an owner')
  assert(token.secret.length === secretBytes && token.caFingerprint.length === fingerprintBytes, 'bad token fields')
  assert(token.addresses.length >= 1 && token.addresses.length <= addressesMax, 'a token has 1 to 8 addresses')
  const writer = new ByteWriter(256)
  writer.binary(token.channel).raw(fromHex(token.channelId)).raw(fromHex(token.owner)).u8(token.addresses.length)
  for (const address of token.addresses) {
    assert(/^[!-~]+$/.test(address) && address.length <= addressCharsMax, 'an address is printable ASCII')
    writer.binary(address)
  }
  writer.raw(token.caFingerprint).raw(token.secret).u64(token.expires)
  const body = writer.done()
  return `rkfs${version}-` + Buffer.concat([body, checksum(body)]).toString('base64url')
}

function damaged(cause?: unknown): RkfsError {
  return new RkfsError('refused', 'the token is damaged (checksum): copy it again, the whole line', { cause })
}

function otherVersion(found: number): RkfsError {
  const words =
    found < version
      ? 'the token is of an older version of rkfs, and is not taken any more: ask the owner for a new one, which begins with ' +
        `rkfs${version}- (upgrade rkfs there if it does not)`
      : `the token is of a newer rkfs (version ${found}): upgrade rkfs here`
  return new RkfsError('refused', words)
}

/**
 * Reads a token; white space around it does not matter. Throws `refused`: of an older version, damaged (any
 * changed, missing or added character), of a newer version, or expired at `now` (Unix time in seconds).
 */
export function decodeToken(text: string, now: number): Token {
  const trimmed = text.trim()
  const match = /^(rkfs(\d{1,4})-)(.*)$/s.exec(trimmed.slice(0, tokenCharsMax + 1))
  if (match === null) {
    throw new RkfsError(
      'refused',
      `that is no token: it begins with rkfs${version}- (\`rkfs member invite\` prints it, one line)`,
    )
  }
  if (trimmed.length > tokenCharsMax) throw damaged()
  const [, prefix, found, encoded] = match as unknown as [string, string, string, string]
  // whatever else is wrong with it
  if (Number(found) < version) throw otherVersion(Number(found))
  const bytes = new Uint8Array(Buffer.from(encoded, 'base64url'))
  // Node's decoder overlooks foreign characters, padding and the last character's spare bits.
  if (Buffer.from(bytes).toString('base64url') !== encoded || bytes.length <= checksumBytes) throw damaged()
  const body = bytes.subarray(0, bytes.length - checksumBytes)
  if (!equalBytes(checksum(body, prefix), bytes.subarray(body.length))) throw damaged()
  if (found !== String(version)) throw otherVersion(Number(found))
  const token = decodeBody(body)
  if (token.expires <= now) {
    const when = new Date(token.expires * 1000).toISOString().replace('.000Z', 'Z')
    throw new RkfsError('refused', `the token expired on ${when}: ask the owner of ${token.channel} for another`)
  }
  return token
}

function decodeBody(body: Uint8Array): Token {
  try {
    const reader = new ByteReader(body, 'token')
    const channel = reader.binary()
    const channelId = toHex(reader.raw(8))
    const owner = toHex(reader.raw(8))
    const count = reader.u8()
    const addresses: string[] = []
    for (let i = 0; i < count; i++) addresses.push(reader.binary())
    const caFingerprint = reader.raw(fingerprintBytes)
    const secret = reader.raw(secretBytes)
    const expires = reader.u64()
    reader.end()
    const proper = addresses.every(address => /^[!-~]{1,255}$/.test(address))
    if (!isChannelName(channel) || count < 1 || count > addressesMax || !proper || expires > 8e12) throw damaged()
    return { channel, channelId, owner, addresses, caFingerprint, secret, expires }
  } catch (cause) {
    throw damaged(cause)
  }
}

/** SHA-256 of a secret: how the owner remembers it. */
export function hashOfSecret(secret: Uint8Array): string {
  return createHash('sha256').update(fromLatin1('rkfs invitation ')).update(secret).digest('hex')
}
