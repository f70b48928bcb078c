import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { replay } from './support/trace.js'

// REWRITE=1 writes the output that came into the files: read the difference before you keep it.
const folder = new URL('./testdata/', import.meta.url)
const rewrite = process.env['REWRITE'] === '1'

for (const name of readdirSync(folder).filter(name => name.endsWith('.txt')))
  t.test(name, t => {
    const file = new URL(name, folder)
    const expected = readFileSync(file, 'utf8')
    const found = replay(expected)
    if (rewrite && found !== expected) writeFileSync(file, found)
    else t.equal(found, expected, name)
    t.end()
  })
