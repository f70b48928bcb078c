/** Steady writing keeps the WAL bounded, and nothing is lost over its recycling. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { blobsPerEntryMax } from '../../../src/base/limits.js'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../../src/adapters/sqlite/state-store.js'
import { hasher, moreRecords, owner, quiet, syncOf, tempFolder, unbounded } from '../../contracts/entries.js'
import { positionAt } from '../../contracts/state-store.js'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

function folderFor(t: { teardown(task: () => void): void }): string {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

void t.test('the log', async t => {
  const path = join(folderFor(t), 'log.db')
  let store = SqliteLogStore.open(path, owner, hasher, quiet)
  let largest = 0
  let written = 0
  while (written < 700e6) {
    const records = moreRecords(store, 4, 1, () => 900_000)
    store.append(records)
    store.commit()
    written += 3_600_000
    await syncOf(store)
    largest = Math.max(largest, statSync(`${path}-wal`).size)
  }
  t.ok(largest < 256e6, `the WAL grew to ${Math.round(largest / 1e6)} MB`)
  t.comment(`largest WAL ${Math.round(largest / 1e6)} MB, longest stall ${store.wal.longestStallMs.toFixed(1)} ms`)
  const last = store.lastIndex
  store.close()
  t.notOk(existsSync(`${path}-wal`))
  store = SqliteLogStore.open(path, owner, hasher, quiet)
  t.equal(store.lastIndex, last)
  store.close()
})

void t.test('space of what is dead is found again, and what is alive survives the moving', async t => {
  const folder = folderFor(t)
  const path = join(folder, 'log.db')
  let store = SqliteLogStore.open(path, owner, hasher, quiet)
  const records = moreRecords(store, 160, 1, () => 900_000)
  for (const record of records) {
    store.append([record])
    store.commit()
  }
  await syncOf(store)
  const isLive = (id: number): boolean => Math.floor(id / blobsPerEntryMax) % 4 === 1
  while (store.compact(160, isLive)) store.commit()
  store.commit()
  const bytes = (): number =>
    readdirSync(join(folder, 'segments')).reduce((sum, name) => sum + statSync(join(folder, 'segments', name)).size, 0)
  t.ok(bytes() > 140e6)
  const pin = store.pin()
  const before = bytes()
  while (store.clean(() => {}, unbounded));
  await syncOf(store)
  t.equal(bytes(), before, 'nothing is moved where it cannot be removed: another reader has the log open')
  pin.release()
  while (store.clean(() => {}, unbounded));
  t.ok(store.awaitsSync)
  await syncOf(store)
  t.notOk(store.awaitsSync)
  t.ok(bytes() < 110e6, `the segments have ${bytes()} bytes`)
  const check = (): void => {
    for (const record of records) {
      const id = record.index * blobsPerEntryMax
      const blob = store.blob(id)
      if (!isLive(id)) t.equal(blob, undefined)
      else t.ok(blob && Buffer.from(blob).equals(record.payload.subarray(0, record.cuts[0])), `blob ${id}`)
    }
  }
  check()
  store.close()
  store = SqliteLogStore.open(path, owner, hasher, quiet)
  check()
  t.same(
    readdirSync(join(folder, 'segments')).filter(name => !/^(\d{8}|spare)$/.test(name)),
    [],
  )
  store.close()
})

void t.test('a writer that never lets go of its thread', t => {
  const path = join(folderFor(t), 'state.db')
  const store = SqliteStateStore.open(path, owner, hasher, quiet)
  for (let n = 0; n < 4000; n++) {
    const value = new Uint8Array(3500).fill(n)
    const writes = Array.from({ length: 10 }, (_, i) => ({
      table: 'inode' as const,
      ino: (n * 10 + i) % 9000,
      key: '',
      value,
    }))
    store.write({ writes, position: positionAt(n), liveBytes: new Map() })
  }
  const { size } = statSync(`${path}-wal`)
  t.ok(size < 64e6, `the WAL grew to ${Math.round(size / 1e6)} MB`)
  store.close()
  t.end()
})

void t.test('closing while the worker is at work', async t => {
  const folder = folderFor(t)
  for (let round = 0; round < 6; round++) {
    const path = join(folder, `state-${round}.db`)
    const store = SqliteStateStore.open(path, owner, hasher, quiet)
    const writes = Array.from({ length: 5000 }, (_, ino) => ({
      table: 'inode' as const,
      ino,
      key: '',
      value: new Uint8Array(3900),
    }))
    store.write({ writes, position: positionAt(1), liveBytes: new Map() })
    for (let n = 0; n < round * 2; n++) await turn()
    store.close()
    t.notOk(existsSync(`${path}-wal`), 'no WAL is left')
  }
})
