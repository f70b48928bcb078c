/**
 * Clients on all members of a channel with `-o read=latest`, on a network that fails: what they were told is what one file
 * system would have told them.
 *   SEED=n          another schedule and other calls
 *   FAULTS=all      SEEDS=n runs, longer, of five members, too
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Rng } from '../../src/base/rng.js'
import { until } from '../e2e/support/cluster.js'
import { check } from '../linearizability/checker.js'
import { fileModel } from '../linearizability/file-model.js'
import { saveLines } from '../linearizability/history.js'
import { describeVerdict } from '../linearizability/report.js'
import { Workload } from '../linearizability/workload.js'
import type { FaultName } from './support/nemesis.js'
import { skipUnlessNetworked } from './support/network.js'
import { Trial } from './support/trial.js'

skipUnlessNetworked(t)

const seed = Number(process.env['SEED'] ?? 1)
const full = process.env['FAULTS'] === 'all'
/** Those that put the order to the proof: who leads, and who knows of it. */
const kinds: readonly FaultName[] = [
  'unplugLeader',
  'muteLeader',
  'pauseLeader',
  'bridge',
  'deaf',
  'killLeader',
  'lossy',
  'clockLeader',
]

async function run(members: number, seed: number, count: number, seconds: number): Promise<void> {
  await t.test(`${members} members, seed ${seed}`, async t => {
    t.setTimeout(400_000)
    const trial = new Trial({ members, seed, mountOptions: 'read=latest' })
    t.teardown(() => trial.close())
    await trial.open()
    const workload = await Workload.start({
      folder: join(trial.cluster.root, 'histories'),
      directories: trial.members.map(({ directory }) => directory),
      clientsEach: 2,
      seed,
    })
    t.teardown(() => workload.kill())
    const rng = new Rng(seed)
    for (let i = 0; i < count; i++) {
      const before = workload.returned
      await trial.strike(t, kinds[rng.below(kinds.length)]!, seconds)
      await until('the clients go on', () => workload.returned > before + 20)
    }
    const found = check(fileModel, await workload.stop())
    t.comment(`${workload.returned} calls: ${found.verdict}`)
    t.equal(found.verdict, 'linearizable', describeVerdict(found))
    if (found.verdict !== 'linearizable') {
      const kept = join(mkdtempSync(join(tmpdir(), 'rkfs-history.')), 'history.jsonl')
      saveLines(kept, workload.lines())
      t.comment(`kept: npx tsx test/linearizability/check.ts ${kept}`)
    }
    await trial.settle(t)
  })
}

if (!full) {
  t.setTimeout(230_000)
  await run(3, seed, 2, 2)
} else {
  t.setTimeout(0)
  for (let i = 0; i < Number(process.env['SEEDS'] ?? 4); i++) {
    for (const members of [3, 5]) await run(members, seed + i, 15, 5)
  }
}
