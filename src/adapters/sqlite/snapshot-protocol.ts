import { ByteReader, malformed } from '../../base/bytes.js'
import type { ErrorCode } from '../../base/errors.js'
import { KiB, MiB } from '../../base/limits.js'
import { type AppliedPosition, isChunkKey, type RecordWrite, tables } from '../../fs/store-port.js'
import type { StateRecord } from './state-reader.js'

export const recordBatchBytesMax = 512 * KiB
export const blobBatchBytesMax = MiB

export interface SnapshotStart {
  readonly statePath: string
  readonly logPath: string
}

export type SnapshotRequest =
  | { readonly id: number; readonly kind: 'records' | 'blobs'; readonly stream: number }
  | { readonly id: number; readonly kind: 'end'; readonly stream: number }
  | {
      readonly id: number
      readonly kind: 'run'
      readonly module: string
      readonly name: string
      readonly args: unknown
    }
  /** The answer to `damaged`: the bytes, as another member has them; undefined: nobody has. */
  | { readonly id: number; readonly kind: 'mended'; readonly blob: number; readonly data: Uint8Array | undefined }
  | { readonly id: number; readonly kind: 'close' }

export interface BlobBatch {
  readonly ids: readonly number[]
  readonly data: readonly Uint8Array[]
}

export interface SnapshotFailure {
  readonly code: ErrorCode | undefined
  readonly message: string
}

export type SnapshotAnswer =
  | { readonly id: 0; readonly kind: 'open'; readonly position: AppliedPosition | undefined }
  /** `batch` is undefined at the end of a stream. */
  | { readonly id: number; readonly kind: 'records'; readonly batch: Uint8Array | undefined }
  | { readonly id: number; readonly kind: 'blobs'; readonly batch: BlobBatch | undefined }
  | { readonly id: number; readonly kind: 'progress'; readonly value: unknown }
  /** The worker waits for a blob that it cannot read. */
  | { readonly id: 0; readonly kind: 'damaged'; readonly blob: number; readonly message: string }
  | { readonly id: number; readonly kind: 'result'; readonly value: unknown }
  | { readonly id: number; readonly kind: 'failed'; readonly failure: SnapshotFailure }

/** u8 table, u64 inode, u16 length and key, u32 length and value: into a buffer of its own that can be transferred. */
export function packRecords(records: readonly StateRecord[]): Uint8Array<ArrayBuffer> {
  let length = 0
  for (const { key, value } of records) length += 15 + key.length + value.length
  const packed = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const { table, ino, key, value } of records) {
    at = packed.writeUInt8(tables.indexOf(table), at)
    at = packed.writeUInt32LE(ino % 4294967296, at)
    at = packed.writeUInt32LE(Math.floor(ino / 4294967296), at)
    at = packed.writeUInt16LE(key.length, at)
    at += packed.write(key, at, 'latin1')
    at = packed.writeUInt32LE(value.length, at)
    packed.set(value, at)
    at += value.length
  }
  return packed
}

/** The values are views of `packed`. Throws `corrupt` for what `packRecords` did not make: a batch may be a peer's. */
export function unpackRecords(packed: Uint8Array): (RecordWrite & { readonly value: Uint8Array })[] {
  const reader = new ByteReader(packed, 'snapshot batch')
  const records: (RecordWrite & { readonly value: Uint8Array })[] = []
  while (reader.left > 0) {
    const table = tables[reader.u8()]
    if (table === undefined) throw malformed('snapshot batch: unknown table')
    const record = { table, ino: reader.u64(), key: reader.binary(), value: reader.bytes() }
    if (table === 'chunk' && !isChunkKey(record.key)) throw malformed('snapshot batch: the key of a chunk')
    records.push(record)
  }
  return records
}
