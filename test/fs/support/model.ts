import * as errno from '../../../src/base/errno.js'
import { fileSizeMax } from '../../../src/base/limits.js'
import type { Operation, RenameOperation } from '../../../src/fs/operation.js'
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../../src/fs/records.js'

/** A file as a child would draw it. */
export interface ModelInode {
  mode: number
  uid: number
  gid: number
  target: string
  content: Buffer
  /** One byte for each of the content's: whether something was written there. */
  written: Buffer
  /** One byte for each of the content's, and beyond: whether fallocate(2) reserved it. */
  reserved: Buffer
  names: Map<string, number>
  xattrs: Map<string, Buffer>
}

/**
 * A file system that is right because it is simple: whole files in memory, and all that can be counted (links, names,
 * parents, allocated bytes) counted when it is asked for. The manual pages are its source, not `src/fs`.
 */
export class ModelFs {
  readonly inodes = new Map<number, ModelInode>()
  /** Made without a name, and given none so far. */
  readonly nameless = new Set<number>()

  constructor() {
    this.inodes.set(1, blank(S_IFDIR | 0o755))
  }

  isDirectory(ino: number): boolean {
    return (this.inodes.get(ino)!.mode & S_IFMT) === S_IFDIR
  }
  isRegular(ino: number): boolean {
    return (this.inodes.get(ino)!.mode & S_IFMT) === S_IFREG
  }

  links(ino: number): number {
    if (this.isDirectory(ino)) {
      const children = [...this.inodes.get(ino)!.names.values()]
      return 2 + children.filter(child => this.isDirectory(child)).length
    }
    let count = 0
    for (const { names } of this.inodes.values()) for (const named of names.values()) if (named === ino) count++
    return count
  }

  allocated(ino: number): number {
    const { written, reserved } = this.inodes.get(ino)!
    let count = 0
    for (let at = 0; at < Math.max(written.length, reserved.length); at++) {
      if (written[at] === 1 || reserved[at] === 1) count++
    }
    return count
  }

  apply(operation: Operation, payload: Uint8Array): number {
    switch (operation.kind) {
      case 'make': {
        if (operation.parent === 0) {
          if ((operation.mode & S_IFMT) !== S_IFREG || operation.name !== hidden(operation.ino)) return errno.EINVAL
          if (this.inodes.has(operation.ino)) return errno.EEXIST
          this.nameless.add(operation.ino)
          this.inodes.set(operation.ino, { ...blank(operation.mode), uid: operation.uid, gid: operation.gid })
          return 0
        }
        const parent = this.#directory(operation.parent)
        if (typeof parent === 'number') return parent
        if (parent.names.has(operation.name) || this.inodes.has(operation.ino)) return errno.EEXIST
        const made = blank(operation.mode)
        if (operation.umask !== undefined && (operation.mode & S_IFMT) !== S_IFLNK) made.mode &= ~operation.umask
        made.uid = operation.uid
        made.gid = operation.gid
        made.target = operation.target
        this.inodes.set(operation.ino, made)
        parent.names.set(operation.name, operation.ino)
        return 0
      }
      case 'link': {
        const parent = this.#directory(operation.parent)
        if (typeof parent === 'number') return parent
        if (!this.inodes.has(operation.ino)) return errno.ENOENT
        if (this.isDirectory(operation.ino)) return errno.EPERM
        if (parent.names.has(operation.name)) return errno.EEXIST
        parent.names.set(operation.name, operation.ino)
        this.nameless.delete(operation.ino)
        return 0
      }
      case 'unlink':
      case 'rmdir': {
        if (operation.parent === 0) {
          const found = [...this.nameless].find(ino => hidden(ino) === operation.name)
          if (found === undefined) return errno.ENOENT
          if (operation.kind === 'rmdir') return errno.ENOTDIR
          this.nameless.delete(found)
          this.inodes.delete(found)
          return 0
        }
        const parent = this.#directory(operation.parent)
        if (typeof parent === 'number') return parent
        const ino = parent.names.get(operation.name)
        if (ino === undefined) return errno.ENOENT
        if (operation.kind === 'unlink' && this.isDirectory(ino)) return errno.EISDIR
        if (operation.kind === 'rmdir' && !this.isDirectory(ino)) return errno.ENOTDIR
        if (this.inodes.get(ino)!.names.size > 0) return errno.ENOTEMPTY
        parent.names.delete(operation.name)
        this.#sweep()
        return 0
      }
      case 'rename':
        return this.#rename(operation)
      case 'setattr': {
        const inode = this.inodes.get(operation.ino)
        if (inode === undefined) return errno.ENOENT
        if (operation.size !== undefined) {
          if (this.isDirectory(operation.ino)) return errno.EISDIR
          if (!this.isRegular(operation.ino)) return errno.EINVAL
          if (operation.size > fileSizeMax) return errno.EFBIG
          if (operation.size <= inode.content.length) inode.reserved = inode.reserved.subarray(0, operation.size)
          this.#resize(inode, operation.size)
        }
        if (operation.mode !== undefined) inode.mode = (inode.mode & S_IFMT) | (operation.mode & 0o7777)
        if (operation.killPrivileges) kill(inode)
        inode.uid = operation.uid ?? inode.uid
        inode.gid = operation.gid ?? inode.gid
        return 0
      }
      case 'write':
      case 'append': {
        const inode = this.#regular(operation.ino)
        if (typeof inode === 'number') return inode
        const offset = operation.kind === 'append' ? inode.content.length : operation.offset
        if (offset + operation.length > fileSizeMax) return errno.EFBIG
        if (offset + operation.length > inode.content.length) this.#resize(inode, offset + operation.length)
        inode.content.set(payload, offset)
        inode.written.fill(1, offset, offset + operation.length)
        if (operation.killPrivileges) kill(inode)
        return 0
      }
      case 'allocate': {
        const inode = this.#regular(operation.ino)
        if (typeof inode === 'number') return inode
        const { mode, offset, length } = operation
        if (length === 0) return errno.EINVAL
        if (![0, 1, 3, 16, 17].includes(mode)) return errno.EOPNOTSUPP
        if (offset + length > fileSizeMax) return errno.EFBIG
        if ((mode & 1) === 0 && offset + length > inode.content.length) this.#resize(inode, offset + length)
        if (mode > 1) {
          inode.content.subarray(offset, offset + length).fill(0)
          inode.written.subarray(offset, offset + length).fill(0)
        }
        if (mode === 3) inode.reserved.subarray(offset, offset + length).fill(0)
        else {
          const reserved = Buffer.alloc(Math.max(inode.reserved.length, offset + length))
          inode.reserved.copy(reserved)
          inode.reserved = reserved.fill(1, offset, offset + length)
        }
        return 0
      }
      case 'clone': {
        const { source, sourceOffset, ino, offset, length } = operation
        const from = this.#regular(source)
        if (typeof from === 'number') return from
        const to = this.#regular(ino)
        if (typeof to === 'number') return to
        if (length === 0) return errno.EINVAL
        if (source === ino && Math.abs(sourceOffset - offset) < length) return errno.EINVAL
        if (sourceOffset + length > from.content.length) return errno.EAGAIN
        if (offset + length > to.content.length) this.#resize(to, offset + length)
        to.content.set(from.content.subarray(sourceOffset, sourceOffset + length), offset)
        to.written.set(from.written.subarray(sourceOffset, sourceOffset + length), offset)
        return 0
      }
      case 'setxattr': {
        const inode = this.inodes.get(operation.ino)
        if (inode === undefined) return errno.ENOENT
        if (operation.flags === 1 && inode.xattrs.has(operation.name)) return errno.EEXIST
        if (operation.flags === 2 && !inode.xattrs.has(operation.name)) return errno.ENODATA
        inode.xattrs.set(operation.name, Buffer.from(operation.value))
        return 0
      }
      case 'removexattr': {
        const inode = this.inodes.get(operation.ino)
        if (inode === undefined) return errno.ENOENT
        return inode.xattrs.delete(operation.name) ? 0 : errno.ENODATA
      }
      default:
        return 0
    }
  }

  #directory(ino: number): ModelInode | number {
    const inode = this.inodes.get(ino)
    if (inode === undefined) return errno.ENOENT
    return this.isDirectory(ino) ? inode : errno.ENOTDIR
  }

  #regular(ino: number): ModelInode | number {
    const inode = this.inodes.get(ino)
    if (inode === undefined) return errno.ENOENT
    if (this.isDirectory(ino)) return errno.EISDIR
    return this.isRegular(ino) ? inode : errno.EINVAL
  }

  #resize(inode: ModelInode, size: number): void {
    const resized = (old: Buffer): Buffer => {
      const bytes = Buffer.alloc(size)
      old.copy(bytes)
      return bytes
    }
    inode.content = resized(inode.content)
    inode.written = resized(inode.written)
  }

  /** Takes away what no name leads to. */
  #sweep(): void {
    const found = new Set<number>()
    const visit = (ino: number): void => {
      if (found.has(ino)) return
      found.add(ino)
      for (const child of this.inodes.get(ino)!.names.values()) visit(child)
    }
    visit(1)
    for (const ino of this.nameless) found.add(ino)
    for (const ino of this.inodes.keys()) if (!found.has(ino)) this.inodes.delete(ino)
  }

  #holds(ancestor: number, ino: number): boolean {
    if (ancestor === ino) return true
    return [...this.inodes.get(ancestor)!.names.values()].some(child => this.#holds(child, ino))
  }

  #rename({ parent, name, newParent, newName, flags, whiteout }: RenameOperation): number {
    if (![0, 1, 2, 4, 5].includes(flags) || flags >= 4 !== (whiteout !== undefined)) return errno.EINVAL
    const from = this.#directory(parent)
    if (typeof from === 'number') return from
    const to = this.#directory(newParent)
    if (typeof to === 'number') return to
    const ino = from.names.get(name)
    if (ino === undefined) return errno.ENOENT
    if (whiteout !== undefined && this.inodes.has(whiteout)) return errno.EEXIST
    if (this.#holds(ino, newParent)) return errno.EINVAL
    const target = to.names.get(newName)
    if (flags === 2) {
      if (target === undefined) return errno.ENOENT
      if (this.#holds(target, parent)) return errno.EINVAL
      from.names.set(name, target)
      to.names.set(newName, ino)
      return 0
    }
    if (target !== undefined) {
      if (flags === 1 || flags === 5) return errno.EEXIST
      if (target === ino) return 0
      if (this.isDirectory(target)) {
        if (!this.isDirectory(ino)) return errno.EISDIR
        if (this.inodes.get(target)!.names.size > 0) return errno.ENOTEMPTY
      } else if (this.isDirectory(ino)) return errno.ENOTDIR
    }
    from.names.delete(name)
    to.names.set(newName, ino)
    if (whiteout !== undefined) {
      const { uid, gid } = this.inodes.get(ino)!
      this.inodes.set(whiteout, { ...blank(0o020000), uid, gid })
      from.names.set(name, whiteout)
    }
    this.#sweep()
    return 0
  }
}

/** Where a file without a name stands. */
function hidden(ino: number): string {
  return ino.toString(16).padStart(14, '0')
}

function blank(mode: number): ModelInode {
  const none = Buffer.alloc(0)
  return {
    mode,
    uid: 0,
    gid: 0,
    target: '',
    content: none,
    written: none,
    reserved: none,
    names: new Map(),
    xattrs: new Map(),
  }
}

function kill(inode: ModelInode): void {
  const group = (inode.mode & 0o010) === 0 ? 0 : 0o2000
  inode.mode &= ~(0o4000 | group)
}
