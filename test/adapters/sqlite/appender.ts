/** A process to be killed: appends entries and tells each index that a sync has covered. `tsx appender.ts <folder>` */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { hasher, moreRecords, owner, quiet } from '../../contracts/entries.js'

const store = SqliteLogStore.open(join(process.argv[2]!, 'log.db'), owner, hasher, quiet)

function more(): void {
  store.append(moreRecords(store, 3, 1, index => (index * 977) % 200_000))
  if (store.lastIndex % 20 === 5) store.truncateFrom(store.lastIndex)
  if (store.lastIndex % 30 === 7) store.saveHardState({ term: store.hardState.term + 1, vote: undefined })
  store.commit()
  store.sync(index => {
    writeSync(1, `${index} ${store.hardState.term}\n`)
    more()
  }, fail)
}
more()

function fail(error: unknown): void {
  throw error
}
