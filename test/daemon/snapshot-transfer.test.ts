import { rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import t from 'tap'
import { SqliteLogStore } from '../../src/adapters/sqlite/log-store.js'
import { toHex } from '../../src/base/bytes.js'
import { receiveSnapshot, snapshotPaths } from '../../src/daemon/snapshot-transfer.js'
import { cutting, hasher, owner, quiet, tempFolder } from '../contracts/entries.js'

/** SQLite leaves a WAL behind that it could not copy, and says nothing: so it does while another has the database open. */
t.test('a snapshot that is not all in its file is not put in place', async t => {
  const folder = tempFolder()
  const paths = snapshotPaths(folder)
  const log = SqliteLogStore.open(paths.log, owner, hasher, quiet)
  t.teardown(() => {
    log.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const hash = toHex(hasher.sha256())
  const header = { version: 1, index: 40, term: 1, hash, digest: '00'.repeat(32), inodes: 1, dataBytes: 0 }
  let holder: Database.Database | undefined
  const receive = (isHeld: boolean): Promise<unknown> => {
    async function* chunks() {
      yield await Promise.resolve({ kind: 1, id: 0n, data: Buffer.from(JSON.stringify(header)) })
      if (isHeld) {
        holder = new Database(paths.incoming)
        holder.pragma('user_version')
      }
      yield { kind: 4, id: 0n, data: new Uint8Array(0) }
    }
    return receiveSnapshot(paths, owner, log, cutting(log, 0), 0, chunks(), () => {}, quiet)
  }
  await t.rejects(receive(true), { code: 'disk-full', message: /no space left .*state\.db\.incoming/ })
  holder?.close()
  t.match(await receive(false), { index: 40 }, 'it is tried again')
})
