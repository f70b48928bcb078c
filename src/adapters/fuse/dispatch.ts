import { assert, AssertionFailure } from '../../base/assert.js'
import { EAGAIN, EIO, ENOSYS, EPROTO } from '../../base/errno.js'
import { messageOf } from '../../base/errors.js'
import type { FileSystemHandler, MountOptions } from '../../channel/mount-port.js'
import { Answers } from './answers.js'
import { Call, type Answer, type CallOwner } from './call.js'
import {
  decodeBatchForget,
  decodeCopyFileRange,
  decodeForget,
  decodeInit,
  decodeLock,
  decodeSetattr,
  Request,
} from './decode.js'
import type { Device } from './device.js'
import { DirectoryPacker, encodeNothing } from './encode.js'
import type { Features } from './features.js'
import { answerIoctl } from './ioctl.js'
import { Interrupts } from './interrupts.js'
import { encodeInit, encodeOurMajor, negotiate, type Protocol } from './init.js'
import {
  Flag,
  FSYNC_FDATASYNC,
  FUSE_MAJOR,
  FUSE_MINOR_MIN,
  Op,
  OPEN_KILL_SUIDGID,
  RELEASE_FLOCK_UNLOCK,
  SETXATTR_ACL_KILL_SGID,
  WRITE_CACHE,
  WRITE_IN_BYTES,
  WRITE_KILL_SUIDGID,
} from './protocol.js'

/** `FileSystemHandler.setxattr` */
const XATTR_KILL_SGID = 1 << 8
/** A listing's reply never needs more than this, whatever the kernel offers. */
const LISTING_BYTES_MAX = 1 << 18

/**
 * Decodes requests, calls the handler, sends its answers. Every request is answered exactly once (FORGET, BATCH_FORGET
 * and INTERRUPT of a known request: never); what throws is answered EIO.
 *
 * INVARIANT: `#calls` holds exactly the requests that were handed to the handler and not answered yet.
 */
export class Dispatcher implements CallOwner {
  readonly #device: Device
  readonly #handler: FileSystemHandler
  readonly #log: MountOptions['log']
  readonly #features: Features
  readonly #initialized: (protocol: Protocol | undefined, kernel: string) => void
  readonly #calls = new Map<number, Call<never>>()
  readonly #interrupts = new Interrupts(this.#calls, (call, error) =>
    this.#fault('an interrupted request failed', { operation: call.opcode, error: messageOf(error) }),
  )
  #setxattrInBytes = 16
  #masks = false
  #unknownInterrupt = 0
  operations = 0
  errors = 0
  /** Inodes that were opened and that the kernel has not forgotten: it may hold their pages, and ask for no name again. */
  readonly opened = new Set<number>()

  readonly #answers: Answers

  /** `initialized` hears what INIT agreed on; undefined: the kernel, named by `kernel`, is too old. */
  constructor(
    device: Device,
    handler: FileSystemHandler,
    log: MountOptions['log'],
    features: Features,
    initialized: (protocol: Protocol | undefined, kernel: string) => void,
  ) {
    this.#device = device
    this.#handler = handler
    this.#log = log
    this.#features = features
    this.#initialized = initialized
    this.#answers = new Answers(device, features.flush)
  }

  /** Calls in flight. */
  get pending(): number {
    return this.#calls.size
  }

  /** The connection is gone: whoever waits for something on behalf of a caller may stop. */
  interruptAll(): void {
    this.#interrupts.all()
  }

  /** One message from the device. Throws nothing but `AssertionFailure`. */
  dispatch(message: ArrayBufferLike): void {
    let request: Request
    try {
      request = new Request(message)
    } catch (error) {
      // Without a header there is nobody to answer; the kernel never writes such a message.
      this.#fault('a FUSE request without a header', { error: messageOf(error) })
      return
    }
    try {
      this.#perform(request)
    } catch (error) {
      this.#fault('a request failed', {
        operation: request.opcode,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      })
      const call = this.#calls.get(request.unique)
      if (call !== undefined) call.fail(EIO)
      else if (!this.#answered(request)) this.#device.error(request.unique, EIO)
      if (error instanceof AssertionFailure) throw error
    }
  }

  settleOk<T>(call: Call<T>, answer: Answer<T>, value: T): void {
    this.#calls.delete(call.unique)
    this.operations++
    try {
      answer(call.unique, value)
    } catch (error) {
      this.#fault('an answer could not be encoded', { operation: call.opcode, error: messageOf(error) })
      this.#device.error(call.unique, EIO)
      if (error instanceof AssertionFailure) throw error
    }
  }

  settleFail(call: Call<never>, errno: number): void {
    this.#calls.delete(call.unique)
    this.operations++
    this.#device.error(call.unique, errno)
  }

  #fault(message: string, fields: Record<string, unknown>): void {
    this.errors++
    this.#log('error', message, fields)
  }

  #lastCall = 0
  /** Whether a request that is not in flight was answered, or needs no answer. */
  #answered(request: Request): boolean {
    if (request.opcode === Op.FORGET || request.opcode === Op.BATCH_FORGET) return true
    return this.#lastCall === request.unique
  }

  #call<T>(r: Request, answer: Answer<T>): Call<T> {
    const call = new Call(this, r, answer)
    this.#lastCall = r.unique
    this.#calls.set(r.unique, call as unknown as Call<never>)
    return call
  }

  #refuse(r: Request, errno: number): void {
    this.operations++
    this.#device.error(r.unique, errno)
  }

  #perform(r: Request): void {
    const handler = this.#handler
    const answers = this.#answers
    switch (r.opcode) {
      case Op.LOOKUP:
        return handler.lookup(r, r.nodeid, r.name(0), this.#call(r, answers.entry))
      case Op.FORGET:
        return this.#forget(decodeForget(r))
      case Op.BATCH_FORGET:
        return this.#forget(decodeBatchForget(r))
      case Op.GETATTR:
        return handler.getattr(r, r.nodeid, this.#call(r, answers.attributes))
      case Op.SETATTR:
        return handler.setattr(r, r.nodeid, decodeSetattr(r), this.#call(r, answers.attributes))
      case Op.READLINK:
        return handler.readlink(r, r.nodeid, this.#call(r, answers.text))
      case Op.SYMLINK: {
        const name = r.name(0)
        return handler.symlink(r, r.nodeid, name, r.name(name.length + 1), this.#call(r, answers.entry))
      }
      case Op.MKNOD:
        this.#mask(r, 8)
        return handler.mknod(r, r.nodeid, r.name(16), r.u32(0), r.u32(4), this.#call(r, answers.entry))
      case Op.MKDIR:
        this.#mask(r, 4)
        return handler.mkdir(r, r.nodeid, r.name(8), r.u32(0), this.#call(r, answers.entry))
      case Op.UNLINK:
        return handler.unlink(r, r.nodeid, r.name(0), this.#call(r, answers.done))
      case Op.RMDIR:
        return handler.rmdir(r, r.nodeid, r.name(0), this.#call(r, answers.done))
      case Op.RENAME:
        return this.#rename(r, 8, 0)
      case Op.RENAME2:
        return this.#rename(r, 16, r.u32(8))
      case Op.LINK:
        return handler.link(r, r.u64(0), r.nodeid, r.name(8), this.#call(r, answers.entry))
      case Op.OPEN: {
        const kill = (r.u32(4) & OPEN_KILL_SUIDGID) !== 0
        this.opened.add(r.nodeid)
        return handler.open(r, r.nodeid, r.u32(0), kill, this.#call(r, answers.open))
      }
      case Op.CREATE:
        this.#mask(r, 8)
        return handler.create(r, r.nodeid, r.name(16), r.u32(4), r.u32(0), this.#call(r, this.#created))
      case Op.TMPFILE:
        this.#mask(r, 8)
        return handler.tmpfile(r, r.nodeid, r.u32(4), r.u32(0), this.#call(r, this.#created))
      case Op.READ:
        return this.#read(r)
      case Op.WRITE: {
        const data = r.data(WRITE_IN_BYTES, r.u32(16))
        const kill = (r.u32(20) & WRITE_KILL_SUIDGID) !== 0
        if ((r.u32(20) & WRITE_CACHE) !== 0) {
          return handler.writeBack(r.nodeid, r.u64(0), r.u64(8), data, this.#call(r, answers.count32))
        }
        return handler.write(r, r.nodeid, r.u64(0), r.u64(8), data, r.u32(32), kill, this.#call(r, answers.count32))
      }
      case Op.FLUSH: {
        const call = this.#call(r, answers.done)
        handler.flush(r, r.nodeid, r.u64(0), r.big64(16), call)
        // as a rule it is answered at once
        if (!call.settled) this.#interrupts.closing(call as unknown as Call<never>)
        return
      }
      case Op.RELEASE: {
        const flockOwner = r.u32(12) & RELEASE_FLOCK_UNLOCK ? r.big64(16) : undefined
        return handler.release(r.nodeid, r.u64(0), flockOwner, this.#call(r, answers.done))
      }
      case Op.FSYNC:
        return handler.fsync(r, r.nodeid, r.u64(0), (r.u32(8) & FSYNC_FDATASYNC) !== 0, this.#call(r, answers.done))
      case Op.OPENDIR:
        this.opened.add(r.nodeid)
        return handler.opendir(r, r.nodeid, r.u32(0), this.#call(r, answers.opendir))
      case Op.READDIR:
        return this.#readdir(r, false)
      case Op.READDIRPLUS:
        return this.#readdir(r, true)
      case Op.RELEASEDIR:
        return handler.releasedir(r.nodeid, r.u64(0), this.#call(r, answers.done))
      case Op.FSYNCDIR:
        return handler.fsyncdir(r, r.nodeid, r.u64(0), (r.u32(8) & FSYNC_FDATASYNC) !== 0, this.#call(r, answers.done))
      case Op.STATFS:
        return handler.statfs(r, this.#call(r, answers.statistics))
      case Op.SETXATTR: {
        const name = r.name(this.#setxattrInBytes)
        const value = r.data(this.#setxattrInBytes + name.length + 1, r.u32(0))
        const isExtended = this.#setxattrInBytes === 16
        const kill = isExtended && (r.u32(8) & SETXATTR_ACL_KILL_SGID) !== 0 ? XATTR_KILL_SGID : 0
        return handler.setxattr(r, r.nodeid, name, value, r.u32(4) | kill, this.#call(r, answers.done))
      }
      case Op.GETXATTR:
        return handler.getxattr(r, r.nodeid, r.name(8), this.#call(r, this.#answers.sized(r.u32(0))))
      case Op.LISTXATTR:
        return this.#listxattr(r)
      case Op.REMOVEXATTR:
        return handler.removexattr(r, r.nodeid, r.name(0), this.#call(r, answers.done))
      case Op.FALLOCATE:
        return handler.fallocate(r, r.nodeid, r.u64(0), r.u32(24), r.u64(8), r.u64(16), this.#call(r, answers.done))
      case Op.LSEEK:
        return handler.lseek(r, r.nodeid, r.u64(0), r.u64(8), r.u32(16), this.#call(r, answers.count64))
      case Op.COPY_FILE_RANGE:
      case Op.COPY_FILE_RANGE_64: {
        const { from, to, length } = decodeCopyFileRange(r)
        const answer = r.opcode === Op.COPY_FILE_RANGE ? answers.count32 : answers.count64
        // The answer to operation 47 has 32 bits; copy_file_range(2) may always copy less than asked.
        const lengthMax = r.opcode === Op.COPY_FILE_RANGE ? 0xffff_f000 : Number.MAX_SAFE_INTEGER
        return handler.copyFileRange(r, from, to, Math.min(length, lengthMax), this.#call(r, answer))
      }
      case Op.GETLK: {
        const { handle, owner, lock } = decodeLock(r)
        return handler.getlk(r, r.nodeid, handle, owner, lock, this.#call(r, answers.lock))
      }
      case Op.SETLK:
      case Op.SETLKW: {
        const { handle, owner, lock, flock } = decodeLock(r)
        const wait = r.opcode === Op.SETLKW
        return handler.setlk(r, r.nodeid, handle, owner, lock, flock, wait, this.#call(r, answers.done))
      }
      case Op.INTERRUPT:
        return this.#interrupt(r)
      case Op.INIT:
        return this.#init(r)
      case Op.SYNCFS:
      case Op.DESTROY:
        this.operations++
        return this.#device.send(r.unique, encodeNothing, undefined)
      case Op.NOTIFY_REPLY:
        return
      case Op.IOCTL:
        return this.#ioctl(r)
      // ACCESS: default_permissions. POLL: always ready. STATX: GETATTR says the same. BMAP: no block device.
      default:
        return this.#refuse(r, ENOSYS)
    }
  }

  readonly #created: Answers['created'] = (unique, made) => {
    this.opened.add(made.entry.attributes.ino)
    this.#answers.created(unique, made)
  }

  #forget(inodes: readonly { ino: number; count: number }[]): void {
    for (const { ino } of inodes) this.opened.delete(ino)
    this.#handler.forget(inodes)
  }

  /** With FUSE_DONT_MASK the handler applies the umask. */
  #mask(r: Request, offset: number): void {
    if (this.#masks) r.umask = r.u32(offset)
  }

  #ioctl(r: Request): void {
    const answer = answerIoctl(r)
    if (typeof answer === 'number') return this.#refuse(r, answer)
    this.operations++
    this.#device.sendParts(r.unique, [answer], answer.length)
  }

  #rename(r: Request, names: number, flags: number): void {
    const name = r.name(names)
    const newName = r.name(names + name.length + 1)
    this.#handler.rename(r, r.nodeid, name, r.u64(0), newName, flags, this.#call(r, this.#answers.done))
  }

  #read(r: Request): void {
    const size = r.u32(16)
    // what was forgotten may be open again by then
    this.opened.add(r.nodeid)
    const call = this.#call<Uint8Array[]>(r, (unique, parts) => {
      let bytes = 0
      for (const part of parts) bytes += part.length
      assert(bytes <= size, `a read of ${size} bytes was answered with ${bytes}`)
      this.#device.sendParts(unique, parts, bytes)
    })
    this.#handler.read(r, r.nodeid, r.u64(0), r.u64(8), size, call)
  }

  #readdir(r: Request, plus: boolean): void {
    const packer = new DirectoryPacker(Math.min(r.u32(16), LISTING_BYTES_MAX), plus)
    const call = this.#call<void>(r, unique =>
      this.#device.sendPacked(unique, packer.bytes, packer.view, packer.length),
    )
    this.#handler.readdir(r, r.nodeid, r.u64(0), r.big64(8), plus, item => packer.add(item), call)
  }

  #listxattr(r: Request): void {
    const answer = this.#answers.sized(r.u32(0))
    const call = this.#call<readonly string[]>(r, (unique, names) =>
      answer(unique, Buffer.from(names.map(name => name + '\0').join(''), 'latin1')),
    )
    this.#handler.listxattr(r, r.nodeid, call)
  }

  /**
   * A signal reached a caller that waits (see `Interrupts`). The interrupted request is answered, not this one. One that is not known was
   * answered in the meantime: EAGAIN makes the kernel forget or repeat the interrupt, which is said once only.
   */
  #interrupt(r: Request): void {
    const original = r.u64(0)
    const call = this.#calls.get(original)
    if (call !== undefined) return this.#interrupts.signal(call)
    if (this.#unknownInterrupt === original) return
    this.#unknownInterrupt = original
    this.#device.error(r.unique, EAGAIN)
  }

  #init(r: Request): void {
    const kernel = decodeInit(r)
    if (kernel.major > FUSE_MAJOR) return this.#device.send(r.unique, encodeOurMajor, undefined)
    const protocol = negotiate(kernel, this.#features.locks)
    if (protocol === undefined) {
      this.#device.error(r.unique, EPROTO)
      return this.#initialized(undefined, `${kernel.major}.${kernel.minor} (needed: 7.${FUSE_MINOR_MIN})`)
    }
    this.#masks = (protocol.flags & Flag.DONT_MASK) !== 0
    this.#setxattrInBytes = protocol.flags & Flag.SETXATTR_EXT ? 16 : 8
    this.#device.send(r.unique, encodeInit, protocol)
    this.#initialized(protocol, `${kernel.major}.${kernel.minor}`)
  }
}
