import t from 'tap'
import { simulate } from './simulation.js'

const seeds = Number(process.env['LOCK_SEEDS'] ?? 40)
const first = Number(process.env['LOCK_SEED'] ?? 1)

t.test('no two members hold conflicting locks, whatever is lost; and all get theirs in the end', async t => {
  const total = { granted: 0, lost: 0, denied: 0, deposed: 0, interrupted: 0, rounds: 0 }
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      const seen = simulate(seed)
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += seen[key]
    } catch (error) {
      t.fail(`LOCK_SEED=${seed}: ${String(error)}`)
      return
    }
  }
  t.comment(JSON.stringify(total))
  for (const [what, count] of Object.entries(total)) t.ok(count > 0, `${what}: ${count}`)
})
