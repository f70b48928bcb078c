import { blobsPerEntryMax, chunkBytes, fileSizeMax } from '../base/limits.js'
import { replaceInChunk, visitChunk } from './chunks.js'
import { isWrite, type Operation } from './operation.js'
import type { Chunk, Extent } from './records.js'
import { chunkKey } from './store-port.js'
import type { View } from './view.js'

/**
 * The lengths of the blobs that an operation's payload is cut into. A write is cut where its file's chunks meet, so that
 * each blob lies in one chunk; an append, whose place is not known yet, every `chunkBytes`.
 */
export function payloadCuts(operation: Operation): number[] {
  // it is no longer than a chunk
  if (operation.kind === 'relocate') return [operation.length]
  if (!isWrite(operation)) return []
  const cuts: number[] = []
  let left = operation.length
  let room = chunkBytes - (operation.kind === 'append' ? 0 : operation.offset % chunkBytes)
  while (left > 0) {
    const cut = Math.min(left, room)
    cuts.push(cut)
    left -= cut
    room = chunkBytes
  }
  return cuts
}

/** How many bytes of payload an operation has. */
export function payloadLength(operation: Operation): number {
  return isWrite(operation) || operation.kind === 'relocate' ? operation.length : 0
}

/** The part of a payload that is the blob number `part`; undefined when there is none. */
export function cutOf(cuts: readonly number[], payload: Uint8Array, part: number): Uint8Array | undefined {
  let at = 0
  for (let i = 0; i < part; i++) at += cuts[i] ?? 0
  const length = cuts[part]
  return length === undefined ? undefined : payload.subarray(at, at + length)
}

/** The id of the blob number `part` of the entry at `number`; of a change without a place, `number` is minus its sequence number. */
export function blobId(number: number, part: number): number {
  return number * blobsPerEntryMax + (number < 0 ? -part : part)
}

/** What `blobId` made an id of. */
export function placeOfBlob(id: number): { readonly number: number; readonly part: number } {
  return { number: Math.trunc(id / blobsPerEntryMax), part: Math.abs(id % blobsPerEntryMax) }
}

/** Told of each run of a file's bytes that an extent covered and now does not. */
export type Uncovered = (at: number, length: number) => void

const chunksPerFileMax = fileSizeMax / chunkBytes
/** Chunks that are read at once. */
const scanMax = 64
/** Of so few chunks each is looked for. */
const lookUpMax = 8

interface FoundChunk {
  readonly number: number
  /** The offset at which it begins. */
  readonly base: number
  readonly record: Chunk
}

/** The chunks that there are of `[from, to)` of a file. May be changed meanwhile. */
function* chunksBetween(view: View, ino: number, from: number, to: number): Generator<FoundChunk, void, undefined> {
  const first = Math.floor(from / chunkBytes)
  const end = Math.min(chunksPerFileMax, Math.ceil(to / chunkBytes))
  if (end - first <= lookUpMax) {
    for (let number = first; number < end; number++) {
      const record = view.get('chunk', ino, chunkKey(number))
      if (record !== undefined) yield { number, base: number * chunkBytes, record }
    }
    return
  }
  const before = chunkKey(end)
  let after = first === 0 ? undefined : chunkKey(first - 1)
  for (;;) {
    const found = view.scan('chunk', ino, after, scanMax, before)
    for (const [key, record] of found) {
      const number = parseInt(key, 16)
      if (number >= end) return
      yield { number, base: number * chunkBytes, record }
      after = key
    }
    if (found.length < scanMax) return
  }
}

/** Puts extents in place of what `[from, to)` of a chunk has. */
function replace(
  view: View,
  ino: number,
  chunk: FoundChunk | Omit<FoundChunk, 'record'>,
  record: Chunk | undefined,
  from: number,
  to: number,
  added: readonly Extent[],
  uncovered: Uncovered | undefined,
): void {
  const { number, base } = chunk
  replaceInChunk(view, ino, number, record, from, to, added, (start, length, { blob }) => {
    uncovered?.(base + start, length)
    view.refer(blob, -length)
  })
  for (const { blob, length } of added) view.refer(blob, length)
}

/** Removes the extents of `[from, to)` of a file. */
export function removeRange(view: View, ino: number, from: number, to: number, uncovered?: Uncovered): void {
  for (const chunk of chunksBetween(view, ino, from, to)) {
    const end = Math.min(chunkBytes, to - chunk.base)
    replace(view, ino, chunk, chunk.record, Math.max(0, from - chunk.base), end, [], uncovered)
  }
}

/** Calls back with each run of `[from, to)` that an extent covers; holes cost nothing, however large. */
export function visitCovered(
  view: View,
  ino: number,
  from: number,
  to: number,
  visit: (at: number, length: number, blob: number) => void,
): void {
  if (from >= to) return
  for (const { number, base, record } of chunksBetween(view, ino, from, to)) {
    const end = Math.min(chunkBytes, to - base)
    visitChunk(view, ino, number, record, Math.max(0, from - base), end, (start, length, { blob }) => {
      visit(base + start, length, blob)
    })
  }
}

/** How long a part of `[from, to)`, from its beginning on, has no more than `max` extents. It looks at no more than those. */
export function lengthOfExtents(view: View, ino: number, from: number, to: number, max: number): number {
  let left = max
  let end = to
  for (const { number, base, record } of chunksBetween(view, ino, from, to)) {
    const until = Math.min(chunkBytes, to - base)
    visitChunk(view, ino, number, record, Math.max(0, from - base), until, start => {
      if (left-- > 0) return true
      end = base + start
      return false
    })
    if (left < 0) break
  }
  return end - from
}

/** Puts the bytes of one blob from `blobOffset` on over `[at, at + length)` of a file. */
export function placeExtent(
  view: View,
  ino: number,
  at: number,
  length: number,
  blob: number,
  blobOffset: number,
  uncovered: Uncovered,
): void {
  placePieces(view, ino, at, [{ length, blob, offset: blobOffset }], uncovered)
}

/** Puts the blobs of the entry, or change, `number` over `[offset, offset + sum of cuts)` of a file. */
export function placeBlobs(
  view: View,
  ino: number,
  offset: number,
  cuts: readonly number[],
  number: number,
  uncovered: Uncovered,
): void {
  placePieces(
    view,
    ino,
    offset,
    cuts.map((length, part) => ({ length, blob: blobId(number, part), offset: 0 })),
    uncovered,
  )
}

/** Puts pieces of blobs over a file from `offset` on; a hole makes a hole. Each chunk is changed once. */
export function placePieces(
  view: View,
  ino: number,
  offset: number,
  pieces: readonly Piece[],
  uncovered: Uncovered,
): void {
  let at = offset
  let from = offset
  let added: Extent[] = []
  const put = (): void => {
    if (at === from) return
    const number = Math.floor(from / chunkBytes)
    const base = number * chunkBytes
    const record = view.get('chunk', ino, chunkKey(number))
    if (record !== undefined || added.length > 0) {
      replace(view, ino, { number, base }, record, from - base, at - base, added, uncovered)
    }
    from = at
    added = []
  }
  for (const { length, blob, offset: blobOffset } of pieces) {
    if (blob === undefined && length > lookUpMax * chunkBytes) {
      put()
      removeRange(view, ino, at, at + length, uncovered)
      from = at += length
      continue
    }
    for (let taken = 0; taken < length;) {
      const start = at % chunkBytes
      const run = Math.min(length - taken, chunkBytes - start)
      if (blob !== undefined) added.push({ start, length: run, blob, offset: blobOffset + taken })
      taken += run
      at += run
      if (start + run === chunkBytes) put()
    }
  }
  put()
}

/** A piece of a file: bytes of a blob, or a hole of zeros (`blob` undefined). */
export interface Piece {
  readonly length: number
  readonly blob: number | undefined
  readonly offset: number
}

/** What `[offset, offset + length)` of a file is made of, in order; the range must lie within the file's size. */
export function readPieces(view: View, ino: number, offset: number, length: number): Piece[] {
  const pieces: Piece[] = []
  const end = offset + length
  let at = offset
  for (const { number, base, record } of chunksBetween(view, ino, offset, end)) {
    const to = Math.min(chunkBytes, end - base)
    visitChunk(view, ino, number, record, Math.max(0, offset - base), to, (start, run, extent) => {
      if (base + start > at) pieces.push({ length: base + start - at, blob: undefined, offset: 0 })
      pieces.push({ length: run, blob: extent.blob, offset: extent.offset + start - extent.start })
      at = base + start + run
    })
  }
  if (at < end) pieces.push({ length: end - at, blob: undefined, offset: 0 })
  return pieces
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE: the first offset from `offset` on with data (or none); undefined beyond the last data. */
export function seek(view: View, ino: number, size: number, offset: number, data: boolean): number | undefined {
  for (let from = offset; ;) {
    const sought = seekStep(view, ino, size, from, data, Infinity)
    if ('found' in sought) return sought.found
    from = sought.from
  }
}

/** As `seek`, but looks at about `max` extents and chunks. `from`: where it is to go on. */
export function seekStep(
  view: View,
  ino: number,
  size: number,
  offset: number,
  data: boolean,
  max: number,
): { readonly found: number | undefined } | { readonly from: number } {
  let at = offset
  let left = max
  let found: number | undefined
  for (const { number, base, record } of chunksFrom(view, ino, offset)) {
    if (left-- <= 0) return { from: at }
    if (!data && base > at) return { found: at }
    visitChunk(view, ino, number, record, Math.max(0, at - base), chunkBytes, (start, length) => {
      if (data) found = base + start
      else if (base + start > at) found = at
      else at = base + start + length
      return found === undefined && left-- > 0
    })
    if (found !== undefined) return { found: found < size ? found : undefined }
    if (data) at = base + chunkBytes
    // it ended within the chunk, and not because enough was looked at
    else if (at < base + chunkBytes && left > 0) return { found: Math.min(at, size) }
  }
  if (!data && left <= 0 && at < size) return { from: at }
  return { found: data ? undefined : Math.min(at, size) }
}

/** The chunk of an offset is looked for before others are read. */
function* chunksFrom(view: View, ino: number, offset: number): Generator<FoundChunk, void, undefined> {
  const next = (Math.floor(offset / chunkBytes) + 1) * chunkBytes
  yield* chunksBetween(view, ino, offset, next)
  yield* chunksBetween(view, ino, next, Infinity)
}
