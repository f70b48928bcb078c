/**
 * Real nodes on a network of their own, real programs in their mounts, and faults by a schedule drawn from a seed.
 *   SEED=n          another schedule
 *   FAULTS=all      three and five members, more seeds, longer (SEEDS=n of each)
 *   ONLY=pause,…    only these faults, in this order
 */
import t from 'tap'
import { Rng } from '../../src/base/rng.js'
import { faultNames, type FaultName } from './support/nemesis.js'
import { skipUnlessNetworked } from './support/network.js'
import { Trial } from './support/trial.js'

skipUnlessNetworked(t)

const seed = Number(process.env['SEED'] ?? 1)
const full = process.env['FAULTS'] === 'all'
const only = process.env['ONLY']?.split(',').map(name => {
  const known = faultNames.find(fault => fault === name)
  if (known === undefined) throw new Error(`ONLY: there is no fault "${name}"; there are: ${faultNames.join(', ')}`)
  return known
})
/** What is not among them, the other tests of real nodes do, too. */
const share: FaultName[] = [
  'killLeader',
  'unplug',
  'muteLeader',
  'lossy',
  'clockLeader',
  'certificates',
  'disk',
  'rolling',
]

async function run(members: number, seed: number, schedule: readonly FaultName[], seconds: number): Promise<void> {
  await t.test(`${members} members, seed ${seed}`, async t => {
    t.setTimeout(400_000)
    const trial = new Trial({ members, seed })
    t.teardown(() => trial.close())
    await trial.open()
    trial.load.startAll(trial.members)
    for (const name of schedule) await trial.strike(t, name, seconds)
    await trial.settle(t)
  })
}

if (!full) {
  t.setTimeout(230_000)
  await run(3, seed, only ?? share, 2)
} else {
  t.setTimeout(0)
  for (let i = 0; i < Number(process.env['SEEDS'] ?? 4); i++) {
    for (const members of [3, 5]) {
      const rng = new Rng(seed + i)
      const drawn = Array.from({ length: 20 }, () => faultNames[rng.below(faultNames.length)]!)
      await run(members, seed + i, only ?? drawn, 5)
    }
  }
}
