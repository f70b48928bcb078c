import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const script = fileURLToPath(new URL('../../scripts/check-promises.mjs', import.meta.url))

/** What stands on each line, and whether it is a fault. */
const lines: readonly [text: string, floats: boolean][] = [
  ['const f = async () => {}', false],
  ['f()', true],
  ['void f()', false],
  ['f().then(() => {})', true],
  ['f().catch(() => {})', false],
  ['f().then(() => {}, () => {})', false],
  ['if (Math.max(1)) f()', true],
  ['export const g = async () => { await f(); return f() }', false],
]

t.test('floating promises are found, handled ones pass', async t => {
  const folder = t.testdir({
    'tsconfig.json': JSON.stringify({
      compilerOptions: { target: 'es2023', module: 'nodenext', strict: true, types: [], noEmit: true },
      include: ['a.ts'],
    }),
    'a.ts': lines.map(([text]) => text).join('\n'),
  })
  const { status, stderr } = spawnSync(process.execPath, [script, join(folder, 'tsconfig.json')], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  t.equal(status, 1)
  for (const [i, [text, floats]] of lines.entries()) t.equal(stderr.includes(`a.ts:${i + 1}: `), floats, text)
})
