import type { Records } from './records.js'
import type { Table } from './store-port.js'

/** What `apply` reads and changes: records by table, inode number and key. Records are immutable values. */
export interface View {
  get<T extends Table>(table: T, ino: number, key: string): Records[T] | undefined
  /** Undefined deletes. */
  set<T extends Table>(table: T, ino: number, key: string, record: Records[T] | undefined): void
  /** Records of one inode in key order after `after` (exclusive; undefined: from the start), at most `limit`. */
  scan<T extends Table>(table: T, ino: number, after: string | undefined, limit: number): [string, Records[T]][]
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
 * undefined for a deleted one. `more(after)` reads on in the base when deletions used up a run.
 */
export function mergeScan<R>(
  more: (after: string | undefined, limit: number) => [string, R][],
  newer: ReadonlyMap<string, { readonly record: R | undefined }>,
  after: string | undefined,
  limit: number,
): [string, R][] {
  const added: [string, R][] = []
  for (const [key, { record }] of newer) {
    if (record !== undefined && (after === undefined || key > after)) added.push([key, record])
  }
  added.sort((a, b) => (a[0] < b[0] ? -1 : 1))
  const merged: [string, R][] = []
  let from = after
  let next = 0
  for (;;) {
    const run = more(from, limit)
    for (const [key, record] of run) {
      while (next < added.length && added[next]![0] < key) {
        merged.push(added[next++]!)
        if (merged.length === limit) return merged
      }
      from = key
      if (newer.has(key)) continue
      merged.push([key, record])
      if (merged.length === limit) return merged
    }
    if (run.length < limit) break
  }
  while (next < added.length && merged.length < limit) merged.push(added[next++]!)
  return merged
}
