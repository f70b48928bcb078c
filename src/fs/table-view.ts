import type { Hasher } from '../base/hash.js'
import { recordCacheMax } from '../base/limits.js'
import { decodeRecord, encodeRecord, type Records } from './records.js'
import { fromLatin1 } from '../base/bytes.js'
import { SortedRecords } from './sorted-records.js'
import type { RecordWrite, StateStore, Table } from './store-port.js'
import { tables } from './store-port.js'
import { groupId, type MapKey, mergeScan, recordId, type View } from './view.js'

type AnyRecord = Records[Table]

interface Dirty {
  readonly table: Table
  readonly ino: number
  readonly key: string
  record: AnyRecord | undefined
}

/**
 * The committed state: records of a `StateStore` with what changed since the last flush kept in memory. A crash loses
 * only what the log replays (DESIGN §4).
 *
 * The digest is the XOR of SHA-256 over each record (table, inode, key, value): it depends on the records alone, not on
 * the order of flushes, so members compare it at any index. It is brought up to date when it is asked for.
 */
export class TableView implements View {
  readonly #store: StateStore
  readonly #hasher: Hasher
  #cache = new Map<MapKey, AnyRecord | undefined>()
  #older = new Map<MapKey, AnyRecord | undefined>()
  readonly #dirty = new Map<MapKey, SortedRecords<Dirty>>()
  #dirtyCount = 0
  /** Inodes made since the last flush: the store has no records of theirs. */
  readonly #fresh = new Set<number>()
  /** Records as they were when the digest was last brought up to date. */
  readonly #undigested = new Map<MapKey, { readonly dirty: Dirty; readonly old: AnyRecord | undefined }>()
  #digest: Uint8Array
  #live = new Map<number, number>()
  #inodes: number
  #dataBytes: number
  /** Told of each read of the store that failed. */
  onDamage: ((error: unknown) => void) | undefined
  /** Told of each record that changes, before it does. */
  onChange: ((table: Table, ino: number, key: string) => void) | undefined

  constructor(store: StateStore, hasher: Hasher) {
    this.#store = store
    this.#hasher = hasher
    const position = store.position
    this.#digest = position === undefined ? new Uint8Array(32) : position.digest.slice()
    this.#inodes = position?.inodes ?? 0
    this.#dataBytes = position?.dataBytes ?? 0
  }

  get inodes(): number {
    return this.#inodes
  }
  /** Bytes that extents cover. */
  get dataBytes(): number {
    return this.#dataBytes
  }
  get dirtyCount(): number {
    return this.#dirtyCount
  }

  get<T extends Table>(table: T, ino: number, key: string): Records[T] | undefined {
    return this.#find(recordId(table, ino, key), table, ino, key)
  }

  #find<T extends Table>(id: MapKey, table: T, ino: number, key: string): Records[T] | undefined {
    const cached = this.#cache.get(id)
    if (cached !== undefined || this.#cache.has(id)) return cached as Records[T] | undefined
    if (this.#older.has(id)) {
      const record = this.#older.get(id)
      this.#remember(id, record)
      return record as Records[T] | undefined
    }
    const dirty = this.#dirty.get(groupId(table, ino))?.get(key)
    if (dirty !== undefined) return dirty.record as Records[T] | undefined
    const record = this.#fresh.has(ino) ? undefined : this.#read(table, ino, key)
    this.#remember(id, record)
    return record
  }

  #read<T extends Table>(table: T, ino: number, key: string): Records[T] | undefined {
    return this.#reading(() => {
      const bytes = this.#store.get(table, ino, key)
      return bytes === undefined ? undefined : decodeRecord(table, bytes)
    })
  }

  #reading<R>(read: () => R): R {
    try {
      return read()
    } catch (error) {
      this.onDamage?.(error)
      throw error
    }
  }

  /** Two generations stand in for an LRU: what is used moves to the younger, the older one goes whole. */
  #remember(id: MapKey, record: AnyRecord | undefined): void {
    if (this.#cache.size >= recordCacheMax / 2) {
      this.#older = this.#cache
      this.#cache = new Map()
    }
    this.#cache.set(id, record)
  }

  set<T extends Table>(table: T, ino: number, key: string, record: Records[T] | undefined): void {
    this.onChange?.(table, ino, key)
    const id = recordId(table, ino, key)
    const old = this.#find(id, table, ino, key)
    if (old === undefined && record === undefined) return
    const groupKey = groupId(table, ino)
    let group = this.#dirty.get(groupKey)
    if (group === undefined) this.#dirty.set(groupKey, (group = new SortedRecords()))
    let dirty = group.get(key)
    if (dirty === undefined) {
      group.set(key, (dirty = { table, ino, key, record }))
      this.#dirtyCount++
    } else dirty.record = record
    const undigested = this.#undigested.get(id)
    if (undigested === undefined) this.#undigested.set(id, { dirty, old })
    else if (undigested.dirty !== dirty) this.#undigested.set(id, { dirty, old: undigested.old })
    if (table === 'inode') {
      if (old === undefined && record !== undefined) {
        this.#inodes++
        this.#fresh.add(ino)
      }
      if (old !== undefined && record === undefined) this.#inodes--
    }
    this.#older.delete(id)
    this.#remember(id, record)
  }

  scan<T extends Table>(
    table: T,
    ino: number,
    after: string | undefined,
    limit: number,
    before?: string,
  ): [string, Records[T]][] {
    const stored = (from: string | undefined, count: number): [string, Records[T]][] =>
      this.#fresh.has(ino)
        ? []
        : this.#reading(() =>
            this.#store.scan(table, ino, from, count, before).map(({ key, value }) => [key, decodeRecord(table, value)]),
          )
    const group = this.#dirty.get(groupId(table, ino))
    if (group === undefined) return stored(after, limit)
    const newer = group as unknown as SortedRecords<{ record: Records[T] | undefined }>
    return mergeScan(stored, newer, after, limit, before)
  }

  refer(blob: number, bytes: number): void {
    this.#live.set(blob, (this.#live.get(blob) ?? 0) + bytes)
    this.#dataBytes += bytes
  }

  /** Bytes that extents refer to in a blob, what is not flushed included. */
  liveBytes(blob: number): number {
    return this.#store.liveBytes(blob) + (this.#live.get(blob) ?? 0)
  }

  /** Whether the state refers to a blob: as it is, or as it was written out last. */
  refersTo(blob: number): boolean {
    return this.#store.liveBytes(blob) > 0 || (this.#live.get(blob) ?? 0) > 0
  }

  /** The digest of all records as they are now; 32 bytes, not to be changed. */
  digest(): Uint8Array {
    if (this.#undigested.size > 0) {
      const digest = this.#digest.slice()
      for (const { dirty, old } of this.#undigested.values()) {
        if (old !== undefined) this.#toggle(digest, dirty, encodeRecord(dirty.table, old))
        if (dirty.record !== undefined) this.#toggle(digest, dirty, encodeRecord(dirty.table, dirty.record))
      }
      this.#undigested.clear()
      this.#digest = digest
    }
    return this.#digest
  }

  #toggle(digest: Uint8Array, at: { table: Table; ino: number; key: string }, value: Uint8Array): void {
    const hash = recordHash(this.#hasher, at.table, at.ino, at.key, value)
    for (let i = 0; i < 32; i++) digest[i]! ^= hash[i]!
  }

  /** Writes what changed, with the position the state has reached. Answers the blobs that nothing refers to any more. */
  flush(applied: { index: number; term: number; hash: Uint8Array }): number[] {
    const digest = this.digest()
    const writes: RecordWrite[] = []
    for (const group of this.#dirty.values()) {
      for (const { table, ino, key, record } of group.values()) {
        writes.push({ table, ino, key, value: record === undefined ? undefined : encodeRecord(table, record) })
      }
    }
    const dead = this.#store.write({
      writes,
      position: { ...applied, digest, inodes: this.#inodes, dataBytes: this.#dataBytes },
      liveBytes: this.#live,
    })
    this.#dirty.clear()
    this.#dirtyCount = 0
    this.#fresh.clear()
    this.#live = new Map()
    return dead
  }
}

/** SHA-256 of a record with its place: what the digest is made of. */
export function recordHash(hasher: Hasher, table: Table, ino: number, key: string, value: Uint8Array): Uint8Array {
  return hasher.sha256(fromLatin1(`${tables.indexOf(table)}:${ino}:${key.length}:${key}`), value)
}
