/**
 * A node dies at each failpoint and starts again: all that was acknowledged is there, and the members agree.
 * CRASH_POINTS=all tries every one, a number so many that SEED=n draws, names those.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type Failpoint, failpoints } from '../../src/base/failpoint.js'
import { Rng } from '../../src/base/rng.js'
import { Cluster, mainPath, skip } from '../e2e/support/cluster.js'
import { run } from '../e2e/support/process.js'
import { cases } from './support/cases.js'
import { Places } from './support/places.js'

const names = Object.keys(failpoints) as Failpoint[]
const seed = Number(process.env['SEED'] ?? 1)
const rng = new Rng(seed)

await t.test('each failpoint stands in the code once', t => {
  const source = fileURLToPath(new URL('../../src', import.meta.url))
  const text = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts'))
    .map(path => readFileSync(join(source, path), 'utf8'))
    .join('\n')
  const passed = [...text.matchAll(/\bfailpoint\('([^']*)'\)/g)].map(match => match[1])
  t.same(passed.sort(), [...names].sort())
  t.end()
})

if (skip !== false) {
  t.comment(skip)
  process.exit(0)
}

await t.test('a failpoint that there is not, and an action that there is not, are refused', async t => {
  for (const [text, said] of [
    ['no-such', /no failpoint "no-such"; there are: leader-elected, /],
    ['turn-persisted=burn', /an action of crash, error, delay/],
    ['turn-persisted@0', /a number from 1/],
  ] as const) {
    const home = '/nonexistent/home'
    const env = { RKFS_FAILPOINT: text }
    const { code, stderr } = await run(process.execPath, [mainPath, 'serve', '--home', home], { limitSeconds: 20, env })
    t.equal(code, 2)
    t.match(stderr, said)
  }
})

/** The names to be tried. */
function chosen(asked: string): Failpoint[] {
  if (asked === 'all') return names
  const count = Number(asked)
  if (Number.isNaN(count)) {
    return asked.split(',').map(name => {
      const known = names.find(one => one === name)
      if (known === undefined) throw new Error(`CRASH_POINTS: no failpoint "${name}"; there are: ${names.join(', ')}`)
      return known
    })
  }
  const left = [...names]
  return Array.from({ length: Math.min(count, left.length) }, () => left.splice(rng.below(left.length), 1)[0]!)
}

const tried = chosen(process.env['CRASH_POINTS'] ?? '3')
t.setTimeout(120_000 + tried.length * 60_000)
t.comment(`SEED=${seed}`)
const cluster = new Cluster()
t.teardown(() => cluster.close())
const places = new Places(cluster)

for (const name of tried) {
  const { place, passings } = cases[name]
  const passing = 1 + rng.below(passings)
  await t.test(`${name}, passing ${passing} on ${place}`, async t => {
    t.same(await places.run(name, place, passing), [])
  })
}
