import { KiB } from '../../../src/base/limits.js'
import type { Reply } from '../../../src/channel/mount-port.js'
import { Program, caller } from './calls.js'
import type { Cluster, Member } from './cluster.js'

const smallBytes = 512
const restMs = 300

function replies<T>(done: (errno: number, value?: T) => void): Reply<T> {
  return { ok: value => done(0, value), fail: errno => done(errno), onInterrupt: () => {} }
}

/** A program that writes a little and calls fsync, again and again. */
export class SmallWriter {
  readonly member: Member
  /** How long each took, in milliseconds. */
  readonly tookMs: number[] = []
  readonly errors: number[] = []
  readonly #cluster: Cluster
  readonly #file: { readonly ino: number; readonly handle: number }
  #stopped = false
  #beganAt: number

  constructor(cluster: Cluster, member: Member, name: string) {
    this.member = member
    this.#cluster = cluster
    this.#file = new Program(cluster, member).create(name)
    this.#beganAt = cluster.clock.now
    this.#write()
  }

  /** The longest that one took, or has taken until now. */
  get longestMs(): number {
    return Math.max(this.#stopped ? 0 : this.#cluster.clock.now - this.#beganAt - restMs, ...this.tookMs)
  }

  /** Those that end from now on count. */
  forget(): void {
    this.tookMs.length = 0
  }

  stop(): void {
    this.#stopped = true
  }

  #write(): void {
    if (this.#stopped) return
    const { ino, handle } = this.#file
    const { frontend } = this.member
    const { clock } = this.#cluster
    this.#beganAt = clock.now
    const data = new Uint8Array(smallBytes).fill(this.tookMs.length)
    const done = (errno: number): void => {
      if (this.#stopped) return
      if (errno === 0) this.tookMs.push(clock.now - this.#beganAt)
      else this.errors.push(errno)
      clock.after(restMs, () => this.#write())
    }
    const written = replies<number>(errno => {
      if (errno === 0) frontend.fsync(caller, ino, handle, false, replies(done))
      else done(errno)
    })
    frontend.write(caller, ino, handle, 0, data, 2, false, written)
  }
}

/** A program that writes a long file in writes of 1 MiB, or of `writeBytes`, and calls fsync. */
export class BulkWriter {
  written = 0
  /** Of the first call that failed, or of fsync. */
  errno: number | undefined
  readonly #member: Member
  readonly #bytes: number
  readonly #writeBytes: number
  readonly #flags: number
  readonly #file: { readonly ino: number; readonly handle: number }

  constructor(cluster: Cluster, member: Member, bytes: number, writeBytes = 1024 * KiB, flags = 2) {
    this.#member = member
    this.#bytes = bytes
    this.#writeBytes = writeBytes
    this.#flags = flags
    this.#file = new Program(cluster, member).create('bulk')
    this.#write()
  }

  get ended(): boolean {
    return this.errno !== undefined
  }

  #write(): void {
    const { ino, handle } = this.#file
    const { frontend } = this.#member
    const left = this.#bytes - this.written
    if (left === 0)
      return frontend.fsync(
        caller,
        ino,
        handle,
        false,
        replies(errno => (this.errno = errno)),
      )
    const data = new Uint8Array(Math.min(left, this.#writeBytes)).fill(1 + (this.written % 251))
    const written = replies<number>((errno, count) => {
      if (errno !== 0) return void (this.errno = errno)
      this.written += count!
      this.#write()
    })
    frontend.write(caller, ino, handle, this.written, data, this.#flags, false, written)
  }
}
