import { type Inode, isDirectory, isSymlink, rootDirectory, rootInode } from './records.js'
import type { View } from './view.js'

/** An inode; the root exists in every channel from the start. */
export function getInode(view: View, ino: number): Inode | undefined {
  return view.get('inode', ino, '') ?? (ino === rootInode ? rootDirectory() : undefined)
}

export function putInode(view: View, ino: number, inode: Inode | undefined): void {
  view.set('inode', ino, '', inode)
}

const blockBytes = 4096
/** ext4 keeps a target that is shorter than this in the inode itself. */
const fastLinkBytes = 60

/** stat(2)'s count of 512-byte units, in blocks of 4 KiB as a local file system has them. */
export function blocksOf(inode: Inode): number {
  if (isDirectory(inode)) return 8
  if (isSymlink(inode)) return inode.size < fastLinkBytes ? 0 : 8
  return Math.ceil(inode.allocated / blockBytes) * (blockBytes / 512)
}

/** Clears set-uid, and set-gid where the group may execute (file_remove_privs in the kernel). */
export function withoutPrivileges(mode: number): number {
  const kept = mode & ~0o4000
  return (mode & 0o010) !== 0 ? kept & ~0o2000 : kept
}

/** File capabilities go when a file's content or owner changes (security_inode_killpriv in the kernel). */
export function dropCapability(view: View, ino: number): void {
  if (view.get('xattr', ino, 'security.capability') === undefined) return
  view.set('xattr', ino, 'security.capability', undefined)
}
