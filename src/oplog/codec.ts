import { assert } from '../base/assert.js'
import { ByteReader, ByteWriter, equalBytes, fromHex, malformed, toHex } from '../base/bytes.js'
import { RkfsError } from '../base/errors.js'
import type { Hasher } from '../base/hash.js'
import { operationBytesMax, payloadBytesMax } from '../base/limits.js'
import type { EntryHeader, EntryKind, Proposal } from './entry.js'

/**
 * The entry's envelope, little-endian:
 *
 *     u32 crc32 of all that follows
 *     u8  version (1)   u8 kind   u16 length of the signature
 *     u64 index, term, time (signed), origin (8 bytes), session, sequence
 *     u32 length of the operation   u32 length of the payload
 *     32  SHA-256 of the payload    32 hash of the previous entry
 *     …   operation                 …  signature
 *     32  SHA-256 of everything from `version` to the signature: the entry's own hash
 */
const version = 1
const kinds: readonly EntryKind[] = ['noop', 'change', 'members']
const fixedBytes = 4 + 4 + 48 + 8 + 64
const hashBytes = 32

export const zeroHash: Uint8Array = new Uint8Array(hashBytes)

/** Bytes of an encoded header around its operation and signature. */
export const entryOverheadBytes = fixedBytes + hashBytes

/** Encodes a proposal at its place in the log. Called once, by the member that orders it. */
export function encodeEntry(
  proposal: Proposal,
  index: number,
  term: number,
  previousHash: Uint8Array,
  hasher: Hasher,
): Uint8Array {
  assert(proposal.operation.length <= operationBytesMax, 'an operation over its bound was proposed')
  assert(proposal.payload.length <= payloadBytesMax, 'a payload over its bound was proposed')
  const writer = new ByteWriter(fixedBytes + proposal.operation.length + proposal.signature.length + hashBytes)
  writer
    .u32(0)
    .u8(version)
    .u8(kinds.indexOf(proposal.kind))
    .u16(proposal.signature.length)
    .u64(index)
    .u64(term)
    .i64(proposal.time)
    .raw(fromHex(proposal.origin))
    .u64(proposal.session)
    .u64(proposal.sequence)
    .u32(proposal.operation.length)
    .u32(proposal.payload.length)
    .raw(proposal.payloadHash)
    .raw(previousHash)
    .raw(proposal.operation)
    .raw(proposal.signature)
  writer.raw(hasher.sha256(writer.done().subarray(4)))
  const bytes = writer.done()
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, hasher.crc32(bytes.subarray(4)), true)
  return bytes
}

/**
 * Decodes and checks an entry: length, CRC, version, kind and own hash. The payload is checked apart
 * (`checkPayload`), the chain by `checkLink`. Throws `corrupt`, or `version` for a newer format.
 */
export function decodeEntry(bytes: Uint8Array, hasher: Hasher): EntryHeader {
  if (bytes.length < fixedBytes + hashBytes) throw malformed(`entry: only ${bytes.length} bytes`)
  const reader = new ByteReader(bytes, 'entry')
  if (reader.u32() !== hasher.crc32(bytes.subarray(4))) throw malformed('entry: its CRC does not match')
  const found = reader.u8()
  if (found !== version) {
    throw new RkfsError('version', `entry of format ${found}; this version of rkfs reads format ${version}: upgrade it`)
  }
  const kind = kinds[reader.u8()]
  if (kind === undefined) throw malformed('entry: unknown kind')
  const signatureLength = reader.u16()
  const index = reader.u64()
  const term = reader.u64()
  const time = reader.i64()
  const origin = toHex(reader.raw(8))
  const session = reader.u64()
  const sequence = reader.u64()
  const operationLength = reader.u32()
  const payloadLength = reader.u32()
  if (operationLength > operationBytesMax || payloadLength > payloadBytesMax) throw malformed('entry: it is too long')
  const payloadHash = reader.raw(hashBytes)
  const previousHash = reader.raw(hashBytes)
  const operation = reader.raw(operationLength)
  const signature = reader.raw(signatureLength)
  const hash = reader.raw(hashBytes)
  reader.end()
  if (!equalBytes(hash, hasher.sha256(bytes.subarray(4, bytes.length - hashBytes)))) {
    throw malformed(`entry ${index}: its hash does not match`)
  }
  return {
    index,
    term,
    kind,
    origin,
    session,
    sequence,
    time,
    operation,
    payloadLength,
    payloadHash,
    previousHash,
    hash,
    signature,
  }
}

/** Whether `payload` is the one that the entry names. */
export function payloadMatches(
  entry: Pick<EntryHeader, 'payloadLength' | 'payloadHash'>,
  payload: Uint8Array,
  hasher: Hasher,
): boolean {
  if (payload.length !== entry.payloadLength) return false
  return equalBytes(entry.payloadHash, payload.length === 0 ? zeroHash : hasher.sha256(payload))
}

/** The hash that ends an encoded entry: what the next one's `previousHash` must be. */
export function hashOfEncoded(header: Uint8Array): Uint8Array {
  return header.subarray(header.length - hashBytes)
}
