import { EOPNOTSUPP } from '../../src/base/errno.js'
import { chunkBytes, KiB } from '../../src/base/limits.js'
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE } from '../../src/fs/operation.js'
import { rootInode } from '../../src/fs/records.js'
import type { Member } from '../channel/support/cluster.js'
import { bytesOfWrite, FileBytes } from '../channel/support/file-bytes.js'
import { check } from './checkers/violation.js'
import type { Kernel } from './kernel.js'
import type { World } from './users.js'

const O_RDWR = 2
const O_EXCL = 0o200
const O_APPEND = 0o2000
const fileBytesMax = 3 * chunkBytes
const burstMax = 16
const restMsMax = 600
const modes = [0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE]

/**
 * A program with a file that only it changes, of which it knows each byte: it makes many calls without a pause, so that
 * small writes are still being put together, and what it wrote it reads back at once, at all sizes and alignments. The file
 * may lose its name meanwhile. After a call whose outcome is not known it takes another file.
 */
export class ByteUser {
  readonly #name: string
  readonly #member: Member
  readonly #kernel: Kernel
  readonly #world: World
  readonly #life: number
  #file: FileBytes | undefined
  /** How many changes this member had lost when the file was made. */
  #lost = 0
  #files = 0
  #writes = 0
  #stopped = false

  constructor(name: string, member: Member, kernel: Kernel, world: World) {
    this.#name = name
    this.#member = member
    this.#kernel = kernel
    this.#world = world
    this.#life = member.lives
    this.#rest()
  }

  stop(): void {
    this.#stopped = true
  }

  get #isOver(): boolean {
    return this.#stopped || this.#member.lives !== this.#life
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#world.rng.below(from.length)]!
  }

  #rest(): void {
    this.#world.after(1 + this.#world.rng.below(restMsMax), () => {
      if (this.#isOver) return
      if (this.#member.frozen) this.#rest()
      else this.#burst(1 + this.#world.rng.below(burstMax))
    })
  }

  /** Some calls one right after the other. */
  #burst(calls: number): void {
    const { rng } = this.#world
    const size = this.#size()
    // from a little before the end of a chunk on
    const start = Math.max(0, this.#pick([0, 1, 2]) * chunkBytes - rng.below(1 + size * Math.min(calls, 4)))
    let left = calls
    const next = (): void => {
      if (this.#isOver) return
      const file = this.#file
      if (left-- === 0) return this.#rest()
      if (file === undefined) return this.#make(next)
      const dice = rng.below(20)
      if (left === calls - 1) this.#write(file, start, size, next)
      else if (dice < 12) this.#write(file, file.written, rng.below(4) === 0 ? this.#size() : size, next)
      else if (dice < 15) this.#write(file, undefined, size, next)
      else this.#other(file, dice, next)
    }
    next()
  }

  #size(): number {
    const { rng } = this.#world
    return this.#pick([1 + rng.below(60), 1 + rng.below(5000), 4 * KiB, 30_000, 1 + rng.below(40_000), 32 * KiB])
  }

  #make(next: () => void): void {
    const name = `bytes-${this.#name}-${this.#life}-${++this.#files}`
    this.#kernel.create(rootInode, name, O_RDWR | O_EXCL, (errno, made) => {
      if (made !== undefined) {
        this.#file = new FileBytes({ name, ino: made.entry.attributes.ino, handle: made.file.handle })
        this.#lost = this.#member.lost.length
      }
      this.#world.note(`${this.#name} create ${name} ino ${made?.entry.attributes.ino ?? '-'}: ${errno}`)
      if (errno === 0) next()
      else this.#rest()
    })
  }

  /** A change ended: if nobody knows how, the file is given up; else it is `done` to what is known of it, and `then` goes on. */
  #ended(file: FileBytes, what: string, errno: number, done: () => void, then: () => void): void {
    this.#world.note(`${this.#name} ${what} of ${file.ino}: ${errno}`)
    if (errno !== 0) {
      this.#giveUp(file)
      return this.#rest()
    }
    done()
    then()
  }

  #giveUp(file: FileBytes): void {
    this.#kernel.release(file.ino, file.handle)
    this.#file = undefined
  }

  #write(file: FileBytes, at: number | undefined, size: number, next: () => void): void {
    const data = bytesOfWrite(this.#writes++, size)
    const offset = at ?? file.size
    if (offset + size > fileBytesMax) return this.#truncate(file, next)
    const flags = O_RDWR | (at === undefined ? O_APPEND : 0)
    const what = `${at === undefined ? 'append' : 'write'} of ${size} bytes at ${offset}`
    const written = (): void => file.write(offset, data)
    const readBack = (): void => this.#read(file, offset, size, next)
    this.#kernel.write(file.ino, file.handle, offset, data, flags, errno => {
      this.#ended(file, what, errno, written, readBack)
    })
  }

  #truncate(file: FileBytes, next: () => void): void {
    const size = this.#world.rng.below(fileBytesMax)
    this.#kernel.truncate(file.ino, size, file.handle, errno => {
      const readBack = (): void => this.#read(file, 0, fileBytesMax, next)
      this.#ended(file, `truncate to ${size}`, errno, () => file.truncate(size), readBack)
    })
  }

  #other(file: FileBytes, dice: number, next: () => void): void {
    const kernel = this.#kernel
    const { ino, handle } = file
    const readAll = (): void => this.#read(file, 0, fileBytesMax, next)
    if (dice < 16) return this.#truncate(file, next)
    if (dice < 17) return this.#copy(file, next)
    if (dice < 18) {
      const mode = this.#pick(modes)
      const [offset, length] = [this.#world.rng.below(fileBytesMax), this.#size()]
      return kernel.fallocate(ino, handle, mode, offset, length, errno => {
        this.#ended(file, `fallocate ${mode}`, errno, () => file.allocate(mode, offset, length), readAll)
      })
    }
    if (dice < 19) return kernel.fsync(ino, handle, errno => this.#ended(file, 'fsync', errno, () => {}, readAll))
    if (this.#world.rng.below(3) > 0) return readAll()
    kernel.remove('unlink', rootInode, file.name, errno => this.#ended(file, 'unlink', errno, () => {}, readAll))
  }

  #copy(file: FileBytes, next: () => void): void {
    const { rng } = this.#world
    const { ino, handle } = file
    const from = rng.below(file.size + 1)
    const to = rng.below(2 * chunkBytes)
    const wanted = 1 + rng.below(100_000)
    // the kernel refuses ranges that overlap
    if (from < to + wanted && to < from + wanted) return next()
    const readAll = (): void => this.#read(file, 0, fileBytesMax, next)
    this.#kernel.copy({ ino, handle, offset: from }, { ino, handle, offset: to }, wanted, (errno, copied) => {
      if (errno === EOPNOTSUPP) return next()
      this.#ended(file, `copy of ${from} to ${to}`, errno, () => file.write(to, file.slice(from, copied!)), readAll)
    })
  }

  /** What the program did is all that there is. */
  #read(file: FileBytes, offset: number, size: number, next: () => void): void {
    const { frontend, channel, lost } = this.#member
    const caller = { uid: 0, gid: 0, pid: 1 }
    this.#kernel.call<Uint8Array[]>(
      `read ${file.ino} offset ${offset} length ${size}`,
      reply => frontend.read(caller, file.ino, file.handle, offset, size, reply),
      (errno, parts) => {
        const isSpoilt = lost.slice(this.#lost).some(({ operation }) => concerns(operation, file.ino))
        if (isSpoilt || !channel.serving) {
          this.#giveUp(file)
          return this.#rest()
        }
        const wrong = errno === 0 ? file.differs(offset, size, Buffer.concat(parts!)) : `errno ${errno}`
        check('own-bytes', wrong === undefined, () => `${this.#name} reads its own file: ${wrong}`)
        next()
      },
    )
  }
}

function concerns(operation: object, ino: number): boolean {
  return ('ino' in operation && operation.ino === ino) || !('ino' in operation)
}
