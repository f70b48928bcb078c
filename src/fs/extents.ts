import { chunkBytes, blobsPerEntryMax } from '../base/limits.js'
import { hasPayload, type Operation } from './operation.js'
import type { Chunk, Extent } from './records.js'
import { chunkKey } from './store-port.js'
import type { View } from './view.js'

/**
 * The lengths of the blobs that an operation's payload is cut into. A write is cut where its file's chunks meet, so that
 * each blob lies in one chunk; an append, whose place is not known yet, every `chunkBytes`.
 */
export function payloadCuts(operation: Operation): number[] {
  if (!hasPayload(operation)) return []
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
  return hasPayload(operation) ? operation.length : 0
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

/** Cuts `[from, to)` out of a chunk. Offsets within the chunk. */
export function cutChunk(chunk: Chunk, from: number, to: number, removed: (extent: Extent) => void): Extent[] {
  const kept: Extent[] = []
  for (const extent of chunk) {
    const end = extent.start + extent.length
    if (end <= from || extent.start >= to) {
      kept.push(extent)
      continue
    }
    const cutFrom = Math.max(extent.start, from)
    const cutTo = Math.min(end, to)
    removed({
      start: cutFrom,
      length: cutTo - cutFrom,
      blob: extent.blob,
      offset: extent.offset + cutFrom - extent.start,
    })
    if (extent.start < from) kept.push({ ...extent, length: from - extent.start })
    if (end > to) {
      kept.push({ start: to, length: end - to, blob: extent.blob, offset: extent.offset + to - extent.start })
    }
  }
  return kept
}

/** Puts an extent where the chunk has none, joining it with one that goes on in the same blob. */
function insertExtent(chunk: Extent[], extent: Extent): void {
  let at = chunk.length
  while (at > 0 && chunk[at - 1]!.start > extent.start) at--
  const before = chunk[at - 1]
  if (
    before !== undefined &&
    before.start + before.length === extent.start &&
    before.blob === extent.blob &&
    before.offset + before.length === extent.offset
  ) {
    chunk[at - 1] = { ...before, length: before.length + extent.length }
  } else chunk.splice(at, 0, extent)
}

/** Told of each run of a file's bytes that an extent covered and now does not. */
export type Uncovered = (at: number, length: number) => void

/** Chunks that are read at once. */
const scanMax = 1024

/** The chunks that there are of `[from, to)` of a file, and the offset at which each begins. May be changed meanwhile. */
function* chunksBetween(view: View, ino: number, from: number, to: number) {
  const first = Math.floor(from / chunkBytes)
  const limit = Math.min(scanMax, Math.ceil(to / chunkBytes) - first + 1)
  let after = first === 0 ? undefined : chunkKey(first - 1)
  for (;;) {
    const found = view.scan('chunk', ino, after, limit)
    for (const [key, chunk] of found) {
      const base = parseInt(key, 16) * chunkBytes
      if (base >= to) return
      yield { key, base, chunk }
      after = key
    }
    if (found.length < limit) return
  }
}

/** Removes the extents of `[from, to)` of a file. */
export function removeRange(view: View, ino: number, from: number, to: number, uncovered?: Uncovered): void {
  for (const { key, base, chunk } of chunksBetween(view, ino, from, to)) {
    const kept = cutChunk(chunk, Math.max(0, from - base), Math.min(chunkBytes, to - base), extent => {
      uncovered?.(base + extent.start, extent.length)
      view.refer(extent.blob, -extent.length)
    })
    view.set('chunk', ino, key, kept.length === 0 ? undefined : kept)
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
  for (const { base, chunk } of chunksBetween(view, ino, from, to)) {
    for (const extent of chunk) {
      const start = Math.max(from, base + extent.start)
      const end = Math.min(to, base + extent.start + extent.length)
      if (start < end) visit(start, end - start, extent.blob)
    }
  }
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
  for (let taken = 0; taken < length;) {
    const number = Math.floor((at + taken) / chunkBytes)
    const base = number * chunkBytes
    const start = at + taken - base
    const run = Math.min(length - taken, chunkBytes - start)
    const key = chunkKey(number)
    const old = view.get('chunk', ino, key) ?? []
    const last = old.at(-1)
    // a log that grows by small records: nothing is cut, and a plain copy costs little
    const chunk =
      last === undefined || last.start + last.length <= start
        ? old.slice()
        : cutChunk(old, start, start + run, extent => {
            uncovered(base + extent.start, extent.length)
            view.refer(extent.blob, -extent.length)
          })
    insertExtent(chunk, { start, length: run, blob, offset: blobOffset + taken })
    view.refer(blob, run)
    view.set('chunk', ino, key, chunk)
    taken += run
  }
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
  let at = offset
  cuts.forEach((cut, part) => {
    placeExtent(view, ino, at, cut, blobId(number, part), 0, uncovered)
    at += cut
  })
}

/** Puts pieces of another file (or of another part of this one) over a file from `offset` on; a hole makes a hole. */
export function placePieces(
  view: View,
  ino: number,
  offset: number,
  pieces: readonly Piece[],
  uncovered: Uncovered,
): void {
  let at = offset
  for (const { length, blob, offset: blobOffset } of pieces) {
    if (blob === undefined) removeRange(view, ino, at, at + length, uncovered)
    else placeExtent(view, ino, at, length, blob, blobOffset, uncovered)
    at += length
  }
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
  while (at < end) {
    const number = Math.floor(at / chunkBytes)
    const base = number * chunkBytes
    const until = Math.min(end, base + chunkBytes)
    for (const extent of view.get('chunk', ino, chunkKey(number)) ?? []) {
      const from = Math.max(at, base + extent.start)
      const to = Math.min(until, base + extent.start + extent.length)
      if (to <= from) continue
      if (from > at) pieces.push({ length: from - at, blob: undefined, offset: 0 })
      pieces.push({ length: to - from, blob: extent.blob, offset: extent.offset + from - base - extent.start })
      at = to
    }
    if (at < until) pieces.push({ length: until - at, blob: undefined, offset: 0 })
    at = until
  }
  return pieces
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE: the first offset from `offset` on with data (or none); undefined beyond the last data. */
export function seek(view: View, ino: number, size: number, offset: number, data: boolean): number | undefined {
  let at = offset
  let after = at < chunkBytes ? undefined : chunkKey(Math.floor(at / chunkBytes) - 1)
  for (;;) {
    const found = view.scan('chunk', ino, after, 256)
    for (const [key, chunk] of found) {
      const base = parseInt(key, 16) * chunkBytes
      for (const extent of chunk) {
        const from = base + extent.start
        const to = from + extent.length
        if (to <= at) continue
        if (data) return from >= size ? undefined : Math.max(at, from)
        if (from > at) return at
        at = to
      }
      after = key
    }
    if (found.length < 256) return data ? undefined : Math.min(at, size)
  }
}
