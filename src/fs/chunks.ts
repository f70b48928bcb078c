import { chunkBytes, chunkPageBytes } from '../base/limits.js'
import type { Chunk, Extent } from './records.js'
import { chunkKey, pageKey, pagesPerChunk } from './store-port.js'
import type { View } from './view.js'

/*
 * A chunk is one record: the list of its extents. One of so many that each small write would copy, and each flush write, a
 * long list is kept as pages instead: a record for every 4 KiB that has extents, which are cut where pages meet, and an
 * empty list as the chunk's own record, so that who goes through the chunks of a file meets it in its place.
 *
 * INVARIANT: whether a chunk is kept as pages depends on its content alone, on how many extents it has when they are cut
 * where pages meet, and not on the way that led there: members compare the sums of their records, and a view that was laid
 * over another one in small steps must fit onto it when that one makes the same changes in large ones.
 *
 * A channel that was made before there were pages has none until a session of a newer member is opened in it (`usePages`),
 * since who replays older entries must come to the records that others have.
 */

/** The setting that says how many extents a list has at most; there are no pages without it. */
const pagesSetting = 'chunk-extents'

export function extentsMaxOf(view: View): number {
  const record = view.get('setting', 0, pagesSetting)
  return record === undefined ? Infinity : new DataView(record.buffer, record.byteOffset).getUint32(0, true)
}

/** The setting, as `view.get` answers it, for views of one file. */
export function pagesRecord(key: string, extentsMax: number): Uint8Array | undefined {
  if (key !== pagesSetting || extentsMax === Infinity) return undefined
  const record = new Uint8Array(4)
  new DataView(record.buffer).setUint32(0, extentsMax, true)
  return record
}

/** From here on chunks of more than `extentsMax` extents are kept as pages. What was said first stays. */
export function usePages(view: View, extentsMax: number): void {
  if (view.get('setting', 0, pagesSetting) !== undefined) return
  view.set('setting', 0, pagesSetting, pagesRecord(pagesSetting, extentsMax))
}

/** Whether a chunk's record stands for pages. */
export function isPaged(record: Chunk | undefined): boolean {
  return record?.length === 0
}

/** Told of a run of a chunk's bytes that an extent covers; answers false to hear of no more. */
export type VisitRun = (start: number, length: number, extent: Extent) => boolean | void

/** Calls back with each run of `[from, to)` of a chunk that an extent covers, in order. Offsets within the chunk. */
export function visitChunk(
  view: View,
  ino: number,
  chunk: number,
  record: Chunk | undefined,
  from: number,
  to: number,
  visit: VisitRun,
): void {
  if (record === undefined) return
  if (!isPaged(record)) return void visitList(record, from, to, visit)
  const end = Math.min(pagesPerChunk, Math.ceil(to / chunkPageBytes))
  for (let page = pageOf(from); page < end; page++) {
    const list = view.get('chunk', ino, pageKey(chunk, page))
    if (list !== undefined && !visitList(list, from, to, visit)) return
  }
}

function visitList(list: Chunk, from: number, to: number, visit: VisitRun): boolean {
  for (let i = firstEndingAfter(list, from); i < list.length && list[i]!.start < to; i++) {
    const extent = list[i]!
    const start = Math.max(extent.start, from)
    if (visit(start, Math.min(extent.start + extent.length, to) - start, extent) === false) return false
  }
  return true
}

/** The place of the first extent that ends after `at`. */
function firstEndingAfter(list: Chunk, at: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (list[middle]!.start + list[middle]!.length > at) high = middle
    else low = middle + 1
  }
  return low
}

/**
 * Puts `added` (in order, within the range) in place of all that a chunk has in `[from, to)`. `record`: the chunk's own as
 * it is; `removed` is told of each run that goes.
 */
export function replaceInChunk(
  view: View,
  ino: number,
  chunk: number,
  record: Chunk | undefined,
  from: number,
  to: number,
  added: readonly Extent[],
  removed: VisitRun,
): void {
  let list: Extent[]
  if (!isPaged(record)) list = spliced(record ?? [], from, to, added, removed)
  else if (from > 0 || to < chunkBytes) return replaceInPages(view, ino, chunk, from, to, added, removed)
  else {
    visitChunk(view, ino, chunk, record, 0, chunkBytes, removed)
    dropPages(view, ino, chunk)
    list = spliced([], 0, chunkBytes, added, removed)
  }
  const max = extentsMaxOf(view)
  if (max !== Infinity) {
    list = joined(list)
    if (countInPages(list) > max) return spread(view, ino, chunk, list)
  }
  view.set('chunk', ino, chunkKey(chunk), list.length === 0 ? undefined : list)
}

/** A list without extents that are one; a channel that had no pages may have them. */
function joined(list: Extent[]): Extent[] {
  if (!list.some((extent, at) => at > 0 && goesOn(list[at - 1]!, extent))) return list
  const whole: Extent[] = []
  for (const extent of list) join(whole, extent)
  return whole
}

/** How many extents a list amounts to when they are cut where pages meet. */
function countInPages(list: readonly Extent[]): number {
  return list.reduce((sum, { start, length }) => sum + pageOf(start + length - 1) - pageOf(start) + 1, 0)
}

function pageOf(at: number): number {
  return Math.floor(at / chunkPageBytes)
}

function spliced(list: Chunk, from: number, to: number, added: readonly Extent[], removed: VisitRun): Extent[] {
  let first = firstEndingAfter(list, from)
  const middle: Extent[] = []
  let rest: Extent | undefined
  let end = first
  for (; end < list.length && list[end]!.start < to; end++) {
    const extent = list[end]!
    const extentEnd = extent.start + extent.length
    const start = Math.max(extent.start, from)
    removed(start, Math.min(extentEnd, to) - start, extent)
    if (extent.start < from) middle.push({ ...extent, length: from - extent.start })
    if (extentEnd > to) {
      rest = { start: to, length: extentEnd - to, blob: extent.blob, offset: extent.offset + to - extent.start }
    }
  }
  const before = list[first - 1]
  if (middle.length === 0 && before !== undefined && added.length > 0 && goesOn(before, added[0]!)) {
    middle.push(before)
    first--
  }
  for (const extent of added) join(middle, extent)
  if (rest !== undefined) middle.push(rest)
  if (first === 0 && end === list.length) return middle
  const made = list.slice()
  if (middle.length < 64) made.splice(first, end - first, ...middle)
  else return made.slice(0, first).concat(middle, made.slice(end))
  return made
}

/** Whether an extent follows another one in its blob, too. */
function goesOn(before: Extent, extent: Extent): boolean {
  return (
    before.start + before.length === extent.start &&
    before.blob === extent.blob &&
    before.offset + before.length === extent.offset
  )
}

/** Adds an extent to the end of a list. */
function join(list: Extent[], extent: Extent): void {
  const before = list.at(-1)
  if (before === undefined || !goesOn(before, extent)) list.push(extent)
  else list[list.length - 1] = { ...before, length: before.length + extent.length }
}

/** The part of a list that lies in `[from, to)`. */
function within(list: readonly Extent[], from: number, to: number): Extent[] {
  const part: Extent[] = []
  visitList(list, from, to, (start, length, extent) => {
    part.push({ start, length, blob: extent.blob, offset: extent.offset + start - extent.start })
  })
  return part
}

// ---- pages ----

function replaceInPages(
  view: View,
  ino: number,
  chunk: number,
  from: number,
  to: number,
  added: readonly Extent[],
  removed: VisitRun,
): void {
  let shrank = false
  for (let page = pageOf(from); page * chunkPageBytes < to; page++) {
    const key = pageKey(chunk, page)
    const start = Math.max(from, page * chunkPageBytes)
    const end = Math.min(to, (page + 1) * chunkPageBytes)
    const old = view.get('chunk', ino, key)
    const list = joined(spliced(old ?? [], start, end, within(added, start, end), removed))
    if (list.length > 0 || old !== undefined) view.set('chunk', ino, key, list.length === 0 ? undefined : list)
    shrank ||= list.length < (old?.length ?? 0)
  }
  if (shrank) maybeJoin(view, ino, chunk)
}

/** Makes a list of pages that have come to hold few extents. */
function maybeJoin(view: View, ino: number, chunk: number): void {
  const max = extentsMaxOf(view)
  const parts: Chunk[] = []
  let count = 0
  for (let page = 0; page < pagesPerChunk; page++) {
    const part = view.get('chunk', ino, pageKey(chunk, page))
    if (part === undefined) continue
    count += part.length
    if (count > max) return
    parts.push(part)
  }
  const list: Extent[] = []
  for (const part of parts) for (const extent of part) join(list, extent)
  dropPages(view, ino, chunk)
  view.set('chunk', ino, chunkKey(chunk), list.length === 0 ? undefined : list)
}

/** All pages are touched, also those that stay without extents: a view that is laid over another hides what that one has. */
function spread(view: View, ino: number, chunk: number, list: Chunk): void {
  for (let page = 0; page < pagesPerChunk; page++) {
    const part = within(list, page * chunkPageBytes, (page + 1) * chunkPageBytes)
    view.set('chunk', ino, pageKey(chunk, page), part.length === 0 ? undefined : part)
  }
  view.set('chunk', ino, chunkKey(chunk), [])
}

/** All pages are touched, also those that are not there: a view that has one laid over this one learns that it is no more. */
function dropPages(view: View, ino: number, chunk: number): void {
  for (let page = 0; page < pagesPerChunk; page++) view.set('chunk', ino, pageKey(chunk, page), undefined)
}
