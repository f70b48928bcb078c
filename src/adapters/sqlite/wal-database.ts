import Database from 'better-sqlite3'
import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { assert } from '../../base/assert.js'
import { messageOf, RkfsError } from '../../base/errors.js'
import { failpoint } from '../../base/failpoint.js'
import { Checkpointer, walLimit } from './checkpointer.js'
import { corrupt, diskFull, type Place, readAgain, type StoreLog, translate } from './failures.js'
import { IndexRoom } from './index-room.js'
import { rewrite } from './rewrite.js'

/** What kind of file a database is. `schema` runs once, in the file's first transaction. */
export interface FileFormat {
  readonly name: string
  readonly applicationId: number
  readonly version: number
  readonly pageBytes: number
  readonly cacheBytes: number
  readonly checkpointBytes: number
  readonly schema: string
}

/** Files up to this size are looked through page by page when they are opened. */
const quickCheckBytesMax = 64 * 1024 * 1024

/**
 * Makes a new database under another name and moves it into place, so that a file that is there is always complete:
 * an empty or short one is damage. `fill` writes its first records.
 */
export function createDatabase(place: Place, format: FileFormat, fill: (db: Database.Database) => void): void {
  const draft = `${place.path}.new`
  for (const suffix of ['-wal', '-shm']) {
    if (existsSync(place.path + suffix)) throw corrupt(place, `it is missing, but ${place.path}${suffix} is there`)
    rmSync(draft + suffix, { force: true })
  }
  rmSync(draft, { force: true })
  try {
    new IndexRoom(place).require()
    const db = new Database(draft)
    try {
      db.pragma(`page_size = ${format.pageBytes}`)
      db.pragma('synchronous = FULL')
      db.pragma('journal_mode = WAL')
      db.transaction(() => {
        db.pragma(`application_id = ${format.applicationId}`)
        db.pragma(`user_version = ${format.version}`)
        db.exec(format.schema)
        fill(db)
      })()
    } finally {
      db.close()
    }
    // SQLite could not copy it, and does not say so
    if (existsSync(`${draft}-wal`)) throw diskFull(place)
    failpoint('database-filled')
    renameSync(draft, place.path)
    failpoint('database-created')
    syncFolder(dirname(place.path))
  } catch (error) {
    throw translate(place, error)
  }
}

export function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/**
 * Looks at an existing database through a connection that cannot write, so that a damaged one is left as it was found
 * (closing the last writing connection would checkpoint and delete the WAL). `check` reads on.
 */
export function inspectDatabase<T>(
  place: Place,
  format: FileFormat,
  bytes: number,
  check: (db: Database.Database) => T,
): T {
  try {
    if (bytes < 512) throw corrupt(place, `it has only ${bytes} bytes`)
    new IndexRoom(place).require()
    const db = new Database(place.path, { readonly: true, fileMustExist: true })
    try {
      if (db.pragma('journal_mode', { simple: true }) !== 'wal') throw corrupt(place, 'it is not in WAL mode')
      const id = db.pragma('application_id', { simple: true })
      if (id !== format.applicationId)
        throw corrupt(place, `it is not a ${format.name} of rkfs (application id ${String(id)})`)
      const version = db.pragma('user_version', { simple: true })
      if (version !== format.version) {
        throw new RkfsError(
          'version',
          `${place.path} has format version ${String(version)}; this version of rkfs reads version ${format.version}: use the version of rkfs that wrote it`,
        )
      }
      if (bytes <= quickCheckBytesMax) {
        const found = db.pragma('quick_check(1)', { simple: true })
        if (found !== 'ok') throw corrupt(place, String(found).replaceAll('\n', ' '))
      }
      return check(db)
    } finally {
      db.close()
    }
  } catch (error) {
    throw translate(place, error)
  }
}

/** Identifies a state of the WAL file: its generation (the header's salts), and how many frames are committed in it. */
export interface WalPosition {
  readonly salts: Uint8Array
  readonly frames: number
}

/** A writing connection in WAL mode that syncs the WAL file itself (COMMIT §2) and has it checkpointed. */
export class WalDatabase {
  readonly db: Database.Database
  readonly place: Place
  readonly checkpointer: Checkpointer
  /** Whether a transaction is open. */
  open = false
  frames = 0
  readonly #room: IndexRoom
  #salts = new Uint8Array(8)
  #wal: number
  #log: StoreLog
  #syncs = 0
  #closed = false
  #begin: Database.Statement
  #commit: Database.Statement
  #frameCount: Database.Statement

  /** `walBytes`: when the WAL is checkpointed, where that is not as its format says. */
  constructor(place: Place, format: FileFormat, log: StoreLog, walBytes = format.checkpointBytes) {
    this.place = place
    this.#log = log
    let db: Database.Database | undefined
    try {
      this.#room = new IndexRoom(place)
      this.#room.require()
      rewriteWal(place.path)
      db = new Database(place.path, { fileMustExist: true })
      this.db = db
      db.pragma('synchronous = NORMAL')
      db.pragma('wal_autocheckpoint = 0')
      db.pragma('secure_delete = OFF')
      // a snapshot keeps the WAL from being begun anew; what it grew to meanwhile is given back then
      db.pragma(`journal_size_limit = ${walBytes * walLimit}`)
      db.pragma(`cache_size = ${-Math.floor(format.cacheBytes / 1024)}`)
      this.#begin = db.prepare('BEGIN IMMEDIATE')
      this.#commit = db.prepare('COMMIT')
      // NOOP copies nothing; it only tells how many frames the WAL holds.
      this.#frameCount = db.prepare('PRAGMA wal_checkpoint(NOOP)').raw()
      db.prepare('SELECT count(*) FROM sqlite_schema').get()
      this.#wal = openSync(`${place.path}-wal`, 'r+')
      this.checkpointer = new Checkpointer(db, place.path, walBytes, format.pageBytes, log)
      this.#look()
    } catch (error) {
      db?.close()
      throw translate(place, error)
    }
  }

  get position(): WalPosition {
    return { salts: this.#salts, frames: this.frames }
  }

  begin(): void {
    if (this.open) return
    this.#room.require()
    this.checkpointer.beforeBegin(this.frames)
    this.#begin.run()
    this.open = true
  }

  commit(): void {
    this.#commit.run()
    this.open = false
    this.#look()
    this.checkpointer.afterCommit(this.frames)
  }

  rollback(): void {
    this.open = false
    // After some failures SQLite has rolled back already.
    if (this.db.open && this.db.inTransaction) this.db.exec('ROLLBACK')
  }

  #look(): void {
    this.frames = (this.#frameCount.get() as [number, number, number])[1]
    const salts = new Uint8Array(8)
    if (readAgain(() => readSync(this.#wal, salts, 0, 8, 16)) === 8) this.#salts = salts
  }

  /** Puts all that is committed on stable storage; in the thread pool. Not called back once the database is closed. */
  sync(done: (error: unknown) => void): void {
    this.#syncs++
    fdatasync(this.#wal, error => {
      this.#syncs--
      if (this.#closed) {
        if (this.#syncs === 0) closeSync(this.#wal)
        return
      }
      done(error ? translate(this.place, error) : undefined)
    })
  }

  syncNow(): void {
    try {
      fdatasyncSync(this.#wal)
    } catch (error) {
      throw translate(this.place, error)
    }
  }

  /**
   * Closes after a fault of the disk: the WAL stays as it is, and nothing is copied out of it, since what of it is on stable
   * storage is not known. Another connection keeps SQLite from doing so when this one is closed.
   */
  abandon(): void {
    if (this.#closed) return
    this.#closed = true
    this.checkpointer.close()
    const other = openReading(this.place.path)
    try {
      if (this.db.open && this.db.inTransaction) this.db.exec('ROLLBACK')
      this.db.close()
    } catch (error) {
      this.#log.warn({ file: this.place.path, error: messageOf(error) }, 'a database could not be closed in order')
    } finally {
      other?.close()
      // A descriptor that the pool still syncs is closed by its callback.
      if (this.#syncs === 0) closeSync(this.#wal)
    }
  }

  /**
   * Copies all of the WAL into the database and, when no other connection is left, deletes it. `copied` is called
   * before it may be deleted. On a full disk the WAL stays, with all that is in it.
   */
  close(copied: () => void): void {
    if (this.#closed) return
    assert(!this.open, 'a store is closed within a transaction')
    this.checkpointer.close()
    let full = false
    try {
      this.syncNow()
      try {
        this.db.prepare('PRAGMA wal_checkpoint(PASSIVE)').get()
      } catch (error) {
        const failure = translate(this.place, error)
        if (!(failure instanceof RkfsError) || failure.code !== 'disk-full') throw failure
        this.#log.warn({ file: this.place.path }, 'no space to checkpoint: the WAL stays')
        full = true
      }
      if (!full) copied()
    } catch (error) {
      throw translate(this.place, error)
    } finally {
      this.#closed = true
      this.db.close()
      // A descriptor that the pool still syncs is closed by its callback.
      if (this.#syncs === 0) closeSync(this.#wal)
    }
    // Space was found after all.
    if (full && !existsSync(`${this.place.path}-wal`)) copied()
  }
}

/** A connection that cannot write; undefined when there is none to be had. */
function openReading(path: string): Database.Database | undefined {
  try {
    const db = new Database(path, { readonly: true, fileMustExist: true })
    db.prepare('SELECT count(*) FROM sqlite_schema').get()
    return db
  } catch {
    return undefined
  }
}

/** What a process before this one left there: it may have died of a sync that failed. */
function rewriteWal(path: string): void {
  if (!existsSync(`${path}-wal`)) return
  const file = openSync(`${path}-wal`, 'r+')
  try {
    rewrite(file)
  } finally {
    closeSync(file)
  }
}
