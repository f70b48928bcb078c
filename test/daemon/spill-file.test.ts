import fc from 'fast-check'
import { mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Spill } from '../../src/channel/orphan-file.js'
import { spillBlockBytes } from '../../src/daemon/spill-blocks.js'
import { SpillFile } from '../../src/daemon/spill-file.js'

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)
const folder = mkdtempSync(join(tmpdir(), 'rkfs-spill-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

/** The sizes of the folder's files that this process has open. */
function openSpills(): number[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      const path = `/proc/self/fd/${fd}`
      return readlinkSync(path).startsWith(folder) ? [statSync(path).size] : []
    } catch {
      return []
    }
  })
}

void t.test('many open files share one descriptor, and none is left', t => {
  const file = new SpillFile(folder)
  const spills = Array.from({ length: 2000 }, () => file.open())
  spills.forEach((spill, n) => spill.write(n * 1000, Buffer.from(`content of ${n}`)))
  t.equal(openSpills().length, 1)
  spills.forEach((spill, n) => {
    const want = `content of ${n}`
    if (Buffer.from(spill.read(n * 1000, want.length)).toString() !== want) t.fail(`file ${n}`)
  })
  for (const spill of spills) spill.close()
  t.equal(openSpills().length, 0)
  t.end()
})

void t.test('what is closed gives its room back while others are open', async t => {
  const file = new SpillFile(folder)
  const large = file.open()
  const small = file.open()
  const data = Buffer.alloc(spillBlockBytes, 'x')
  for (let n = 0; n < 400; n++) large.write(n * data.length, data)
  small.write(5, Buffer.from('it stays'))
  for (let n = 400; n < 800; n++) large.write(n * data.length, data)
  large.close()
  const end = Date.now() + 20_000
  while (openSpills()[0]! > 80 * spillBlockBytes && Date.now() < end) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  t.ok(openSpills()[0]! <= 80 * spillBlockBytes, `${openSpills()[0]} bytes are left`)
  t.equal(Buffer.from(small.read(5, 8)).toString(), 'it stays')
  small.close()
  t.equal(openSpills().length, 0)
})

const step = fc.oneof(
  { weight: 1, arbitrary: fc.record({ do: fc.constant('open' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), file: fc.nat(7) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      file: fc.nat(7),
      offset: fc.nat(40 * spillBlockBytes),
      length: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 30 * spillBlockBytes })),
      byte: fc.integer({ min: 1, max: 255 }),
    }),
  },
)

/** An open file, and what was written to it; 0: nothing, and nobody reads that. */
interface Known {
  readonly spill: Spill
  readonly bytes: Buffer
}

function check({ spill, bytes }: Known): void {
  const all = spill.read(0, bytes.length)
  for (let at = 0; at < bytes.length; at += 97) {
    if (bytes[at] !== 0 && bytes[at] !== all[at]) throw new Error(`byte ${at} differs`)
  }
}

void t.test('each file holds what was written to it, whatever comes and goes', { timeout: 120_000 }, t => {
  const property = fc.property(fc.array(step, { maxLength: 40 }), steps => {
    const file = new SpillFile(folder)
    const open: Known[] = []
    for (const each of steps) {
      if (each.do === 'open' && open.length < 8) {
        open.push({ spill: file.open(), bytes: Buffer.alloc(71 * spillBlockBytes) })
      } else if (each.do === 'close') open.splice(each.file, 1)[0]?.spill.close()
      else if (each.do === 'write' && open[each.file] !== undefined) {
        const known = open[each.file]!
        const data = Buffer.alloc(each.length, each.byte)
        known.spill.write(each.offset, data)
        known.bytes.set(data, each.offset)
      }
    }
    for (const known of open) {
      check(known)
      known.spill.close()
    }
    if (openSpills().length > 0) throw new Error('a descriptor is left')
  })
  fc.assert(property, { seed, numRuns: 60 })
  t.end()
})
