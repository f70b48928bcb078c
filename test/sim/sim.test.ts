import t from 'tap'
import { runMany } from './many.js'
import { defaultTicks, Simulation } from './simulation.js'

// SEED=n runs one seed here; SEEDS=n so many of them from 1 on; TICKS=n virtual milliseconds each.
const seed = process.env['SEED']
const seeds = Number(process.env['SEEDS'] ?? 120)
const ticks = Number(process.env['TICKS'] ?? defaultTicks)
/** Each showed a fault once. */
const past = [2, 4, 6, 36, 47, 54]

void t.test('the same seed is the same run', t => {
  for (const one of [7, 13]) {
    const [first, second] = [new Simulation(one, 3000).run(), new Simulation(one, 3000).run()]
    t.equal(second.digest, first.digest)
  }
  t.not(new Simulation(8, 3000).run().digest, new Simulation(7, 3000).run().digest)
  t.end()
})

void t.test('whatever fails, every promise is kept, and a majority gets on', { timeout: 3_600_000 }, async t => {
  if (seed !== undefined) {
    const { totals } = new Simulation(Number(seed), ticks).run()
    t.comment(JSON.stringify(totals))
    return
  }
  const { failures, totals } = await runMany({ seed: 1, seeds, ticks, jobs: 2, failuresMax: 5 })
  const again = await Promise.all(
    past.filter(one => one > seeds).map(one => runMany({ seed: one, seeds: 1, ticks, jobs: 1, failuresMax: 1 })),
  )
  for (const { seed, text } of [...failures, ...again.flatMap(({ failures }) => failures)]) {
    for (const line of text.split('\n')) t.comment(line)
    t.fail(`seed ${seed}`)
  }
  t.comment(JSON.stringify(totals))
  if (failures.length > 0 || seeds < 100) return
  for (const kind of ['durable', 'terms', 'votes', 'snapshots', 'linearOperations', 'disk-sqlite', 'leftOut']) {
    t.ok(totals[kind]! > 0, `${kind} came about`)
  }
  for (const kind of ['power', 'kill', 'stall', 'freeze', 'full', 'partition', 'mute', 'admit', 'remove', 'transfer']) {
    t.ok(totals[kind]! > 0, `${kind} came about`)
  }
})
