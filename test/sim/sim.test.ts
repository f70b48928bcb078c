import t from 'tap'
import { runMany } from './many.js'
import { defaultTicks, Simulation } from './simulation.js'

// SEED=n runs one seed; SEEDS=n so many, from SEED on; TICKS=n virtual milliseconds each. By itself: many short runs.
const first = Number(process.env['SEED'] ?? 1)
const seeds = Number(process.env['SEEDS'] ?? (process.env['SEED'] ? 1 : 1000))
const ticks = Number(process.env['TICKS'] ?? (process.env['SEED'] ? defaultTicks : 2500))

/** Seeds whose fault is known and not mended yet: they are told as such, and no other seed may fail. */
const open = new Map<number, string>()

t.setTimeout(0)

void t.test('the same seed is the same run', t => {
  for (const one of [7, 13]) {
    const [first, second] = [new Simulation(one, 3000).run(), new Simulation(one, 3000).run()]
    t.equal(second.digest, first.digest)
  }
  t.not(new Simulation(8, 3000).run().digest, new Simulation(7, 3000).run().digest)
  t.end()
})

void t.test('whatever fails, every promise is kept, and a majority gets on', { timeout: 7_200_000 }, async t => {
  const { failures, totals } = await runMany({ seed: first, seeds, ticks, jobs: 2, failuresMax: 5 + open.size })
  for (const { seed, text } of failures) {
    for (const line of text.split('\n')) t.comment(line)
    const known = open.get(seed)
    t.fail(`seed ${seed}`, known !== undefined && ticks === 2500 ? { todo: known } : {})
  }
  t.comment(JSON.stringify(totals))
  if (failures.some(({ seed }) => !open.has(seed)) || seeds < 100) return
  for (const kind of ['durable', 'terms', 'votes', 'snapshots', 'linearOperations', 'disk-sqlite', 'leftOut']) {
    t.ok(totals[kind]! > 0, `${kind} came about`)
  }
  for (const kind of [
    'power',
    'kill',
    'stall',
    'freeze',
    'full',
    'partition',
    'mute',
    'admit',
    'remove',
    'transfer',
    'bare',
  ]) {
    t.ok(totals[kind]! > 0, `${kind} came about`)
  }
})
