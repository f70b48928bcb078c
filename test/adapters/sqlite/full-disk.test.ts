/** A full disk: `disk-full`, and the stores go on from where they were. Needs root for a small tmpfs. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../../src/adapters/sqlite/state-store.js'
import { hasher, moreRecords, owner, quiet } from '../../contracts/entries.js'
import { noChanges, positionAt } from '../../contracts/state-store.js'
import { needsRoot, smallDisk } from './support/small-disk.js'

void t.test('the log', { skip: needsRoot }, t => {
  const folder = smallDisk(t, 8)
  const path = join(folder, 'log.db')
  writeFileSync(join(folder, 'ballast'), new Uint8Array(4 * 1024 * 1024))
  let store = SqliteLogStore.open(path, owner, hasher, quiet)
  store.saveHardState({ term: 3, vote: owner.member })
  let committed = 0
  const fillUp = (): void => {
    for (;;) {
      store.append(moreRecords(store, 4, 3, () => 30_000))
      store.commit()
      committed = store.lastIndex
    }
  }
  t.throws(fillUp, { code: 'disk-full', message: /no space left on the disk of .*log\.db/ })
  const whole = (): void => {
    t.equal(store.lastIndex, committed)
    t.equal(store.read(1, committed).length, committed)
    t.equal(store.bytes.blobs, committed * 30_000)
    t.same(store.hardState, { term: 3, vote: owner.member })
  }
  whole()
  t.throws(fillUp, { code: 'disk-full' }, 'again')
  whole()
  // One that had removed entries before it failed.
  t.throws(
    () => {
      store.truncateFrom(committed)
      store.append(moreRecords(store, 100, 4, () => 60_000))
      store.commit()
    },
    { code: 'disk-full' },
  )
  whole()
  store.syncNow()
  rmSync(join(folder, 'ballast'))
  store.append(moreRecords(store, 4, 3, () => 30_000))
  store.commit()
  committed += 4
  whole()
  store.close()
  store = SqliteLogStore.open(path, owner, hasher, quiet)
  whole()
  store.close()
  t.end()
})

void t.test('a compaction and a reset that found no room leave the log as it was', { skip: needsRoot }, t => {
  const folder = smallDisk(t, 8)
  const ballast = join(folder, 'ballast')
  let store = SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet)
  store.append(moreRecords(store, 200, 3, () => 1000))
  store.commit()
  store.truncateFrom(181)
  store.append(moreRecords(store, 10, 4, () => 1000))
  store.commit()
  const whole = (): void => {
    t.equal(store.anchor.index, 0)
    t.equal(store.read(1, 190).length, 190)
    for (let index = 1; index <= 190; index++) t.equal(store.blob(index * 8)?.length, 1000, `blob of ${index}`)
    t.equal(store.blobIds(0, 1000).length, 190)
  }
  const anchor = { index: 500, term: 5, hash: new Uint8Array(32).fill(5) }
  for (const change of [() => store.compact(150, () => true), () => store.reset(anchor)]) {
    store.settle()
    t.throws(() => writeFileSync(ballast, new Uint8Array(9 * 1024 * 1024)), { code: 'ENOSPC' })
    t.throws(
      () => {
        change()
        store.commit()
      },
      { code: 'disk-full' },
    )
    whole()
    rmSync(ballast)
  }
  store.close()
  store = SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet)
  whole()
  store.close()
  t.end()
})

void t.test('the state', { skip: needsRoot }, t => {
  const folder = smallDisk(t, 8)
  const path = join(folder, 'state.db')
  writeFileSync(join(folder, 'ballast'), new Uint8Array(2 * 1024 * 1024))
  let store = SqliteStateStore.open(path, owner, hasher, quiet)
  let index = 0
  const fillUp = (): void => {
    for (;;) {
      const value = new Uint8Array(3000).fill(index)
      const writes = Array.from({ length: 20 }, (_, n) => ({
        table: 'inode' as const,
        ino: index * 20 + n,
        key: '',
        value,
      }))
      store.write({ writes, position: positionAt(index + 1), liveBytes: new Map([[8, 1]]) })
      index++
    }
  }
  t.throws(fillUp, { code: 'disk-full', message: /state\.db/ })
  const whole = (): void => {
    t.equal(store.position?.index, index)
    t.equal(store.liveBytes(8), index)
    t.equal([...store.all()].length, index * 20)
  }
  whole()
  t.throws(fillUp, { code: 'disk-full' })
  whole()
  store.close()
  store = SqliteStateStore.open(path, owner, hasher, quiet)
  whole()
  rmSync(join(folder, 'ballast'))
  store.write({
    writes: [{ table: 'inode', ino: 0, key: '', value: new Uint8Array(3000) }],
    position: positionAt(index),
    liveBytes: noChanges,
  })
  store.close()
  t.end()
})

void t.test('no room even to begin', { skip: needsRoot }, t => {
  const folder = smallDisk(t, 8)
  mkdirSync(join(folder, 'channel'))
  t.throws(() => writeFileSync(join(folder, 'ballast'), new Uint8Array(9 * 1024 * 1024)), { code: 'ENOSPC' })
  t.throws(() => SqliteLogStore.open(join(folder, 'channel/log.db'), owner, hasher, quiet), { code: 'disk-full' })
  rmSync(join(folder, 'ballast'))
  SqliteLogStore.open(join(folder, 'channel/log.db'), owner, hasher, quiet).close()
  t.end()
})
