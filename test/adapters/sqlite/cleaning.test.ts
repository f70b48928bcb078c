/** Cleaning where there is little room: it takes none that it does not give back. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { blobsPerEntryMax, MiB } from '../../../src/base/limits.js'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { hasher, moreRecords, owner, quiet, syncOf, tempFolder, unbounded } from '../../contracts/entries.js'
import { needsRoot, smallBlocks, smallDisk } from './support/small-disk.js'

const payloadBytes = 60_000

/** A log of `count` entries of which `isLive` keeps some, in segments of 1 MiB, that is compacted to its end. */
async function compacted(folder: string, count: number, isLive: (entry: number) => boolean): Promise<SqliteLogStore> {
  const store = SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet, MiB, MiB)
  for (const record of moreRecords(store, count, 1, () => payloadBytes)) {
    store.append([record])
    store.commit()
    if (record.index % 16 === 0) await syncOf(store)
  }
  while (store.compact(count, blob => isLive(Math.floor(blob / blobsPerEntryMax)))) store.commit()
  store.commit()
  await syncOf(store)
  return store
}

const segmentBytes = (folder: string): number =>
  readdirSync(join(folder, 'segments')).reduce((sum, name) => sum + statSync(join(folder, 'segments', name)).size, 0)

const freeBytes = (folder: string): number => {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

void t.test('a step that finds no room takes none', { skip: needsRoot }, async t => {
  const folder = smallDisk(t, 32)
  let store = await compacted(folder, 200, entry => entry % 3 === 0)
  const ballast = join(folder, 'ballast')
  writeFileSync(ballast, new Uint8Array(freeBytes(folder) - 200_000))
  const before = freeBytes(folder)
  for (let time = 0; time < 20; time++) {
    t.throws(() => store.clean(() => {}, unbounded), { code: 'disk-full' })
  }
  // the WAL may have grown once
  t.ok(freeBytes(folder) > before - 100_000, `${before} bytes were free, ${freeBytes(folder)} are`)
  for (let entry = 3; entry <= 200; entry += 3) t.ok(store.blob(entry * blobsPerEntryMax))
  store.append(moreRecords(store, 1, 1, () => 20_000))
  store.commit()
  store.syncNow()
  store.close()
  store = SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet, MiB, MiB)
  t.equal(store.lastIndex, 201)
  rmSync(ballast)
  while (store.clean(() => {}, unbounded)) await syncOf(store)
  await syncOf(store)
  t.ok(segmentBytes(folder) < 7 * MiB, `the segments have ${segmentBytes(folder)} bytes`)
  for (let entry = 3; entry <= 200; entry += 3) t.ok(store.blob(entry * blobsPerEntryMax))
  store.close()
})

void t.test('the sparsest goes first, and none whose rest does not fit', async t => {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  // of the first third of the log a third is live, of the rest one in ten
  const store = await compacted(folder, 180, entry => (entry <= 60 ? entry % 3 === 0 : entry % 10 === 0))
  const names = (): string[] => readdirSync(join(folder, 'segments')).filter(name => name !== 'spare')
  const before = names()
  const nowhere = { deadMax: 0, room: 100_000, reserve: 0 }
  t.equal(
    store.clean(() => {}, nowhere),
    false,
  )
  await syncOf(store)
  t.same(names(), before)
  // what is live of a sparse segment fits, of another one it does not
  const little = { deadMax: 0, room: 150_000, reserve: 50_000 }
  while (store.clean(() => {}, little)) await syncOf(store)
  await syncOf(store)
  t.ok(names().includes(before[0]!))
  t.ok(names().length <= before.length / 2, `${names().length} of ${before.length} segments are left`)
  while (store.clean(() => {}, { ...unbounded, deadMax: 0 })) await syncOf(store)
  await syncOf(store)
  t.notOk(names().includes(before[0]!))
  store.close()
})

void t.test('who reads the log keeps the files that it may need, and no later ones', async t => {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const store = SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet, MiB, MiB)
  const turnOver = async (): Promise<void> => {
    for (const record of moreRecords(store, 200, 1, () => payloadBytes)) {
      store.append([record])
      store.commit()
    }
    await syncOf(store)
    while (store.compact(store.lastIndex - 2, () => false)) store.commit()
    store.commit()
    await syncOf(store)
  }
  await turnOver()
  t.equal(store.pinnedBytes, 0)
  const pin = store.pin()
  await turnOver()
  t.ok(store.pinnedBytes > 10e6, 'it may refer to anything until it is open')
  t.notOk(store.awaitsSync)
  pin.opened()
  store.settle()
  const before = store.pinnedBytes
  for (let round = 0; round < 3; round++) await turnOver()
  t.ok(store.pinnedBytes < before + 2 * MiB, `${store.pinnedBytes} bytes, ${before} before`)
  t.ok(segmentBytes(folder) < before + 5 * MiB, `${segmentBytes(folder)} bytes`)
  pin.release()
  pin.release()
  t.equal(store.pinnedBytes, 0)
  t.ok(store.awaitsSync)
  await syncOf(store)
  t.ok(segmentBytes(folder) < 4 * MiB, `${segmentBytes(folder)} bytes`)
  store.close()
})

void t.test('blocks smaller than a page: a full disk is told of, and ends no process', { skip: needsRoot }, async t => {
  const folder = smallBlocks(t, 24)
  const ballast = join(folder, 'ballast')
  const fillUpTo = (left: number): void => {
    const file = openSync(ballast, 'a')
    try {
      while (freeBytes(folder) > left) {
        writeSync(file, new Uint8Array(Math.max(1024, Math.min(2 ** 20, freeBytes(folder) - left - 8192))))
        fsyncSync(file)
      }
    } catch (error) {
      t.match(error, { code: 'ENOSPC' })
    }
    closeSync(file)
  }
  for (const left of [64_000, 28_000, 12_000, 4_000, 0]) {
    const path = join(folder, `log-${left}`, 'log.db')
    mkdirSync(join(folder, `log-${left}`))
    fillUpTo(left)
    t.throws(() => SqliteLogStore.open(path, owner, hasher, quiet, MiB, MiB), { code: 'disk-full' })
    rmSync(ballast)
    const store = SqliteLogStore.open(path, owner, hasher, quiet, MiB, MiB)
    fillUpTo(left)
    t.throws(
      () => {
        for (;;) {
          store.append(moreRecords(store, 1, 1, () => 100))
          store.commit()
        }
      },
      { code: 'disk-full' },
    )
    rmSync(ballast)
    store.append(moreRecords(store, 1, 1, () => 100))
    store.commit()
    store.close()
  }
})
