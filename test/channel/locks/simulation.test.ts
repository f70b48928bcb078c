import t from 'tap'
import { simulate } from './simulation.js'

// SEED=n replays one run; SEEDS=n runs so many, from SEED on.
const seeds = Number(process.env['SEEDS'] ?? (process.env['SEED'] ? 1 : 40))
const first = Number(process.env['SEED'] ?? 1)

t.test('no two members hold conflicting locks, whatever is lost; and all get theirs in the end', async t => {
  const total = { granted: 0, lost: 0, denied: 0, deposed: 0, interrupted: 0, rounds: 0 }
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      const seen = simulate(seed)
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += seen[key]
    } catch (error) {
      t.fail(`SEED=${seed}: ${String(error)}`)
      return
    }
  }
  t.comment(JSON.stringify(total))
  if (seeds >= 40) for (const [what, count] of Object.entries(total)) t.ok(count > 0, `${what}: ${count}`)
})
