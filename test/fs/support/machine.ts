import { apply } from '../../../src/fs/apply.js'
import { usePages } from '../../../src/fs/chunks.js'
import { xattrNames } from '../../../src/fs/attributes.js'
import { getInode } from '../../../src/fs/inodes.js'
import { payloadCuts, readPieces } from '../../../src/fs/extents.js'
import { nowhere, type Operation } from '../../../src/fs/operation.js'
import { isDirectory, isRegular, isSymlink, rootInode, type Inode } from '../../../src/fs/records.js'
import { TableView } from '../../../src/fs/table-view.js'
import type { View } from '../../../src/fs/view.js'
import { blobsPerEntryMax, chunkExtentsMax } from '../../../src/base/limits.js'
import { nodeHasher } from '../../../src/adapters/host/hasher.js'
import { MemoryStateStore } from '../../support/memory-state-store.js'

/** The blobs of payloads, as the log would keep them. */
export class BlobBook {
  readonly blobs = new Map<number, Uint8Array>()

  put(number: number, operation: Operation, payload: Uint8Array): void {
    let at = 0
    payloadCuts(operation).forEach((cut, part) => {
      this.blobs.set(number * blobsPerEntryMax + part, payload.subarray(at, (at += cut)))
    })
  }

  /** A whole file, as a program would read it. */
  content(view: View, ino: number): Buffer {
    const { size } = getInode(view, ino)!
    return Buffer.concat(
      readPieces(view, ino, 0, size).map(({ blob, offset, length }) => {
        if (blob === undefined) return new Uint8Array(length)
        const bytes = this.blobs.get(blob)
        if (bytes === undefined || offset + length > bytes.length) {
          throw new Error(`a piece at ${offset}+${length} lies outside blob ${blob} of ${bytes?.length} bytes`)
        }
        return bytes.subarray(offset, offset + length)
      }),
    )
  }
}

/** `extentsMax`: of more extents a chunk is kept as pages. */
export function newTable(store = new MemoryStateStore(), extentsMax = chunkExtentsMax): TableView {
  const table = new TableView(store, nodeHasher)
  usePages(table, extentsMax)
  return table
}

/** A state machine with the blobs of what was written: entries count from 1, times are the entry's number. */
export class Machine {
  readonly view: View
  readonly book: BlobBook
  number = 0

  constructor(view: View = newTable(), book = new BlobBook()) {
    this.view = view
    this.book = book
  }

  apply(operation: Operation, payload: Uint8Array = new Uint8Array(0)): number {
    const number = ++this.number
    this.book.put(number, operation, payload)
    return apply(this.view, operation, { time: BigInt(number), number })
  }
}

export function walk(view: View, visit: (path: string, ino: number, inode: Inode) => void): void {
  const into = (path: string, ino: number, depth: number): void => {
    if (depth > 64) throw new Error(`the tree has no end at ${path}`)
    const inode = getInode(view, ino)
    if (inode === undefined) throw new Error(`${path} names inode ${ino}, which does not exist`)
    visit(path === '' ? '/' : path, ino, inode)
    if (!isDirectory(inode)) return
    for (const [name, entry] of view.scan('entry', ino, undefined, 1000)) into(`${path}/${name}`, entry.ino, depth + 1)
  }
  into('', rootInode, 0)
  for (const [name, entry] of view.scan('entry', nowhere, undefined, 1000)) into(`/nowhere/${name}`, entry.ino, 0)
}

/** The tree in lines: path, type, inode, links, then names held, target or size; `+name` for each extended attribute. */
export function treeOf(view: View): string[] {
  const lines: string[] = []
  walk(view, (path, ino, inode) => {
    let what = `node ${inode.rdev}`
    if (isDirectory(inode)) what = `holds ${inode.children}`
    else if (isRegular(inode)) what = `size ${inode.size} allocated ${inode.allocated}`
    else if (isSymlink(inode)) what = `-> ${inode.target}`
    const type = isDirectory(inode) ? 'd' : isRegular(inode) ? 'f' : isSymlink(inode) ? 'l' : 'n'
    const xattrs = xattrNames(view, ino).map(name => ` +${name}`)
    lines.push(`${path} ${type} ino ${ino} links ${inode.nlink} ${what}${xattrs.join('')}`)
  })
  return lines
}
