import type { Hasher } from '../base/hash.js'
import { recordCacheMax } from '../base/limits.js'
import { type Chunk, decodeRecord, encodeRecord, type Records } from './records.js'
import { fromLatin1 } from '../base/bytes.js'
import { SortedRecords } from './sorted-records.js'
import type { AppliedPosition, RecordWrite, StateStore, StateWriter, Table } from './store-port.js'
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
  #cacheWeight = 0
  #older = new Map<MapKey, AnyRecord | undefined>()
  #dirty = new Map<MapKey, SortedRecords<Dirty>>()
  #dirtyCount = 0
  /** Inodes made since the last flush began: the store has no records of theirs. */
  readonly #fresh = new Set<number>()
  /** What is being written. */
  #flushing: Flushing | undefined
  /** Records as they were when the digest was last brought up to date. */
  readonly #undigested = new Map<MapKey, { readonly dirty: Dirty; readonly old: AnyRecord | undefined }>()
  /** What it takes to bring the digest up to date, as `weightOf` has it. */
  #undigestedWeight = 0
  #digest: Uint8Array
  #live = new Map<number, number>()
  #inodes: number
  #dataBytes: number
  #uncoveredBytes = 0
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
  /** Bytes that extents have ceased to cover since it was opened. */
  get uncoveredBytes(): number {
    return this.#uncoveredBytes
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
    const group = groupId(table, ino)
    const dirty = this.#dirty.get(group)?.get(key) ?? this.#flushing?.groups.get(group)?.get(key)
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
    if (this.#cacheWeight >= recordCacheMax / 2) {
      this.#older = this.#cache
      this.#cache = new Map()
      this.#cacheWeight = 0
    }
    this.#cacheWeight += weightOf(record)
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
    this.#undigestedWeight += weightOf(record)
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
            this.#store
              .scan(table, ino, from, count, before)
              .map(({ key, value }) => [key, decodeRecord(table, value)]),
          )
    const id = groupId(table, ino)
    const merged = (below: typeof stored, group: SortedRecords<Dirty> | undefined): typeof stored =>
      group === undefined
        ? below
        : (from, count) =>
            mergeScan(below, group as unknown as SortedRecords<{ record: Records[T] | undefined }>, from, count, before)
    return merged(merged(stored, this.#flushing?.groups.get(id)), this.#dirty.get(id))(after, limit)
  }

  /** Chunks of all files, as they were written out last; see `StateStore`. */
  storedChunksAfter(ino: number, key: string | undefined, limit: number): StoredChunk[] {
    return this.#reading(() =>
      this.#store
        .chunksAfter(ino, key, limit)
        .map(({ ino: at, key: found, value }) => ({ ino: at, key: found, extents: decodeRecord('chunk', value) })),
    )
  }

  refer(blob: number, bytes: number): void {
    this.#live.set(blob, (this.#live.get(blob) ?? 0) + bytes)
    this.#dataBytes += bytes
    if (bytes < 0) this.#uncoveredBytes -= bytes
  }

  /** Bytes that extents refer to in a blob, what is not flushed included. */
  liveBytes(blob: number): number {
    return this.#store.liveBytes(blob) + (this.#flushing?.live.get(blob) ?? 0) + (this.#live.get(blob) ?? 0)
  }

  /** How much work `digest` has; the unit is a small record. */
  get undigestedWeight(): number {
    return this.#undigestedWeight
  }

  /** Whether the state refers to a blob: as it is, or as it was written out last. */
  refersTo(blob: number): boolean {
    return this.#store.liveBytes(blob) > 0 || this.liveBytes(blob) > 0
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
      this.#undigestedWeight = 0
      this.#digest = digest
    }
    return this.#digest
  }

  #toggle(digest: Uint8Array, at: { table: Table; ino: number; key: string }, value: Uint8Array): void {
    const hash = recordHash(this.#hasher, at.table, at.ino, at.key, value)
    for (let i = 0; i < 32; i++) digest[i]! ^= hash[i]!
  }

  // ---- flushing ----

  /** What changed is being written, in steps. */
  get isFlushing(): boolean {
    return this.#flushing !== undefined
  }

  /** Begins to write what changed, with the position the state has reached. What changes meanwhile is written the next time. */
  beginFlush(applied: { index: number; term: number; hash: Uint8Array }): void {
    const position = { ...applied, digest: this.digest(), inodes: this.#inodes, dataBytes: this.#dataBytes }
    const writer = this.#store.begin?.() ?? writerOf(this.#store)
    const flushing = { writer, position, groups: this.#dirty, live: this.#live }
    this.#flushing = { ...flushing, work: flushSteps(flushing) }
    this.#dirty = new Map()
    this.#dirtyCount = 0
    this.#fresh.clear()
    this.#live = new Map()
  }

  /**
   * Writes on: records and counts of about `max`, where a record counts by its size. Answers the blobs that nothing refers to
   * any more when all is written, and undefined before. What throws ends it, and all of it counts as changed again.
   */
  stepFlush(max: number): number[] | undefined {
    const flushing = this.#flushing!
    try {
      for (let left = max; left > 0;) {
        const { done, value } = flushing.work.next()
        if (done) {
          const dead = flushing.writer.commit(flushing.position)
          this.#flushing = undefined
          return dead
        }
        left -= value
      }
      return undefined
    } catch (error) {
      flushing.writer.rollback()
      this.#takeBack(flushing)
      throw error
    }
  }

  #takeBack({ groups, live }: Pick<Flushing, 'groups' | 'live'>): void {
    this.#flushing = undefined
    for (const [id, group] of groups) {
      let dirty = this.#dirty.get(id)
      if (dirty === undefined) this.#dirty.set(id, (dirty = new SortedRecords()))
      for (const one of group.values()) {
        if (dirty.has(one.key)) continue
        dirty.set(one.key, one)
        this.#dirtyCount++
      }
    }
    for (const [blob, bytes] of live) this.#live.set(blob, (this.#live.get(blob) ?? 0) + bytes)
  }

  /** Writes all that changed at once. Answers the blobs that nothing refers to any more. */
  flush(applied: { index: number; term: number; hash: Uint8Array }): number[] {
    const dead = this.#flushing === undefined ? [] : this.stepFlush(Infinity)!
    this.beginFlush(applied)
    return [...dead, ...this.stepFlush(Infinity)!]
  }
}

/** A chunk's record, or a page's. */
export interface StoredChunk {
  readonly ino: number
  readonly key: string
  readonly extents: Chunk
}

interface Flushing {
  readonly writer: StateWriter
  readonly position: AppliedPosition
  readonly groups: Map<MapKey, SortedRecords<Dirty>>
  readonly live: Map<number, number>
  /** Yields the weight of what it has just written. */
  readonly work: Generator<number, void, undefined>
}

/** Extents of a record that weigh as much as the record. */
const extentsPerWeight = 16

function weightOf(record: AnyRecord | undefined): number {
  return Array.isArray(record) ? 1 + Math.floor(record.length / extentsPerWeight) : 1
}

function* flushSteps({
  writer,
  groups,
  live,
}: Omit<Flushing, 'work' | 'position'>): Generator<number, void, undefined> {
  for (const group of groups.values()) {
    for (const { table, ino, key, record } of group.values()) {
      writer.put({ table, ino, key, value: record === undefined ? undefined : encodeRecord(table, record) })
      yield weightOf(record)
    }
  }
  for (const [blob, change] of live) {
    writer.count(blob, change)
    yield 1
  }
}

/** For a store without steps: all is written with the commit. */
function writerOf(store: StateStore): StateWriter {
  const writes: RecordWrite[] = []
  const liveBytes = new Map<number, number>()
  return {
    put: write => void writes.push(write),
    count: (blob, change) => void liveBytes.set(blob, change),
    commit: position => store.write({ writes, position, liveBytes }),
    rollback: () => {},
  }
}

/** SHA-256 of a record with its place: what the digest is made of. */
export function recordHash(hasher: Hasher, table: Table, ino: number, key: string, value: Uint8Array): Uint8Array {
  return hasher.sha256(fromLatin1(`${tables.indexOf(table)}:${ino}:${key.length}:${key}`), value)
}
