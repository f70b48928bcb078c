/**
 * The power goes for all members of a channel at the same moment of real work: the members come up again on what is left,
 * agree, and have all that a program was promised. SEED=n draws the cuts, RUNS=n cuts the record of three members so often,
 * and that of a channel of one five times as often.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { messageOf } from '../../src/base/errors.js'
import { Rng } from '../../src/base/rng.js'
import { Cluster, skip } from '../e2e/support/cluster.js'
import type { DiskEvent } from './support/disk-event.js'
import { markedWriter, WriterPromises } from './support/marked-writer.js'
import { type CutOptions, drawCut, PowerCut } from './support/power-cut.js'
import { RecordedDisk } from './support/recorded-disk.js'
import { RecoveredGroup } from './support/recovered-group.js'

if (skip !== false) {
  t.plan(0, skip)
  process.exit(0)
}
const seed = Number(process.env['SEED'] ?? 1)
const runs = Number(process.env['RUNS'] ?? 8)
t.setTimeout(120_000 + runs * 10_000)
t.comment(`SEED=${seed}`)

const root = mkdtempSync('/dev/shm/rkfs-cut.')
t.teardown(() => rmSync(root, { recursive: true, force: true }))
const machines = 'machines'

interface Recording {
  readonly record: readonly DiskEvent[]
  /** The channel is made, and its members are admitted. */
  readonly ready: number
  /** The homes on the disk, by the members' names. */
  readonly homes: ReadonlyMap<string, string>
}

async function recordMembers(names: readonly string[], count: number): Promise<Recording> {
  const disk = await RecordedDisk.mount()
  const cluster = new Cluster(disk.folder(machines))
  try {
    const members = await cluster.members(...names)
    await Promise.all(members.map(member => member.mount()))
    mkdirSync(join(disk.marks, 'ready'))
    const outcomes = await Promise.all(
      members.map(member => member.python(markedWriter, 60, member.directory, member.name, String(count), disk.marks)),
    )
    for (const { code, stderr } of outcomes) if (code !== 0) throw new Error(`a writer ended with ${code}: ${stderr}`)
    const record = await disk.record()
    const ready = record.findIndex(event => event.kind === 'mark' && event.text === 'ready')
    return { record, ready, homes: new Map(members.map(({ name, home }) => [name, basename(home)])) }
  } finally {
    await cluster.close()
    await disk.close()
  }
}

/** Puts the homes there as they are found after a power cut. */
function restore({ record, homes }: Recording, at: number, seed: number, options?: CutOptions): Map<string, string> {
  const folder = join(root, machines)
  rmSync(folder, { recursive: true, force: true })
  if (!new PowerCut(record, at, new Rng(seed), options).restore(machines, folder)) throw new Error('all is lost')
  return new Map([...homes].map(([name, home]) => [name, join(folder, home)]))
}

/** What is wrong with the members after a power cut: with all of them, or with just a majority. */
async function membersAfter(recording: Recording, at: number, seed: number, options?: CutOptions): Promise<string[]> {
  const promises = new WriterPromises(recording.record, at)
  let group: RecoveredGroup | undefined
  try {
    const homes = restore(recording, at, seed, options)
    const rng = new Rng(seed)
    if (homes.size > 2 && rng.below(2) === 0) homes.delete([...homes.keys()][rng.below(homes.size)]!)
    group = new RecoveredGroup(homes, seed)
    await group.agree()
    const wrong = group.broken()
    for (const member of group.members) wrong.push(...promises.broken(name => member.read(name)))
    return wrong
  } catch (error) {
    return [messageOf(error)]
  } finally {
    group?.close()
  }
}

for (const names of [['a'], ['a', 'b', 'c']]) {
  await t.test(`a channel of ${names.length}`, async t => {
    const rng = new Rng(seed)
    const begun = performance.now()
    const recording = await recordMembers(names, 20)
    const { record, ready } = recording
    const bytes = record.reduce((sum, event) => sum + (event.kind === 'write' ? event.data.length : 0), 0)
    t.comment(`${record.length} events, ${(bytes / 1e6).toFixed(0)} MB in ${seconds(begun)} s`)
    const cutting = performance.now()
    const count = names.length === 1 ? runs * 5 : runs
    for (let i = 0; i < count; i++) {
      const at = drawCut(record, ready, rng)
      const drawn = rng.u32()
      const wrong = await membersAfter(recording, at, drawn)
      if (wrong.length > 0) t.fail(`cut ${at} of ${record.length} with ${drawn}: ${wrong.slice(0, 3).join('; ')}`)
    }
    t.comment(`${count} cuts in ${seconds(cutting)} s`)
    let losses = 0
    for (let i = 0; i < 3; i++) {
      if ((await membersAfter(recording, record.length - i, rng.u32(), { lying: true })).length > 0) losses++
    }
    t.ok(losses > 0, 'a disk that does not sync is found out')
  })
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1)
}
