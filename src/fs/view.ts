import type { Records } from './records.js'
import type { SortedRecords } from './sorted-records.js'
import type { Table } from './store-port.js'

/** What `apply` reads and changes: records by table, inode number and key. Records are immutable values. */
export interface View {
  get<T extends Table>(table: T, ino: number, key: string): Records[T] | undefined
  /** Undefined deletes. */
  set<T extends Table>(table: T, ino: number, key: string, record: Records[T] | undefined): void
  /**
   * Records of one inode in key order after `after` and before `before` (both exclusive; undefined: from the start, to the
   * end), at most `limit`.
   */
  scan<T extends Table>(
    table: T,
    ino: number,
    after: string | undefined,
    limit: number,
    before?: string,
  ): [string, Records[T]][]
  /** An extent that refers to `bytes` of a blob came (positive) or went (negative). */
  refer(blob: number, bytes: number): void
}

/** The key of a record, or of those of one inode in one table, in a `Map`. An inode's own has no string made for it. */
export type MapKey = string | number

export function recordId(table: Table, ino: number, key: string): MapKey {
  return table === 'inode' && key === '' ? ino : `${table}:${ino}:${key}`
}

export function groupId(table: Table, ino: number): MapKey {
  return table === 'inode' ? ino : `${table}:${ino}`
}

/**
 * Merges a sorted run of a base with the newer records of a layer above it: `newer` maps keys to a record, or to
 * undefined for a deleted one. `more(after)` reads on in the base when deletions used up a run. It costs what it answers,
 * and the deleted records between.
 */
export function mergeScan<R>(
  more: (after: string | undefined, limit: number) => [string, R][],
  newer: SortedRecords<{ readonly record: R | undefined }>,
  after: string | undefined,
  limit: number,
  before: string | undefined,
): [string, R][] {
  const merged: [string, R][] = []
  const added = newer.after(after)
  let next = nextAdded(added, before)
  let from = after
  for (;;) {
    const run = more(from, limit)
    for (const [key, record] of run) {
      for (; next !== undefined && next[0] < key; next = nextAdded(added, before)) {
        merged.push(next)
        if (merged.length === limit) return merged
      }
      from = key
      if (newer.has(key)) continue
      merged.push([key, record])
      if (merged.length === limit) return merged
    }
    if (run.length < limit) break
  }
  for (; next !== undefined && merged.length < limit; next = nextAdded(added, before)) merged.push(next)
  return merged
}

/** The next record of a layer that is not deleted. */
function nextAdded<R>(
  added: Iterator<[string, { readonly record: R | undefined }]>,
  before: string | undefined,
): [string, R] | undefined {
  for (let next = added.next(); next.done !== true; next = added.next()) {
    const [key, { record }] = next.value
    if (before !== undefined && key >= before) return undefined
    if (record !== undefined) return [key, record]
  }
  return undefined
}
