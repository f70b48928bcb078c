import {
  EBADF,
  EEXIST,
  EFBIG,
  EINVAL,
  EIO,
  ENODATA,
  ENOENT,
  ENOSYS,
  ENOTDIR,
  ENXIO,
  EOPNOTSUPP,
  ESTALE,
} from '../base/errno.js'
import { RkfsError } from '../base/errors.js'
import { fileSizeMax } from '../base/limits.js'
import { xattrNames } from '../fs/attributes.js'
import { getInode } from '../fs/inodes.js'
import { seek } from '../fs/extents.js'
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  type MakeOperation,
  type Operation,
} from '../fs/operation.js'
import { isDirectory, isRegular, isSymlink, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type Inode } from '../fs/records.js'
import type { View } from '../fs/view.js'
import type { Channel } from './channel.js'
import type {
  AttributeChange,
  Attributes,
  Caller,
  DirectoryItem,
  Entry,
  FileLock,
  FileSystemHandler,
  FileSystemStatistics,
  Invalidation,
  Mounted,
  NegativeEntry,
  OpenFile,
  Reply,
} from './mount-port.js'
import { OpenFiles, type OpenFileState } from './open-files.js'
import { attributesOf, OrphanFile, type Spill } from './orphan-file.js'
import type { ChannelObserver } from './ports.js'

const O_TRUNC = 0o1000
const O_EXCL = 0o200
const O_APPEND = 0o2000
const O_DSYNC = 0o10000
const O_ACCMODE = 3

/** The safety net under the invalidations (DESIGN §6). */
const ttlMs = 10_000
const noBytes = new Uint8Array(0)
/** Members that make and remove one name against each other. */
const createTries = 8

export interface FrontendOptions {
  readonly mount: number
  readonly sync: 'close' | 'fsync' | 'always'
  readonly timeoutMs: number
  /** `read=latest`: lookups and opens wait for what was committed when they began, and the kernel keeps nothing. */
  readonly latest: boolean
}

export interface FrontendPorts {
  now(): bigint
  nextInode(): number
  openSpill(): Spill
  statistics(): FileSystemStatistics
}

/** One mount's file system calls, answered from a channel's view and turned into its changes. */
export class Frontend implements FileSystemHandler, ChannelObserver {
  readonly mount: number
  readonly #channel: Channel
  readonly #options: FrontendOptions
  readonly #ports: FrontendPorts
  readonly #files = new OpenFiles()
  readonly #orphans = new Map<number, OrphanFile>()
  /** Where invalidations go; set once the mount stands. */
  mounted: Mounted | undefined

  constructor(channel: Channel, options: FrontendOptions, ports: FrontendPorts) {
    this.mount = options.mount
    this.#channel = channel
    this.#options = options
    this.#ports = ports
  }

  // ---- what the channel says ----

  invalidate(items: readonly Invalidation[]): void {
    this.mounted?.invalidate(items)
  }

  invalidateAll(): void {
    this.mounted?.invalidateAll()
  }

  viewChanged(): void {
    for (const [ino, orphan] of this.#orphans) {
      if (getInode(this.#channel.view, ino) === undefined) continue
      // the unlink was undone with the leadership it was ordered under: the file is one of the channel's again, and what
      // was written to it meanwhile has no place in the order
      if (orphan.written) this.#files.spoil(ino, EIO)
      orphan.close()
      this.#orphans.delete(ino)
    }
  }

  losing(ino: number, view: View): void {
    if (!this.#files.isOpen(ino) || this.#orphans.has(ino)) return
    const inode = getInode(view, ino)
    if (inode === undefined || !isRegular(inode)) return
    const { blobs, pinned } = this.#channel
    this.#orphans.set(
      ino,
      new OrphanFile(ino, inode, view, {
        blob: id => blobs.get(id),
        openSpill: () => this.#ports.openSpill(),
        pin: ids => {
          for (const id of ids) pinned.set(id, (pinned.get(id) ?? 0) + 1)
        },
        release: ids => {
          for (const id of ids) {
            const count = (pinned.get(id) ?? 0) - 1
            if (count > 0) pinned.set(id, count)
            else pinned.delete(id)
          }
        },
      }),
    )
  }

  /** The mount has ended: what only it could reach goes. */
  close(): void {
    for (const orphan of this.#orphans.values()) orphan.close()
    this.#orphans.clear()
  }

  // ---- helpers ----

  get #ttl(): number {
    return this.#options.latest ? 0 : ttlMs
  }

  #inode(ino: number): Inode | undefined {
    return this.#orphans.get(ino)?.inode ?? getInode(this.#channel.view, ino)
  }

  #entry(ino: number): Entry | undefined {
    const inode = this.#inode(ino)
    if (inode === undefined) return undefined
    return { attributes: attributesOf(ino, inode), entryTtlMs: this.#ttl, attributesTtlMs: this.#ttl }
  }

  #replyEntry(ino: number, reply: Reply<Entry>): void {
    const entry = this.#entry(ino)
    if (entry === undefined) reply.fail(ENOENT)
    else reply.ok(entry)
  }

  /** Runs `then` at once, or, with `read=latest`, when this member has caught up. */
  #current(reply: Reply<never>, then: () => void): void {
    if (!this.#channel.serving) return reply.fail(EIO)
    if (!this.#options.latest) return then()
    this.#channel.readBarrier(this.#options.timeoutMs, errno => {
      if (errno === 0) then()
      else reply.fail(errno)
    })
  }

  #change(operation: Operation, reply: Reply<never>, done: () => void, refused?: (errno: number) => boolean): void {
    const cancel = this.#channel.change(operation, noBytes, {
      mount: this.mount,
      timeoutMs: this.#options.timeoutMs,
      durable: this.#options.sync === 'always',
      done: errno => {
        if (errno === 0) done()
        else if (!refused?.(errno)) reply.fail(errno)
      },
    })
    reply.onInterrupt(cancel)
  }

  // ---- names ----

  lookup(_caller: Caller, parent: number, name: string, reply: Reply<Entry | NegativeEntry>): void {
    this.#current(reply as Reply<never>, () => {
      const { view } = this.#channel
      const found = view.get('entry', parent, name)
      if (found !== undefined) return this.#replyEntry(found.ino, reply as Reply<Entry>)
      const directory = getInode(view, parent)
      if (directory === undefined) reply.fail(ESTALE)
      else if (!isDirectory(directory)) reply.fail(ENOTDIR)
      else reply.ok({ attributes: undefined, negativeTtlMs: this.#ttl })
    })
  }

  forget(): void {
    // inode numbers are the channel's own: the kernel's references need no table
  }

  getattr(_caller: Caller, ino: number, reply: Reply<{ attributes: Attributes; ttlMs: number }>): void {
    if (!this.#channel.serving) return reply.fail(EIO)
    const inode = this.#inode(ino)
    if (inode === undefined) return reply.fail(ENOENT)
    reply.ok({ attributes: attributesOf(ino, inode), ttlMs: this.#ttl })
  }

  setattr(
    _caller: Caller,
    ino: number,
    change: AttributeChange,
    reply: Reply<{ attributes: Attributes; ttlMs: number }>,
  ): void {
    const inode = this.#inode(ino)
    if (inode === undefined) return reply.fail(ENOENT)
    const now = this.#ports.now()
    const ownership = change.uid !== undefined || change.gid !== undefined
    const answer = (): void => this.getattr(_caller, ino, reply)
    const values = {
      ...(change.mode === undefined ? {} : { mode: change.mode }),
      ...(change.uid === undefined ? {} : { uid: change.uid }),
      ...(change.gid === undefined ? {} : { gid: change.gid }),
      ...(change.size === undefined ? {} : { size: change.size }),
      ...(change.atime === undefined ? {} : { atime: change.atime === 'now' ? now : change.atime }),
      ...(change.mtime === undefined ? {} : { mtime: change.mtime === 'now' ? now : change.mtime }),
    }
    const orphan = this.#orphans.get(ino)
    if (orphan !== undefined) {
      if (change.size !== undefined && change.size < inode.size) orphan.clear(change.size, Infinity)
      const mode = values.mode === undefined ? inode.mode : (inode.mode & S_IFMT) | (values.mode & 0o7777)
      orphan.inode = { ...orphan.inode, ...values, mode, ctime: now }
      return answer()
    }
    // HANDLE_KILLPRIV_V2: a chown clears set-uid and set-gid here (chown(2)); directories keep theirs
    const killPrivileges = change.killPrivileges || (ownership && !isDirectory(inode) && change.mode === undefined)
    if (Object.keys(values).length === 0 && !killPrivileges && change.ctime === undefined) return answer()
    if (change.size !== undefined && change.size > fileSizeMax) return reply.fail(EFBIG)
    this.#change({ kind: 'setattr', ino, ...values, killPrivileges }, reply as Reply<never>, () => {
      const file = change.handle === undefined ? undefined : this.#files.file(change.handle)
      if (file !== undefined && change.size !== undefined) file.sequence = this.#channel.lastSequence
      answer()
    })
  }

  readlink(_caller: Caller, ino: number, reply: Reply<string>): void {
    const inode = this.#inode(ino)
    if (inode === undefined) reply.fail(ENOENT)
    else if (!isSymlink(inode)) reply.fail(EINVAL)
    else reply.ok(inode.target)
  }

  /** The operation that makes a file, owned as inode_init_owner in the kernel would have it. */
  #makeOperation(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    rdev: number,
    target: string,
  ): MakeOperation | number {
    const directory = getInode(this.#channel.view, parent)
    if (directory === undefined) return ESTALE
    const inherits = (directory.mode & 0o2000) !== 0
    const setGroup = inherits && (mode & S_IFMT) === S_IFDIR ? 0o2000 : 0
    return {
      kind: 'make',
      parent,
      name,
      ino: this.#ports.nextInode(),
      mode: mode | setGroup,
      uid: caller.uid,
      gid: inherits ? directory.gid : caller.gid,
      rdev,
      target,
    }
  }

  #make(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    rdev: number,
    target: string,
    reply: Reply<Entry>,
  ): void {
    const operation = this.#makeOperation(caller, parent, name, mode, rdev, target)
    if (typeof operation === 'number') return reply.fail(operation)
    this.#change(operation, reply as Reply<never>, () => this.#replyEntry(operation.ino, reply))
  }

  symlink(caller: Caller, parent: number, name: string, target: string, reply: Reply<Entry>): void {
    this.#make(caller, parent, name, S_IFLNK | 0o777, 0, target, reply)
  }

  mknod(caller: Caller, parent: number, name: string, mode: number, rdev: number, reply: Reply<Entry>): void {
    const type = (mode & S_IFMT) === 0 ? S_IFREG : 0
    this.#make(caller, parent, name, mode | type, rdev, '', reply)
  }

  mkdir(caller: Caller, parent: number, name: string, mode: number, reply: Reply<Entry>): void {
    this.#make(caller, parent, name, S_IFDIR | (mode & 0o7777), 0, '', reply)
  }

  unlink(_caller: Caller, parent: number, name: string, reply: Reply<void>): void {
    this.#change({ kind: 'unlink', parent, name }, reply as Reply<never>, () => reply.ok())
  }

  rmdir(_caller: Caller, parent: number, name: string, reply: Reply<void>): void {
    this.#change({ kind: 'rmdir', parent, name }, reply as Reply<never>, () => reply.ok())
  }

  rename(
    _caller: Caller,
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    reply: Reply<void>,
  ): void {
    const operation: Operation = { kind: 'rename', parent, name, newParent, newName, flags }
    this.#change(operation, reply as Reply<never>, () => reply.ok())
  }

  link(_caller: Caller, ino: number, newParent: number, newName: string, reply: Reply<Entry>): void {
    const operation: Operation = { kind: 'link', ino, parent: newParent, name: newName }
    this.#change(operation, reply as Reply<never>, () => this.#replyEntry(ino, reply))
  }

  // ---- files ----

  #opened(ino: number, flags: number): OpenFile {
    return { handle: this.#files.open(ino, flags), keepCache: !this.#options.latest, directIo: false }
  }

  open(_caller: Caller, ino: number, flags: number, killPrivileges: boolean, reply: Reply<OpenFile>): void {
    this.#current(reply as Reply<never>, () => {
      const inode = this.#inode(ino)
      if (inode === undefined) return reply.fail(ESTALE)
      if ((flags & O_TRUNC) === 0 || (flags & O_ACCMODE) === 0) return reply.ok(this.#opened(ino, flags))
      this.#truncateAndOpen(ino, flags, killPrivileges, reply as Reply<never>, file => reply.ok(file))
    })
  }

  #truncateAndOpen(
    ino: number,
    flags: number,
    killPrivileges: boolean,
    reply: Reply<never>,
    done: (file: OpenFile) => void,
  ): void {
    const orphan = this.#orphans.get(ino)
    if (orphan !== undefined) {
      orphan.clear(0, Infinity)
      orphan.inode = { ...orphan.inode, size: 0 }
      return done(this.#opened(ino, flags))
    }
    this.#change({ kind: 'setattr', ino, size: 0, killPrivileges }, reply, () => {
      const file = this.#opened(ino, flags)
      this.#files.file(file.handle)!.sequence = this.#channel.lastSequence
      done(file)
    })
  }

  create(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void {
    this.#create(caller, parent, name, mode, flags, createTries, reply)
  }

  #create(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    flags: number,
    tries: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void {
    this.#current(reply as Reply<never>, () => {
      const openExisting = (ino: number): void => {
        const inode = this.#inode(ino)
        if ((flags & O_EXCL) !== 0) return reply.fail(EEXIST)
        if (inode === undefined || !isRegular(inode)) return reply.fail(inode === undefined ? ESTALE : EEXIST)
        const answer = (file: OpenFile): void => reply.ok({ entry: this.#entry(ino)!, file })
        if ((flags & O_TRUNC) === 0) answer(this.#opened(ino, flags))
        else this.#truncateAndOpen(ino, flags, false, reply as Reply<never>, answer)
      }
      // another member may have made it since the kernel looked
      const existing = this.#channel.view.get('entry', parent, name)
      if (existing !== undefined) return openExisting(existing.ino)
      const operation = this.#makeOperation(caller, parent, name, S_IFREG | (mode & 0o7777), 0, '')
      if (typeof operation === 'number') return reply.fail(operation)
      this.#change(
        operation,
        reply as Reply<never>,
        () => {
          const entry = this.#entry(operation.ino)
          if (entry === undefined) reply.fail(ENOENT)
          else reply.ok({ entry, file: this.#opened(operation.ino, flags) })
        },
        errno => {
          if (errno !== EEXIST || (flags & O_EXCL) !== 0) return false
          // another member was first: its file is opened, or, if it is gone again, this one is made after all
          const made = this.#channel.view.get('entry', parent, name)
          if (made !== undefined) openExisting(made.ino)
          else if (tries > 0) this.#create(caller, parent, name, mode, flags, tries - 1, reply)
          else return false
          return true
        },
      )
    })
  }

  tmpfile(
    _caller: Caller,
    _parent: number,
    _mode: number,
    _flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void {
    // open(2): "the underlying filesystem does not support O_TMPFILE"; programs then make and unlink a name
    reply.fail(EOPNOTSUPP)
  }

  read(_caller: Caller, ino: number, _handle: number, offset: number, size: number, reply: Reply<Uint8Array[]>): void {
    if (!this.#channel.serving) return reply.fail(EIO)
    const inode = this.#inode(ino)
    if (inode === undefined) return reply.fail(ESTALE)
    const length = Math.min(size, inode.size - offset)
    if (length <= 0) return reply.ok([])
    try {
      const orphan = this.#orphans.get(ino)
      if (orphan !== undefined) reply.ok(orphan.read(offset, length))
      else reply.ok(this.#channel.blobs.read(this.#channel.view, ino, offset, length))
    } catch (error) {
      // a blob that is damaged or gone: the program is told, the rest goes on
      if (!(error instanceof RkfsError)) throw error
      reply.fail(EIO)
    }
  }

  write(
    _caller: Caller,
    ino: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    flags: number,
    killPrivileges: boolean,
    reply: Reply<number>,
  ): void {
    const file = this.#files.file(handle)
    if (file !== undefined && file.error !== 0) return reply.fail(takeError(file))
    const orphan = this.#orphans.get(ino)
    if (orphan !== undefined) {
      const at = (flags & O_APPEND) === 0 ? offset : orphan.inode.size
      orphan.write(at, data, this.#ports.now())
      return reply.ok(data.length)
    }
    if (offset + data.length > fileSizeMax) return reply.fail(EFBIG)
    const operation: Operation =
      (flags & O_APPEND) === 0
        ? { kind: 'write', ino, offset, length: data.length, killPrivileges }
        : { kind: 'append', ino, length: data.length, killPrivileges }
    const cancel = this.#channel.change(operation, data, {
      mount: this.mount,
      timeoutMs: this.#options.timeoutMs,
      durable: this.#options.sync === 'always' || (flags & O_DSYNC) !== 0,
      done: errno => {
        if (errno !== 0) return reply.fail(errno)
        if (file !== undefined) file.sequence = this.#channel.lastSequence
        reply.ok(data.length)
      },
      lost: () => this.#files.spoil(ino, EIO),
    })
    reply.onInterrupt(cancel)
  }

  #settle(file: OpenFileState | undefined, wait: number | undefined, whole: boolean, reply: Reply<void>): void {
    const finish = (errno: number): void => {
      const error = errno === 0 && file !== undefined ? takeError(file) : errno
      if (error === 0) reply.ok()
      else reply.fail(error)
    }
    if (wait === undefined || (file !== undefined && this.#orphans.has(file.ino))) return finish(0)
    reply.onInterrupt(this.#channel.whenDurable(wait, whole, this.#options.timeoutMs, finish))
  }

  flush(_caller: Caller, _ino: number, handle: number, _lockOwner: bigint, reply: Reply<void>): void {
    const file = this.#files.file(handle)
    if (file === undefined) return reply.fail(EBADF)
    const waits = this.#options.sync !== 'fsync' && file.sequence > 0
    this.#settle(file, waits ? file.sequence : undefined, false, reply)
  }

  release(ino: number, handle: number, _flockOwner: bigint | undefined, reply: Reply<void>): void {
    if (this.#files.close(handle)) {
      this.#orphans.get(ino)?.close()
      this.#orphans.delete(ino)
    }
    reply.ok()
  }

  fsync(_caller: Caller, _ino: number, handle: number, _dataOnly: boolean, reply: Reply<void>): void {
    this.#settle(this.#files.file(handle), this.#channel.lastSequence, true, reply)
  }

  // ---- directories ----

  opendir(_caller: Caller, ino: number, _flags: number, reply: Reply<OpenFile>): void {
    this.#current(reply as Reply<never>, () => {
      const inode = this.#inode(ino)
      if (inode === undefined) return reply.fail(ESTALE)
      reply.ok({ handle: this.#files.openDirectory(ino), keepCache: false, directIo: false })
    })
  }

  readdir(
    _caller: Caller,
    ino: number,
    handle: number,
    offset: bigint,
    plus: boolean,
    add: (item: DirectoryItem) => boolean,
    reply: Reply<void>,
  ): void {
    const state = this.#files.directory(handle)
    if (state === undefined) return reply.fail(EBADF)
    // a listing is taken when reading begins (and by rewinddir): offsets in it stay what they are, whatever comes and goes
    if (offset === 0n || state.items === undefined) state.items = this.#list(ino)
    const { items } = state
    for (let at = Number(offset); at < items.length; at++) {
      const { name, ino: child, type } = items[at]!
      const next = BigInt(at + 1)
      const entry = plus && name !== '.' && name !== '..' ? this.#entry(child) : undefined
      if (!add({ name, ino: child, type, offset: next, ...(entry === undefined ? {} : { entry }) })) break
    }
    reply.ok()
  }

  #list(ino: number): { name: string; ino: number; type: number }[] {
    const { view } = this.#channel
    const inode = getInode(view, ino)
    const items = [
      { name: '.', ino, type: S_IFDIR },
      { name: '..', ino: inode?.parent ?? ino, type: S_IFDIR },
    ]
    let after: string | undefined
    for (;;) {
      const found = view.scan('entry', ino, after, 4096)
      for (const [name, entry] of found) {
        items.push({ name, ino: entry.ino, type: entry.type })
        after = name
      }
      if (found.length < 4096) return items
    }
  }

  releasedir(_ino: number, handle: number, reply: Reply<void>): void {
    this.#files.closeDirectory(handle)
    reply.ok()
  }

  fsyncdir(_caller: Caller, _ino: number, _handle: number, _dataOnly: boolean, reply: Reply<void>): void {
    this.#settle(undefined, this.#channel.lastSequence, true, reply)
  }

  statfs(_caller: Caller, reply: Reply<FileSystemStatistics>): void {
    reply.ok(this.#ports.statistics())
  }

  // ---- extended attributes ----

  setxattr(_caller: Caller, ino: number, name: string, value: Uint8Array, flags: number, reply: Reply<void>): void {
    if (name.startsWith('system.')) return reply.fail(EOPNOTSUPP)
    this.#change({ kind: 'setxattr', ino, name, value, flags }, reply as Reply<never>, () => reply.ok())
  }

  getxattr(_caller: Caller, ino: number, name: string, reply: Reply<Uint8Array>): void {
    if (name.startsWith('system.')) return reply.fail(EOPNOTSUPP)
    const value = this.#channel.view.get('xattr', ino, name)
    if (value === undefined) reply.fail(ENODATA)
    else reply.ok(value)
  }

  listxattr(_caller: Caller, ino: number, reply: Reply<readonly string[]>): void {
    reply.ok(xattrNames(this.#channel.view, ino))
  }

  removexattr(_caller: Caller, ino: number, name: string, reply: Reply<void>): void {
    if (name.startsWith('system.')) return reply.fail(EOPNOTSUPP)
    this.#change({ kind: 'removexattr', ino, name }, reply as Reply<never>, () => reply.ok())
  }

  // ---- ranges ----

  fallocate(
    _caller: Caller,
    ino: number,
    handle: number,
    mode: number,
    offset: number,
    length: number,
    reply: Reply<void>,
  ): void {
    const orphan = this.#orphans.get(ino)
    if (orphan !== undefined) {
      if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) !== 0) orphan.clear(offset, offset + length)
      const size = (mode & FALLOC_FL_KEEP_SIZE) === 0 ? Math.max(orphan.inode.size, offset + length) : orphan.inode.size
      orphan.inode = { ...orphan.inode, size }
      return reply.ok()
    }
    this.#change({ kind: 'allocate', ino, mode, offset, length }, reply as Reply<never>, () => {
      const file = this.#files.file(handle)
      if (file !== undefined) file.sequence = this.#channel.lastSequence
      reply.ok()
    })
  }

  lseek(_caller: Caller, ino: number, _handle: number, offset: number, whence: number, reply: Reply<number>): void {
    const inode = this.#inode(ino)
    if (inode === undefined) return reply.fail(ESTALE)
    if (whence !== 3 && whence !== 4) return reply.fail(EINVAL)
    if (offset >= inode.size || offset < 0) return reply.fail(ENXIO)
    // an orphan's map is its own: all of it counts as data
    if (this.#orphans.has(ino)) return reply.ok(whence === 3 ? offset : inode.size)
    const found = seek(this.#channel.view, ino, inode.size, offset, whence === 3)
    if (found === undefined) reply.fail(ENXIO)
    else reply.ok(found)
  }

  copyFileRange(
    _caller: Caller,
    _from: { ino: number; handle: number; offset: number },
    _to: { ino: number; handle: number; offset: number },
    _length: number,
    reply: Reply<number>,
  ): void {
    // the kernel then copies through its page cache
    reply.fail(ENOSYS)
  }

  // ---- locks: the kernel keeps them for the programs of this mount (DESIGN §2, promise 7) ----

  getlk(_c: Caller, _ino: number, _handle: number, _owner: bigint, _lock: FileLock, reply: Reply<FileLock>): void {
    reply.fail(ENOSYS)
  }

  setlk(
    _c: Caller,
    _ino: number,
    _handle: number,
    _owner: bigint,
    _lock: FileLock,
    _flock: boolean,
    _wait: boolean,
    reply: Reply<void>,
  ): void {
    reply.fail(ENOSYS)
  }
}

function takeError(file: OpenFileState): number {
  const { error } = file
  file.error = 0
  return error
}
