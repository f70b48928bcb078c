import { EEXIST, EFBIG, EINVAL, EISDIR, ENODATA, ENOENT, ENOSPC, ERANGE } from '../base/errno.js'
import { fileSizeMax, xattrListBytesMax, xattrNameBytesMax, xattrValueBytesMax } from '../base/limits.js'
import { ACL_ACCESS, ACL_DEFAULT, chmodAcl, decodeAcl, encodeAcl, inheritAcl, isAclName, modeOfAcl } from './acl.js'
import type { Place } from './apply.js'
import { resize } from './content.js'
import { dropCapability, getInode, putInode, withoutPrivileges } from './inodes.js'
import {
  XATTR_CREATE,
  XATTR_KILL_SGID,
  XATTR_REPLACE,
  type AccessOperation,
  type RemoveXattrOperation,
  type SetAttributesOperation,
  type SetXattrOperation,
} from './operation.js'
import { type Inode, isDirectory, isRegular, isSymlink, S_IFDIR, S_IFLNK, S_IFMT } from './records.js'
import type { View } from './view.js'

/** chmod(2), chown(2), truncate(2), utimensat(2). */
export function setAttributes(view: View, operation: SetAttributesOperation, { time, number }: Place): number {
  const inode = getInode(view, operation.ino)
  if (inode === undefined) return ENOENT
  const { ino, size, killPrivileges } = operation
  if (size !== undefined) {
    if (isDirectory(inode)) return EISDIR
    if (!isRegular(inode)) return EINVAL
    if (size > fileSizeMax) return EFBIG
  }
  let mode = operation.mode === undefined ? inode.mode : (inode.mode & S_IFMT) | (operation.mode & 0o7777)
  if (killPrivileges) mode = withoutPrivileges(mode)
  if (operation.mode !== undefined) {
    const acl = view.get('xattr', ino, ACL_ACCESS)
    if (acl !== undefined) view.set('xattr', ino, ACL_ACCESS, encodeAcl(chmodAcl(decodeAcl(acl)!, mode)))
  }
  const owned = operation.uid !== undefined || operation.gid !== undefined
  if (size !== undefined || owned) dropCapability(view, ino)
  putInode(view, ino, {
    ...inode,
    ...(size === undefined ? {} : resize(view, ino, inode, size, number)),
    mode,
    uid: operation.uid ?? inode.uid,
    gid: operation.gid ?? inode.gid,
    atime: operation.atime ?? inode.atime,
    mtime: operation.mtime ?? (size === undefined ? inode.mtime : time),
    ctime: time,
  })
  return 0
}

/** Times of reading only grow, and files that are gone are passed over: it always succeeds. */
export function setAccessTimes(view: View, { times }: AccessOperation): number {
  for (const { ino, atime } of times) {
    const inode = getInode(view, ino)
    if (inode !== undefined && inode.atime < atime) putInode(view, ino, { ...inode, atime })
  }
  return 0
}

export interface Inherited {
  readonly mode: number
  readonly xattrs: readonly (readonly [name: string, value: Uint8Array])[]
}

/** What a new file's mode comes to and which ACLs it gets: from the default ACL of its directory, else from the umask. */
export function inheritedOf(view: View, parent: number, mode: number, umask: number | undefined): Inherited {
  const type = mode & S_IFMT
  if (umask === undefined || type === S_IFLNK) return { mode, xattrs: [] }
  const value = view.get('xattr', parent, ACL_DEFAULT)
  const acl = value === undefined ? undefined : decodeAcl(value)
  if (value === undefined || acl === undefined) return { mode: mode & ~(umask & 0o777), xattrs: [] }
  const inherited = inheritAcl(acl, mode)
  const xattrs: [string, Uint8Array][] = []
  if (!modeOfAcl(inherited.acl).isWhole) xattrs.push([ACL_ACCESS, encodeAcl(inherited.acl)])
  if (type === S_IFDIR) xattrs.push([ACL_DEFAULT, value])
  return { mode: inherited.mode, xattrs }
}

/** setxattr(2). An access ACL changes the mode, and is not kept where the mode says all of it. */
export function setXattr(view: View, operation: SetXattrOperation, { time }: Place): number {
  const inode = getInode(view, operation.ino)
  if (inode === undefined) return ENOENT
  const { name, value, flags } = operation
  if (name === '' || name.length > xattrNameBytesMax) return ERANGE
  if (value.length > xattrValueBytesMax) return ENOSPC
  const exists = view.get('xattr', operation.ino, name) !== undefined
  if ((flags & XATTR_CREATE) !== 0 && exists) return EEXIST
  if ((flags & XATTR_REPLACE) !== 0 && !exists) return ENODATA
  if (!exists && xattrListBytes(view, operation.ino) + name.length + 1 > xattrListBytesMax) return ENOSPC
  if (isAclName(name)) return setAcl(view, operation, inode, time)
  view.set('xattr', operation.ino, name, value)
  putInode(view, operation.ino, { ...inode, ctime: time })
  return 0
}

function setAcl(view: View, { ino, name, value, flags }: SetXattrOperation, inode: Inode, time: bigint): number {
  const acl = decodeAcl(value)
  if (acl === undefined || isSymlink(inode)) return EINVAL
  if (acl.length === 0) view.set('xattr', ino, name, undefined)
  else if (name === ACL_DEFAULT) {
    if (!isDirectory(inode)) return EINVAL
    view.set('xattr', ino, name, value)
  } else {
    const { bits, isWhole } = modeOfAcl(acl)
    view.set('xattr', ino, name, isWhole ? undefined : value)
    const mode = (inode.mode & ~0o777) | bits
    inode = { ...inode, mode: (flags & XATTR_KILL_SGID) === 0 ? mode : mode & ~0o2000 }
  }
  putInode(view, ino, { ...inode, ctime: time })
  return 0
}

export function removeXattr(view: View, { ino, name }: RemoveXattrOperation, { time }: Place): number {
  const inode = getInode(view, ino)
  if (inode === undefined) return ENOENT
  if (view.get('xattr', ino, name) === undefined) return ENODATA
  view.set('xattr', ino, name, undefined)
  putInode(view, ino, { ...inode, ctime: time })
  return 0
}

/** The names of an inode's extended attributes, in order. */
export function xattrNames(view: View, ino: number): string[] {
  const names: string[] = []
  for (;;) {
    const found = view.scan('xattr', ino, names.at(-1), 256)
    for (const [name] of found) names.push(name)
    if (found.length < 256) return names
  }
}

function xattrListBytes(view: View, ino: number): number {
  return xattrNames(view, ino).reduce((sum, name) => sum + name.length + 1, 0)
}
