import { OUT_HEADER_BYTES } from './protocol.js'
import type { BodyEncoder } from './encode.js'
import type { InitIn } from './decode.js'
import { FUSE_MAJOR, FUSE_MINOR_MAX, FUSE_MINOR_MIN, Flag, Flag2, PAGES_MAX, WRITE_BYTES_MAX } from './protocol.js'

/** Requests the kernel may have in flight on its own account (read-ahead, write-back of mappings, releases). */
const BACKGROUND_REQUESTS_MAX = 64
const CONGESTION_THRESHOLD = 48
/** What read-ahead the kernel may use; the bdi's own limit (read_ahead_kb) applies, too. */
const READ_AHEAD_BYTES_MAX = 1 << 20

/** What kernel and driver agreed on. */
export interface Protocol {
  readonly minor: number
  readonly flags: number
  readonly flags2: number
  readonly writeBytesMax: number
  readonly readAheadBytesMax: number
}

/**
 * What is asked for (DESIGN §6, FUSE.md §4). Left out on purpose:
 * WRITEBACK_CACHE (loses the size and the data of other members), NO_OPEN_SUPPORT (with ATOMIC_O_TRUNC truncations are lost),
 * HANDLE_KILLPRIV of version 1, AUTO_INVAL_DATA (drops the cache after own writes), EXPORT_SUPPORT, ABORT_ERROR (an abort
 * must look like an unmount), REQUEST_TIMEOUT. POSIX_ACL goes with DONT_MASK: a default ACL takes the place of the umask.
 */
const WANTED =
  Flag.ASYNC_READ |
  Flag.ATOMIC_O_TRUNC |
  Flag.BIG_WRITES |
  Flag.DONT_MASK |
  Flag.POSIX_ACL |
  Flag.DO_READDIRPLUS |
  Flag.READDIRPLUS_AUTO |
  Flag.ASYNC_DIO |
  Flag.PARALLEL_DIROPS |
  Flag.MAX_PAGES |
  Flag.CACHE_SYMLINKS |
  Flag.EXPLICIT_INVAL_DATA |
  Flag.HANDLE_KILLPRIV_V2 |
  Flag.SETXATTR_EXT |
  Flag.INIT_EXT
const WANTED2 = Flag2.CREATE_SUPP_GROUP | Flag2.DIRECT_IO_ALLOW_MMAP

/** Answers undefined for a kernel that is too old. */
export function negotiate(kernel: InitIn, locks: boolean): Protocol | undefined {
  if (kernel.major !== FUSE_MAJOR || kernel.minor < FUSE_MINOR_MIN) return undefined
  const flags = kernel.flags & (locks ? WANTED | Flag.POSIX_LOCKS | Flag.FLOCK_LOCKS : WANTED)
  return {
    minor: Math.min(kernel.minor, FUSE_MINOR_MAX),
    flags,
    flags2: flags & Flag.INIT_EXT ? kernel.flags2 & WANTED2 : 0,
    writeBytesMax: flags & Flag.MAX_PAGES ? WRITE_BYTES_MAX : 131072,
    readAheadBytesMax: Math.max(kernel.readAheadBytesMax, READ_AHEAD_BYTES_MAX),
  }
}

/** struct fuse_init_out, 64 bytes since 7.23. */
export const encodeInit: BodyEncoder<Protocol> = (view, at, protocol) => {
  for (let i = 0; i < 64; i += 4) view.setUint32(at + i, 0, true)
  view.setUint32(at, FUSE_MAJOR, true)
  view.setUint32(at + 4, protocol.minor, true)
  view.setUint32(at + 8, protocol.readAheadBytesMax, true)
  view.setUint32(at + 12, protocol.flags, true)
  view.setUint16(at + 16, BACKGROUND_REQUESTS_MAX, true)
  view.setUint16(at + 18, CONGESTION_THRESHOLD, true)
  view.setUint32(at + 20, protocol.writeBytesMax, true)
  view.setUint32(at + 24, 1, true) // time_gran: nanoseconds
  view.setUint16(at + 28, PAGES_MAX, true)
  view.setUint32(at + 32, protocol.flags2, true)
  return at + 64
}

/** The answer to a kernel of a newer major version, which then asks again with ours (process_init_reply). */
export const encodeOurMajor: BodyEncoder<void> = (view, at) => {
  for (let i = 0; i < 64; i += 4) view.setUint32(at + i, 0, true)
  view.setUint32(at, FUSE_MAJOR, true)
  view.setUint32(at + 4, FUSE_MINOR_MAX, true)
  return at + 64
}

/** Room for any fixed-size reply: the largest are CREATE's (144 bytes) and a link's target (4096). */
export const FIXED_REPLY_BYTES_MAX = OUT_HEADER_BYTES + 8192
