/**
 * The power goes at any moment of work on a member's stores: what was promised before is there, and nothing is refused as damaged. SEED=n draws the work
 * and the cuts, SEEDS=n does it so many times, RUNS=n cuts each record so often.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { SqliteLogStore } from '../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../src/adapters/sqlite/state-store.js'
import { messageOf } from '../../src/base/errors.js'
import { Rng } from '../../src/base/rng.js'
import { resumeInstall, snapshotPaths } from '../../src/daemon/snapshot-transfer.js'
import { hasher, owner, quiet } from '../contracts/entries.js'
import { run } from '../e2e/support/process.js'
import { canMount } from '../adapters/fuse/harness.js'
import type { DiskEvent } from './support/disk-event.js'
import { type CutOptions, drawCut, PowerCut } from './support/power-cut.js'
import { RecordedDisk } from './support/recorded-disk.js'
import { StorePromises } from './support/store-promises.js'

if (!canMount) {
  t.plan(0, 'needs root and /dev/fuse')
  process.exit(0)
}
const seed = Number(process.env['SEED'] ?? 1)
const seeds = Number(process.env['SEEDS'] ?? 1)
const runs = Number(process.env['RUNS'] ?? 60)
t.setTimeout(60_000 + seeds * runs * 2000)
t.comment(`SEED=${seed}`)

const root = mkdtempSync('/dev/shm/rkfs-cut.')
t.teardown(() => rmSync(root, { recursive: true, force: true }))

/** How processes end that work on the stores, one after the other. */
const lives = ['kill', 'kill', 'close'] as const

/** Work on stores that begin with what is found in a folder, if one is given. */
async function recordStores(seed: number, found?: string): Promise<DiskEvent[]> {
  const disk = await RecordedDisk.mount()
  try {
    const folder = disk.folder('member')
    if (found !== undefined) disk.fill(folder, found)
    const load = fileURLToPath(new URL('./support/store-load.ts', import.meta.url))
    for (const [life, end] of lives.entries()) {
      const args = ['--import', import.meta.resolve('tsx'), load, folder, disk.marks, `${seed}${life}`, '250', end]
      const { code, stderr } = await run(process.execPath, args, { limitSeconds: 60 })
      const failed = end === 'close' ? code !== 0 : stderr !== ''
      if (failed) throw new Error(`the load ended with ${code}: ${stderr}`)
    }
    return await disk.record()
  } finally {
    await disk.close()
  }
}

const folder = join(root, 'member')

/** Puts in `folder` what is left of the stores after a power cut. */
function restore(record: readonly DiskEvent[], at: number, seed: number, options?: CutOptions): boolean {
  rmSync(folder, { recursive: true, force: true })
  return new PowerCut(record, at, new Rng(seed), options).restore('member', folder)
}

/** What is wrong with the stores after a power cut. */
function storesAfter(record: readonly DiskEvent[], at: number, seed: number, options?: CutOptions): string[] {
  if (!restore(record, at, seed, options)) return ['the folder is lost']
  const paths = snapshotPaths(folder)
  const promises = new StorePromises(record, at)
  try {
    const log = SqliteLogStore.open(paths.log, owner, hasher, quiet)
    try {
      resumeInstall(paths, log)
      const state = SqliteStateStore.open(paths.state, owner, hasher, quiet)
      try {
        return promises.broken(log, state)
      } finally {
        state.close()
      }
    } finally {
      log.close()
    }
  } catch (error) {
    return [messageOf(error)]
  }
}

for (let at = 0; at < seeds; at++) {
  await t.test(`the stores, seed ${seed + at}`, async t => {
    const rng = new Rng(seed + at)
    let record: DiskEvent[] = []
    // the second time they begin with what a loss of power left
    for (const found of [undefined, folder]) {
      if (found !== undefined) while (!restore(record, drawCut(record, 0, rng), rng.u32()));
      record = await recordStores(seed + at, found)
      const first = record.findIndex(event => event.kind === 'mark')
      const bytes = record.reduce((sum, event) => sum + (event.kind === 'write' ? event.data.length : 0), 0)
      t.comment(`${record.length} events, ${(bytes / 1e6).toFixed(0)} MB`)
      const begun = performance.now()
      for (let i = 0; i < runs / 2; i++) {
        const cut = drawCut(record, first, rng)
        const drawn = rng.u32()
        const wrong = storesAfter(record, cut, drawn)
        if (wrong.length > 0) t.fail(`cut ${cut} with ${drawn}: ${wrong.slice(0, 3).join('; ')}`)
      }
      t.comment(`${runs / 2} cuts in ${((performance.now() - begun) / 1000).toFixed(1)} s`)
    }
    let losses = 0
    for (let i = 0; i < 5; i++)
      if (storesAfter(record, record.length - i, rng.u32(), { lying: true }).length > 0) losses++
    t.equal(losses, 5, 'a disk that does not sync is found out')
  })
}
