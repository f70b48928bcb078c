import { assert } from '../../src/base/assert.js'
import { SortedRecords } from '../../src/fs/sorted-records.js'
import { type AppliedPosition, type StateBatch, type StateStore, type Table, tables } from '../../src/fs/store-port.js'

type StateRecord = { table: Table; ino: number; key: string; value: Uint8Array }

/** A state in memory. */
export class MemoryStateStore implements StateStore {
  position: AppliedPosition | undefined
  #tables = new Map<Table, Map<number, SortedRecords<Uint8Array>>>(tables.map(table => [table, new Map()]))
  #live = new Map<number, number>()

  get(table: Table, ino: number, key: string): Uint8Array | undefined {
    return this.#tables.get(table)!.get(ino)?.get(key)
  }

  scan(table: Table, ino: number, after: string | undefined, limit: number, before?: string): StateRecord[] {
    const found: StateRecord[] = []
    for (const [key, value] of this.#tables.get(table)!.get(ino)?.after(after) ?? []) {
      if (found.length >= limit || (before !== undefined && key >= before)) break
      found.push({ table, ino, key, value })
    }
    return found
  }

  write({ writes, position, liveBytes }: StateBatch): number[] {
    for (const { table, ino, key, value } of writes) {
      const records = this.#tables.get(table)!
      if (value === undefined) {
        records.get(ino)?.delete(key)
        if (records.get(ino)?.size === 0) records.delete(ino)
      } else {
        if (!records.has(ino)) records.set(ino, new SortedRecords())
        records.get(ino)!.set(key, value.slice())
      }
    }
    const unused: number[] = []
    for (const [blob, change] of liveBytes) {
      const bytes = this.liveBytes(blob) + change
      assert(bytes >= 0, `extents refer to ${bytes} bytes of blob ${blob}`)
      if (bytes > 0) this.#live.set(blob, bytes)
      else {
        this.#live.delete(blob)
        unused.push(blob)
      }
    }
    this.position = position
    return unused
  }

  liveBytes(blob: number): number {
    return this.#live.get(blob) ?? 0
  }

  syncNow(): void {}

  all(): Iterable<StateRecord> {
    const records: StateRecord[] = []
    for (const table of tables) {
      for (const ino of [...this.#tables.get(table)!.keys()].sort((a, b) => a - b)) {
        records.push(...this.scan(table, ino, undefined, Infinity))
      }
    }
    return records
  }

  close(): void {}
}
