import t from 'tap'
import { Simulation } from './support/simulation.js'

// SEED=n replays one run; SEEDS=n runs so many, from SEED on.
const first = Number(process.env['SEED'] ?? 1)
const count = Number(process.env['SEEDS'] ?? (process.env['SEED'] ? 1 : 600))
const electionTimeoutsToRecover = 40

t.test('safety in a hostile world, then progress in a kind one', t => {
  const totals = { committed: 0, elections: 0, reads: 0, truncations: 0, snapshots: 0, slowest: 0 }
  for (let seed = first; seed < first + count; seed++) {
    try {
      const simulation = new Simulation(seed)
      simulation.runHostile(8000)
      const ticks = simulation.runKind(electionTimeoutsToRecover * 10)
      const { invariants } = simulation
      totals.slowest = Math.max(totals.slowest, ticks)
      totals.committed += invariants.committedMax
      totals.elections += invariants.elections
      totals.reads += invariants.readsServed
      totals.truncations += invariants.truncations
      totals.snapshots += invariants.snapshots
    } catch (error) {
      return (t.fail(`SEED=${seed}: ${(error as Error).stack}`), t.end())
    }
  }
  t.comment(JSON.stringify(totals))
  if (count > 1) {
    t.ok(totals.committed > count, 'entries were committed')
    t.ok(totals.elections > count * 2, 'leaders changed')
    t.ok(totals.reads > count, 'reads were served')
    t.ok(totals.truncations > count / 2, 'logs were truncated')
    t.ok(totals.snapshots > count / 4, 'snapshots were fetched')
  }
  t.end()
})
