import { ByteReader, ByteWriter, fromLatin1, latin1 } from '../base/bytes.js'

/** `[from, to)` of a file. */
export interface Range {
  readonly from: number
  readonly to: number
}

/**
 * What fallocate(2) reserved of a file: it counts as allocated, whether an extent covers it or not, and reads as zeros
 * where none does. INVARIANT: in order, with gaps between them. A write leaves it as it is, so one range stays one.
 */
export type Reserved = readonly Range[]

export const noneReserved: Reserved = []

/** As the inode keeps it (`Inode.target` of a regular file): a binary string, '' for nothing. */
export function encodeReserved(reserved: Reserved): string {
  if (reserved.length === 0) return ''
  const writer = new ByteWriter(16 * reserved.length)
  for (const { from, to } of reserved) writer.u64(from).u64(to)
  return latin1(writer.done())
}

/** Throws `corrupt` for what `encodeReserved` did not make. */
export function decodeReserved(text: string): Reserved {
  if (text === '') return noneReserved
  const reader = new ByteReader(fromLatin1(text), 'reserved ranges')
  const reserved: Range[] = []
  while (reader.left > 0) reserved.push({ from: reader.u64(), to: reader.u64() })
  return reserved
}

export function addReserved(reserved: Reserved, added: Range): Reserved {
  let { from, to } = added
  const before: Range[] = []
  const after: Range[] = []
  for (const range of reserved) {
    if (range.to < from) before.push(range)
    else if (range.from > to) after.push(range)
    else {
      from = Math.min(from, range.from)
      to = Math.max(to, range.to)
    }
  }
  return [...before, { from, to }, ...after]
}

export function cutReserved(reserved: Reserved, cut: Range): Reserved {
  return reserved.flatMap(({ from, to }) => {
    const kept: Range[] = []
    if (from < Math.min(to, cut.from)) kept.push({ from, to: Math.min(to, cut.from) })
    if (Math.max(from, cut.to) < to) kept.push({ from: Math.max(from, cut.to), to })
    return kept
  })
}

/** At most `max` ranges: where there are more, the narrowest gaps are reserved, too. `filled`: those. */
export function joinNearest(reserved: Reserved, max: number): { reserved: Reserved; filled: readonly Range[] } {
  const ranges = [...reserved]
  const filled: Range[] = []
  while (ranges.length > max) {
    let at = 1
    const gap = (i: number): number => ranges[i]!.from - ranges[i - 1]!.to
    for (let i = 2; i < ranges.length; i++) if (gap(i) < gap(at)) at = i
    const [before, after] = [ranges[at - 1]!, ranges[at]!]
    filled.push({ from: before.to, to: after.from })
    ranges.splice(at - 1, 2, { from: before.from, to: after.to })
  }
  return { reserved: ranges, filled }
}

/** Bytes of `[from, to)` that are reserved; asked for each extent of a range, so it looks at few of them. */
export function reservedWithin(reserved: Reserved, from: number, to: number): number {
  let low = 0
  let high = reserved.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (reserved[middle]!.to > from) high = middle
    else low = middle + 1
  }
  let bytes = 0
  for (; low < reserved.length && reserved[low]!.from < to; low++) {
    bytes += Math.min(to, reserved[low]!.to) - Math.max(from, reserved[low]!.from)
  }
  return bytes
}
