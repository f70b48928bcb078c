import Database from 'better-sqlite3'
import { dirname } from 'node:path'
import { lacksSpace, messageOf, RkfsError } from '../../base/errors.js'
import type { LogOwner } from '../../channel/log-port.js'

/** What a store reports beside its errors; pino's loggers fit. */
export interface StoreLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What to do about a damaged log: it holds this member's only copy of what it acknowledged. */
export function logRemedy(path: string, owner: LogOwner): string {
  return (
    'Nothing was changed. Rebuild this member from the others: on the owner ' +
    `\`rkfs member remove <channel> ${owner.member}\`, then here move the folder ${dirname(path)} away and ` +
    '`rkfs join` with a new invitation.'
  )
}

/** What to do about a damaged state: it can be made again from the log. */
export function stateRemedy(path: string): string {
  return (
    `state.db is derived from the log: stop the node, move ${path} (and -wal, -shm) away, and start again: ` +
    'the member rebuilds it from its log, from state.copy or from another member. ' +
    'A channel of one that has no state.copy needs a backup of its folder.'
  )
}

/** One database file, and how its failures are worded. */
export interface Place {
  readonly path: string
  readonly remedy: string
}

export function corrupt(place: Place, what: string, cause?: unknown): RkfsError {
  return new RkfsError('corrupt', `${place.path} is damaged: ${what}. ${place.remedy}`, { cause })
}

/** An error of SQLite or of the file system as the one error class; anything else (an assertion) as it is. */
export function translate(place: Place, error: unknown): unknown {
  if (error instanceof RkfsError) return error
  if (error instanceof Database.SqliteError) {
    const { code } = error
    // A full disk also shows when the wal-index cannot grow.
    if (code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_SHMSIZE') return diskFull(place, error)
    if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') return corrupt(place, error.message, error)
    // A damaged schema or header shows as a failure to prepare a statement, or a file that asks for a newer SQLite.
    if (code === 'SQLITE_ERROR' || code === 'SQLITE_FORMAT' || code.startsWith('SQLITE_READONLY')) {
      return corrupt(place, `SQLite reports "${error.message}"`, error)
    }
    return new RkfsError('failed', `${place.path}: ${error.message} (${code})`, { cause: error })
  }
  if (error instanceof TypeError && /database connection is not open/.test(error.message)) {
    return new RkfsError('failed', `${place.path} is closed`, { cause: error })
  }
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (lacksSpace(error)) return diskFull(place, error)
  if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) {
    return new RkfsError('failed', `${place.path}: ${messageOf(error)}`, { cause: error })
  }
  return error
}

export function diskFull(place: Place, cause?: unknown): RkfsError {
  return new RkfsError('disk-full', `no space left on the disk of ${place.path}`, { cause })
}

const readTries = 3

/** Whether a disk did not give what it was asked for. */
export function isUnreadable(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code
  return code === 'EIO' || (typeof code === 'string' && code.startsWith('SQLITE_IOERR') && /READ/.test(code))
}

/** SQLite reports a page that it could not read for EIO (SQLITE_IOERR_CORRUPTFS) as damage: what is damaged stays so. */
function mayPass(error: unknown): boolean {
  return isUnreadable(error) || (error instanceof Database.SqliteError && error.code.startsWith('SQLITE_CORRUPT'))
}

/** Runs a read, and again when the disk did not answer it: some faults pass. Only for what leaves nothing half done. */
export function readAgain<T>(read: () => T): T {
  for (let tries = 1; ; tries++) {
    try {
      return read()
    } catch (error) {
      if (tries === readTries || !mayPass(error)) throw error
    }
  }
}
