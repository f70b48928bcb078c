import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { openSnapshot } from '../../../src/adapters/sqlite/snapshot.js'
import { SqliteStateStore } from '../../../src/adapters/sqlite/state-store.js'
import type { RecordWrite } from '../../../src/fs/store-port.js'
import { hasher, moreRecords, owner, quiet, tempFolder } from '../../contracts/entries.js'
import { positionAt } from '../../contracts/state-store.js'

void t.test('a snapshot is one moment, read in batches while writing goes on', async t => {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [logPath, statePath] = [join(folder, 'log.db'), join(folder, 'state.db')]
  const log = SqliteLogStore.open(logPath, owner, hasher, quiet)
  const state = SqliteStateStore.open(statePath, owner, hasher, quiet)
  log.append(moreRecords(log, 40, 1, () => 250_000))
  log.settle()
  const writes: RecordWrite[] = []
  for (let n = 1; n <= 5000; n++) {
    writes.push({ table: 'inode', ino: n, key: '', value: new Uint8Array(300).fill(n) })
    writes.push({ table: 'entry', ino: 1, key: `\xff ${n}`, value: new Uint8Array(20).fill(n) })
  }
  const live = new Map<number, number>()
  // Every second entry's blobs, and one of an entry after the position.
  for (let index = 1; index <= 30; index += 2) live.set(index * 8, 700).set(index * 8 + 1, 1)
  live.set(35 * 8, 1)
  state.write({ writes, position: positionAt(30), liveBytes: live })

  const snapshot = await openSnapshot(statePath, logPath)
  t.same(snapshot.position, positionAt(30))
  const later = writes.map(one => ({ ...one, value: new Uint8Array(1) }))
  state.write({
    writes: later,
    position: positionAt(31),
    liveBytes: new Map([...live].map(([id, bytes]) => [id, -bytes])),
  })
  while (log.compact(31, () => false)) log.commit()
  log.settle()

  const expected = new Map(writes.map(one => [`${one.table} ${one.ino} ${one.key}`, one.value!]))
  let batches = 0
  for await (const batch of snapshot.records()) {
    batches++
    let bytes = 0
    for (const { table, ino, key, value } of batch) {
      const name = `${table} ${ino} ${key}`
      if (!Buffer.from(value!).equals(expected.get(name) ?? Buffer.of(1))) t.fail(name)
      expected.delete(name)
      bytes += value!.length
    }
    t.ok(bytes <= 512 * 1024)
  }
  t.equal(expected.size, 0)
  t.ok(batches > 2)

  const ids: number[] = []
  for await (const batch of snapshot.blobs()) {
    t.ok(batch.reduce((sum, one) => sum + one.data.length, 0) <= 1024 * 1024)
    for (const { id, data } of batch) {
      ids.push(id)
      t.equal(data.length, id % 8 === 0 ? 777 : 250_000 - 777)
    }
  }
  t.same(
    ids,
    [...live.keys()].filter(id => id < 31 * 8),
    'only those that are used, up to the position',
  )

  for await (const _ of snapshot.records()) break
  const seen: unknown[] = []
  const module = new URL('./deep-check.ts', import.meta.url)
  const result = await snapshot.run(module, 'countRecords', {}, value => seen.push(value))
  t.same(result, { count: 10_000, first: 1, blob: 777 })
  t.equal(seen.length, 10)
  await t.rejects(snapshot.run(module, 'countRecords', { fail: true }), {
    name: 'RkfsError',
    code: 'corrupt',
    message: 'found damage',
  })
  await t.rejects(snapshot.run(module, 'nothing', {}), { code: 'failed' })

  await snapshot.close()
  await snapshot.close()
  await t.rejects(snapshot.run(module, 'countRecords', {}), { code: 'failed' })
  log.close()
  state.close()
  await t.rejects(openSnapshot(join(folder, 'none.db'), logPath), { name: 'RkfsError' })
})

void t.test('a snapshot that is closed in the middle', async t => {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [logPath, statePath] = [join(folder, 'log.db'), join(folder, 'state.db')]
  const log = SqliteLogStore.open(logPath, owner, hasher, quiet)
  const state = SqliteStateStore.open(statePath, owner, hasher, quiet)
  const writes = Array.from({ length: 5000 }, (_, n) => ({
    table: 'inode' as const,
    ino: n,
    key: '',
    value: new Uint8Array(300),
  }))
  state.write({ writes, position: positionAt(1), liveBytes: new Map([[8, 1]]) })
  const snapshot = await openSnapshot(statePath, logPath)
  await t.rejects(snapshot.blobs().next(), { code: 'corrupt', message: /blob 8 .*it is missing/ })
  const stream = snapshot.records()
  await stream.next()
  const next = stream.next()
  await snapshot.close()
  await next.catch(error => t.match(error, { code: 'failed' }))
  log.close()
  state.close()
})
