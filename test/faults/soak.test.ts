/**
 * A long run under load with a fault now and then, none of which ends a node: its memory, its descriptors and its disk
 * stay within bounds and do not grow with time.
 *   SOAK_SECONDS=3600 npx tsx test/faults/soak.test.ts     (0: skipped)
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { sleep } from '../e2e/support/cluster.js'
import type { Member } from './support/member.js'
import type { FaultName } from './support/nemesis.js'
import { skipUnlessNetworked } from './support/network.js'
import { residentBytes, Trial } from './support/trial.js'

const seconds = Number(process.env['SOAK_SECONDS'] ?? 0)
skipUnlessNetworked(t, !(seconds > 0) && 'SOAK_SECONDS is 0')
t.setTimeout(0)

const MiB = 2 ** 20
const sampleSeconds = 5
const faultEverySeconds = 45
const faultSeconds = 5
const kinds: readonly FaultName[] = [
  'pause',
  'pauseLeader',
  'unplug',
  'unplugLeader',
  'deaf',
  'muteLeader',
  'bridge',
  'reject',
  'slow',
  'lossy',
  'clock',
  'certificates',
  'disk',
]
const residentBytesMax = 700 * MiB
const descriptorsMax = 250
/** Of the medians of a later and an earlier quarter. */
const growthMax = {
  residentBytes: { share: 1.2, more: 32 * MiB },
  descriptors: { share: 1, more: 8 },
}
/** What is stored besides the content: entries for members that are away, and files that kernels may still ask for. */
const extraBytesMax = 64 * MiB
/**
 * A segment of which half is dead is cleaned; then the one that is written and its spare, two WALs of three times the size
 * at which they are copied, and each file's records.
 */
const diskBytesMax = ({ contentBytes, inodes }: Sample): number =>
  2 * (contentBytes + extraBytesMax) + 2 * 32 * MiB + 2 * 48 * MiB + inodes * 2048

interface Sample {
  readonly residentBytes: number
  readonly descriptors: number
  readonly diskBytes: number
  readonly contentBytes: number
  /** Of the log and the content, without the records. */
  readonly storedBytes: number
  readonly inodes: number
}

async function sample(member: Member): Promise<Sample> {
  const disk = spawnSync('du', ['-sb', '--apparent-size', member.folder()], {
    encoding: 'utf8',
    timeout: 20_000,
  }).stdout
  const status = await member.status()
  const used = await member.shell('df --output=iused . | tail -1')
  return {
    residentBytes: residentBytes(member.nodePid),
    descriptors: readdirSync(`/proc/${member.nodePid}/fd`).length,
    diskBytes: Number(disk.split('\t')[0]),
    contentBytes: status?.bytes.data ?? 0,
    storedBytes: status?.bytes.log ?? 0,
    inodes: Number(used.stdout) || 0,
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((x, y) => x - y)[Math.floor(values.length / 2)] ?? 0
}

/** The first quarter is for warming up; the last one must look like the second. */
function steady(
  t: Test,
  what: string,
  values: readonly number[],
  { share, more }: { share: number; more: number },
): void {
  const quarter = Math.floor(values.length / 4)
  const [early, late] = [median(values.slice(quarter, 2 * quarter)), median(values.slice(-quarter))]
  t.ok(late <= early * share + more, `${what}: ${early} in the second quarter, ${late} in the last`)
}

await t.test(`${seconds} s`, async t => {
  const trial = new Trial({ members: 3, seed: Number(process.env['SEED'] ?? 1) })
  t.teardown(() => trial.close())
  await trial.open()
  trial.load.startAll(trial.members)
  const samples = new Map<Member, Sample[]>(trial.members.map(member => [member, []]))
  const end = performance.now() + seconds * 1000
  let faultAt = performance.now() + faultEverySeconds * 1000
  while (performance.now() < end) {
    for (const member of trial.members) {
      if (member.running) samples.get(member)!.push(await sample(member))
    }
    if (performance.now() > faultAt) {
      await trial.strike(t, kinds[trial.rng.below(kinds.length)]!, faultSeconds)
      faultAt = performance.now() + faultEverySeconds * 1000
      for (const [{ name }, taken] of samples) t.comment(`${name} ${JSON.stringify(taken.at(-1))}`)
    }
    await sleep(sampleSeconds * 1000)
  }
  for (const [{ name }, taken] of samples) {
    const of = (key: keyof Sample): number[] => taken.map(sample => sample[key])
    steady(t, `${name}: resident bytes`, of('residentBytes'), growthMax.residentBytes)
    steady(t, `${name}: descriptors`, of('descriptors'), growthMax.descriptors)
    t.ok(
      Math.max(...of('residentBytes')) < residentBytesMax,
      `${name}: ${Math.max(...of('residentBytes'))} bytes resident`,
    )
    t.ok(Math.max(...of('descriptors')) < descriptorsMax, `${name}: ${Math.max(...of('descriptors'))} descriptors`)
    const last = taken.findLast(sample => sample.contentBytes > 0)!
    t.ok(last.storedBytes < last.contentBytes + extraBytesMax, `${name}: ${JSON.stringify(last)}`)
    t.ok(last.diskBytes < diskBytesMax(last), `${name}: ${last.diskBytes} bytes on disk`)
  }
  await trial.settle(t)
})
