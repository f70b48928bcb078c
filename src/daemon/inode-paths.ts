import { isDirectory, rootInode } from '../fs/records.js'
import { getInode } from '../fs/inodes.js'
import type { View } from '../fs/view.js'

/** Names that are looked at before a path counts as not found: a file does not know its name, so that all are searched. */
const namesMax = 50_000

export interface Found {
  /** From the channel's root, with a slash before each name; names are binary strings. */
  readonly path: string
  readonly parent: number
  readonly name: string
}

/** Where inodes are found in a channel, for people; what is not among the first names is left out. */
export function findPaths(view: View, inodes: ReadonlySet<number>): Map<number, Found> {
  const found = new Map<number, Found>()
  const left = new Set(inodes)
  if (left.delete(rootInode)) found.set(rootInode, { path: '/', parent: rootInode, name: '' })
  const directories: { readonly ino: number; readonly path: string }[] = [{ ino: rootInode, path: '' }]
  let names = 0
  for (let directory = directories.shift(); directory !== undefined && left.size > 0; directory = directories.shift()) {
    for (const [name, { ino }] of view.scan('entry', directory.ino, undefined, namesMax - names)) {
      names++
      const path = `${directory.path}/${name}`
      if (left.delete(ino)) found.set(ino, { path, parent: directory.ino, name })
      const inode = getInode(view, ino)
      if (inode !== undefined && isDirectory(inode)) directories.push({ ino, path })
    }
    if (names >= namesMax) break
  }
  return found
}

/** A path as people read it. */
export function readable(path: string): string {
  return Buffer.from(path, 'latin1').toString()
}
