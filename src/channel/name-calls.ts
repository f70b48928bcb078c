import { EEXIST, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, ESTALE } from '../base/errno.js'
import { nameBytesMax } from '../base/limits.js'
import { getInode } from '../fs/inodes.js'
import { RENAME_WHITEOUT, type MakeOperation, type Operation } from '../fs/operation.js'
import { isDirectory, isSymlink, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../fs/records.js'
import type { MountState } from './mount-state.js'
import { giveName } from './nameless-file.js'
import type { Caller, Entry, NegativeEntry, Reply } from './mount-port.js'

/** The calls that find, make, move and remove names. */
export class NameCalls {
  readonly #mount: MountState

  constructor(mount: MountState) {
    this.#mount = mount
  }

  lookup(parent: number, name: string, reply: Reply<Entry | NegativeEntry>): void {
    // path_resolution(7): each component has a bound, whether the name exists or not
    if (name.length > nameBytesMax) return reply.fail(ENAMETOOLONG)
    const mount = this.#mount
    mount.current(reply as Reply<never>, () => {
      const found = mount.view.get('entry', parent, name)
      if (found !== undefined) return mount.replyEntry(found.ino, reply as Reply<Entry>)
      const directory = mount.inode(parent)
      if (directory === undefined) reply.fail(ESTALE)
      else if (!isDirectory(directory)) reply.fail(ENOTDIR)
      else reply.ok({ attributes: undefined, negativeTtlMs: mount.ttl })
    })
  }

  readlink(ino: number, reply: Reply<string>): void {
    const inode = this.#mount.inode(ino)
    if (inode === undefined) return reply.fail(ESTALE)
    if (!isSymlink(inode)) return reply.fail(EINVAL)
    this.#mount.accessed(ino, inode, false)
    reply.ok(inode.target)
  }

  /** The operation that makes a file, owned as inode_init_owner in the kernel would have it; or why not. */
  makeOperation(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    rdev: number,
    target: string,
  ): MakeOperation | number {
    const directory = getInode(this.#mount.view, parent)
    if (directory === undefined) return ESTALE
    const inherits = (directory.mode & 0o2000) !== 0
    const isDir = (mode & S_IFMT) === S_IFDIR
    if (inherits && isDir) mode |= 0o2000
    else if (inherits && (mode & 0o2010) === 0o2010 && !isInGroup(caller, directory.gid)) {
      // mode_strip_sgid in the kernel (newer ones do it before they ask)
      mode &= ~0o2000
    }
    const ino = this.#mount.nextInode()
    if (ino < 0) return -ino
    return {
      kind: 'make',
      parent,
      name,
      ino,
      mode,
      uid: caller.uid,
      gid: inherits ? directory.gid : caller.gid,
      rdev,
      target,
      ...(caller.umask === undefined ? {} : { umask: caller.umask }),
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
    const operation = this.makeOperation(caller, parent, name, mode, rdev, target)
    if (typeof operation === 'number') return reply.fail(operation)
    this.#mount.change(operation, reply as Reply<never>, () => this.#mount.replyEntry(operation.ino, reply))
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

  remove(kind: 'unlink' | 'rmdir', parent: number, name: string, reply: Reply<void>): void {
    this.#mount.change({ kind, parent, name }, reply as Reply<never>, () => reply.ok())
  }

  rename(parent: number, name: string, newParent: number, newName: string, flags: number, reply: Reply<void>): void {
    const whiteout = (flags & RENAME_WHITEOUT) === 0 ? undefined : this.#mount.nextInode()
    if (whiteout !== undefined && whiteout < 0) return reply.fail(-whiteout)
    const made = whiteout === undefined ? {} : { whiteout }
    const operation: Operation = { kind: 'rename', parent, name, newParent, newName, flags, ...made }
    this.#mount.change(operation, reply as Reply<never>, () => reply.ok())
  }

  link(ino: number, newParent: number, newName: string, reply: Reply<Entry>): void {
    const mount = this.#mount
    const orphan = mount.orphans.get(ino)
    if (orphan === undefined) {
      const operation: Operation = { kind: 'link', ino, parent: newParent, name: newName }
      return mount.change(operation, reply as Reply<never>, () => {
        const entry = mount.uncheckedEntry(ino)
        if (entry === undefined) reply.fail(ENOENT)
        else reply.ok(entry)
      })
    }
    if (!orphan.isNew) return reply.fail(ENOENT)
    if (mount.view.get('entry', newParent, newName) !== undefined) return reply.fail(EEXIST)
    const cancel = giveName(mount, orphan, newParent, newName, errno => {
      if (errno === 0) mount.replyEntry(ino, reply)
      else reply.fail(errno)
    })
    reply.onInterrupt(cancel)
  }
}

function isInGroup(caller: Caller, gid: number): boolean {
  return caller.uid === 0 || caller.gid === gid || caller.supplementaryGroup === gid
}
