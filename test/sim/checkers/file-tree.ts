import { nowhere } from '../../../src/fs/operation.js'
import { decodeRecord, isDirectory, isRegular, rootInode, S_IFMT, type Inode } from '../../../src/fs/records.js'
import { chunkKey, pageKey, placeOfChunk, type StateStore } from '../../../src/fs/store-port.js'
import { chunkBytes, chunkPageBytes } from '../../../src/base/limits.js'
import { check } from './violation.js'

const name = 'file-tree'

/** A state as a file system: each name leads to an inode, each inode has as many names as it says, all hang from the root. */
export function checkFileTree(state: StateStore, blob: (id: number) => Uint8Array | undefined): void {
  const inodes = new Map<number, Inode>()
  const names = new Map<number, number>()
  const children = new Map<number, number>()
  const subdirectories = new Map<number, number>()
  const more = (counts: Map<number, number>, ino: number): void => void counts.set(ino, (counts.get(ino) ?? 0) + 1)
  let bytes = 0
  for (const { table, ino, value } of state.all()) {
    if (table === 'inode') inodes.set(ino, decodeRecord('inode', value))
  }
  for (const { table, ino, key, value } of state.all()) {
    if (table === 'entry') {
      const entry = decodeRecord('entry', value)
      const inode = inodes.get(entry.ino)
      check(name, inode !== undefined, () => `${key} in ${ino} leads to inode ${entry.ino}, which is not there`)
      check(name, (inode.mode & S_IFMT) === entry.type, () => `${key} in ${ino} has another type than its inode`)
      if (ino === nowhere) continue
      const directory = inodes.get(ino)
      check(name, directory !== undefined && isDirectory(directory), () => `${key} hangs in ${ino}, no directory`)
      more(names, entry.ino)
      more(children, ino)
      if (!isDirectory(inode)) continue
      more(subdirectories, ino)
      check(
        name,
        inode.parent === ino,
        () => `directory ${entry.ino} says that it hangs in ${inode.parent}, not ${ino}`,
      )
    } else if (table === 'chunk') {
      const inode = inodes.get(ino)
      check(name, inode !== undefined && isRegular(inode), () => `inode ${ino} has content and is no file`)
      const { chunk, page } = placeOfChunk(key)
      const base = chunk * chunkBytes
      const extents = decodeRecord('chunk', value)
      if (page !== undefined) {
        check(name, pagedBy(state, ino, chunk), () => `a page of chunk ${chunk} of inode ${ino}, which has no pages`)
        check(name, extents.length > 0, () => `an empty page of chunk ${chunk} of inode ${ino}`)
      } else if (extents.length === 0) {
        check(name, hasPages(state, ino, chunk), () => `chunk ${chunk} of inode ${ino} is empty`)
      }
      let end = page === undefined ? 0 : page * chunkPageBytes
      const limit = page === undefined ? chunkBytes : end + chunkPageBytes
      for (const extent of extents) {
        check(name, extent.start >= end && extent.length > 0, () => `the extents of inode ${ino} overlap`)
        end = extent.start + extent.length
        bytes += extent.length
        const data = blob(extent.blob)
        check(name, data !== undefined, () => `inode ${ino} refers to blob ${extent.blob}, which is not there`)
        check(
          name,
          extent.offset + extent.length <= data.length,
          () => `blob ${extent.blob} of inode ${ino} is too short`,
        )
      }
      check(name, end <= limit, () => `the extents of inode ${ino} leave their record`)
      const isWithin = extents.length === 0 || base + end <= inode.size
      check(name, isWithin, () => `inode ${ino} has content beyond its end`)
    } else if (table === 'xattr') {
      check(name, inodes.has(ino), () => `an attribute of inode ${ino}, which is not there`)
    }
  }
  for (const [ino, inode] of inodes) {
    const links = names.get(ino) ?? 0
    if (isDirectory(inode)) {
      check(name, links === (ino === rootInode ? 0 : 1), () => `directory ${ino} has ${links} names`)
      const nlink = 2 + (subdirectories.get(ino) ?? 0)
      check(name, inode.nlink === nlink, () => `directory ${ino} counts ${inode.nlink} links, it has ${nlink}`)
      const count = children.get(ino) ?? 0
      check(name, inode.children === count, () => `directory ${ino} counts ${inode.children} names, it has ${count}`)
      checkHangs(ino, inodes)
    } else {
      check(name, inode.nlink === links, () => `inode ${ino} counts ${inode.nlink} links, it has ${links}`)
      const waits =
        links === 0 &&
        ![...state.scan('entry', nowhere, undefined, 1000)].some(({ value }) => {
          return decodeRecord('entry', value).ino === ino
        })
      check(name, !waits, () => `inode ${ino} has no name`)
    }
  }
  const position = state.position!
  check(name, position.inodes === inodes.size, () => `${position.inodes} inodes are counted, ${inodes.size} are there`)
  check(name, position.dataBytes === bytes, () => `${position.dataBytes} bytes are counted, ${bytes} are there`)
}

function pagedBy(state: StateStore, ino: number, chunk: number): boolean {
  return state.get('chunk', ino, chunkKey(chunk))?.length === 0
}

function hasPages(state: StateStore, ino: number, chunk: number): boolean {
  const [next] = state.scan('chunk', ino, pageKey(chunk, -1), 1)
  return next !== undefined && placeOfChunk(next.key).chunk === chunk
}

function checkHangs(ino: number, inodes: ReadonlyMap<number, Inode>): void {
  let at = ino
  for (let steps = 0; at !== rootInode; steps++) {
    const inode = inodes.get(at)
    check(name, inode !== undefined && steps < inodes.size, () => `directory ${ino} does not hang from the root`)
    at = inode.parent
  }
}
