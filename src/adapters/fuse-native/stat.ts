import type { Attributes, FileSystemStatistics } from '../../channel/mount-port.js'

const STAT_BYTES = 144
const STATVFS_BYTES = 112
const BLOCK_BYTES = 4096
const NANOSECONDS = 1_000_000_000n

/** `struct stat` of 64-bit Linux (bits/struct_stat.h, x86). */
export function encodeStat(a: Attributes): Buffer {
  const b = Buffer.alloc(STAT_BYTES)
  b.writeBigUInt64LE(BigInt(a.ino), 8)
  b.writeBigUInt64LE(BigInt(a.nlink), 16)
  b.writeUInt32LE(a.mode, 24)
  b.writeUInt32LE(a.uid, 28)
  b.writeUInt32LE(a.gid, 32)
  b.writeBigUInt64LE(BigInt(a.rdev), 40)
  b.writeBigInt64LE(BigInt(a.size), 48)
  b.writeBigInt64LE(BigInt(BLOCK_BYTES), 56)
  b.writeBigInt64LE(BigInt(a.blocks), 64)
  writeTimespec(b, a.atime, 72)
  writeTimespec(b, a.mtime, 88)
  writeTimespec(b, a.ctime, 104)
  return b
}

/** Nanoseconds are never negative in a `struct timespec`, times before 1970 have negative seconds. */
function writeTimespec(b: Buffer, time: bigint, at: number): void {
  const nanoseconds = ((time % NANOSECONDS) + NANOSECONDS) % NANOSECONDS
  b.writeBigInt64LE((time - nanoseconds) / NANOSECONDS, at)
  b.writeBigInt64LE(nanoseconds, at + 8)
}

/** `struct statvfs` of 64-bit Linux. */
export function encodeStatvfs(s: FileSystemStatistics): Buffer {
  const b = Buffer.alloc(STATVFS_BYTES)
  const fields = [
    s.blockSize,
    s.blockSize,
    s.blocks,
    s.blocksFree,
    s.blocksAvailable,
    s.files,
    s.filesFree,
    s.filesFree,
    0,
    0,
    s.nameMax,
  ]
  fields.forEach((field, i) => b.writeBigUInt64LE(BigInt(field), i * 8))
  return b
}
