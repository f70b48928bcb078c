import { assert } from '../../src/base/assert.js'
import { SortedRecords } from '../../src/fs/sorted-records.js'
import {
  type AppliedPosition,
  type RecordWrite,
  type StateBatch,
  type StateStore,
  type StateWriter,
  type Table,
  tables,
} from '../../src/fs/store-port.js'

type StateRecord = { table: Table; ino: number; key: string; value: Uint8Array }

/** A state in memory. */
export class MemoryStateStore implements StateStore {
  position: AppliedPosition | undefined
  /** The next transaction in steps fails when it is to be committed. */
  failsNext = false
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

  chunksAfter(ino: number, key: string | undefined, limit: number): StateRecord[] {
    const found: StateRecord[] = []
    const inodes = [...this.#tables.get('chunk')!.keys()].filter(one => one >= ino).sort((a, b) => a - b)
    for (const one of inodes) {
      if (found.length >= limit) break
      found.push(...this.scan('chunk', one, one === ino ? key : undefined, limit - found.length))
    }
    return found
  }

  #put({ table, ino, key, value }: RecordWrite): void {
    const records = this.#tables.get(table)!
    if (value === undefined) {
      records.get(ino)?.delete(key)
      if (records.get(ino)?.size === 0) records.delete(ino)
    } else {
      if (!records.has(ino)) records.set(ino, new SortedRecords())
      records.get(ino)!.set(key, value.slice())
    }
  }

  /** What was put is seen at once, as within a transaction of a database. */
  begin(): StateWriter {
    const before: RecordWrite[] = []
    const liveBytes = new Map<number, number>()
    return {
      put: write => {
        const { table, ino, key } = write
        before.push({ table, ino, key, value: this.get(table, ino, key) })
        this.#put(write)
      },
      count: (blob, change) => void liveBytes.set(blob, change),
      commit: position => {
        if (this.failsNext) {
          this.failsNext = false
          throw new Error('the disk is full')
        }
        before.length = 0
        return this.write({ writes: [], position, liveBytes })
      },
      rollback: () => {
        for (const write of before.splice(0).reverse()) this.#put(write)
      },
    }
  }

  write({ writes, position, liveBytes }: StateBatch): number[] {
    for (const write of writes) this.#put(write)
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
