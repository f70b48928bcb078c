/**
 * Syncs in the thread pool, which does other work, overlap with all that a log does meanwhile: segments are completed,
 * removed and cleaned, terms are saved, the log is taken over. None fails, and what they said to be durable is there.
 * SEED=n draws the work.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { Rng } from '../../../src/base/rng.js'
import { blobsPerEntryMax } from '../../../src/base/limits.js'
import { hasher, moreRecords, owner, quiet, tempFolder, unbounded } from '../../contracts/entries.js'
import { fillPool } from './fill-pool.js'

const seed = Number(process.env['SEED'] ?? 1)
const steps = 400
/** Small: there is a new one every few steps. */
const segmentBytes = 2 ** 20

t.test(`SEED=${seed}`, { timeout: 120_000 }, async t => {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'log.db')
  const rng = new Rng(seed)
  let store = SqliteLogStore.open(path, owner, hasher, quiet, segmentBytes)
  const record = (bytes: number): void => store.append(moreRecords(store, 1, 1, () => bytes))
  let busy: Promise<unknown> = Promise.resolve()
  let syncs = 0
  let term = 1
  const isLive = (id: number): boolean => Math.floor(id / blobsPerEntryMax) % 3 === 0
  for (let step = 0; step < steps; step++) {
    if (step % 40 === 0) {
      await busy
      busy = fillPool(100_000 + rng.below(400_000))
    }
    record(rng.below(4) === 0 ? 900_000 : rng.below(20_000))
    store.commit()
    if (rng.below(3) === 0) {
      syncs++
      const { lastIndex } = store
      store.sync(index => {
        syncs--
        if (index < lastIndex) t.fail(`a sync covers ${index}, not ${lastIndex}`)
      }, fail)
    }
    if (rng.below(12) === 0) store.compact(store.durableIndex - rng.below(20), isLive)
    if (rng.below(12) === 0) store.clean(() => {}, unbounded)
    if (rng.below(40) === 0) store.saveHardState({ term: ++term, vote: owner.member })
    if (rng.below(25) === 0) store.settle()
    if (rng.below(6) === 0) await new Promise(resolve => setImmediate(resolve))
  }
  while (syncs > 0) await new Promise(resolve => setImmediate(resolve))
  await busy
  const { lastIndex, anchor } = store
  t.ok(anchor.index > 0, 'some was compacted')
  store.close()
  store = SqliteLogStore.open(path, owner, hasher, quiet)
  t.equal(store.lastIndex, lastIndex)
  t.equal(store.hardState.term, term)
  t.equal(store.read(store.anchor.index + 1, lastIndex).length, lastIndex - store.anchor.index)
  store.close()
})

t.test('a snapshot takes the place of entries that a sync is under way for', async t => {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [live, found] = [join(folder, 'live'), join(folder, 'found')]
  mkdirSync(live)
  const log = SqliteLogStore.open(join(live, 'log.db'), owner, hasher, quiet)
  t.teardown(() => log.close())
  for (const within of [3, 0]) {
    log.append(moreRecords(log, 5, 1, () => 500))
    log.commit()
    const busy = fillPool(300_000)
    const synced = new Promise((resolve, reject) => log.sync(resolve as () => void, reject))
    const { lastIndex } = log
    const term = log.term(lastIndex)! + 1
    log.reset({ index: lastIndex - within, term, hash: hasher.sha256(Buffer.from(String(term))) })
    log.commit()
    log.syncNow()
    await synced
    await busy
    // the process dies now
    cpSync(live, found, { recursive: true })
    const again = SqliteLogStore.open(join(found, 'log.db'), owner, hasher, quiet)
    t.same([again.lastIndex, again.term(again.lastIndex)], [lastIndex - within, term])
    again.close()
    rmSync(found, { recursive: true })
  }
})

function fail(error: unknown): void {
  throw error
}
