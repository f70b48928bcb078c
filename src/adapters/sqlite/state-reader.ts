import type Database from 'better-sqlite3'
import { assert } from '../../base/assert.js'
import type { Hasher } from '../../base/hash.js'
import { type AppliedPosition, type Table, tables } from '../../fs/store-port.js'
import { corrupt, type Place, readAgain, translate } from './failures.js'
import { unsealSetting } from './log-format.js'
import { decodePosition, liveCrc, portKey, recordName, storedKey, unseal } from './state-format.js'

export interface StateRecord {
  readonly table: Table
  readonly ino: number
  readonly key: string
  readonly value: Uint8Array
}

type Row = [ino: number, key: unknown, value: unknown]

/** Reads a state through any connection, and checks all that it reads. */
export class StateReader {
  readonly place: Place
  #hasher: Hasher
  #get = {} as Record<Table, Database.Statement>
  #first = {} as Record<Table, Database.Statement>
  #next = {} as Record<Table, Database.Statement>
  #chunksBefore: Database.Statement
  #chunksAfter: Database.Statement
  #live: Database.Statement
  #db: Database.Database
  #meta: Database.Statement

  constructor(db: Database.Database, place: Place, hasher: Hasher) {
    this.place = place
    this.#db = db
    this.#hasher = hasher
    for (const table of tables) {
      const inode = table === 'inode'
      this.#get[table] = db.prepare(`SELECT value FROM ${table} WHERE ino = ?${inode ? '' : ' AND key = ?'}`).pluck()
      const columns = inode ? `SELECT ino, x'', value FROM inode` : `SELECT ino, key, value FROM ${table}`
      const order = inode ? 'ORDER BY ino' : 'ORDER BY ino, key'
      this.#first[table] = db.prepare(`${columns} WHERE ino = ? ${order} LIMIT ?`).raw()
      if (!inode) this.#next[table] = db.prepare(`${columns} WHERE ino = ? AND key > ? ${order} LIMIT ?`).raw()
    }
    this.#chunksBefore = db
      .prepare('SELECT ino, key, value FROM chunk WHERE ino = ? AND key > ? AND key < ? ORDER BY ino, key LIMIT ?')
      .raw()
    this.#chunksAfter = db
      .prepare('SELECT ino, key, value FROM chunk WHERE (ino, key) > (?, ?) ORDER BY ino, key LIMIT ?')
      .raw()
    this.#live = db.prepare('SELECT bytes, crc FROM blob_live WHERE blob = ?').raw()
    this.#meta = db.prepare('SELECT value FROM meta WHERE name = ?').pluck()
  }

  meta(name: 'owner' | 'position'): Uint8Array | undefined {
    const sealed = this.#meta.get(name)
    if (sealed === undefined) return undefined
    const value = sealed instanceof Uint8Array ? unsealSetting(name, sealed, this.#hasher) : undefined
    if (value === undefined) throw corrupt(this.place, `the CRC of its ${name} does not match`)
    return value
  }

  /** An empty one stands for a state that was never written. */
  position(): AppliedPosition | undefined {
    const bytes = this.meta('position')
    if (bytes === undefined) throw corrupt(this.place, 'its applied position is missing')
    return bytes.length === 0 ? undefined : decodePosition(bytes)
  }

  #value(table: Table, ino: number, key: string, sealed: unknown): Uint8Array {
    const value = unseal(table, ino, key, sealed, this.#hasher)
    if (value === undefined) throw corrupt(this.place, `the CRC of ${recordName(table, ino, key)} does not match`)
    return value
  }

  get(table: Table, ino: number, key: string): Uint8Array | undefined {
    try {
      const sealed = readAgain(() =>
        table === 'inode'
          ? key === ''
            ? this.#get.inode.get(ino)
            : undefined
          : this.#get[table].get(ino, storedKey(table, key)),
      )
      return sealed === undefined ? undefined : this.#value(table, ino, key, sealed)
    } catch (error) {
      throw translate(this.place, error)
    }
  }

  #record(table: Table, [ino, stored, sealed]: Row): StateRecord {
    const key = portKey(table, stored)
    if (key === undefined) throw corrupt(this.place, `a record of table ${table} has no valid key`)
    return { table, ino, key, value: this.#value(table, ino, key, sealed) }
  }

  scan(table: Table, ino: number, after: string | undefined, limit: number, before?: string): StateRecord[] {
    if (table === 'inode' && after !== undefined) return []
    assert(before === undefined || table === 'chunk', 'only chunks are read up to a key')
    try {
      const rows = readAgain(() => {
        if (before !== undefined) {
          const from = after === undefined ? -1 : storedKey('chunk', after)
          return this.#chunksBefore.all(ino, from, storedKey('chunk', before), limit)
        }
        if (after === undefined) return this.#first[table].all(ino, limit)
        return this.#next[table].all(ino, storedKey(table, after), limit)
      })
      return (rows as Row[]).map(row => this.#record(table, row))
    } catch (error) {
      throw translate(this.place, error)
    }
  }

  chunksAfter(ino: number, key: string | undefined, limit: number): StateRecord[] {
    try {
      const after = key === undefined ? -1 : storedKey('chunk', key)
      const rows = readAgain(() => this.#chunksAfter.all(ino, after, limit)) as Row[]
      return rows.map(row => this.#record('chunk', row))
    } catch (error) {
      throw translate(this.place, error)
    }
  }

  /** All records; the connection can do nothing else meanwhile but read. */
  *all(): Generator<StateRecord, void, undefined> {
    try {
      for (const table of tables) {
        const columns = table === 'inode' ? `ino, x''` : 'ino, key'
        // Statements of its own: two may run side by side.
        const rows = this.#db.prepare(`SELECT ${columns}, value FROM ${table} ORDER BY 1, 2`).raw()
        for (const row of rows.iterate()) yield this.#record(table, row as Row)
      }
    } catch (error) {
      throw translate(this.place, error)
    }
  }

  #checkedLive(blob: number, bytes: number, crc: number): number {
    const plausible = Number.isSafeInteger(blob) && blob >= 0 && Number.isSafeInteger(bytes) && bytes > 0
    if (!plausible || crc !== liveCrc(blob, bytes, this.#hasher)) {
      throw corrupt(this.place, `the CRC of the use count of blob ${blob} does not match`)
    }
    return bytes
  }

  liveBytes(blob: number): number {
    try {
      const row = readAgain(() => this.#live.get(blob)) as [number, number] | undefined
      return row === undefined ? 0 : this.#checkedLive(blob, row[0], row[1])
    } catch (error) {
      throw translate(this.place, error)
    }
  }

  /** The blobs that extents refer to, in order. */
  *liveBlobs(): Generator<number, void, undefined> {
    try {
      for (const row of this.#db.prepare('SELECT blob, bytes, crc FROM blob_live ORDER BY blob').raw().iterate()) {
        const [blob, bytes, crc] = row as [number, number, number]
        this.#checkedLive(blob, bytes, crc)
        yield blob
      }
    } catch (error) {
      throw translate(this.place, error)
    }
  }
}
