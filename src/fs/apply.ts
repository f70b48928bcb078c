import { unreachable } from '../base/assert.js'
import {
  EEXIST,
  EFBIG,
  EINVAL,
  EISDIR,
  EMLINK,
  ENAMETOOLONG,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
} from '../base/errno.js'
import {
  fileSizeMax,
  linkCountMax,
  linkTargetBytesMax,
  nameBytesMax,
  xattrListBytesMax,
  xattrNameBytesMax,
  xattrValueBytesMax,
} from '../base/limits.js'
import { firstBlob, payloadCuts, placeBlobs, placeTail, removeRange } from './extents.js'
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  type AllocateOperation,
  type AppendOperation,
  type LinkOperation,
  type MakeOperation,
  type Operation,
  type RemoveOperation,
  type RenameOperation,
  type SetAttributesOperation,
  type SetXattrOperation,
  type WriteOperation,
} from './operation.js'
import { type Inode, isDirectory, isRegular, isSymlink, rootDirectory, rootInode, S_IFDIR, S_IFMT } from './records.js'
import type { View } from './view.js'

/** Where a change stands: its time at its origin, and the number that names its blobs (`firstBlob`). */
export interface Place {
  readonly time: bigint
  /** The entry's index, or minus the sequence number of a change that is not ordered yet. */
  readonly number: number
}

/**
 * The state machine: applies an operation to a view, or answers the errno that says why not, in which case nothing
 * changed. Deterministic and total: the same view and operation give the same result on every member.
 *
 * Permissions are not checked here: the kernel did, where the change began (`default_permissions`).
 */
export function apply(view: View, operation: Operation, place: Place): number {
  switch (operation.kind) {
    case 'make':
      return make(view, operation, place)
    case 'link':
      return link(view, operation, place)
    case 'unlink':
    case 'rmdir':
      return remove(view, operation, place)
    case 'rename':
      return rename(view, operation, place)
    case 'setattr':
      return setAttributes(view, operation, place)
    case 'write':
    case 'append':
      return write(view, operation, place)
    case 'allocate':
      return allocate(view, operation, place)
    case 'setxattr':
      return setXattr(view, operation, place)
    case 'removexattr': {
      const inode = getInode(view, operation.ino)
      if (inode === undefined) return ENOENT
      if (view.get('xattr', operation.ino, operation.name) === undefined) return ENODATA
      view.set('xattr', operation.ino, operation.name, undefined)
      putInode(view, operation.ino, { ...inode, ctime: place.time })
      return 0
    }
    case 'members': {
      const current = view.get('setting', 0, 'members')
      // the version is the first thing in the descriptor's record: only a direct successor may follow
      if (membersVersion(current) + 1 !== operation.version) return EEXIST
      view.set('setting', 0, 'members', membersRecord(operation.version, operation.descriptor))
      return 0
    }
    case 'mark':
      return 0
    default:
      return unreachable(operation)
  }
}

/** An inode; the root exists in every channel from the start. */
export function getInode(view: View, ino: number): Inode | undefined {
  return view.get('inode', ino, '') ?? (ino === rootInode ? rootDirectory() : undefined)
}

function putInode(view: View, ino: number, inode: Inode | undefined): void {
  view.set('inode', ino, '', inode)
}

export function membersRecord(version: number, descriptor: Uint8Array): Uint8Array {
  const record = new Uint8Array(8 + descriptor.length)
  new DataView(record.buffer).setUint32(0, version, true)
  record.set(descriptor, 8)
  return record
}

/** The version in a `members` setting; 0 when there is none. */
export function membersVersion(record: Uint8Array | undefined): number {
  return record === undefined ? 0 : new DataView(record.buffer, record.byteOffset).getUint32(0, true)
}

/** The channel's descriptor as the last `members` operation left it. */
export function membersDescriptor(view: View): Uint8Array | undefined {
  return view.get('setting', 0, 'members')?.subarray(8)
}

function nameErrno(name: string): number {
  if (name.length > nameBytesMax) return ENAMETOOLONG
  return name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0') ? EINVAL : 0
}

/** A directory's inode, or why there is none. */
function directory(view: View, ino: number): Inode | number {
  const inode = getInode(view, ino)
  if (inode === undefined) return ENOENT
  return isDirectory(inode) ? inode : ENOTDIR
}

function make(view: View, operation: MakeOperation, { time }: Place): number {
  const parent = directory(view, operation.parent)
  if (typeof parent === 'number') return parent
  const bad = nameErrno(operation.name)
  if (bad !== 0) return bad
  if (operation.target.length > linkTargetBytesMax) return ENAMETOOLONG
  if (view.get('entry', operation.parent, operation.name) !== undefined) return EEXIST
  // numbers come from a range of the origin's own (DESIGN §4): one that exists was proposed twice
  if (operation.ino <= rootInode || getInode(view, operation.ino) !== undefined) return EEXIST
  const isDir = (operation.mode & S_IFMT) === S_IFDIR
  if (isDir && parent.nlink >= linkCountMax) return EMLINK
  putInode(view, operation.ino, {
    mode: operation.mode,
    nlink: isDir ? 2 : 1,
    uid: operation.uid,
    gid: operation.gid,
    rdev: operation.rdev,
    size: isDir ? 4096 : operation.target.length,
    allocated: 0,
    atime: time,
    mtime: time,
    ctime: time,
    parent: isDir ? operation.parent : 0,
    children: 0,
    target: operation.target,
  })
  view.set('entry', operation.parent, operation.name, { ino: operation.ino, type: operation.mode & S_IFMT })
  putInode(view, operation.parent, {
    ...parent,
    children: parent.children + 1,
    nlink: parent.nlink + (isDir ? 1 : 0),
    mtime: time,
    ctime: time,
  })
  return 0
}

function link(view: View, operation: LinkOperation, { time }: Place): number {
  const parent = directory(view, operation.parent)
  if (typeof parent === 'number') return parent
  const bad = nameErrno(operation.name)
  if (bad !== 0) return bad
  const inode = getInode(view, operation.ino)
  if (inode === undefined) return ENOENT
  if (isDirectory(inode)) return EPERM
  if (view.get('entry', operation.parent, operation.name) !== undefined) return EEXIST
  if (inode.nlink >= linkCountMax) return EMLINK
  putInode(view, operation.ino, { ...inode, nlink: inode.nlink + 1, ctime: time })
  view.set('entry', operation.parent, operation.name, { ino: operation.ino, type: inode.mode & S_IFMT })
  putInode(view, operation.parent, { ...parent, children: parent.children + 1, mtime: time, ctime: time })
  return 0
}

/** Takes a name's link off its inode; the last one takes the inode, its content and its attributes with it. */
function dropLink(view: View, ino: number, inode: Inode, time: bigint): void {
  if (!isDirectory(inode) && inode.nlink > 1) {
    putInode(view, ino, { ...inode, nlink: inode.nlink - 1, ctime: time })
    return
  }
  if (isRegular(inode)) removeRange(view, ino, 0, Infinity)
  for (;;) {
    const attributes = view.scan('xattr', ino, undefined, 256)
    for (const [name] of attributes) view.set('xattr', ino, name, undefined)
    if (attributes.length < 256) break
  }
  putInode(view, ino, undefined)
}

function remove(view: View, operation: RemoveOperation, { time }: Place): number {
  const parent = directory(view, operation.parent)
  if (typeof parent === 'number') return parent
  const bad = nameErrno(operation.name)
  if (bad !== 0) return operation.name === '..' ? ENOTEMPTY : bad
  const entry = view.get('entry', operation.parent, operation.name)
  if (entry === undefined) return ENOENT
  const inode = getInode(view, entry.ino)
  if (inode === undefined) return ENOENT
  const isDir = isDirectory(inode)
  if (operation.kind === 'unlink' && isDir) return EISDIR
  if (operation.kind === 'rmdir') {
    if (!isDir) return ENOTDIR
    if (inode.children > 0) return ENOTEMPTY
  }
  view.set('entry', operation.parent, operation.name, undefined)
  dropLink(view, entry.ino, inode, time)
  putInode(view, operation.parent, {
    ...parent,
    children: parent.children - 1,
    nlink: parent.nlink - (isDir ? 1 : 0),
    mtime: time,
    ctime: time,
  })
  return 0
}

/** Whether `ino` is `ancestor` or lies below it. */
function isWithin(view: View, ino: number, ancestor: number): boolean {
  for (let at = ino; ;) {
    if (at === ancestor) return true
    if (at === rootInode) return false
    const inode = getInode(view, at)
    if (inode === undefined) return false
    at = inode.parent
  }
}

function rename(view: View, operation: RenameOperation, { time }: Place): number {
  const { parent, name, newParent, newName, flags } = operation
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0 || flags === (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
    return EINVAL
  }
  const from = directory(view, parent)
  if (typeof from === 'number') return from
  const to = directory(view, newParent)
  if (typeof to === 'number') return to
  const bad = nameErrno(name) || nameErrno(newName)
  if (bad !== 0) return bad
  const entry = view.get('entry', parent, name)
  if (entry === undefined) return ENOENT
  const inode = getInode(view, entry.ino)
  if (inode === undefined) return ENOENT
  const target = view.get('entry', newParent, newName)
  const isDir = isDirectory(inode)
  if (isDir && isWithin(view, newParent, entry.ino)) return EINVAL
  if (flags === RENAME_EXCHANGE) {
    if (target === undefined) return ENOENT
    const other = getInode(view, target.ino)
    if (other === undefined) return ENOENT
    if (isDirectory(other) && isWithin(view, parent, target.ino)) return EINVAL
    return exchange(view, operation, inode, other, time)
  }
  if (target !== undefined) {
    if (flags === RENAME_NOREPLACE) return EEXIST
    // rename(2): two names of one file: nothing is done
    if (target.ino === entry.ino) return 0
    const replaced = getInode(view, target.ino)
    if (replaced === undefined) return ENOENT
    if (isDirectory(replaced)) {
      if (!isDir) return EISDIR
      if (replaced.children > 0) return ENOTEMPTY
    } else if (isDir) return ENOTDIR
    dropLink(view, target.ino, replaced, time)
    const holder = getInode(view, newParent)!
    putInode(view, newParent, {
      ...holder,
      children: holder.children - 1,
      nlink: holder.nlink - (isDirectory(replaced) ? 1 : 0),
    })
  } else if (isDir && parent !== newParent && to.nlink >= linkCountMax) return EMLINK
  view.set('entry', parent, name, undefined)
  view.set('entry', newParent, newName, entry)
  const source = getInode(view, parent)!
  putInode(view, parent, {
    ...source,
    children: source.children - 1,
    nlink: source.nlink - (isDir ? 1 : 0),
    mtime: time,
    ctime: time,
  })
  const destination = getInode(view, newParent)!
  putInode(view, newParent, {
    ...destination,
    children: destination.children + 1,
    nlink: destination.nlink + (isDir ? 1 : 0),
    mtime: time,
    ctime: time,
  })
  // the moved inode is read again: it may be one of the directories above
  const moved = getInode(view, entry.ino)!
  putInode(view, entry.ino, { ...moved, parent: isDir ? newParent : 0, ctime: time })
  return 0
}

/** RENAME_EXCHANGE: two names swap what they name. */
function exchange(view: View, operation: RenameOperation, a: Inode, b: Inode, time: bigint): number {
  const { parent, name, newParent, newName } = operation
  const first = view.get('entry', parent, name)!
  const second = view.get('entry', newParent, newName)!
  view.set('entry', parent, name, second)
  view.set('entry', newParent, newName, first)
  const shift = (isDirectory(b) ? 1 : 0) - (isDirectory(a) ? 1 : 0)
  const touch = (ino: number, links: number): void => {
    const inode = getInode(view, ino)!
    putInode(view, ino, { ...inode, nlink: inode.nlink + links, mtime: time, ctime: time })
  }
  touch(parent, parent === newParent ? 0 : shift)
  if (newParent !== parent) touch(newParent, -shift)
  const place = (ino: number, holder: number): void => {
    const inode = getInode(view, ino)!
    putInode(view, ino, { ...inode, parent: isDirectory(inode) ? holder : 0, ctime: time })
  }
  place(first.ino, newParent)
  place(second.ino, parent)
  return 0
}

/** Clears set-uid, and set-gid where the group may execute (file_remove_privs in the kernel). */
function withoutPrivileges(mode: number): number {
  const kept = mode & ~0o4000
  return (mode & 0o010) !== 0 ? kept & ~0o2000 : kept
}

function setAttributes(view: View, operation: SetAttributesOperation, { time }: Place): number {
  const inode = getInode(view, operation.ino)
  if (inode === undefined) return ENOENT
  let mode = operation.mode === undefined ? inode.mode : (inode.mode & S_IFMT) | (operation.mode & 0o7777)
  if (operation.killPrivileges) mode = withoutPrivileges(mode)
  let { size, allocated, mtime } = inode
  if (operation.size !== undefined) {
    if (isDirectory(inode)) return EISDIR
    if (!isRegular(inode)) return EINVAL
    if (operation.size > fileSizeMax) return EFBIG
    if (operation.size < size) allocated -= removeRange(view, operation.ino, operation.size, Infinity)
    size = operation.size
    mtime = time
  }
  putInode(view, operation.ino, {
    ...inode,
    mode,
    uid: operation.uid ?? inode.uid,
    gid: operation.gid ?? inode.gid,
    size,
    allocated,
    atime: operation.atime ?? inode.atime,
    mtime: operation.mtime ?? mtime,
    ctime: time,
  })
  return 0
}

function write(view: View, operation: WriteOperation | AppendOperation, { time, number }: Place): number {
  const inode = getInode(view, operation.ino)
  if (inode === undefined) return ENOENT
  if (!isRegular(inode)) return isDirectory(inode) ? EISDIR : EINVAL
  const offset = operation.kind === 'append' ? inode.size : operation.offset
  const end = offset + operation.length
  if (end > fileSizeMax) return EFBIG
  const growth = placeBlobs(view, operation.ino, offset, payloadCuts(operation), firstBlob(number))
  putInode(view, operation.ino, {
    ...inode,
    mode: operation.killPrivileges ? withoutPrivileges(inode.mode) : inode.mode,
    size: Math.max(inode.size, end),
    allocated: inode.allocated + growth,
    mtime: time,
    ctime: time,
  })
  return 0
}

/**
 * Lays the next part of an open write over a view that shows the ones before it: `length` bytes at `offset`, which are
 * those of the blob `firstBlob(place.number)` from `from` on. What it amounts to is one `write` of all parts.
 */
export function extendWrite(
  view: View,
  ino: number,
  offset: number,
  length: number,
  from: number,
  { time, number }: Place,
): number {
  const inode = getInode(view, ino)
  if (inode === undefined) return ENOENT
  const end = offset + length
  if (end > fileSizeMax) return EFBIG
  const growth = placeTail(view, ino, offset, length, firstBlob(number), from)
  putInode(view, ino, {
    ...inode,
    size: Math.max(inode.size, end),
    allocated: inode.allocated + growth,
    mtime: time,
    ctime: time,
  })
  return 0
}

function allocate(view: View, operation: AllocateOperation, { time }: Place): number {
  const inode = getInode(view, operation.ino)
  if (inode === undefined) return ENOENT
  if (!isRegular(inode)) return isDirectory(inode) ? EISDIR : EINVAL
  const { mode, offset, length } = operation
  if (length === 0) return EINVAL
  const end = offset + length
  if (end > fileSizeMax) return EFBIG
  const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0
  const kind = mode & ~FALLOC_FL_KEEP_SIZE
  if (kind !== 0 && kind !== FALLOC_FL_PUNCH_HOLE && kind !== FALLOC_FL_ZERO_RANGE) return EOPNOTSUPP
  if (kind === FALLOC_FL_PUNCH_HOLE && !keepSize) return EOPNOTSUPP
  const removed = kind === 0 ? 0 : removeRange(view, operation.ino, offset, end)
  putInode(view, operation.ino, {
    ...inode,
    size: keepSize ? inode.size : Math.max(inode.size, end),
    allocated: inode.allocated - removed,
    mtime: time,
    ctime: time,
  })
  return 0
}

function setXattr(view: View, operation: SetXattrOperation, { time }: Place): number {
  const inode = getInode(view, operation.ino)
  if (inode === undefined) return ENOENT
  const { name, value, flags } = operation
  if (name === '' || name.length > xattrNameBytesMax) return ERANGE
  if (value.length > xattrValueBytesMax) return ENOSPC
  const exists = view.get('xattr', operation.ino, name) !== undefined
  if (flags === 1 && exists) return EEXIST
  if (flags === 2 && !exists) return ENODATA
  if (!exists && xattrListBytes(view, operation.ino) + name.length + 1 > xattrListBytesMax) return ENOSPC
  view.set('xattr', operation.ino, name, value)
  putInode(view, operation.ino, { ...inode, ctime: time })
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

/** stat(2)'s count of 512-byte units. */
export function blocksOf(inode: Inode): number {
  return isSymlink(inode) || isDirectory(inode) ? (isDirectory(inode) ? 8 : 0) : Math.ceil(inode.allocated / 512)
}
