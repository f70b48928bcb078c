import { chunkBytes, chunkPageBytes } from '../base/limits.js'

/**
 * The port to a channel's applied state: records in tables by inode number and key, written in batches that move the
 * applied index with them. Implemented on SQLite (`state.db`) and in memory.
 *
 * | table   | ino            | key                                             |
 * |---------|----------------|-------------------------------------------------|
 * | inode   | the inode      | ''                                              |
 * | entry   | the directory  | the name, a binary string                       |
 * | chunk   | the file       | the chunk's number, as `chunkKey`; or `pageKey` |
 * | xattr   | the inode      | the attribute's name, a binary string           |
 * | session | 0              | the member's id                                 |
 * | setting | 0              | a name, e.g. `members`                          |
 */
export const tables = ['inode', 'entry', 'chunk', 'xattr', 'session', 'setting'] as const
export type Table = (typeof tables)[number]

/** A chunk's number as a key whose order is the number's: 12 hexadecimal digits. */
export function chunkKey(chunk: number): string {
  return chunk.toString(16).padStart(12, '0')
}

export const pagesPerChunk = chunkBytes / chunkPageBytes
/** Above the number of any chunk: a file has fewer than 2^34. */
const firstPage = 2 ** 40

/** The key of a part of a chunk that is kept as pages: they come after all chunks of a file, in order. */
export function pageKey(chunk: number, page: number): string {
  return chunkKey(firstPage + chunk * pagesPerChunk + page)
}

/** Where a record of a chunk stands: the chunk's number, and, of a page, the page's in it. */
export function placeOfChunk(key: string): { readonly chunk: number; readonly page: number | undefined } {
  const number = parseInt(key, 16)
  if (number < firstPage) return { chunk: number, page: undefined }
  return { chunk: Math.floor((number - firstPage) / pagesPerChunk), page: (number - firstPage) % pagesPerChunk }
}

export function isPageKey(key: string): boolean {
  return key > pagesBegin
}

/** All chunks of a file have keys before it, all pages after. */
export const pagesBegin = chunkKey(firstPage - 1)

export function isChunkKey(key: string): boolean {
  return /^[0-9a-f]{12}$/.test(key)
}

export interface RecordWrite {
  readonly table: Table
  readonly ino: number
  readonly key: string
  /** Undefined deletes. */
  readonly value: Uint8Array | undefined
}

/** How far the state has come, and what it amounts to. */
export interface AppliedPosition {
  readonly index: number
  readonly term: number
  /** Hash of the entry at `index`: the chain's. */
  readonly hash: Uint8Array
  /** Digest of all records (XOR of their SHA-256), 32 bytes. */
  readonly digest: Uint8Array
  /** Next free numbers and totals, kept beside the records. */
  readonly inodes: number
  readonly dataBytes: number
}

export interface StateBatch {
  readonly writes: readonly RecordWrite[]
  readonly position: AppliedPosition
  /** Changes of the count of bytes that extents refer to, by blob. */
  readonly liveBytes: ReadonlyMap<number, number>
}

/**
 * A transaction in steps: nothing of it counts before its `commit`. Until then `liveBytes` of the store answers what was
 * committed before, `get` and `scan` may show what was put. Whatever throws, `rollback` ends it.
 */
export interface StateWriter {
  put(write: RecordWrite): void
  /** Changes the count of bytes that extents refer to in a blob: once for each blob. */
  count(blob: number, change: number): void
  /** Answers the blobs whose count came to 0. */
  commit(position: AppliedPosition): number[]
  rollback(): void
}

export interface StateStore {
  /** Undefined for a state that was never written. */
  readonly position: AppliedPosition | undefined
  get(table: Table, ino: number, key: string): Uint8Array | undefined
  /**
   * Records of one inode (or directory) in key order, after `after` and before `before` (exclusive; undefined: from the
   * start, to the end), at most `limit`. `before` is a `chunkKey`, and for chunks alone.
   */
  scan(
    table: Table,
    ino: number,
    after: string | undefined,
    limit: number,
    before?: string,
  ): { key: string; value: Uint8Array }[]
  /** Chunks of all files in the order of inode and key: after that one, or from the beginning of that inode's. */
  chunksAfter(ino: number, key: string | undefined, limit: number): { ino: number; key: string; value: Uint8Array }[]
  /** One transaction. Answers the blobs whose count came to 0. Throws `disk-full`: then nothing is kept. */
  write(batch: StateBatch): number[]
  /** Begins a transaction in steps: one at a time, and no `write` meanwhile. Stores that have none write all at once. */
  begin?(): StateWriter
  /** Bytes that extents refer to in a blob. */
  liveBytes(blob: number): number
  /** What was written so far is on stable storage when it returns. */
  syncNow(): void
  /** All records of all tables, table by table in key order (to check the digest, or in memory for tests); from a consistent view. */
  all(): Iterable<{ table: Table; ino: number; key: string; value: Uint8Array }>
  close(): void
}
