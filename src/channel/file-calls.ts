import { EBADF, EEXIST, EFBIG, EINTR, EINVAL, EIO, ENFILE, ENOENT, ENOSPC, ENXIO, ESTALE } from '../base/errno.js'
import { RkfsError } from '../base/errors.js'
import { accessReadBytesMax, fileSizeMax } from '../base/limits.js'
import { inheritedOf } from '../fs/attributes.js'
import { readPieces, seekStep } from '../fs/extents.js'
import { FALLOC_FL_PUNCH_HOLE, type Operation } from '../fs/operation.js'
import { type Inode, isRegular, S_IFREG } from '../fs/records.js'
import { ContentRead } from './content-read.js'
import { DamagedBlob } from './log-port.js'
import type { Caller, Entry, OpenFile, Reply } from './mount-port.js'
import { losesSetGid, type MountState } from './mount-state.js'
import type { NameCalls } from './name-calls.js'
import type { OrphanFile } from './orphan-file.js'
import { writeInPieces } from './write-pieces.js'
import {
  O_ACCMODE,
  O_APPEND,
  O_DIRECT,
  O_DSYNC,
  O_EXCL,
  O_NOATIME,
  O_TRUNC,
  O_WRONLY,
  takeError,
  type OpenFileState,
} from './open-files.js'

/** Members that make and remove one name against each other. */
const createTries = 8

const noBytes = new Uint8Array(0)

/** lseek(2) */
const SEEK_DATA = 3
const SEEK_HOLE = 4
/** A range of more pieces than that is read over several turns, as far as it is not in memory. */
const piecesPerTurn = 256
/** Extents that one turn looks at for lseek(2). */
const seekStepMax = 8192
const pagesForgottenNs = 1_000_000_000n

type CreateReply = Reply<{ entry: Entry; file: OpenFile }>

/** The calls that open files and work on them. */
export class FileCalls {
  readonly #mount: MountState
  readonly #names: NameCalls

  constructor(mount: MountState, names: NameCalls) {
    this.#mount = mount
    this.#names = names
  }

  // ---- open and close ----

  #opened(caller: Caller, ino: number, inode: Inode, flags: number): OpenFile {
    const mount = this.#mount
    const reads = (flags & O_ACCMODE) !== O_WRONLY && !isQuiet(flags) && !mount.options.noAccessTimes
    // what the kernel reads from its cache is not seen here: where the time of reading matters, the cache is given up
    const isWatched = reads && inode.size > 0 && inode.size <= accessReadBytesMax && mount.accessTimes.isDue(ino, inode)
    // Through the cache, a write that goes on in another page comes in two parts (fuse_fill_write_pages stops at a page that
    // is not up to date), and another member's record may get between them.
    const appends = isDirect(flags)
    const handle = mount.files.open(ino, flags, caller.pid)
    mount.pages.opened(ino)
    return {
      handle,
      keepCache: !mount.options.latest && !isWatched,
      directIo: appends,
    }
  }

  open(caller: Caller, ino: number, flags: number, killPrivileges: boolean, reply: Reply<OpenFile>): void {
    const mount = this.#mount
    mount.current(reply as Reply<never>, () => {
      const inode = mount.inode(ino)
      // ESTALE: the kernel looks the name up again
      if (inode === undefined || (isRegular(inode) && !mount.revive(ino))) return reply.fail(ESTALE)
      if ((flags & O_TRUNC) === 0 || (flags & O_ACCMODE) === 0) return reply.ok(this.#opened(caller, ino, inode, flags))
      const mode = killPrivileges && losesSetGid(inode, caller) ? inode.mode & ~0o6000 : undefined
      this.#truncateAndOpen(caller, ino, inode, flags, killPrivileges, mode, reply as Reply<never>, file =>
        reply.ok(file),
      )
    })
  }

  #truncateAndOpen(
    caller: Caller,
    ino: number,
    inode: Inode,
    flags: number,
    killPrivileges: boolean,
    mode: number | undefined,
    reply: Reply<never>,
    done: (file: OpenFile) => void,
  ): void {
    const mount = this.#mount
    const operation: Operation = {
      kind: 'setattr',
      ino,
      size: 0,
      killPrivileges,
      ...(mode === undefined ? {} : { mode }),
    }
    const opened = (): void => {
      mount.maybeLostPrivileges(ino, inode)
      const file = this.#opened(caller, ino, { ...inode, size: 0 }, flags)
      mount.changed(file.handle)
      done(file)
    }
    const orphan = mount.orphans.get(ino)
    if (orphan === undefined) return mount.change(operation, reply, opened)
    const errno = orphan.apply(operation, mount.ports.now())
    if (errno === 0) opened()
    else reply.fail(errno)
  }

  create(caller: Caller, parent: number, name: string, mode: number, flags: number, reply: CreateReply): void {
    this.#create(caller, parent, name, mode, flags, createTries, reply)
  }

  #create(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    flags: number,
    tries: number,
    reply: CreateReply,
  ): void {
    const mount = this.#mount
    mount.current(reply as Reply<never>, () => {
      const openExisting = (ino: number): void => {
        const inode = mount.inode(ino)
        if ((flags & O_EXCL) !== 0) return reply.fail(EEXIST)
        if (inode === undefined || !isRegular(inode)) return reply.fail(inode === undefined ? ESTALE : EEXIST)
        const answer = (file: OpenFile): void => reply.ok({ entry: mount.uncheckedEntry(ino)!, file })
        if ((flags & O_TRUNC) === 0) answer(this.#opened(caller, ino, inode, flags))
        else this.#truncateAndOpen(caller, ino, inode, flags, false, undefined, reply as Reply<never>, answer)
      }
      // another member may have made it since the kernel looked
      const existing = mount.view.get('entry', parent, name)
      if (existing !== undefined) return openExisting(existing.ino)
      const operation = this.#names.makeOperation(caller, parent, name, S_IFREG | (mode & 0o7777), 0, '')
      if (typeof operation === 'number') return reply.fail(operation)
      mount.change(
        operation,
        reply as Reply<never>,
        () => {
          const inode = mount.inode(operation.ino)
          if (inode === undefined) reply.fail(ENOENT)
          else reply.ok({ entry: mount.entry(operation.ino)!, file: this.#opened(caller, operation.ino, inode, flags) })
        },
        {
          refused: errno => {
            if (errno !== EEXIST || (flags & O_EXCL) !== 0) return false
            // another member was first: its file is opened, or, if it is gone again, this one is made after all
            const made = mount.view.get('entry', parent, name)
            if (made !== undefined) openExisting(made.ino)
            else if (tries > 0) this.#create(caller, parent, name, mode, flags, tries - 1, reply)
            else return false
            return true
          },
        },
      )
    })
  }

  /** O_TMPFILE: the file is this member's own until linkat(2) gives it a name (`nameless-file.ts`). */
  tmpfile(caller: Caller, parent: number, mode: number, flags: number, reply: CreateReply): void {
    const mount = this.#mount
    const operation = this.#names.makeOperation(caller, parent, '', S_IFREG | (mode & 0o7777), 0, '')
    if (typeof operation === 'number') return reply.fail(operation)
    const { ino, uid, gid } = operation
    const inherited = inheritedOf(mount.view, parent, operation.mode, operation.umask)
    const time = mount.ports.now()
    const inode: Inode = {
      mode: inherited.mode,
      nlink: 0,
      uid,
      gid,
      rdev: 0,
      size: 0,
      allocated: 0,
      atime: time,
      mtime: time,
      ctime: time,
      parent: 0,
      children: 0,
      target: '',
    }
    const orphan = mount.newOrphan(ino, inode, undefined)
    for (const [name, value] of inherited.xattrs) orphan.set('xattr', ino, name, value)
    const entry: Entry = { attributes: mount.attributes(ino, orphan.inode), entryTtlMs: 0, attributesTtlMs: mount.ttl }
    reply.ok({ entry, file: this.#opened(caller, ino, inode, flags) })
  }

  flush(handle: number, reply: Reply<void>): void {
    const file = this.#mount.files.file(handle)
    if (file === undefined) return reply.fail(EBADF)
    const waits = this.#mount.options.sync !== 'fsync' && file.sequence > 0
    this.#settle(file, waits ? file.sequence : undefined, reply)
  }

  release(ino: number, handle: number, reply: Reply<void>): void {
    if (this.#mount.files.close(handle)) this.#mount.closeOrphan(ino)
    reply.ok()
  }

  fsync(handle: number, reply: Reply<void>): void {
    this.#settle(this.#mount.files.file(handle), this.#mount.channel.lastSequence, reply)
  }

  fsyncdir(handle: number, reply: Reply<void>): void {
    const { channel, files } = this.#mount
    this.#wait(channel.lastSequence, () => files.takeDirectoryError(handle), reply)
  }

  #settle(file: OpenFileState | undefined, wait: number | undefined, reply: Reply<void>): void {
    const isNameless = file !== undefined && this.#mount.orphans.has(file.ino)
    this.#wait(isNameless ? undefined : wait, () => (file === undefined ? 0 : takeError(file)), reply)
  }

  /** Waits for own changes up to `sequence`; `failed`: what became of them. */
  #wait(sequence: number | undefined, failed: () => number, reply: Reply<void>): void {
    const { channel, options } = this.#mount
    const finish = (errno: number): void => {
      const error = errno === 0 ? failed() : errno
      if (error === 0) reply.ok()
      else reply.fail(error)
    }
    if (sequence === undefined) finish(0)
    else reply.onInterrupt(channel.whenDurable(sequence, options.timeoutMs, finish))
  }

  // ---- content ----

  read(ino: number, handle: number, offset: number, size: number, reply: Reply<Uint8Array[]>): void {
    const mount = this.#mount
    const inode = mount.inode(ino)
    if (inode === undefined) return reply.fail(ESTALE)
    const flags = mount.files.file(handle)?.flags ?? 0
    mount.accessed(ino, inode, isQuiet(flags))
    const isKept = !isDirect(flags) && (flags & O_DIRECT) === 0
    const answer = (parts: Uint8Array[]): void => {
      mount.pages.given(ino, offset, size, isKept)
      reply.ok(parts)
    }
    this.#readWhole(ino, offset, size, reply, answer, mount.options.timeoutMs)
  }

  /** A part that is damaged here comes from another member; where none has it, the program is told, and the rest goes on. */
  #readWhole(
    ino: number,
    offset: number,
    size: number,
    reply: Reply<Uint8Array[]>,
    answer: (parts: Uint8Array[]) => void,
    leftMs: number,
  ): void {
    const mount = this.#mount
    const { channel } = mount
    if (!channel.usable) return reply.fail(EIO)
    const inode = mount.inode(ino)
    if (inode === undefined) return reply.fail(ESTALE)
    const length = Math.min(size, inode.size - offset)
    if (length <= 0) return answer([])
    const again = (left: number): void => this.#readWhole(ino, offset, size, reply, answer, left)
    const failed = (error: unknown): void => {
      if (!(error instanceof RkfsError)) throw error
      if (!(error instanceof DamagedBlob) || leftMs <= 0) return reply.fail(EIO)
      let interrupted = false
      const cancel = channel.heal(error, leftMs, left => {
        if (left !== undefined) again(left)
        else reply.fail(interrupted ? EINTR : EIO)
      })
      reply.onInterrupt(() => {
        interrupted = true
        cancel()
      })
    }
    const readOn = (reading: ContentRead): void => {
      try {
        const bytes = reading.step()
        if (bytes !== undefined) return answer([bytes])
      } catch (error) {
        return failed(error)
      }
      mount.ports.delay(0, () => {
        if (mount.channel === channel && channel.usable) return readOn(reading)
        reading.close()
        again(leftMs)
      })
    }
    try {
      const orphan = mount.orphans.get(ino)
      if (orphan !== undefined) return answer(orphan.read(offset, length))
      const pieces = readPieces(channel.view, ino, offset, length)
      if (pieces.length <= piecesPerTurn) return answer(channel.blobs.parts(pieces))
      readOn(new ContentRead(pieces, length, mount.contentPorts))
    } catch (error) {
      failed(error)
    }
  }

  write(
    caller: Caller,
    ino: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    flags: number,
    killPrivileges: boolean,
    reply: Reply<number>,
  ): void {
    const mount = this.#mount
    const file = mount.files.file(handle)
    if (file !== undefined && file.error !== 0) return reply.fail(takeError(file))
    const inode = killPrivileges ? mount.inode(ino) : undefined
    if (inode !== undefined && losesSetGid(inode, caller)) this.#dropSetGid(ino, inode)
    const writeNameless = (orphan: OrphanFile, written = 0): void => {
      const at = (flags & O_APPEND) === 0 ? offset + written : orphan.inode.size
      try {
        const errno = orphan.write(at, data.subarray(written), killPrivileges, mount.ports.now())
        if (errno === 0) reply.ok(data.length)
        else reply.fail(errno)
      } catch (error) {
        const { code } = error as RkfsError
        if (!(error instanceof RkfsError) || (code !== 'disk-full' && code !== 'too-many-files')) throw error
        reply.fail(code === 'disk-full' ? ENOSPC : ENFILE)
      }
    }
    const orphan = mount.orphans.get(ino)
    if (orphan !== undefined) return writeNameless(orphan)
    if (offset + data.length > fileSizeMax) return reply.fail(EFBIG)
    const unseen = file !== undefined && this.#hidesReads(file)
    const operation =
      (flags & O_APPEND) === 0
        ? { kind: 'write' as const, ino, offset, length: data.length, killPrivileges }
        : { kind: 'append' as const, ino, length: data.length, killPrivileges }
    const cancel = writeInPieces(() => mount.channel, operation, data, {
      mount: mount.options.mount,
      timeoutMs: mount.options.timeoutMs,
      durable: mount.options.sync === 'always' || (flags & O_DSYNC) !== 0,
      done: (errno, written) => {
        // refused, because another member's change took the file's last name meanwhile
        const orphan = errno === ENOENT ? mount.orphans.get(ino) : undefined
        if (orphan !== undefined) return writeNameless(orphan, written)
        // what came before the piece that failed is written: its program is told how much that is, as on a full disk
        if (written === 0) return reply.fail(errno)
        if (file !== undefined) file.sequence = mount.channel.lastSequence
        mount.maybeLostPrivileges(ino, inode)
        const isCached = file === undefined || !isDirect(file.flags)
        mount.pages.whenExtended(ino, offset, written, isCached, () => {
          if (file !== undefined && isCached) mount.pages.given(ino, offset, written, (flags & O_DIRECT) === 0)
          mount.contentChanged(ino)
          if ((flags & O_APPEND) !== 0) mount.pages.appended(ino, offset + written)
          if (unseen) mount.forgetPages(ino)
          reply.ok(written)
        })
      },
      lost: errno => mount.lost(ino, errno),
    })
    reply.onInterrupt(cancel)
  }

  /**
   * Whether the next read after a write would count (relatime), and would be made from the kernel's pages, where it is not
   * seen: by a reader that has the file open. Told at most once a second for an open file, since the pages are given up
   * for it.
   */
  #hidesReads(file: OpenFileState): boolean {
    const mount = this.#mount
    if (mount.options.noAccessTimes || ((file.flags & O_ACCMODE) === O_WRONLY && !mount.files.isShared(file.ino))) {
      return false
    }
    const now = mount.ports.now()
    if (now - file.pagesForgotten < pagesForgottenNs) return false
    const inode = mount.inode(file.ino)
    if (inode === undefined || inode.size === 0 || inode.size > accessReadBytesMax) return false
    if (mount.accessTimes.isDue(file.ino, inode)) return false
    file.pagesForgotten = now
    return true
  }

  /** Before a write that may not leave set-gid; the write takes the rest. */
  #dropSetGid(ino: number, inode: Inode): void {
    const mount = this.#mount
    const operation: Operation = { kind: 'setattr', ino, mode: inode.mode & ~0o6000, killPrivileges: false }
    if (mount.orphans.get(ino)?.apply(operation, mount.ports.now()) !== undefined) return
    const { mount: id, timeoutMs } = mount.options
    mount.channel.change(operation, noBytes, { mount: id, timeoutMs, durable: false, done: () => {} })
  }

  // ---- ranges ----

  fallocate(ino: number, handle: number, mode: number, offset: number, length: number, reply: Reply<void>): void {
    const mount = this.#mount
    const operation: Operation = { kind: 'allocate', ino, mode, offset, length }
    if ((mode & FALLOC_FL_PUNCH_HOLE) === 0) {
      const { blocksAvailable, blockSize } = mount.ports.statistics()
      const allocated = mount.inode(ino)?.allocated ?? 0
      if (offset + length <= fileSizeMax && length > blocksAvailable * blockSize + allocated) return reply.fail(ENOSPC)
    }
    const orphan = mount.orphans.get(ino)
    if (orphan !== undefined) {
      const errno = orphan.apply(operation, mount.ports.now())
      return errno === 0 ? reply.ok() : reply.fail(errno)
    }
    mount.change(operation, reply as Reply<never>, () => {
      mount.changed(handle)
      reply.ok()
    })
  }

  lseek(ino: number, offset: number, whence: number, reply: Reply<number>): void {
    const mount = this.#mount
    const inode = mount.inode(ino)
    if (inode === undefined) return reply.fail(ESTALE)
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return reply.fail(EINVAL)
    if (offset >= inode.size || offset < 0) return reply.fail(ENXIO)
    const sought = seekStep(mount.viewOf(ino), ino, inode.size, offset, whence === SEEK_DATA, seekStepMax)
    if ('from' in sought) {
      return mount.ports.delay(0, () => {
        // what lay behind the place that it has come to may be cut off by now
        const { size = 0 } = mount.inode(ino) ?? {}
        if (sought.from < size) this.lseek(ino, sought.from, whence, reply)
        else if (whence === SEEK_HOLE && offset < size) reply.ok(size)
        else reply.fail(ENXIO)
      })
    }
    if (sought.found === undefined) reply.fail(ENXIO)
    else reply.ok(sought.found)
  }
}

/** Whether reads and writes pass the kernel's pages. */
function isDirect(flags: number): boolean {
  return (flags & O_APPEND) !== 0 && (flags & O_ACCMODE) !== 0
}

function isQuiet(flags: number): boolean {
  return (flags & O_NOATIME) !== 0
}
