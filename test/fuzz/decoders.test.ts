/** What is read from a disk, a peer, the kernel or a person: read, or refused with the documented error. */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { seed } from './support/options.js'
import { decoders, temporary } from './support/decoders.js'
import { survives } from './support/survival.js'

t.teardown(() => rmSync(temporary, { recursive: true, force: true }))
t.setTimeout(1_800_000)
t.comment(`SEED=${seed}`)

const source = fileURLToPath(new URL('../../src', import.meta.url))
const share = 400
/** These read no bytes of anybody's: the state machine's extents, files that other entries of the list decode, threads. */
const notDecoders = new Set([
  'readPieces',
  'readMounts',
  'readIfThere',
  'readPrivate',
  'readAgain',
  'readable',
  'readers',
  'readError',
])

t.test('every decoder of src is in the list', async t => {
  const listed = new Set(decoders.flatMap(({ names }) => names))
  const found: string[] = []
  for (const file of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.startsWith('gen/')) continue
    const text = readFileSync(join(source, file), 'utf8')
    const names = text.matchAll(
      /^export (?:async )?(?:function|const) ((?:decode|parse|read|unpack|unseal)[A-Z]?\w*)/gm,
    )
    for (const [, name] of names) if (!name!.endsWith('Max')) found.push(name!)
  }
  t.ok(found.length > 30)
  for (const name of found) t.ok(listed.has(name) || notDecoders.has(name), `${name} is fuzzed`)
})

for (const [i, { names, attempt, share: weight = 1 }] of decoders.entries()) {
  t.test(`${names.join(', ')} (${i})`, async t => {
    const accepted = survives(attempt, share * weight)
    t.pass(`${accepted} inputs were read`)
  })
}
