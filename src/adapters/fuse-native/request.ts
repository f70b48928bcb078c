import { assert } from '../../base/assert.js'
import type { ProcessMemory } from './process-memory.js'

/** Offsets in `fuse_thread_locals_t` (fuse-native.c 2.2.6, 64-bit Linux). */
const OP = 8
const INFO = 48
const ATIME_MS = 104
const MTIME_MS = 112
const STAT = 168
const STATVFS = 176

/**
 * What the native part holds of one call, in the locals of libfuse's thread that waits for it. It passes only some of
 * that to JavaScript, and takes results with less precision than libfuse does, so the rest is read and written here:
 * without open flags there is no O_EXCL and no O_APPEND between members, and with inode numbers cut to 32 bits two files
 * would look like one to cp(1) and tar(1).
 */
export class NativeRequest {
  readonly locals: Buffer
  readonly #operation: number
  readonly #memory: ProcessMemory

  constructor(locals: Buffer, operation: number, memory: ProcessMemory) {
    this.locals = locals
    this.#operation = operation
    this.#memory = memory
  }

  /** Fails when this build of fuse-native lays its structures out in another way. */
  check(): void {
    assert(
      this.locals.readUInt32LE(OP) === this.#operation,
      'the locals of a thread of fuse-native are not as expected',
    )
  }

  /** The open flags of a create or write: the first field of `struct fuse_file_info`. */
  openFlags(): number {
    const bytes = Buffer.allocUnsafe(4)
    this.#memory.read(this.locals.readBigUInt64LE(INFO), bytes)
    return bytes.readInt32LE(0)
  }

  /** The times of a utimens, in nanoseconds; the native part has cut them to milliseconds. */
  times(): { atime: bigint; mtime: bigint } {
    const nanoseconds = (at: number): bigint => this.locals.readBigInt64LE(at) * 1_000_000n
    return { atime: nanoseconds(ATIME_MS), mtime: nanoseconds(MTIME_MS) }
  }

  /** Puts the answer of a getattr or fgetattr where libfuse takes it. */
  writeStat(stat: Buffer): void {
    this.#memory.write(this.locals.readBigUInt64LE(STAT), stat)
  }

  writeStatvfs(statvfs: Buffer): void {
    this.#memory.write(this.locals.readBigUInt64LE(STATVFS), statvfs)
  }
}
