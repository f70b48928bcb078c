import { assert } from '../../base/assert.js'
import type {
  Attributes,
  DirectoryItem,
  Entry,
  FileLock,
  FileSystemStatistics,
  NegativeEntry,
  OpenFile,
} from '../../channel/mount-port.js'
import {
  DIRENT_BYTES,
  ENTRY_OUT_BYTES,
  FOPEN_CACHE_DIR,
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  LOCK_TYPES,
  OUT_HEADER_BYTES,
} from './protocol.js'

const TWO_32 = 4294967296
const BILLION = 1_000_000_000n

/**
 * st_blksize: what stdio and language runtimes buffer by. Each request costs a switch between processes, so a larger
 * buffer than a page makes programs that write line by line faster.
 */
const BLOCK_BYTES = 65536

/** A generation tells apart two files that had the same inode number; inode numbers of rkfs are never used again. */
export const GENERATION = 1

/** Encoders write a body at `at` and answer where it ends. */
export type BodyEncoder<T> = (view: DataView, at: number, value: T) => number

/** struct fuse_out_header; `error`: 0 or a positive errno. */
export function encodeHeader(view: DataView, length: number, error: number, unique: number): void {
  view.setUint32(0, length, true)
  view.setInt32(4, -error, true)
  setU64(view, 8, unique)
}

export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value, true)
  view.setUint32(at + 4, Math.floor(value / TWO_32), true)
}

/** A body of nothing. */
export const encodeNothing: BodyEncoder<void> = (_view, at) => at

/** struct fuse_entry_out. Node id 0 says that the name does not exist and may be remembered so. */
export const encodeEntry: BodyEncoder<Entry | NegativeEntry> = (view, at, entry) => {
  if (entry.attributes === undefined) {
    for (let i = 0; i < ENTRY_OUT_BYTES; i += 4) view.setUint32(at + i, 0, true)
    encodeTtl(view, at + 16, at + 32, entry.negativeTtlMs)
    return at + ENTRY_OUT_BYTES
  }
  setU64(view, at, entry.attributes.ino)
  setU64(view, at + 8, GENERATION)
  encodeTtl(view, at + 16, at + 32, entry.entryTtlMs)
  encodeTtl(view, at + 24, at + 36, entry.attributesTtlMs)
  return encodeAttributes(view, at + 40, entry.attributes)
}

/** struct fuse_attr_out */
export const encodeAttributesOut: BodyEncoder<{ attributes: Attributes; ttlMs: number }> = (view, at, value) => {
  encodeTtl(view, at, at + 8, value.ttlMs)
  view.setUint32(at + 12, 0, true)
  return encodeAttributes(view, at + 16, value.attributes)
}

/** struct fuse_attr */
function encodeAttributes(view: DataView, at: number, a: Attributes): number {
  setU64(view, at, a.ino)
  setU64(view, at + 8, a.size)
  setU64(view, at + 16, a.blocks)
  encodeTime(view, at + 24, at + 48, a.atime)
  encodeTime(view, at + 32, at + 52, a.mtime)
  encodeTime(view, at + 40, at + 56, a.ctime)
  view.setUint32(at + 60, a.mode, true)
  view.setUint32(at + 64, a.nlink, true)
  view.setUint32(at + 68, a.uid, true)
  view.setUint32(at + 72, a.gid, true)
  view.setUint32(at + 76, a.rdev, true)
  view.setUint32(at + 80, BLOCK_BYTES, true)
  view.setUint32(at + 84, 0, true)
  return at + 88
}

function encodeTime(view: DataView, seconds: number, nanoseconds: number, time: bigint): void {
  let whole = time / BILLION
  let rest = time - whole * BILLION
  if (rest < 0n) {
    whole -= 1n
    rest += BILLION
  }
  view.setBigInt64(seconds, whole, true)
  view.setUint32(nanoseconds, Number(rest), true)
}

function encodeTtl(view: DataView, seconds: number, nanoseconds: number, ttlMs: number): void {
  const whole = Math.floor(ttlMs / 1000)
  setU64(view, seconds, whole)
  view.setUint32(nanoseconds, Math.floor((ttlMs - whole * 1000) * 1e6), true)
}

/** struct fuse_open_out; `always`: FOPEN_* flags that every open file of the mount has. */
export const encodeOpen =
  (always: number): BodyEncoder<OpenFile> =>
  (view, at, file) => {
    setU64(view, at, file.handle)
    const flags =
      always |
      (file.directIo ? FOPEN_DIRECT_IO : 0) |
      (file.keepCache ? FOPEN_KEEP_CACHE : 0) |
      (file.cacheDirectory ? FOPEN_CACHE_DIR : 0)
    view.setUint32(at + 8, flags, true)
    view.setUint32(at + 12, 0, true)
    return at + 16
  }

/** The answer to CREATE and TMPFILE: struct fuse_entry_out, struct fuse_open_out. */
export function encodeCreated(always: number): BodyEncoder<{ entry: Entry; file: OpenFile }> {
  const encodeFile = encodeOpen(always)
  return (view, at, value) => encodeFile(view, encodeEntry(view, at, value.entry), value.file)
}

/** struct fuse_write_out, which COPY_FILE_RANGE (47) uses, too; struct fuse_getxattr_out has the same form. */
export const encodeCount32: BodyEncoder<number> = (view, at, count) => {
  view.setUint32(at, count, true)
  view.setUint32(at + 4, 0, true)
  return at + 8
}

/** struct fuse_copy_file_range_out (53), struct fuse_lseek_out */
export const encodeCount64: BodyEncoder<number> = (view, at, count) => {
  setU64(view, at, count)
  return at + 8
}

/** struct fuse_kstatfs */
export const encodeStatistics: BodyEncoder<FileSystemStatistics> = (view, at, s) => {
  setU64(view, at, s.blocks)
  setU64(view, at + 8, s.blocksFree)
  setU64(view, at + 16, s.blocksAvailable)
  setU64(view, at + 24, s.files)
  setU64(view, at + 32, s.filesFree)
  view.setUint32(at + 40, s.blockSize, true)
  view.setUint32(at + 44, s.nameMax, true)
  view.setUint32(at + 48, s.blockSize, true)
  for (let i = 52; i < 80; i += 4) view.setUint32(at + i, 0, true)
  return at + 80
}

/** struct fuse_lk_out. An end at or above 2^53-1 is the end of the file: OFFSET_MAX. */
export const encodeLock: BodyEncoder<FileLock> = (view, at, lock) => {
  setU64(view, at, lock.start)
  if (lock.end >= Number.MAX_SAFE_INTEGER) view.setBigUint64(at + 8, 0x7fff_ffff_ffff_ffffn, true)
  else setU64(view, at + 8, lock.end)
  view.setUint32(at + 16, LOCK_TYPES.indexOf(lock.type), true)
  view.setUint32(at + 20, lock.pid, true)
  return at + 24
}

/** Packs `struct fuse_dirent` and `fuse_direntplus` records, each padded to 8 bytes, behind room for the reply's header. */
export class DirectoryPacker {
  readonly bytes: Buffer
  readonly #view: DataView
  readonly #plus: boolean
  #length = OUT_HEADER_BYTES

  constructor(sizeMax: number, plus: boolean) {
    this.bytes = Buffer.allocUnsafe(OUT_HEADER_BYTES + sizeMax)
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
    this.#plus = plus
  }

  get view(): DataView {
    return this.#view
  }

  get length(): number {
    return this.#length
  }

  /** False when there is no room; the item is not added then. */
  add(item: DirectoryItem): boolean {
    const nameLength = item.name.length
    assert(nameLength > 0 && nameLength <= 255, 'the name of a directory item has 1 to 255 bytes')
    let at = this.#length
    const start = this.#plus ? at + ENTRY_OUT_BYTES : at
    const end = (start + DIRENT_BYTES + nameLength + 7) & ~7
    if (end > this.bytes.length) return false
    const view = this.#view
    // An entry of zeros is not a lookup: fuse_direntplus_link ignores node id 0.
    if (this.#plus) at = encodeEntry(view, at, item.entry ?? { attributes: undefined, negativeTtlMs: 0 })
    setU64(view, at, item.ino)
    view.setBigUint64(at + 8, item.offset, true)
    view.setUint32(at + 16, nameLength, true)
    view.setUint32(at + 20, item.type >>> 12, true)
    at += DIRENT_BYTES
    at += this.bytes.write(item.name, at, 'latin1')
    while (at < end) this.bytes[at++] = 0
    this.#length = end
    return true
  }
}
