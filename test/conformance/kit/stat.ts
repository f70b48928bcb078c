import { S } from './flags.js'

/** A file's attributes; times are nanoseconds since 1970. */
export interface Stat {
  readonly ino: number
  readonly dev: string
  /** One of `S.IF…`. */
  readonly type: number
  /** The lower twelve bits of the mode. */
  readonly perm: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly rdev: string
  readonly size: number
  readonly blocks: number
  readonly blksize: number
  readonly atime: bigint
  readonly mtime: bigint
  readonly ctime: bigint
}

/** struct statx is the same on all architectures: statx(2). */
export const statxBytes = 256

export function decodeStatx(b: Buffer): Stat {
  const time = (at: number): bigint => b.readBigInt64LE(at) * 1_000_000_000n + BigInt(b.readUInt32LE(at + 8))
  const mode = b.readUInt16LE(28)
  return {
    blksize: b.readUInt32LE(4),
    nlink: b.readUInt32LE(16),
    uid: b.readUInt32LE(20),
    gid: b.readUInt32LE(24),
    type: mode & S.IFMT,
    perm: mode & 0o7777,
    ino: Number(b.readBigUInt64LE(32)),
    size: Number(b.readBigUInt64LE(40)),
    blocks: Number(b.readBigUInt64LE(48)),
    atime: time(64),
    ctime: time(96),
    mtime: time(112),
    rdev: `${b.readUInt32LE(128)}:${b.readUInt32LE(132)}`,
    dev: `${b.readUInt32LE(136)}:${b.readUInt32LE(140)}`,
  }
}

export interface StatFs {
  readonly type: number
  readonly blockSize: number
  readonly blocks: number
  readonly blocksFree: number
  readonly blocksAvailable: number
  readonly files: number
  readonly filesFree: number
  readonly nameMax: number
  /** ST_RDONLY 1, ST_NOSUID 2, ST_NODEV 4, ST_NOEXEC 8, ST_NOATIME 1024. */
  readonly flags: number
}

/** struct statfs of 64-bit Linux. */
export const statfsBytes = 120

export function decodeStatfs(b: Buffer): StatFs {
  const word = (i: number): number => Number(b.readBigUInt64LE(8 * i))
  return {
    type: word(0),
    blockSize: word(1),
    blocks: word(2),
    blocksFree: word(3),
    blocksAvailable: word(4),
    files: word(5),
    filesFree: word(6),
    nameMax: word(8),
    flags: word(10),
  }
}

export interface DirectoryEntry {
  readonly ino: number
  /** Where a listing goes on after this entry: lseek(2) takes it. */
  readonly offset: bigint
  /** One of `DT`. */
  readonly type: number
  /** One char a byte. */
  readonly name: string
}

/** struct linux_dirent64[]: getdents64(2). */
export function decodeEntries(b: Buffer): DirectoryEntry[] {
  const entries: DirectoryEntry[] = []
  for (let at = 0; at < b.length; at += b.readUInt16LE(at + 16)) {
    const end = b.indexOf(0, at + 19)
    entries.push({
      ino: Number(b.readBigUInt64LE(at)),
      offset: b.readBigInt64LE(at + 8),
      type: b.readUInt8(at + 18),
      name: b.toString('latin1', at + 19, end),
    })
  }
  return entries
}
