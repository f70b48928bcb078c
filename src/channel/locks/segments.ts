import { assert } from '../../base/assert.js'
import type { LockType, Range, Segment } from './lock.js'

/**
 * What one owner holds of one file: ascending, not overlapping, neighbours of one type merged (fcntl(2): a new lock
 * replaces what the owner held in its range, splits what reaches beyond, and coalesces).
 */
export type Segments = readonly Segment[]

/** The segments after the range became `type`, or free. */
export function changeRange(
  segments: Segments,
  range: Range,
  to: { readonly type: LockType; readonly pid: number } | undefined,
): Segments {
  assert(range.start >= 0 && range.start <= range.end, 'a range of a lock is not empty')
  const parts: Segment[] = []
  for (const segment of segments) {
    if (segment.start < range.start) parts.push({ ...segment, end: Math.min(segment.end, range.start - 1) })
    if (segment.end > range.end) parts.push({ ...segment, start: Math.max(segment.start, range.end + 1) })
  }
  if (to !== undefined) parts.push({ start: range.start, end: range.end, type: to.type, pid: to.pid })
  parts.sort((a, b) => a.start - b.start)
  const merged: Segment[] = []
  for (const part of parts) {
    const last = merged.at(-1)
    if (last !== undefined && last.type === part.type && last.end + 1 >= part.start) {
      merged[merged.length - 1] = { ...last, end: part.end, pid: to?.pid ?? last.pid }
    } else merged.push(part)
  }
  return merged
}

/** The parts of a range that are not held, and those that are. */
export function gapsOf(segments: Segments, range: Range): Range[] {
  const gaps: Range[] = []
  let next = range.start
  for (const { start, end } of segments) {
    if (end < next) continue
    if (start > range.end) break
    if (start > next) gaps.push({ start: next, end: start - 1 })
    next = end + 1
  }
  if (next <= range.end) gaps.push({ start: next, end: range.end })
  return gaps
}

/** Whether the whole range is held with at least that right. */
export function covers(segments: Segments, range: Range, type: LockType): boolean {
  const strong = type === 'read' ? segments : segments.filter(segment => segment.type === 'write')
  return gapsOf(strong, range).length === 0
}
