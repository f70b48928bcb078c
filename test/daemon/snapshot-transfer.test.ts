import { rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import t from 'tap'
import { SqliteLogStore } from '../../src/adapters/sqlite/log-store.js'
import { toHex } from '../../src/base/bytes.js'
import { beginSnapshot, receiveSnapshot, snapshotPaths } from '../../src/daemon/snapshot-transfer.js'
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

t.test('what is wrong with a snapshot is known by its first chunk, before the channel stands still', async t => {
  const folder = tempFolder()
  const log = SqliteLogStore.open(snapshotPaths(folder).log, owner, hasher, quiet)
  t.teardown(() => {
    log.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const hash = toHex(hasher.sha256())
  const sound = { version: 1, index: 40, term: 5, hash, digest: '00'.repeat(32), inodes: 1, dataBytes: 0 }
  async function* chunks(header: object, kind = 1) {
    yield await Promise.resolve({ kind, id: 0n, data: Buffer.from(JSON.stringify(header)) })
    yield { kind: 4, id: 0n, data: new Uint8Array(0) }
  }
  async function* none() {}
  const channel = { ...cutting(log, 0), term: 5 }
  const begin = (header: object, kind?: number): Promise<unknown> =>
    beginSnapshot(log, channel, 30, chunks(header, kind))
  await t.rejects(begin({ ...sound, index: 29 }), { code: 'unavailable', message: /ends at entry 29/ })
  await t.rejects(begin({ ...sound, term: 2 ** 40 }), { code: 'unavailable', message: /nobody else has told of/ })
  await t.rejects(begin({ ...sound, digest: 'no' }), { code: 'corrupt' })
  await t.rejects(begin(sound, 3), { code: 'corrupt', message: /without a header/ })
  await t.rejects(beginSnapshot(log, channel, 30, none()), { code: 'unavailable', message: /broke off/ })
  const kinds: number[] = []
  for await (const { kind } of await beginSnapshot(log, channel, 30, chunks(sound))) kinds.push(kind)
  t.same(kinds, [1, 4])
})

t.test('no entry is cut from the log for a snapshot whose records do not amount to its digest', async t => {
  const folder = tempFolder()
  const paths = snapshotPaths(folder)
  const log = SqliteLogStore.open(paths.log, owner, hasher, quiet)
  t.teardown(() => {
    log.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const hash = toHex(hasher.sha256())
  const header = { version: 1, index: 40, term: 1, hash, digest: '11'.repeat(32), inodes: 1, dataBytes: 9 }
  async function* chunks() {
    yield await Promise.resolve({ kind: 1, id: 0n, data: Buffer.from(JSON.stringify(header)) })
    yield { kind: 3, id: 8n, data: Buffer.from('contradicts') }
    yield { kind: 4, id: 0n, data: new Uint8Array(0) }
  }
  let cut = 0
  const channel = { ...cutting(log, 0), contradicted: () => void cut++ }
  const received = receiveSnapshot(paths, owner, log, channel, 0, chunks(), () => {}, quiet)
  await t.rejects(received, { code: 'corrupt', message: /does not amount to its digest/ })
  t.same([cut, log.blob(8)], [0, undefined])
})
