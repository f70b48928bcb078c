import type { Records } from './records.js'
import { SortedRecords } from './sorted-records.js'
import { isPaged } from './chunks.js'
import { chunkKey, isPageKey, placeOfChunk, type Table } from './store-port.js'
import { groupId, type MapKey, mergeScan, type View } from './view.js'

interface Layered {
  readonly record: Records[Table] | undefined
  readonly tag: number
}

/**
 * Uncommitted changes laid over another view, in memory (DESIGN §4). Each record carries the tag (a log index or a
 * sequence number) of the change that made it; `drop` removes it when the view below has reached that change.
 */
export class OverlayView implements View {
  readonly #below: View
  readonly #groups = new Map<MapKey, SortedRecords<Layered>>()
  /** What was set, in order of tags, so that `drop` costs what it drops. */
  #made: { readonly tag: number; readonly table: Table; readonly ino: number; readonly key: string }[] = []
  #droppedMade = 0
  #tag = 0
  /** How many pages of a chunk stand in this layer, by file and chunk. */
  readonly #pages = new Map<string, { readonly ino: number; readonly key: string; count: number }>()

  constructor(below: View) {
    this.#below = below
  }

  /** The tag of the changes that follow; never smaller than an earlier one. */
  set tag(tag: number) {
    this.#tag = tag
  }

  get empty(): boolean {
    return this.#groups.size === 0
  }

  /** Whether a record, or one of its absence, stands in this layer. */
  has(table: Table, ino: number, key: string): boolean {
    return this.#groups.get(groupId(table, ino))?.has(key) ?? false
  }

  get<T extends Table>(table: T, ino: number, key: string): Records[T] | undefined {
    const layered = this.#groups.size === 0 ? undefined : this.#groups.get(groupId(table, ino))?.get(key)
    return layered === undefined ? this.#below.get(table, ino, key) : (layered.record as Records[T] | undefined)
  }

  set<T extends Table>(table: T, ino: number, key: string, record: Records[T] | undefined): void {
    const id = groupId(table, ino)
    let group = this.#groups.get(id)
    if (group === undefined) this.#groups.set(id, (group = new SortedRecords()))
    const before = group.get(key)
    group.set(key, { record, tag: this.#tag })
    if (table === 'chunk')
      this.#countPages(ino, key, Number(record !== undefined) - Number(before?.record !== undefined))
    if (before?.tag === this.#tag) return
    this.#made.push({ tag: this.#tag, table, ino, key })
  }

  scan<T extends Table>(
    table: T,
    ino: number,
    after: string | undefined,
    limit: number,
    before?: string,
  ): [string, Records[T]][] {
    const group = this.#groups.get(groupId(table, ino))
    if (group === undefined) return this.#below.scan(table, ino, after, limit, before)
    return mergeScan(
      (from, count) => this.#below.scan(table, ino, from, count, before),
      group as SortedRecords<{ record: Records[T] | undefined }>,
      after,
      limit,
      before,
    )
  }

  refer(): void {
    // references are counted where they are stored: in the table view
  }

  #countPages(ino: number, key: string, change: number): void {
    if (change === 0 || !isPageKey(key)) return
    const chunk = chunkKey(placeOfChunk(key).chunk)
    const id = groupId('chunk', ino) + chunk
    const pages = this.#pages.get(id) ?? { ino, key: chunk, count: 0 }
    pages.count += change
    if (pages.count === 0) this.#pages.delete(id)
    else this.#pages.set(id, pages)
  }

  /**
   * A page stands here of a chunk that the view below has come to keep as a list: what lies between was laid over another
   * state than the view below made it of. All must be laid anew.
   */
  get isTorn(): boolean {
    for (const { ino, key } of this.#pages.values()) if (!isPaged(this.get('chunk', ino, key))) return true
    return false
  }

  /** The view below has reached `tag`: its records with a tag up to it show the same. */
  drop(tag: number): void {
    let at = this.#droppedMade
    for (; at < this.#made.length && this.#made[at]!.tag <= tag; at++) {
      const { table, ino, key } = this.#made[at]!
      const id = groupId(table, ino)
      const group = this.#groups.get(id)
      const layered = group?.get(key)
      if (layered === undefined || layered.tag > tag) continue
      group!.delete(key)
      if (table === 'chunk') this.#countPages(ino, key, layered.record === undefined ? 0 : -1)
      if (group!.size === 0) this.#groups.delete(id)
    }
    this.#droppedMade = at
    if (at > 1024 && at * 2 > this.#made.length) {
      this.#made = this.#made.slice(at)
      this.#droppedMade = 0
    }
  }

  clear(): void {
    this.#groups.clear()
    this.#pages.clear()
    this.#made = []
    this.#droppedMade = 0
    this.#tag = 0
  }
}
