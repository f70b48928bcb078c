import {
  EEXIST,
  EINTR,
  EINVAL,
  EISDIR,
  ENODATA,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EOPNOTSUPP,
} from '../../../src/base/errno.js'
import type {
  AttributeChange,
  Attributes,
  Caller,
  DirectoryItem,
  Entry,
  FileLock,
  FileSystemHandler,
  FileSystemStatistics,
  NegativeEntry,
  OpenFile,
  Reply,
} from '../../../src/channel/mount-port.js'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000
const O_TRUNC = 0o1000
const TTL_MS = 3_600_000

interface Node {
  readonly ino: number
  mode: number
  nlink: number
  uid: number
  gid: number
  rdev: number
  size: number
  atime: bigint
  mtime: bigint
  ctime: bigint
  data: Uint8Array
  target: string
  readonly children: Map<string, number>
  readonly xattrs: Map<string, Uint8Array>
  parent: number
}

const now = (): bigint => BigInt(Date.now()) * 1_000_000n

/**
 * A file system in memory behind the mount port, for tests of drivers: everything may be cached for an hour, so what a
 * test sees afresh came through a notification. Names with a meaning: `hang*` never answers a lookup until interrupted,
 * `throw*` throws, `null*` discards what is written, `slow*` answers a lookup after 20 ms, `unanswered*` never answers a mkdir.
 */
export class MemoryHandler implements FileSystemHandler {
  readonly nodes = new Map<number, Node>()
  readonly forgotten = new Map<number, number>()
  readonly events: (event: string) => void
  #nextIno = 2
  #nextHandle = 1

  constructor(events: (event: string) => void = () => undefined) {
    this.events = events
    this.#make(S_IFDIR | 0o755, 0, 0, 1, 1)
  }

  /** A change that does not come through the mount. Answers the inode number. */
  put(name: string, text: string): number {
    const root = this.nodes.get(1)!
    const ino = root.children.get(name)
    const node = ino === undefined ? this.#make(S_IFREG | 0o644, 0, 0, 1) : this.nodes.get(ino)!
    root.children.set(name, node.ino)
    node.data = Buffer.from(text)
    node.size = node.data.length
    node.mtime = node.ctime = root.mtime = root.ctime = now()
    return node.ino
  }

  /** Takes a name away behind the mount's back. Answers the inode number. */
  drop(name: string): number {
    const root = this.nodes.get(1)!
    const ino = root.children.get(name)!
    root.children.delete(name)
    return ino
  }

  #make(mode: number, uid: number, gid: number, parent: number, ino = this.#nextIno++): Node {
    const time = now()
    const node: Node = {
      ino,
      mode,
      nlink: (mode & S_IFMT) === S_IFDIR ? 2 : 1,
      uid,
      gid,
      rdev: 0,
      size: 0,
      atime: time,
      mtime: time,
      ctime: time,
      data: new Uint8Array(0),
      target: '',
      children: new Map(),
      xattrs: new Map(),
      parent,
    }
    this.nodes.set(ino, node)
    return node
  }

  #attributes(node: Node): Attributes {
    return { ...pick(node), blocks: Math.ceil(node.size / 512) }
  }

  #entry(node: Node): Entry {
    return { attributes: this.#attributes(node), entryTtlMs: TTL_MS, attributesTtlMs: TTL_MS }
  }

  #open(): OpenFile {
    return { handle: this.#nextHandle++, keepCache: true, directIo: false }
  }

  lookup(_: Caller, parent: number, name: string, reply: Reply<Entry | NegativeEntry>): void {
    if (name.startsWith('throw')) throw new Error('as the test asked')
    if (name.startsWith('hang')) {
      this.events(`hanging ${name}`)
      return reply.onInterrupt(() => {
        this.events(`interrupted ${name}`)
        reply.fail(EINTR)
      })
    }
    const ino = this.nodes.get(parent)!.children.get(name)
    const answer = (): void =>
      ino === undefined
        ? reply.ok({ attributes: undefined, negativeTtlMs: TTL_MS })
        : reply.ok(this.#entry(this.nodes.get(ino)!))
    if (name === 'slow-answer') {
      const late = setTimeout(answer, 3000)
      reply.onInterrupt(() => {
        clearTimeout(late)
        this.events(`interrupted ${name}`)
        reply.fail(EINTR)
      })
    } else if (name.startsWith('slow')) setTimeout(answer, 20)
    else answer()
  }

  forget(inodes: readonly { ino: number; count: number }[]): void {
    for (const { ino, count } of inodes) this.forgotten.set(ino, (this.forgotten.get(ino) ?? 0) + count)
  }

  getattr(_: Caller, ino: number, reply: Reply<{ attributes: Attributes; ttlMs: number }>): void {
    const node = this.nodes.get(ino)
    if (node === undefined) return reply.fail(ENOENT)
    reply.ok({ attributes: this.#attributes(node), ttlMs: TTL_MS })
  }

  setattr(
    _: Caller,
    ino: number,
    change: AttributeChange,
    reply: Reply<{ attributes: Attributes; ttlMs: number }>,
  ): void {
    const node = this.nodes.get(ino)!
    if (change.mode !== undefined) node.mode = (node.mode & S_IFMT) | (change.mode & 0o7777)
    if (change.uid !== undefined) node.uid = change.uid
    if (change.gid !== undefined) node.gid = change.gid
    if (change.size !== undefined) this.#resize(node, change.size)
    if (change.atime !== undefined) node.atime = change.atime === 'now' ? now() : change.atime
    if (change.mtime !== undefined) node.mtime = change.mtime === 'now' ? now() : change.mtime
    if (change.killPrivileges) node.mode &= ~0o6000
    node.ctime = now()
    this.getattr(_, ino, reply)
  }

  readlink(_: Caller, ino: number, reply: Reply<string>): void {
    reply.ok(this.nodes.get(ino)!.target)
  }

  #add(caller: Caller, parent: number, name: string, given: number): Node | undefined {
    const directory = this.nodes.get(parent)!
    if (directory.children.has(name)) return undefined
    const node = this.#make(given & ~(caller.umask ?? 0), caller.uid, caller.gid, parent)
    directory.children.set(name, node.ino)
    directory.mtime = directory.ctime = now()
    return node
  }

  symlink(caller: Caller, parent: number, name: string, target: string, reply: Reply<Entry>): void {
    const node = this.#add(caller, parent, name, S_IFLNK | 0o777)
    if (node === undefined) return reply.fail(EEXIST)
    node.target = target
    node.size = target.length
    reply.ok(this.#entry(node))
  }

  mknod(caller: Caller, parent: number, name: string, mode: number, rdev: number, reply: Reply<Entry>): void {
    const node = this.#add(caller, parent, name, mode)
    if (node === undefined) return reply.fail(EEXIST)
    node.rdev = rdev
    reply.ok(this.#entry(node))
  }

  mkdir(caller: Caller, parent: number, name: string, mode: number, reply: Reply<Entry>): void {
    if (name.startsWith('unanswered')) this.events('unanswered')
    else this.mknod(caller, parent, name, S_IFDIR | mode, 0, reply)
  }

  unlink(_: Caller, parent: number, name: string, reply: Reply<void>): void {
    const children = this.nodes.get(parent)!.children
    const ino = children.get(name)
    if (ino === undefined) return reply.fail(ENOENT)
    children.delete(name)
    this.nodes.get(ino)!.nlink--
    reply.ok()
  }

  rmdir(caller: Caller, parent: number, name: string, reply: Reply<void>): void {
    const ino = this.nodes.get(parent)!.children.get(name)
    if (ino !== undefined && this.nodes.get(ino)!.children.size > 0) return reply.fail(ENOTEMPTY)
    this.unlink(caller, parent, name, reply)
  }

  rename(
    _: Caller,
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    reply: Reply<void>,
  ): void {
    const from = this.nodes.get(parent)!.children
    const to = this.nodes.get(newParent)!.children
    const ino = from.get(name)
    const other = to.get(newName)
    if (ino === undefined) return reply.fail(ENOENT)
    if (flags & 1 && other !== undefined) return reply.fail(EEXIST)
    if (flags & 4) return reply.fail(EINVAL)
    if (flags & 2) {
      if (other === undefined) return reply.fail(ENOENT)
      from.set(name, other)
    } else from.delete(name)
    to.set(newName, ino)
    reply.ok()
  }

  link(_: Caller, ino: number, newParent: number, newName: string, reply: Reply<Entry>): void {
    const node = this.nodes.get(ino)!
    const children = this.nodes.get(newParent)!.children
    if (children.has(newName)) return reply.fail(EEXIST)
    children.set(newName, ino)
    node.nlink++
    reply.ok(this.#entry(node))
  }

  open(_: Caller, ino: number, flags: number, kill: boolean, reply: Reply<OpenFile>): void {
    const node = this.nodes.get(ino)!
    if ((node.mode & S_IFMT) === S_IFDIR) return reply.fail(EISDIR)
    if (flags & O_TRUNC) this.#resize(node, 0)
    if (kill) node.mode &= ~0o6000
    reply.ok(this.#open())
  }

  create(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    _flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void {
    const node = this.#add(caller, parent, name, S_IFREG | (mode & 0o7777))
    if (node === undefined) return reply.fail(EEXIST)
    if (name.startsWith('null')) this.#discard.add(node.ino)
    if (name.startsWith('group')) this.events(`group ${caller.supplementaryGroup}`)
    reply.ok({ entry: this.#entry(node), file: this.#open() })
  }

  tmpfile(
    caller: Caller,
    parent: number,
    mode: number,
    _flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void {
    const node = this.#make(S_IFREG | (mode & 0o7777), caller.uid, caller.gid, parent)
    node.nlink = 0
    reply.ok({ entry: this.#entry(node), file: this.#open() })
  }

  read(_: Caller, ino: number, _handle: number, offset: number, size: number, reply: Reply<Uint8Array[]>): void {
    const node = this.nodes.get(ino)!
    const end = Math.min(node.size, offset + size)
    const stored = node.data.subarray(Math.min(offset, node.data.length), Math.min(end, node.data.length))
    const zeros = Math.max(0, end - offset) - stored.length
    // Two parts, so that drivers meet replies of more than one.
    const half = stored.length >> 1
    const parts = [stored.subarray(0, half), stored.subarray(half)]
    reply.ok(zeros > 0 ? [...parts, new Uint8Array(zeros)] : parts)
  }

  readonly #discard = new Set<number>()

  writeBack(ino: number, handle: number, offset: number, data: Uint8Array, reply: Reply<number>): void {
    this.write({ uid: 0, gid: 0, pid: 0 }, ino, handle, offset, data, 0, false, reply)
  }

  write(
    _: Caller,
    ino: number,
    _handle: number,
    offset: number,
    data: Uint8Array,
    _flags: number,
    kill: boolean,
    reply: Reply<number>,
  ): void {
    const node = this.nodes.get(ino)!
    if (kill) node.mode &= ~0o6000
    if (this.#discard.has(ino)) node.size = Math.max(node.size, offset + data.length)
    else {
      if (offset + data.length > node.size) this.#resize(node, offset + data.length)
      node.data.set(data, offset)
    }
    node.mtime = node.ctime = now()
    reply.ok(data.length)
  }

  #resize(node: Node, size: number): void {
    if (size > node.data.length) {
      const grown = new Uint8Array(Math.max(size, node.data.length * 2))
      grown.set(node.data.subarray(0, node.size))
      node.data = grown
    } else node.data.fill(0, size, Math.max(size, node.size))
    node.size = size
    node.mtime = node.ctime = now()
  }

  flush(_: Caller, _ino: number, _handle: number, _lockOwner: bigint, reply: Reply<void>): void {
    reply.ok()
  }

  release(_ino: number, _handle: number, _flockOwner: bigint | undefined, reply: Reply<void>): void {
    reply.ok()
  }

  fsync(_: Caller, _ino: number, _handle: number, _dataOnly: boolean, reply: Reply<void>): void {
    reply.ok()
  }

  opendir(_: Caller, ino: number, _flags: number, reply: Reply<OpenFile>): void {
    if ((this.nodes.get(ino)!.mode & S_IFMT) !== S_IFDIR) return reply.fail(ENOTDIR)
    reply.ok({ ...this.#open(), cacheDirectory: true })
  }

  readdir(
    _: Caller,
    ino: number,
    _handle: number,
    offset: bigint,
    plus: boolean,
    add: (item: DirectoryItem) => boolean,
    reply: Reply<void>,
  ): void {
    const directory = this.nodes.get(ino)!
    const items: [string, number][] = [['.', ino], ['..', directory.parent], ...directory.children]
    for (let i = Number(offset); i < items.length; i++) {
      const [name, child] = items[i]!
      const node = this.nodes.get(child)!
      const entry = plus && i > 1 ? this.#entry(node) : undefined
      if (!add({ name, ino: child, type: node.mode & S_IFMT, offset: BigInt(i + 1), entry })) break
    }
    reply.ok()
  }

  releasedir(_ino: number, _handle: number, reply: Reply<void>): void {
    reply.ok()
  }

  fsyncdir(_: Caller, _ino: number, _handle: number, _dataOnly: boolean, reply: Reply<void>): void {
    reply.ok()
  }

  statfs(_: Caller, reply: Reply<FileSystemStatistics>): void {
    reply.ok({
      blockSize: 4096,
      blocks: 1_000_000,
      blocksFree: 500_000,
      blocksAvailable: 400_000,
      files: 1000,
      filesFree: 900,
      nameMax: 255,
    })
  }

  setxattr(_: Caller, ino: number, name: string, value: Uint8Array, _flags: number, reply: Reply<void>): void {
    this.nodes.get(ino)!.xattrs.set(name, value)
    reply.ok()
  }

  getxattr(_: Caller, ino: number, name: string, reply: Reply<Uint8Array>): void {
    const value = this.nodes.get(ino)!.xattrs.get(name)
    if (value === undefined) return reply.fail(ENODATA)
    reply.ok(value)
  }

  listxattr(_: Caller, ino: number, reply: Reply<readonly string[]>): void {
    reply.ok([...this.nodes.get(ino)!.xattrs.keys()])
  }

  removexattr(_: Caller, ino: number, name: string, reply: Reply<void>): void {
    if (this.nodes.get(ino)!.xattrs.delete(name)) reply.ok()
    else reply.fail(ENODATA)
  }

  fallocate(
    _: Caller,
    ino: number,
    _handle: number,
    mode: number,
    offset: number,
    length: number,
    reply: Reply<void>,
  ): void {
    const node = this.nodes.get(ino)!
    if (mode !== 0) return reply.fail(EOPNOTSUPP)
    if (offset + length > node.size) this.#resize(node, offset + length)
    reply.ok()
  }

  lseek(_: Caller, ino: number, _handle: number, offset: number, whence: number, reply: Reply<number>): void {
    const node = this.nodes.get(ino)!
    if (offset >= node.size) return reply.fail(ENXIO)
    reply.ok(whence === 3 ? offset : node.size)
  }

  copyFileRange(
    caller: Caller,
    from: { ino: number; handle: number; offset: number },
    to: { ino: number; handle: number; offset: number },
    length: number,
    reply: Reply<number>,
  ): void {
    const source = this.nodes.get(from.ino)!
    const data = source.data.slice(from.offset, Math.min(source.size, from.offset + length))
    this.events(`copied ${data.length}`)
    this.write(caller, to.ino, to.handle, to.offset, data, 0, false, reply)
  }

  getlk(_: Caller, _ino: number, _handle: number, _owner: bigint, lock: FileLock, reply: Reply<FileLock>): void {
    reply.ok({ ...lock, type: 'unlock' })
  }

  setlk(
    _: Caller,
    _ino: number,
    _handle: number,
    _owner: bigint,
    lock: FileLock,
    flock: boolean,
    _wait: boolean,
    reply: Reply<void>,
  ): void {
    this.events(`lock ${lock.type} ${flock ? 'flock' : 'fcntl'} ${lock.end === Number.MAX_SAFE_INTEGER}`)
    reply.ok()
  }
}

function pick(node: Node): Omit<Attributes, 'blocks'> {
  const { ino, mode, nlink, uid, gid, rdev, size, atime, mtime, ctime } = node
  return { ino, mode, nlink, uid, gid, rdev, size, atime, mtime, ctime }
}
