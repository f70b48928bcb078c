import { EFBIG, EINVAL, ENODATA, EOPNOTSUPP, ESTALE } from '../base/errno.js'
import { fileSizeMax } from '../base/limits.js'
import { isAclName } from '../fs/acl.js'
import { xattrNames } from '../fs/attributes.js'
import type { Operation, SetAttributesOperation } from '../fs/operation.js'
import { isDirectory, isSymlink } from '../fs/records.js'
import type { AttributeChange, Attributes, Caller, Reply } from './mount-port.js'
import { losesSetGid, type MountState } from './mount-state.js'

type AttributesReply = Reply<{ attributes: Attributes; ttlMs: number }>

/** What 64 bits of nanoseconds reach: 1677 to 2262. Times beyond are cut, as ext4 cuts those beyond its own range. */
const timeMin = -(2n ** 63n)
const timeMax = 2n ** 63n - 1n

const namespaces = ['user.', 'trusted.', 'security.']

/** The calls on attributes and extended attributes. */
export class AttributeCalls {
  readonly #mount: MountState

  constructor(mount: MountState) {
    this.#mount = mount
  }

  getattr(ino: number, reply: AttributesReply): void {
    const mount = this.#mount
    // ESTALE: the kernel looks the name up again, which may be another file's by now
    if (mount.inode(ino) === undefined) return reply.fail(ESTALE)
    // fstat(2) shows nothing newer than read(2) does
    mount.pages.whenTaken(ino, () => {
      const inode = mount.inode(ino)
      if (inode === undefined) return reply.fail(ESTALE)
      const isBehind = mount.pages.isBehind(ino)
      mount.pages.passOver(ino)
      const shown = isBehind ? mount.pages.asHeld(ino, inode) : inode
      reply.ok({ attributes: mount.attributes(ino, shown), ttlMs: isBehind ? 0 : mount.ttl })
    })
  }

  setattr(caller: Caller, ino: number, change: AttributeChange, reply: AttributesReply): void {
    const mount = this.#mount
    const inode = mount.inode(ino)
    if (inode === undefined) return reply.fail(ESTALE)
    if (change.size !== undefined && change.size > fileSizeMax) return reply.fail(EFBIG)
    const now = mount.ports.now()
    // HANDLE_KILLPRIV_V2: a chown clears set-uid and set-gid here (chown(2)); directories keep theirs
    // chown(2), even of nobody to nobody, and what takes the bits away before fallocate(2) (__remove_privs in the kernel)
    const isOwner = [change.mode, change.size, change.atime, change.mtime].every(value => value === undefined)
    const killPrivileges = change.killPrivileges || (isOwner && !isDirectory(inode))
    const operation: SetAttributesOperation = {
      kind: 'setattr',
      ino,
      killPrivileges,
      ...(change.mode === undefined ? {} : { mode: change.mode }),
      ...(killPrivileges && losesSetGid(inode, caller) ? { mode: inode.mode & ~0o6000 } : {}),
      ...(change.uid === undefined ? {} : { uid: change.uid }),
      ...(change.gid === undefined ? {} : { gid: change.gid }),
      ...(change.size === undefined ? {} : { size: change.size }),
      ...(change.atime === undefined ? {} : { atime: timeOf(change.atime, now) }),
      ...(change.mtime === undefined ? {} : { mtime: timeOf(change.mtime, now) }),
    }
    const handle = change.handle ?? mount.handleFor(caller, operation)
    const durable = mount.waits || (handle === undefined && mount.waitsFor(operation))
    const done = (): void => {
      mount.changed(handle)
      // a time that was set counts, even one before the last read
      if (change.atime !== undefined) mount.accessTimes.drop(ino)
      const changed = mount.inode(ino)
      if (changed === undefined) return reply.fail(ESTALE)
      const { attributes, isHeld } = mount.pages.answers(ino, changed)
      reply.ok({ attributes, ttlMs: isHeld ? 0 : mount.ttl })
    }
    this.#change(operation, reply as Reply<never>, done, durable)
  }

  /** Of an inode of the channel, or of one without a name. */
  #change(
    operation: Operation & { readonly ino: number },
    reply: Reply<never>,
    done: () => void,
    durable = this.#mount.waits,
  ): void {
    const mount = this.#mount
    const orphan = mount.nameless(operation.ino)
    if (orphan === undefined) return mount.change(operation, reply, done, { durable })
    const errno = orphan.apply(operation, mount.ports.now())
    if (errno === 0) done()
    else reply.fail(errno)
  }

  // ---- extended attributes (xattr(7)) ----

  setxattr(ino: number, name: string, value: Uint8Array, flags: number, reply: Reply<void>): void {
    const bad = this.#nameErrno(ino, name)
    if (bad !== 0) return reply.fail(bad)
    this.#change({ kind: 'setxattr', ino, name, value, flags }, reply as Reply<never>, () => reply.ok())
  }

  getxattr(ino: number, name: string, reply: Reply<Uint8Array>): void {
    const bad = this.#nameErrno(ino, name)
    if (bad !== 0) return reply.fail(bad)
    const value = this.#mount.viewOf(ino).get('xattr', ino, name)
    if (value === undefined) reply.fail(ENODATA)
    else reply.ok(value)
  }

  /** `trusted.` names are shown to root alone; the kernel sees to it that nobody else reads or sets them. */
  listxattr(caller: Caller, ino: number, reply: Reply<readonly string[]>): void {
    const names = xattrNames(this.#mount.viewOf(ino), ino)
    reply.ok(caller.uid === 0 ? names : names.filter(name => !name.startsWith('trusted.')))
  }

  removexattr(ino: number, name: string, reply: Reply<void>): void {
    const bad = this.#nameErrno(ino, name)
    if (bad !== 0) return reply.fail(bad)
    // an ACL that is not there is as good as removed (posix_acl(3))
    if (isAclName(name) && this.#mount.viewOf(ino).get('xattr', ino, name) === undefined) return reply.ok()
    this.#change({ kind: 'removexattr', ino, name }, reply as Reply<never>, () => reply.ok())
  }

  /** As ext4's handlers answer: names outside of all namespaces, and an empty name in one. */
  #nameErrno(ino: number, name: string): number {
    if (isAclName(name)) {
      const inode = this.#mount.inode(ino)
      return inode !== undefined && isSymlink(inode) ? EOPNOTSUPP : 0
    }
    const namespace = namespaces.find(prefix => name.startsWith(prefix))
    if (namespace === undefined) return EOPNOTSUPP
    return name.length === namespace.length ? EINVAL : 0
  }
}

function timeOf(time: bigint | 'now', now: bigint): bigint {
  if (time === 'now') return now
  return time < timeMin ? timeMin : time > timeMax ? timeMax : time
}
