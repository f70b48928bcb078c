import t from 'tap'
import { RandomRun } from './support/random-run.js'

// SEED=n replays one run; SEEDS=n runs more of them.
const first = Number(process.env['SEED'] ?? 1)
const count = process.env['SEED'] ? 1 : Number(process.env['SEEDS'] ?? 150)
const steps = 300
/** Each showed a fault once. */
const past = [193, 432, 497, 931, 933]

void t.test('whatever fails, members agree in the end, and what was acknowledged is there once', t => {
  const totals: Record<string, number> = {}
  const failures: string[] = []
  const seeds = Array.from({ length: count }, (_, i) => first + i)
  if (count > 1) seeds.push(...past)
  for (const seed of seeds) {
    try {
      const run = new RandomRun(seed)
      run.run(steps)
      for (const [key, value] of Object.entries(run.totals)) totals[key] = (totals[key] ?? 0) + value
    } catch (error) {
      failures.push(`SEED=${seed}: ${(error as Error).stack}`)
      if (failures.length >= 5) break
    }
  }
  t.comment(JSON.stringify(totals))
  for (const failure of failures) t.fail(failure.split('\n').slice(0, 6).join(' | '))
  if (count > 1 && failures.length === 0) {
    t.ok(totals['durable']! > count, 'waits for a majority were answered')
    t.ok(totals['crashes']! > count, 'members crashed')
    t.ok(totals['cuts']! > count, 'connections were cut')
    t.ok(totals['elections']! > count * 2, 'leaders changed')
    t.ok(totals['refusedReadOnly']! > 0, 'without a majority changes were refused')
  }
  t.end()
})
