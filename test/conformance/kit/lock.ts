import { F, SEEK } from './flags.js'
import { bind } from './libc.js'

/** fcntl(2) with struct flock of 64-bit Linux. */
const fcntl = bind('int fcntl(int, int, void *)')

export type LockType = 'read' | 'write' | 'unlock'
const types: readonly LockType[] = ['read', 'write', 'unlock']

export interface Range {
  readonly type: LockType
  readonly start?: number
  /** 0: to the end of the file, however it grows. */
  readonly length?: number
  readonly whence?: number
}

export interface FoundLock {
  readonly type: LockType
  readonly start: number
  readonly length: number
  readonly pid: number
}

function encode({ type, start = 0, length = 0, whence = SEEK.SET }: Range): Buffer {
  const buffer = Buffer.alloc(32)
  buffer.writeInt16LE(types.indexOf(type), 0)
  buffer.writeInt16LE(whence, 2)
  buffer.writeBigInt64LE(BigInt(start), 8)
  buffer.writeBigInt64LE(BigInt(length), 16)
  return buffer
}

function get(fd: number, command: number, range: Range): FoundLock {
  const buffer = encode(range)
  fcntl(fd, command, buffer)
  return {
    type: types[buffer.readInt16LE(0)]!,
    start: Number(buffer.readBigInt64LE(8)),
    length: Number(buffer.readBigInt64LE(16)),
    pid: buffer.readInt32LE(24),
  }
}

/** Record locks: those of the process, and those of the open file description (`ofd`). */
export const lock = {
  set: (fd: number, range: Range): number => fcntl(fd, F.SETLK, encode(range)),
  wait: (fd: number, range: Range): number => fcntl(fd, F.SETLKW, encode(range)),
  get: (fd: number, range: Range): FoundLock => get(fd, F.GETLK, range),
  ofdSet: (fd: number, range: Range): number => fcntl(fd, F.OFD_SETLK, encode(range)),
  ofdWait: (fd: number, range: Range): number => fcntl(fd, F.OFD_SETLKW, encode(range)),
  ofdGet: (fd: number, range: Range): FoundLock => get(fd, F.OFD_GETLK, range),
}
