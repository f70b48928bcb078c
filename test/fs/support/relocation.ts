import { chunkBytes } from '../../../src/base/limits.js'
import { readPieces } from '../../../src/fs/extents.js'
import { getInode } from '../../../src/fs/inodes.js'
import type { KeptRun, RelocateOperation } from '../../../src/fs/operation.js'
import { isRegular } from '../../../src/fs/records.js'
import type { View } from '../../../src/fs/view.js'
import type { BlobBook } from './machine.js'

export interface Relocation {
  readonly operation: RelocateOperation
  readonly payload: Uint8Array
}

/** Every second piece of a file's chunk, or the first half of it, is to be kept anew; undefined: there is none. */
export function relocationIn(view: View, book: BlobBook, ino: number, chunk: number): Relocation | undefined {
  const inode = getInode(view, ino)
  const base = chunk * chunkBytes
  if (inode === undefined || !isRegular(inode) || inode.size <= base) return undefined
  const runs: KeptRun[] = []
  let offset = base
  for (const [i, piece] of readPieces(view, ino, base, Math.min(chunkBytes, inode.size - base)).entries()) {
    const length = i % 4 === 1 ? piece.length : Math.ceil(piece.length / 2)
    if (piece.blob !== undefined && i % 2 === 1)
      runs.push({ offset, length, blob: piece.blob, blobOffset: piece.offset })
    offset += piece.length
  }
  return runs.length === 0 ? undefined : relocation(book, ino, runs)
}

export function relocation(book: BlobBook, ino: number, runs: readonly KeptRun[]): Relocation {
  const payload = Buffer.concat(
    runs.map(({ blob, blobOffset, length }) => book.blobs.get(blob)!.subarray(blobOffset, blobOffset + length)),
  )
  return { operation: { kind: 'relocate', ino, length: payload.length, runs }, payload }
}
