/** A read that failed once is made again: one EIO stops nothing. */
import Database from 'better-sqlite3'
import t from 'tap'
import { readAgain } from '../../../src/adapters/sqlite/failures.js'

const errors = [
  new Database.SqliteError('disk I/O error', 'SQLITE_IOERR_READ'),
  // as SQLite words an EIO of a page
  new Database.SqliteError('database disk image is malformed', 'SQLITE_CORRUPT'),
  Object.assign(new Error('EIO'), { code: 'EIO' }),
]

for (const error of errors) {
  let left = 1
  const read = (): string => {
    if (left-- > 0) throw error
    return 'read'
  }
  t.equal(readAgain(read), 'read', error.message)
  left = 100
  t.throws(() => readAgain(read), error, 'what stays so is told')
}
