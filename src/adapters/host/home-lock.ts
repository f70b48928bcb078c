import Database from 'better-sqlite3'
import { messageOf, RkfsError } from '../../base/errors.js'
import { lockPath, runningHolder, writeLockHolder } from './lock-holder.js'

/** A node that is just leaving, or a second start at the same moment, gets this long. */
const WAIT_MS = 1000

export interface HomeLock {
  /** Twice without harm. */
  release(): void
}

/**
 * Makes sure that no two nodes run on one home: an exclusive transaction on an SQLite file, hence a POSIX lock that the
 * kernel drops when the process dies, however it dies. Fails with `busy`, naming the process that holds it.
 *
 * INVARIANT: nothing else in this process opens `node.lock`: closing any descriptor of it would drop the lock (fcntl(2)).
 */
export function acquireHomeLock(home: string): HomeLock {
  const path = lockPath(home)
  let database: Database.Database
  try {
    database = new Database(path, { timeout: WAIT_MS })
  } catch (error) {
    throw new RkfsError('failed', `the lock file ${path} cannot be opened: ${messageOf(error)}`, { cause: error })
  }
  try {
    // it writes nothing: the disk may be without a free byte
    database.pragma('journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if ((error as { code?: string }).code?.startsWith('SQLITE_BUSY')) throw busy(home, error)
    throw new RkfsError('failed', `the lock file ${path} cannot be locked: ${messageOf(error)}`, { cause: error })
  }
  writeLockHolder(home, process.pid)
  return {
    release() {
      if (!database.open) return
      writeLockHolder(home, undefined)
      database.exec('ROLLBACK')
      database.close()
    },
  }
}

function busy(home: string, cause: unknown): RkfsError {
  const holder = runningHolder(home)
  const who = holder === undefined ? 'another node' : `another node (process ${holder.pid})`
  return new RkfsError('busy', `${who} runs on ${home} already: stop it first (rkfs stop --home ${home})`, { cause })
}
