import { malformed } from '../../base/bytes.js'
import type { AttributeChange, Caller, FileLock } from '../../channel/mount-port.js'
import { EXT_GROUPS, Fattr, IN_HEADER_BYTES, LK_FLOCK, LOCK_TYPES } from './protocol.js'

const TWO_32 = 4294967296

/**
 * One request as the kernel wrote it: `struct fuse_in_header`, the operation's own structure, names that end in NUL or
 * data, and extensions (`total_extlen`) last. Offsets of the accessors count from the end of the header; a read past the
 * end of the body throws `corrupt`.
 */
export class Request implements Caller {
  readonly opcode: number
  readonly unique: number
  readonly nodeid: number
  readonly uid: number
  readonly gid: number
  readonly pid: number
  readonly supplementaryGroup: number | undefined
  /** Of a call that makes a file, once the dispatcher has read it (FUSE_DONT_MASK). */
  umask?: number
  readonly #view: DataView<ArrayBufferLike>
  /** Where the body ends and the extensions begin. */
  readonly #end: number

  constructor(message: ArrayBufferLike) {
    const view = new DataView(message)
    if (view.byteLength < IN_HEADER_BYTES) throw malformed('FUSE request: shorter than its header')
    const length = view.getUint32(0, true)
    const extensionBytes = view.getUint16(36, true) * 8
    if (length > view.byteLength || length - extensionBytes < IN_HEADER_BYTES)
      throw malformed('FUSE request: its length')
    this.#view = view
    this.#end = length - extensionBytes
    this.opcode = view.getUint32(4, true)
    this.unique = view.getUint32(8, true) + view.getUint32(12, true) * TWO_32
    this.nodeid = view.getUint32(16, true) + view.getUint32(20, true) * TWO_32
    this.uid = view.getUint32(24, true)
    this.gid = view.getUint32(28, true)
    this.pid = view.getUint32(32, true)
    this.supplementaryGroup = extensionBytes === 0 ? undefined : firstGroup(view, this.#end, length)
  }

  get bodyBytes(): number {
    return this.#end - IN_HEADER_BYTES
  }

  u32(offset: number): number {
    return this.#view.getUint32(this.#at(offset, 4), true)
  }

  /** An unsigned 64-bit number; anything above 2^53-1 becomes 2^53-1 (the end of a lock, a length without end). */
  u64(offset: number): number {
    const at = this.#at(offset, 8)
    const value = this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * TWO_32
    return value > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : value
  }

  big64(offset: number): bigint {
    return this.#view.getBigUint64(this.#at(offset, 8), true)
  }

  signed64(offset: number): bigint {
    return this.#view.getBigInt64(this.#at(offset, 8), true)
  }

  /** The bytes up to the next NUL as a binary string. */
  name(offset: number): string {
    const start = this.#at(offset, 1)
    const bytes = Buffer.from(this.#view.buffer, start, this.#end - start)
    const length = bytes.indexOf(0)
    if (length < 0) throw malformed('FUSE request: a name without an end')
    return bytes.toString('latin1', 0, length)
  }

  /** A view of `length` bytes in the request's own buffer, which nobody else uses: the caller may keep it. */
  data(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#at(offset, length), length)
  }

  #at(offset: number, length: number): number {
    const at = IN_HEADER_BYTES + offset
    if (at + length > this.#end) throw malformed(`FUSE request: operation ${this.opcode} is too short`)
    return at
  }
}

/** `struct fuse_ext_header` {size, type} blocks; in FUSE_EXT_GROUPS a count and the groups follow. */
function firstGroup(view: DataView, start: number, end: number): number | undefined {
  let at = start
  while (at + 8 <= end) {
    const size = view.getUint32(at, true)
    if (size < 8 || at + size > end) throw malformed('FUSE request: an extension')
    if (view.getUint32(at + 4, true) === EXT_GROUPS && size >= 16 && view.getUint32(at + 8, true) > 0) {
      return view.getUint32(at + 12, true)
    }
    at += (size + 7) & ~7
  }
  return undefined
}

/** struct fuse_init_in; `flags2` exists since 7.36, when FUSE_INIT_EXT is set. */
export function decodeInit(request: Request): InitIn {
  return {
    major: request.u32(0),
    minor: request.u32(4),
    readAheadBytesMax: request.bodyBytes >= 16 ? request.u32(8) : 0,
    flags: request.bodyBytes >= 16 ? request.u32(12) : 0,
    flags2: request.bodyBytes >= 20 ? request.u32(16) : 0,
  }
}

export interface InitIn {
  readonly major: number
  readonly minor: number
  readonly readAheadBytesMax: number
  readonly flags: number
  readonly flags2: number
}

/** struct fuse_forget_in, and struct fuse_batch_forget_in with its fuse_forget_one array. */
export function decodeForget(request: Request): { ino: number; count: number }[] {
  return [{ ino: request.nodeid, count: request.u64(0) }]
}

export function decodeBatchForget(request: Request): { ino: number; count: number }[] {
  const count = request.u32(0)
  if (count * 16 + 8 > request.bodyBytes) throw malformed('FUSE request: a batch of forgets')
  return Array.from({ length: count }, (_, i) => ({ ino: request.u64(8 + 16 * i), count: request.u64(16 + 16 * i) }))
}

/** struct fuse_setattr_in. A call with nothing but KILL_SUIDGID, or with nothing at all, occurs. */
export function decodeSetattr(request: Request): AttributeChange {
  const valid = request.u32(0)
  request.u32(84)
  return {
    mode: valid & Fattr.MODE ? request.u32(68) : undefined,
    uid: valid & Fattr.UID ? request.u32(76) : undefined,
    gid: valid & Fattr.GID ? request.u32(80) : undefined,
    size: valid & Fattr.SIZE ? request.u64(16) : undefined,
    atime: valid & Fattr.ATIME_NOW ? 'now' : valid & Fattr.ATIME ? time(request, 32, 56) : undefined,
    mtime: valid & Fattr.MTIME_NOW ? 'now' : valid & Fattr.MTIME ? time(request, 40, 60) : undefined,
    ctime: valid & Fattr.CTIME ? time(request, 48, 64) : undefined,
    handle: valid & Fattr.FH ? request.u64(8) : undefined,
    killPrivileges: (valid & Fattr.KILL_SUIDGID) !== 0,
  }
}

/** Seconds are a time64_t in an unsigned field: before 1970 they are negative, the nanoseconds never. */
function time(request: Request, seconds: number, nanoseconds: number): bigint {
  return request.signed64(seconds) * 1_000_000_000n + BigInt(request.u32(nanoseconds))
}

export interface LockIn {
  readonly handle: number
  readonly owner: bigint
  readonly lock: FileLock
  readonly flock: boolean
}

/** struct fuse_lk_in: fh, owner, struct fuse_file_lock {start, end, type, pid}, lk_flags. */
export function decodeLock(request: Request): LockIn {
  const type = LOCK_TYPES[request.u32(32)]
  if (type === undefined) throw malformed('FUSE request: the type of a lock')
  return {
    handle: request.u64(0),
    owner: request.big64(8),
    lock: { start: request.u64(16), end: request.u64(24), type, pid: request.u32(36) },
    flock: (request.u32(40) & LK_FLOCK) !== 0,
  }
}

/** struct fuse_copy_file_range_in, the same for operations 47 and 53. The source is the request's own inode. */
export function decodeCopyFileRange(request: Request): {
  from: { ino: number; handle: number; offset: number }
  to: { ino: number; handle: number; offset: number }
  length: number
} {
  return {
    from: { ino: request.nodeid, handle: request.u64(0), offset: request.u64(8) },
    to: { ino: request.u64(16), handle: request.u64(24), offset: request.u64(32) },
    length: request.u64(40),
  }
}
