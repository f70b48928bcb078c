import { EAGAIN, EFBIG, EINVAL, EISDIR, ENOENT, EOPNOTSUPP } from '../base/errno.js'
import { chunkBytes, cloneBytesMax, fileSizeMax, reservedRangesMax } from '../base/limits.js'
import type { Place } from './apply.js'
import {
  blobId,
  payloadCuts,
  placeBlobs,
  placeExtent,
  placeOfBlob,
  placePieces,
  readPieces,
  removeRange,
  visitCovered,
  type Piece,
  type Uncovered,
} from './extents.js'
import { dropCapability, getInode, putInode, withoutPrivileges } from './inodes.js'
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  type AllocateOperation,
  type AppendOperation,
  type CloneOperation,
  type KeptRun,
  type RelocateOperation,
  type WriteBackOperation,
  type WriteOperation,
} from './operation.js'
import { type Inode, isDirectory, isRegular } from './records.js'
import {
  addReserved,
  cutReserved,
  decodeReserved,
  encodeReserved,
  joinNearest,
  reservedWithin,
  type Reserved,
} from './reserved.js'
import type { View } from './view.js'

/** A regular file's inode, or why there is none. */
function regular(view: View, ino: number): Inode | number {
  const inode = getInode(view, ino)
  if (inode === undefined) return ENOENT
  if (isRegular(inode)) return inode
  return isDirectory(inode) ? EISDIR : EINVAL
}

/** Counts the bytes of a file that are allocated: under an extent, or reserved. */
class Allocation {
  readonly #reserved: Reserved
  bytes: number

  constructor(inode: Inode, reserved: Reserved) {
    this.#reserved = reserved
    this.bytes = inode.allocated
  }

  readonly uncovered: Uncovered = (at, length) => {
    this.bytes -= this.#unreserved(at, at + length)
  }

  /** Extents cover the range, which none did. */
  covered(from: number, to: number): void {
    this.bytes += this.#unreserved(from, to)
  }

  #unreserved(from: number, to: number): number {
    return to - from - reservedWithin(this.#reserved, from, to)
  }
}

/** write(2). */
export function write(view: View, operation: WriteOperation | AppendOperation, { time, number }: Place): number {
  const inode = regular(view, operation.ino)
  if (typeof inode === 'number') return inode
  const offset = operation.kind === 'append' ? inode.size : operation.offset
  const end = offset + operation.length
  if (end > fileSizeMax) return EFBIG
  const allocation = new Allocation(inode, decodeReserved(inode.target))
  placeBlobs(view, operation.ino, offset, payloadCuts(operation), number, allocation.uncovered)
  allocation.covered(offset, end)
  dropCapability(view, operation.ino)
  putInode(view, operation.ino, {
    ...inode,
    mode: operation.killPrivileges ? withoutPrivileges(inode.mode) : inode.mode,
    size: Math.max(inode.size, end),
    allocated: allocation.bytes,
    mtime: time,
    ctime: time,
  })
  return 0
}

/**
 * Lays the next part of an open write over a view that shows the ones before it: `length` bytes at `offset`, which are
 * those of the first blob of `place.number` from `from` on. What it amounts to is one `write` of all parts.
 */
export function extendWrite(
  view: View,
  ino: number,
  offset: number,
  length: number,
  from: number,
  { time, number }: Place,
): number {
  const inode = regular(view, ino)
  if (typeof inode === 'number') return inode
  const end = offset + length
  if (end > fileSizeMax) return EFBIG
  const allocation = new Allocation(inode, decodeReserved(inode.target))
  placeExtent(view, ino, offset, length, blobId(number, 0), from, allocation.uncovered)
  allocation.covered(offset, end)
  putInode(view, ino, {
    ...inode,
    size: Math.max(inode.size, end),
    allocated: allocation.bytes,
    mtime: time,
    ctime: time,
  })
  return 0
}

/**
 * Pages of a shared mapping that a kernel wrote back. What lies behind the end of the file is left out: a mapping never
 * makes it longer. Of the bytes that the program did not store nothing is taken if the file's content changed since.
 */
export function writeBack(view: View, operation: WriteBackOperation, { time, number }: Place): number {
  const inode = regular(view, operation.ino)
  if (typeof inode === 'number') return inode
  const { ino, offset, base, stored } = operation
  const length = Math.min(operation.length, inode.size - offset)
  if (length <= 0) return 0
  const isWhole = !isChangedSince(view, ino, inode, offset, length, base)
  const allocation = new Allocation(inode, decodeReserved(inode.target))
  for (const run of isWhole ? [{ at: 0, length }] : stored) {
    const end = Math.min(run.at + run.length, length)
    if (run.at >= end) continue
    placeRun(view, ino, offset, run.at, end, number, allocation.uncovered)
    allocation.covered(offset + run.at, offset + end)
  }
  putInode(view, ino, { ...inode, allocated: allocation.bytes, mtime: time, ctime: time })
  return 0
}

/** Whether the bytes of a range may be others than they were at an entry of the log. */
export function isChangedSince(
  view: View,
  ino: number,
  inode: Inode,
  offset: number,
  length: number,
  base: number,
): boolean {
  // what has no place in the log yet comes after all that has
  const isNewer = (number: number): boolean => number < 0 || number > base
  if (base === 0 || isNewer(inode.parent)) return true
  let found = false
  visitCovered(view, ino, offset, offset + length, (_at, _length, blob) => {
    found ||= isNewer(placeOfBlob(blob).number)
  })
  return found
}

/** Puts the bytes `[from, to)` of a payload, which begins at `offset` of a file, over it. */
function placeRun(
  view: View,
  ino: number,
  offset: number,
  from: number,
  to: number,
  number: number,
  uncovered: Uncovered,
): void {
  const firstChunk = Math.floor(offset / chunkBytes)
  for (let at = from; at < to;) {
    const part = Math.floor((offset + at) / chunkBytes) - firstChunk
    const start = part === 0 ? 0 : (firstChunk + part) * chunkBytes - offset
    const end = Math.min(to, (firstChunk + part + 1) * chunkBytes - offset)
    placeExtent(view, ino, offset + at, end - at, blobId(number, part), at - start, uncovered)
    at = end
  }
}

/** truncate(2), for `setattr`: what of the inode changes. */
export function resize(
  view: View,
  ino: number,
  inode: Inode,
  size: number,
  number: number,
): Pick<Inode, 'size' | 'allocated' | 'target' | 'parent'> {
  // as ext4 does it: what is reserved beyond the end goes, unless the file grows
  const { allocated, target, parent } = inode
  if (size > inode.size) return { size, allocated, target, parent }
  return { size, ...release(view, ino, inode, size, Infinity), parent: size < inode.size ? number : parent }
}

/** Takes the extents and the reservation of a range away. */
function release(view: View, ino: number, inode: Inode, from: number, to: number): Pick<Inode, 'allocated' | 'target'> {
  const reserved = decodeReserved(inode.target)
  const allocation = new Allocation(inode, reserved)
  removeRange(view, ino, from, to, allocation.uncovered)
  if (reserved.length === 0) return { allocated: allocation.bytes, target: inode.target }
  return {
    allocated: allocation.bytes - reservedWithin(reserved, from, to),
    target: encodeReserved(cutReserved(reserved, { from, to })),
  }
}

/** All content of a file that goes. */
export function dropContent(view: View, ino: number): void {
  removeRange(view, ino, 0, Infinity)
}

/** fallocate(2). */
export function allocate(view: View, operation: AllocateOperation, { time, number }: Place): number {
  const inode = regular(view, operation.ino)
  if (typeof inode === 'number') return inode
  const { ino, mode, offset, length } = operation
  if (length === 0) return EINVAL
  const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0
  const kind = mode & ~FALLOC_FL_KEEP_SIZE
  if (kind !== 0 && kind !== FALLOC_FL_PUNCH_HOLE && kind !== FALLOC_FL_ZERO_RANGE) return EOPNOTSUPP
  if (kind === FALLOC_FL_PUNCH_HOLE && !keepSize) return EOPNOTSUPP
  const end = offset + length
  if (end > fileSizeMax) return EFBIG
  const range = { from: offset, to: end }
  const old = decodeReserved(inode.target)
  const wanted = kind === FALLOC_FL_PUNCH_HOLE ? cutReserved(old, range) : addReserved(old, range)
  const { reserved, filled } = joinNearest(wanted, reservedRangesMax)
  let { allocated } = inode
  if (kind === 0) {
    allocated += length - reservedWithin(old, offset, end)
    visitCovered(view, ino, offset, end, (at, bytes) => {
      allocated -= bytes - reservedWithin(old, at, at + bytes)
    })
  } else {
    allocated = release(view, ino, inode, offset, end).allocated
    if (kind === FALLOC_FL_ZERO_RANGE) allocated += length
  }
  for (const { from, to } of filled) {
    allocated += to - from
    visitCovered(view, ino, from, to, (_, bytes) => {
      allocated -= bytes
    })
  }
  dropCapability(view, ino)
  putInode(view, ino, {
    ...inode,
    size: keepSize ? inode.size : Math.max(inode.size, end),
    allocated,
    target: encodeReserved(reserved),
    parent: kind === 0 ? inode.parent : number,
    mtime: time,
    ctime: time,
  })
  return 0
}

/** copy_file_range(2). */
export function clone(view: View, operation: CloneOperation, { time, number }: Place): number {
  const { source, sourceOffset, ino, offset, length } = operation
  const from = regular(view, source)
  if (typeof from === 'number') return from
  const inode = regular(view, ino)
  if (typeof inode === 'number') return inode
  const end = offset + length
  if (end > fileSizeMax) return EFBIG
  if (length === 0 || length > cloneBytesMax) return EINVAL
  if (source === ino && sourceOffset < end && offset < sourceOffset + length) return EINVAL
  if (sourceOffset + length > from.size) return EAGAIN
  putPieces(view, ino, inode, offset, readPieces(view, source, sourceOffset, length), { time, number })
  return 0
}

/** Puts pieces over a file from `offset` on, as a write would put bytes; they were read before. */
export function putPieces(
  view: View,
  ino: number,
  inode: Inode,
  offset: number,
  pieces: readonly Piece[],
  { time, number }: Place,
): void {
  const allocation = new Allocation(inode, decodeReserved(inode.target))
  placePieces(view, ino, offset, pieces, allocation.uncovered)
  let at = offset
  for (const { length, blob } of pieces) {
    if (blob !== undefined) allocation.covered(at, at + length)
    at += length
  }
  dropCapability(view, ino)
  putInode(view, ino, {
    ...inode,
    size: Math.max(inode.size, at),
    allocated: allocation.bytes,
    parent: number,
    mtime: time,
    ctime: time,
  })
}

/** Keeps bytes of a file in another place. EAGAIN: none of them is where they were taken from. */
export function relocate(view: View, { ino, runs }: RelocateOperation, { number }: Place): number {
  const inode = regular(view, ino)
  if (typeof inode === 'number') return inode
  let at = 0
  let errno = EAGAIN
  for (const run of runs) {
    if (isKept(view, ino, run)) {
      placeExtent(view, ino, run.offset, run.length, blobId(number, 0), at, nothingUncovered)
      errno = 0
    }
    at += run.length
  }
  return errno
}

const nothingUncovered: Uncovered = () => {
  // what was covered is covered again
}

function isKept(view: View, ino: number, { offset, length, blob, blobOffset }: KeptRun): boolean {
  let at = blobOffset
  return readPieces(view, ino, offset, length).every(piece => {
    const isThere = piece.blob === blob && piece.offset === at
    at += piece.length
    return isThere
  })
}
