import { ByteReader, ByteWriter, equalBytes, malformed } from '../../base/bytes.js'
import { RkfsError } from '../../base/errors.js'
import type { Hasher } from '../../base/hash.js'
import { KiB, MiB } from '../../base/limits.js'
import type { LogAnchor, LogOwner, LogRecord } from '../../channel/log-port.js'
import type { HardState } from '../../raft/types.js'
import type { StreamPosition } from './segment-files.js'
import type { FileFormat } from './wal-database.js'

/**
 * `log.db`. 16 KiB pages: DESIGN.md beside this file has the figures. `blob` has the small ones, `bulk` says where in the
 * segments the others lie; a journalled payload likewise is in its row or in a segment.
 */
export const logFormat: FileFormat = {
  name: 'log.db',
  applicationId: 0x726b666c,
  version: 2,
  pageBytes: 16 * 1024,
  cacheBytes: 16 * MiB,
  checkpointBytes: 16 * MiB,
  schema: `
    CREATE TABLE entry (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, payload INTEGER NOT NULL, cuts BLOB, header BLOB NOT NULL);
    CREATE TABLE blob (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE TABLE bulk (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL);
    CREATE INDEX bulk_by_segment ON bulk (segment);
    CREATE TABLE journal (session INTEGER, sequence INTEGER, part INTEGER, crc INTEGER NOT NULL, proposal BLOB NOT NULL, payload BLOB,
      segment INTEGER, offset INTEGER, length INTEGER NOT NULL, PRIMARY KEY (session, sequence, part)) WITHOUT ROWID;
    CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
  `,
}

/** Payloads from this size on stay in the segment they were written to. */
export const bulkBytesMin = 2 * KiB

/** Names of the store's own settings; those of its user begin with a colon. */
export const ownSettings = {
  owner: 'owner',
  anchor: 'anchor',
  hardState: 'hard-state',
  keptBytes: 'kept-bytes',
  /** All of the stream up to here is in the database. */
  settled: 'settled',
} as const

const scratch = new Uint8Array(16)
const scratchView = new DataView(scratch.buffer)

/** CRC of two numbers below 2^53 in absolute value: the seed that ties a record's CRC to its key. */
function seedOf(a: number, b: number, hasher: Hasher): number {
  scratchView.setFloat64(0, a, true)
  scratchView.setFloat64(8, b, true)
  return hasher.crc32(scratch)
}

/** zlib starts over at an empty buffer without memory, which is what SQLite's empty blobs are. */
export function crcFrom(seed: number, bytes: Uint8Array, hasher: Hasher): number {
  return bytes.length === 0 ? seed : hasher.crc32(bytes, seed)
}

export function blobCrc(id: number, data: Uint8Array, hasher: Hasher): number {
  return crcFrom(seedOf(id, data.length, hasher), data, hasher)
}

export function journalCrc(
  session: number,
  sequence: number,
  part: number,
  proposal: Uint8Array,
  payload: Uint8Array,
  hasher: Hasher,
): number {
  const seed = seedOf(session * 65536 + part, sequence, hasher)
  return crcFrom(crcFrom(seed, proposal, hasher), payload, hasher)
}

/** Null for the usual one blob (or none), whose length the payload's is. */
export function encodeCuts(record: LogRecord, hasher: Hasher): Uint8Array | null {
  if (record.cuts.length <= 1) return null
  const writer = new ByteWriter(4 * record.cuts.length + 4)
  for (const cut of record.cuts) writer.u32(cut)
  return writer.u32(hasher.crc32(writer.done(), seedOf(record.index, record.term, hasher))).done()
}

export function decodeCuts(
  index: number,
  term: number,
  payload: number,
  cuts: Uint8Array | null,
  hasher: Hasher,
): readonly number[] {
  if (cuts === null) return payload === 0 ? [] : [payload]
  const reader = new ByteReader(cuts, `cuts of entry ${index}`)
  const lengths: number[] = []
  while (reader.left > 4) lengths.push(reader.u32())
  const crc = hasher.crc32(cuts.subarray(0, cuts.length - 4), seedOf(index, term, hasher))
  if (reader.u32() !== crc) throw malformed(`cuts of entry ${index}: their CRC does not match`)
  return lengths
}

const nameBytes = new TextEncoder()

/** A setting's value with the CRC that ties it to its name. */
export function sealSetting(name: string, value: Uint8Array, hasher: Hasher): Uint8Array {
  const crc = crcFrom(hasher.crc32(nameBytes.encode(name)), value, hasher)
  return new ByteWriter(value.length + 4).raw(value).u32(crc).done()
}

/** Undefined when the CRC does not match. */
export function unsealSetting(name: string, sealed: Uint8Array, hasher: Hasher): Uint8Array | undefined {
  if (sealed.length < 4) return undefined
  const value = sealed.subarray(0, sealed.length - 4)
  return equalBytes(sealSetting(name, value, hasher), sealed) ? value : undefined
}

export function encodeAnchor(anchor: LogAnchor): Uint8Array {
  return new ByteWriter(48).u64(anchor.index).u64(anchor.term).raw(anchor.hash).done()
}

export function decodeAnchor(bytes: Uint8Array): LogAnchor {
  const reader = new ByteReader(bytes, 'anchor')
  const anchor = { index: reader.u64(), term: reader.u64(), hash: Uint8Array.from(reader.raw(32)) }
  reader.end()
  return anchor
}

export function encodePosition({ segment, offset }: StreamPosition): Uint8Array {
  return new ByteWriter(16).u64(segment).u64(offset).done()
}

export function decodePosition(bytes: Uint8Array): StreamPosition {
  const reader = new ByteReader(bytes, 'place in the segments')
  const position = { segment: reader.u64(), offset: reader.u64() }
  reader.end()
  return position
}

export function encodeHardState(state: HardState): Uint8Array {
  return new ByteWriter(32)
    .u64(state.term)
    .binary(state.vote ?? '')
    .done()
}

export function decodeHardState(bytes: Uint8Array): HardState {
  const reader = new ByteReader(bytes, 'term and vote')
  const term = reader.u64()
  const vote = reader.binary()
  reader.end()
  return { term, vote: vote === '' ? undefined : vote }
}

export function encodeOwner(owner: LogOwner): Uint8Array {
  return new TextEncoder().encode(JSON.stringify([owner.channelId, owner.member]))
}

/** Throws `corrupt` for what `encodeOwner` did not make. */
export function decodeOwner(bytes: Uint8Array): LogOwner {
  let pair: unknown
  try {
    pair = JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new RkfsError('corrupt', 'malformed owner of a store', { cause })
  }
  if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(text => typeof text === 'string')) {
    throw malformed('owner of a store')
  }
  const [channelId, member] = pair as [string, string]
  return { channelId, member }
}

/** Where the envelope (`oplog/codec.ts`) has what the store looks at without decoding all of it. */
export function headerMatches(
  header: Uint8Array,
  index: number,
  term: number,
  payload: number,
  hasher: Hasher,
): boolean {
  if (header.length < 160) return false
  const view = new DataView(header.buffer, header.byteOffset, header.length)
  if (view.getUint32(0, true) !== hasher.crc32(header.subarray(4))) return false
  const number = (at: number): number => view.getUint32(at, true) + view.getUint32(at + 4, true) * 4294967296
  return number(8) === index && number(16) === term && view.getUint32(60, true) === payload
}

export function previousHashOf(header: Uint8Array): Uint8Array {
  return header.subarray(96, 128)
}
