import { existsSync, rmSync } from 'node:fs'
import t from 'tap'
import { SqliteLogStore } from '../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../src/adapters/sqlite/state-store.js'
import { copiedIndex, copyState, openState } from '../../src/daemon/state-copy.js'
import { snapshotPaths } from '../../src/daemon/snapshot-transfer.js'
import { hasher, moreRecords, owner, quiet, tempFolder } from '../contracts/entries.js'
import { noChanges, positionAt } from '../contracts/state-store.js'

void t.test('a copy that the log does not reach back to any more goes with the next start', async t => {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const paths = snapshotPaths(folder)
  const log = SqliteLogStore.open(paths.log, owner, hasher, quiet)
  t.teardown(() => log.close())
  const state = SqliteStateStore.open(paths.state, owner, hasher, quiet)
  log.append(moreRecords(log, 20, 1, () => 10))
  log.settle()
  const writes = [{ table: 'setting' as const, ino: 0, key: 'members', value: Buffer.from('m') }]
  state.write({ writes, position: positionAt(7), liveBytes: noChanges })
  state.syncNow()
  t.equal((await copyState(paths, { opened: () => {}, signal: new AbortController().signal })).index, 7)
  state.close()
  const openAgain = (): void => openState(paths, owner, log, true, quiet).close()
  openAgain()
  t.equal(copiedIndex(paths), 7)
  log.compact(7, () => false)
  log.commit()
  openAgain()
  t.equal(copiedIndex(paths), 7, 'what follows it is in the log')
  log.compact(8, () => false)
  log.commit()
  openAgain()
  t.notOk(existsSync(paths.copy))
})
