import { EEXIST, EINVAL, EISDIR, EMLINK, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM } from '../base/errno.js'
import { linkCountMax, linkTargetBytesMax, nameBytesMax } from '../base/limits.js'
import { inheritedOf } from './attributes.js'
import type { Place } from './apply.js'
import { dropContent } from './content.js'
import { getInode, putInode } from './inodes.js'
import {
  namelessKey,
  nowhere,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  type LinkOperation,
  type MakeOperation,
  type RemoveOperation,
  type RenameOperation,
} from './operation.js'
import { type Inode, isDirectory, isRegular, rootInode, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from './records.js'
import type { View } from './view.js'

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

export function make(view: View, operation: MakeOperation, { time }: Place): number {
  const nameless = operation.parent === nowhere
  const parent = nameless ? undefined : directory(view, operation.parent)
  if (typeof parent === 'number') return parent
  const bad = nameErrno(operation.name)
  if (bad !== 0) return bad
  if (operation.target.length > linkTargetBytesMax) return ENAMETOOLONG
  const type = operation.mode & S_IFMT
  if (nameless && (type !== S_IFREG || operation.name !== namelessKey(operation.ino))) return EINVAL
  if (view.get('entry', operation.parent, operation.name) !== undefined) return EEXIST
  // numbers come from a range of the origin's own (DESIGN §4): one that exists was proposed twice
  if (operation.ino <= rootInode || getInode(view, operation.ino) !== undefined) return EEXIST
  const isDir = type === S_IFDIR
  if (isDir && parent!.nlink >= linkCountMax) return EMLINK
  const target = type === S_IFLNK ? operation.target : ''
  const { mode, xattrs } = inheritedOf(view, operation.parent, operation.mode, operation.umask)
  putInode(view, operation.ino, {
    mode,
    nlink: isDir ? 2 : nameless ? 0 : 1,
    uid: operation.uid,
    gid: operation.gid,
    rdev: operation.rdev,
    size: isDir ? 4096 : target.length,
    allocated: 0,
    atime: time,
    mtime: time,
    ctime: time,
    parent: isDir ? operation.parent : 0,
    children: 0,
    target,
  })
  for (const [name, value] of xattrs) view.set('xattr', operation.ino, name, value)
  view.set('entry', operation.parent, operation.name, { ino: operation.ino, type })
  if (parent !== undefined) {
    putInode(view, operation.parent, {
      ...parent,
      children: parent.children + 1,
      nlink: parent.nlink + (isDir ? 1 : 0),
      mtime: time,
      ctime: time,
    })
  }
  return 0
}

export function link(view: View, operation: LinkOperation, { time }: Place): number {
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
  if (inode.nlink === 0) view.set('entry', nowhere, namelessKey(operation.ino), undefined)
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
  if (isRegular(inode)) dropContent(view, ino)
  for (;;) {
    const attributes = view.scan('xattr', ino, undefined, 256)
    for (const [name] of attributes) view.set('xattr', ino, name, undefined)
    if (attributes.length < 256) break
  }
  putInode(view, ino, undefined)
}

export function remove(view: View, operation: RemoveOperation, { time }: Place): number {
  const parent = operation.parent === nowhere ? undefined : directory(view, operation.parent)
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
  if (parent !== undefined) {
    putInode(view, operation.parent, {
      ...parent,
      children: parent.children - 1,
      nlink: parent.nlink - (isDir ? 1 : 0),
      mtime: time,
      ctime: time,
    })
  }
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

export function rename(view: View, operation: RenameOperation, { time }: Place): number {
  const { parent, name, newParent, newName, flags } = operation
  const whitens = (flags & RENAME_WHITEOUT) !== 0
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) return EINVAL
  // "RENAME_EXCHANGE can't be employed together with" either of the others
  if ((flags & RENAME_EXCHANGE) !== 0 && flags !== RENAME_EXCHANGE) return EINVAL
  if (whitens !== (operation.whiteout !== undefined)) return EINVAL
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
  // what is refused changes nothing: the whiteout must be sure to succeed
  const { whiteout } = operation
  if (whiteout !== undefined && (whiteout <= rootInode || getInode(view, whiteout) !== undefined)) return EEXIST
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
    if ((flags & RENAME_NOREPLACE) !== 0) return EEXIST
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
  putInode(view, entry.ino, { ...moved, parent: isDir ? newParent : moved.parent, ctime: time })
  if (operation.whiteout === undefined) return 0
  return make(view, whiteoutOf(parent, name, operation.whiteout, moved), { time, number: 0 })
}

/** "A whiteout object is a character device with the device number 0/0" (rename(2)). */
function whiteoutOf(parent: number, name: string, ino: number, { uid, gid }: Inode): MakeOperation {
  return { kind: 'make', parent, name, ino, mode: S_IFCHR, uid, gid, rdev: 0, target: '' }
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
    putInode(view, ino, { ...inode, parent: isDirectory(inode) ? holder : inode.parent, ctime: time })
  }
  place(first.ino, newParent)
  place(second.ino, parent)
  return 0
}
