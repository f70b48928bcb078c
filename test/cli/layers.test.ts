import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const script = fileURLToPath(new URL('../../scripts/check-layers.mjs', import.meta.url))

function check(folder: string): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [script, folder], { encoding: 'utf8', timeout: 30_000 })
  return { status, stderr }
}

/** A line that breaks the layers, in which file, and what is said of it. */
const violations: readonly [path: string, line: string, word: RegExp][] = [
  ['raft/a.ts', `import { x } from '../fs/x.js'`, /raft may not import fs/],
  ['fs/a.ts', `import type { X } from '../raft/x.js'`, /fs may not import raft/],
  ['base/a.ts', `export { x } from '../oplog/x.js'`, /base may not import oplog/],
  ['channel/a.ts', `import { x } from '../adapters/rpc/x.js'`, /channel may not import adapters/],
  ['adapters/sqlite/a.ts', `void import('../../daemon/x.js')`, /adapters may not import daemon/],
  ['daemon/a.ts', `type X = import('../cli/x.js').X`, /daemon may not import cli/],
  ['channel/a.ts', `export interface X { y: import('../daemon/x.js').X }`, /channel may not import daemon/],
  ['cli/a.ts', `import { x } from '../raft/x.js'`, /cli may not import raft/],
  ['daemon/a.ts', `import { x } from '../gen/x.js'`, /generated code is for adapters\/rpc alone/],
  ['adapters/pki/a.ts', `import { x } from '../../gen/x.js'`, /generated code/],
  ['raft/a.ts', `import { hash } from 'node:crypto'`, /raft is pure and may not import node:crypto/],
  ['fs/a.ts', `import x from 'pino'`, /fs is pure and may not import pino/],
  ['raft/a.ts', `export const now = Date.now()`, /raft is pure: Date/],
  ['raft/a.ts', `export const n = Math.random()`, /raft is pure: Math\.random/],
  ['channel/b.ts', `setTimeout(() => {}, 1)`, /channel is pure: setTimeout/],
  ['channel/a.ts', `export async function f() {}`, /channel is pure: no async functions/],
  ['base/a.ts', `export const p = new Promise(() => {})`, /base is pure: Promise/],
  ['oplog/a.ts', `export const p = process.pid`, /oplog is pure: process/],
]

t.test('each violation is found', async t => {
  const folder = t.testdir()
  for (const [i, [path, line]] of violations.entries()) {
    const file = join(folder, dirname(path), `a${i}.ts`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${line}\n`)
  }
  const { status, stderr } = check(folder)
  t.equal(status, 1)
  const lines = stderr.split('\n')
  for (const [i, [path, line, word]] of violations.entries()) {
    const found = lines.filter(text => text.includes(`${dirname(path)}/a${i}.ts:1: `))
    t.equal(found.length, 1, line)
    t.match(found[0], word, line)
  }
})

t.test('what is allowed passes', async t => {
  const folder = t.testdir({
    channel: { 'a.ts': `import { x } from '../raft/x.js'\nexport interface P { f(): Promise<Date> }\n` },
    raft: { 'a.ts': `export const o = { process: 1, Date: 2 }\nexport const n = o.process + o.Date + Math.max(1)\n` },
    adapters: { rpc: { 'a.ts': `import { x } from '../../gen/x.js'\nimport fs from 'node:fs'\n` } },
    cli: { 'a.ts': `import { x } from '../daemon/x.js'\n` },
  })
  t.same(check(folder), { status: 0, stderr: '' })
})
