import Database from 'better-sqlite3'
import { existsSync, statSync } from 'node:fs'
import { assert } from '../../base/assert.js'
import { failpoint } from '../../base/failpoint.js'
import { RkfsError } from '../../base/errors.js'
import type { Hasher } from '../../base/hash.js'
import type { LogOwner } from '../../channel/log-port.js'
import {
  type AppliedPosition,
  type RecordWrite,
  type StateBatch,
  type StateStore,
  type StateWriter,
  type Table,
  tables,
} from '../../fs/store-port.js'
import { corrupt, type Place, stateRemedy, type StoreLog, translate } from './failures.js'
import { encodeOwner, sealSetting } from './log-format.js'
import { checkOwner } from './log-load.js'
import { encodePosition, liveCrc, seal, stateFormat, storedKey } from './state-format.js'
import { StateReader, type StateRecord } from './state-reader.js'
import { createDatabase, inspectDatabase, WalDatabase, type WalPosition } from './wal-database.js'

/** A channel's applied state in `state.db`. After a crash it is an earlier consistent state, from which the log is replayed. */
export class SqliteStateStore implements StateStore {
  #db: WalDatabase
  #place: Place
  #hasher: Hasher
  #reader: StateReader
  #sql: ReturnType<typeof prepare>
  #position: AppliedPosition | undefined
  /** A write or a sync failed: what is in the files is not known. */
  #failed = false
  #closed = false
  /** The counts, as they were before, of a transaction that is open. */
  #counted: Map<number, number> | undefined

  /** Opens `state.db` at `path`, or makes it. `walBytes`: about the size of its WAL, a third of its bound. Throws `corrupt`, `version`, `refused`, `disk-full` or `failed`. */
  static open(path: string, owner: LogOwner, hasher: Hasher, log: StoreLog, walBytes?: number): SqliteStateStore {
    const place: Place = { path, remedy: stateRemedy(path) }
    if (!existsSync(path)) {
      createDatabase(place, stateFormat, db => {
        const put = db.prepare('INSERT INTO meta (name, value) VALUES (?, ?)')
        put.run('owner', sealSetting('owner', encodeOwner(owner), hasher))
        put.run('position', sealSetting('position', new Uint8Array(0), hasher))
      })
    }
    inspectDatabase(place, stateFormat, statSync(path).size, db => {
      const reader = new StateReader(db, place, hasher)
      const found = reader.meta('owner')
      if (found === undefined) throw corrupt(place, 'its owner is missing')
      checkOwner(found, owner, place)
      reader.position()
    })
    return new SqliteStateStore(place, hasher, log, walBytes)
  }

  private constructor(place: Place, hasher: Hasher, log: StoreLog, walBytes: number | undefined) {
    this.#place = place
    this.#hasher = hasher
    this.#db = new WalDatabase(place, stateFormat, log, walBytes)
    this.#reader = new StateReader(this.#db.db, place, hasher)
    this.#sql = prepare(this.#db.db)
    this.#position = this.#reader.position()
  }

  get position(): AppliedPosition | undefined {
    return this.#position
  }
  /** For metrics: frames in the WAL, and the longest stall by a checkpoint. */
  get wal(): WalPosition & { readonly longestStallMs: number } {
    return { ...this.#db.position, longestStallMs: this.#db.checkpointer.longestStallMs }
  }

  get(table: Table, ino: number, key: string): Uint8Array | undefined {
    return this.#reader.get(table, ino, key)
  }

  scan(table: Table, ino: number, after: string | undefined, limit: number, before?: string): StateRecord[] {
    return this.#reader.scan(table, ino, after, limit, before)
  }

  chunksAfter(ino: number, key: string | undefined, limit: number): StateRecord[] {
    return this.#reader.chunksAfter(ino, key, limit)
  }

  liveBytes(blob: number): number {
    return this.#counted?.get(blob) ?? this.#reader.liveBytes(blob)
  }

  write(batch: StateBatch): number[] {
    const writer = this.begin()
    try {
      for (const write of batch.writes) writer.put(write)
      for (const [blob, change] of batch.liveBytes) writer.count(blob, change)
      return writer.commit(batch.position)
    } catch (error) {
      writer.rollback()
      throw error
    }
  }

  begin(): StateWriter {
    failpoint('state-flushing')
    this.#check()
    assert(this.#counted === undefined, 'two transactions of one state')
    const counted = (this.#counted = new Map<number, number>())
    const unused: number[] = []
    this.#guard(() => this.#db.begin())
    return {
      put: write => this.#guard(() => this.#put(write)),
      count: (blob, change) =>
        this.#guard(() => {
          const before = this.#reader.liveBytes(blob)
          counted.set(blob, before)
          if (this.#count(blob, before, change) === 0) unused.push(blob)
        }),
      commit: position => {
        this.#guard(() => {
          this.#sql.putPosition.run(sealSetting('position', encodePosition(position), this.#hasher))
          failpoint('state-open')
          this.#db.commit()
        })
        failpoint('state-committed')
        this.#counted = undefined
        this.#position = position
        return unused
      },
      rollback: () => this.#rollback(),
    }
  }

  #rollback(): void {
    if (this.#counted === undefined) return
    this.#counted = undefined
    this.#db.rollback()
  }

  /** A step of a transaction: one that fails ends it. */
  #guard(step: () => void): void {
    try {
      step()
    } catch (error) {
      const failure = translate(this.#place, error)
      if (failure instanceof RkfsError && failure.code !== 'disk-full') this.#failed = true
      this.#rollback()
      throw failure
    }
  }

  #put({ table, ino, key, value }: RecordWrite): void {
    if (table === 'inode') assert(key === '', 'the key of an inode is empty')
    const { put, drop } = this.#sql.tables[table]
    const sealed = value && seal(table, ino, key, value, this.#hasher)
    if (table === 'inode') {
      if (sealed) put.run(ino, sealed)
      else drop.run(ino)
    } else {
      if (sealed) put.run(ino, storedKey(table, key), sealed)
      else drop.run(ino, storedKey(table, key))
    }
  }

  /** Answers the new count. */
  #count(blob: number, before: number, change: number): number {
    const bytes = before + change
    assert(bytes >= 0, `extents refer to ${bytes} bytes of blob ${blob}`)
    if (bytes === 0) this.#sql.dropLive.run(blob)
    else if (change !== 0) this.#sql.putLive.run(blob, bytes, liveCrc(blob, bytes, this.#hasher))
    return bytes
  }

  syncNow(): void {
    this.#check()
    try {
      this.#db.syncNow()
    } catch (error) {
      this.#failed = true
      throw error
    }
  }

  /** Linux reports a failed write-back once: a sync that succeeds after it says nothing. */
  #check(): void {
    if (this.#failed) throw new RkfsError('failed', `${this.#place.path} could not be written: it must be opened anew`)
  }

  /** Through a connection of its own, so that writing may go on; what is written meanwhile is not seen. */
  *all(): Generator<StateRecord, void, undefined> {
    let db: Database.Database
    try {
      db = new Database(this.#place.path, { readonly: true, fileMustExist: true })
    } catch (error) {
      throw translate(this.#place, error)
    }
    try {
      db.exec('BEGIN')
      yield* new StateReader(db, this.#place, this.#hasher).all()
    } finally {
      db.close()
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#rollback()
    if (this.#failed) this.#db.abandon()
    else this.#db.close(() => {})
  }
}

function prepare(db: Database.Database) {
  const one = (table: Table): { put: Database.Statement; drop: Database.Statement } =>
    table === 'inode'
      ? {
          put: db.prepare('INSERT OR REPLACE INTO inode (ino, value) VALUES (?, ?)'),
          drop: db.prepare('DELETE FROM inode WHERE ino = ?'),
        }
      : {
          put: db.prepare(`INSERT OR REPLACE INTO ${table} (ino, key, value) VALUES (?, ?, ?)`),
          drop: db.prepare(`DELETE FROM ${table} WHERE ino = ? AND key = ?`),
        }
  return {
    tables: Object.fromEntries(tables.map(table => [table, one(table)])) as Record<Table, ReturnType<typeof one>>,
    putLive: db.prepare('INSERT OR REPLACE INTO blob_live (blob, bytes, crc) VALUES (?, ?, ?)'),
    dropLive: db.prepare('DELETE FROM blob_live WHERE blob = ?'),
    putPosition: db.prepare(`UPDATE meta SET value = ? WHERE name = 'position'`),
  }
}
