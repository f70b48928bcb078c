/** Every bound in one place, with its unit. What overflows is refused or slowed down. */

export const KiB = 1024
export const MiB = 1024 * 1024

/** The unit of a file's extent map, and the largest blob (DESIGN §4). */
export const chunkBytes = 256 * KiB
/** Extents of a chunk that are one record; one of more is kept as pages (`fs/chunks.ts`). */
export const chunkExtentsMax = 512
/** A page of a chunk: at most so many extents are one record then. */
export const chunkPageBytes = 4 * KiB
/** The largest payload of one change: one FUSE write, or one extended attribute. */
export const payloadBytesMax = MiB
/** Separate runs of stored bytes in one write-back of a mapping's pages; one with more is made into several. */
export const storedRunsMax = 4096
/** Runs of a file's bytes that one change keeps in another place; each may be read from another blob. */
export const keptRunsMax = 128
/** Blobs of one entry: a write that does not start at a chunk boundary touches one more. */
export const blobsPerEntryMax = 8
/** The encoded operation of one change, without its payload. */
export const operationBytesMax = 256 * KiB
/** A file's size: extents are addressed by 2^53 in JS; the kernel's limit is 2^63-1. */
export const fileSizeMax = 2 ** 52
export const nameBytesMax = 255
export const linkTargetBytesMax = 4095
export const xattrNameBytesMax = 255
export const xattrValueBytesMax = 64 * KiB
export const xattrListBytesMax = 64 * KiB
/** One copy_file_range(2) shares so much; the caller asks again for the rest. It bounds the work of one change. */
export const cloneBytesMax = 256 * MiB
/** Access times in one change. */
export const accessTimesMax = 1024
/** Files whose access time waits to be told; those that are read beyond it keep their old one. */
export const accessWaitingMax = 16 * 1024
/** A file up to this size is read anew from here when its access time is due, so that the read is seen. */
export const accessReadBytesMax = MiB
/** Ranges of one file that fallocate(2) reserved and no write joined; beyond that the nearest become one. */
export const reservedRangesMax = 256
/** Inodes without a name that a mount still remembers because a program may hold them. */
export const ghostsMax = 4096
/** Of those, the files whose content is kept for a moment: how many, of how many bytes each, and of how many in all. */
export const readableGhostsMax = 256
export const readableGhostBytesMax = 256 * KiB
export const readableGhostsBytesMax = 8 * MiB
/** As ext4's. */
export const linkCountMax = 65000
export const membersMax = 64

/** Entries in one append message. */
export const appendBytesMax = MiB
/** Entries sent to one member and not acknowledged. */
export const inflightBytesMax = 16 * MiB
/** Of those that are not committed, looked at where a link is thin. */
export const thinInflightBytesMax = 4 * MiB
/** Forwarded changes sent to the leader and not yet seen in the log. */
export const forwardBytesMax = 16 * MiB
/** Changes of this member that are not committed; beyond that its writers wait. */
export const pendingBytesMax = 64 * MiB
export const pendingOperationsMax = 8192
/**
 * Of these, as many as get to a majority within a moment: at once where the way is wide, and where it is thin so few that
 * a small change that comes after them is not late by more.
 */
export const commitWindow = {
  initialBytes: 16 * KiB,
  minBytes: 4 * KiB,
  maxBytes: pendingBytesMax,
  targetMs: 300,
  idleMs: 10_000,
}
/** A write that is longer than the window goes in pieces of a share of it; what is appended stays whole up to this. */
export const appendPieceBytesMin = 64 * KiB
export const writePieceBytesMin = 4 * KiB
export const writePieceBytesMax = chunkBytes
/** Entries in the log that are not committed; beyond that the leader takes no more. */
export const uncommittedBytesMax = 64 * MiB
/** The largest gRPC message that is taken from a peer. */
export const messageBytesMax = 4 * MiB
/** Queued for one peer that does not read; beyond that the connection is closed and made anew. */
export const outboxBytesMax = 48 * MiB
/** Damaged blobs that are fetched from others though nobody waits for them; of more, these come first. */
export const healingBlobsMax = 1024
/** Cached blobs for reading. */
export const blobCacheBytesMax = 32 * MiB
/** Cached records of the applied state; a chunk of many extents counts as several. */
export const recordCacheMax = 100_000

export const tickMs = 100
export const heartbeatTicks = 2
/** 1 to 2 seconds. */
export const electionTimeoutTicks = 10
export const defaultTimeoutSeconds = 30
