import { ByteReader, ByteWriter, malformed } from '../../base/bytes.js'
import type { Hasher } from '../../base/hash.js'
import type { BlobId, JournalRecord, LogRecord } from '../../channel/log-port.js'
import { blobsPerEntryMax } from '../../base/limits.js'
import { blobCrc, crcFrom, journalCrc } from './log-format.js'
import type { RecordPlace } from './segment-files.js'

/** What the segments hold for the log, in the order in which it happened. */
export type LogWrite =
  | { readonly kind: 'append'; readonly record: LogRecord; readonly crcs: readonly number[] }
  | { readonly kind: 'truncate'; readonly index: number }
  | { readonly kind: 'journal'; readonly record: JournalRecord; readonly crc: number }
  | { readonly kind: 'unjournal'; readonly session: number; readonly sequence: number }

/** What is written to the segments. */
export type StreamWrite =
  | LogWrite
  /** Bytes that the database already refers to: a snapshot's, or such as were moved here. Nothing to replay. */
  | { readonly kind: 'blob'; readonly id: BlobId; readonly data: Uint8Array; readonly crc: number }

const kinds = ['append', 'truncate', 'journal', 'unjournal', 'blob'] as const
const prefixBytes = 8
/** Of the part before the payload; an entry's header with its longest operation is far shorter. */
const metaBytesMax = 4 * 1024 * 1024
const noPayload = new Uint8Array(0)

/** An append with the CRC of each blob. */
export function appendOf(record: LogRecord, hasher: Hasher): StreamWrite & { kind: 'append' } {
  let at = 0
  const crcs = record.cuts.map((cut, part) =>
    blobCrc(record.index * blobsPerEntryMax + part, record.payload.subarray(at, (at += cut)), hasher),
  )
  return { kind: 'append', record, crcs }
}

export function journalOf(record: JournalRecord, hasher: Hasher): StreamWrite & { kind: 'journal' } {
  const { session, sequence, part, proposal, payload } = record
  return { kind: 'journal', record, crc: journalCrc(session, sequence, part, proposal, payload, hasher) }
}

export function payloadOf(write: StreamWrite): Uint8Array {
  switch (write.kind) {
    case 'append':
    case 'journal':
      return write.record.payload
    case 'blob':
      return write.data
    default:
      return noPayload
  }
}

/**
 * A record of the stream: u32 length of the meta part, u32 its CRC, begun with the record's place in the stream (so that
 * what an earlier use of the file left is never taken for a record), the meta part, the payload. The payload's CRCs are
 * in the meta part. The place of a segment's first record includes the end of the segment before: files reach the disk in
 * any order, and what follows a lost end is no record.
 */
export function encodeMeta(write: StreamWrite, at: RecordPlace, hasher: Hasher): Uint8Array {
  const writer = new ByteWriter(512).u32(0).u32(0).u8(kinds.indexOf(write.kind))
  switch (write.kind) {
    case 'append': {
      const { index, term, header, cuts } = write.record
      writer.u64(index).u64(term).bytes(header).u16(cuts.length)
      cuts.forEach((cut, part) => writer.u32(cut).u32(write.crcs[part]!))
      break
    }
    case 'truncate':
      writer.u64(write.index)
      break
    case 'journal': {
      const { session, sequence, part, proposal, payload } = write.record
      writer.u64(session).u64(sequence).u32(part).bytes(proposal).u32(payload.length).u32(write.crc)
      break
    }
    case 'unjournal':
      writer.u64(write.session).u64(write.sequence)
      break
    case 'blob':
      writer.u64(write.id).u32(write.data.length).u32(write.crc)
      break
  }
  const bytes = writer.done()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  view.setUint32(0, bytes.length - prefixBytes, true)
  view.setUint32(4, placeCrc(at, bytes.subarray(prefixBytes), hasher), true)
  return bytes
}

function placeCrc({ segment, offset, follows }: RecordPlace, meta: Uint8Array, hasher: Hasher): number {
  const seed = new ByteWriter(24).u64(segment).u64(offset)
  if (offset === 0 && follows > 0) seed.u64(follows)
  return crcFrom(hasher.crc32(seed.done()), meta, hasher)
}

/** The record at a place in a segment's bytes, and where it ends; undefined where no sound record begins. */
export function decodeRecordAt(
  bytes: Uint8Array,
  at: RecordPlace,
  hasher: Hasher,
): { write: StreamWrite; payloadAt: number; end: number } | undefined {
  const start = at.offset
  if (start + prefixBytes > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, prefixBytes)
  const length = view.getUint32(0, true)
  const payloadAt = start + prefixBytes + length
  if (length === 0 || length > metaBytesMax || payloadAt > bytes.length) return undefined
  const meta = bytes.subarray(start + prefixBytes, payloadAt)
  if (view.getUint32(4, true) !== placeCrc(at, meta, hasher)) return undefined
  const { write, sound } = decodeWrite(meta, bytes.subarray(payloadAt), hasher)
  return sound ? { write, payloadAt, end: payloadAt + payloadOf(write).length } : undefined
}

function decodeWrite(meta: Uint8Array, rest: Uint8Array, hasher: Hasher): { write: StreamWrite; sound: boolean } {
  const reader = new ByteReader(meta, 'record of a segment')
  const kind = kinds[reader.u8()]
  switch (kind) {
    case 'append': {
      const index = reader.u64()
      const term = reader.u64()
      const header = Uint8Array.from(reader.bytes())
      const cuts: number[] = []
      const crcs: number[] = []
      for (let count = reader.u16(); count > 0; count--) {
        cuts.push(reader.u32())
        crcs.push(reader.u32())
      }
      reader.end()
      const length = cuts.reduce((sum, cut) => sum + cut, 0)
      const record = { index, term, header, cuts, payload: rest.slice(0, length) }
      const found = appendOf(record, hasher)
      const sound = record.payload.length === length && found.crcs.every((crc, part) => crc === crcs[part])
      return { write: found, sound }
    }
    case 'truncate': {
      const write = { kind, index: reader.u64() }
      reader.end()
      return { write, sound: true }
    }
    case 'journal': {
      const session = reader.u64()
      const sequence = reader.u64()
      const part = reader.u32()
      const proposal = Uint8Array.from(reader.bytes())
      const length = reader.u32()
      const crc = reader.u32()
      reader.end()
      const write = journalOf({ session, sequence, part, proposal, payload: rest.slice(0, length) }, hasher)
      return { write, sound: write.record.payload.length === length && write.crc === crc }
    }
    case 'unjournal': {
      const write = { kind, session: reader.u64(), sequence: reader.u64() }
      reader.end()
      return { write, sound: true }
    }
    case 'blob': {
      const id = reader.u64()
      const length = reader.u32()
      const crc = reader.u32()
      reader.end()
      const data = rest.slice(0, length)
      return { write: { kind, id, data, crc }, sound: data.length === length && blobCrc(id, data, hasher) === crc }
    }
    case undefined:
      throw malformed('record of a segment: unknown kind')
  }
}
