/**
 * Links that carry little: a long write, on any member, brings no election, and small changes of all others are hardly later
 * than without it. In virtual time, on the simulated network with a bandwidth; for real in `faults/thin-links.test.ts`.
 */
import t, { type Test } from 'tap'
import { KiB, MiB } from '../../src/base/limits.js'
import { O_DSYNC } from '../../src/channel/open-files.js'
import { Cluster, type Member, type Three } from './support/cluster.js'
import { BulkWriter, SmallWriter } from './support/writers.js'

interface Case {
  readonly kbit: number
  readonly up: 2 | 3
  readonly writer: 'leader' | 'follower'
  readonly seed?: number
  readonly writeBytes?: number
}

interface Outcome {
  readonly terms: number
  readonly errors: number
  /** The longest small fsync of each member without and with the long write, in milliseconds. */
  readonly without: number[]
  readonly with: number[]
  readonly ends: number[]
  readonly bulk: BulkWriter
}

const watchMs = 30_000

function run({ kbit, up, writer, seed = 1, writeBytes = MiB }: Case): Outcome {
  const cluster = new Cluster(3, seed)
  const [leader, follower, third] = cluster.roles() as Three
  if (up === 2) third.kill()
  for (const { id } of cluster.members) cluster.network.narrow(id, (kbit * 1000) / 8)
  const smalls = cluster.alive.map((member, i) => new SmallWriter(cluster, member, `small-${i}`))
  cluster.advance(10_000)
  const without = smalls.map(small => small.longestMs)
  for (const small of smalls) small.forget()
  const terms = (): number => Math.max(...cluster.alive.map(({ channel }) => channel.term))
  const term = terms()
  const member: Member = writer === 'leader' ? leader : follower
  const bulk = new BulkWriter(cluster, member, Math.ceil((kbit * 125 * watchMs) / 1000 / MiB) * MiB, writeBytes)
  cluster.advance(watchMs)
  const errors = smalls.reduce((sum, small) => sum + small.errors.length, 0)
  return {
    terms: terms() - term,
    errors,
    without,
    with: smalls.map(small => small.longestMs),
    ends: smalls.map(small => small.tookMs.length),
    bulk,
  }
}

function check(t: Test, one: Case): void {
  const outcome = run(one)
  const { terms, errors, without, bulk } = outcome
  const said = JSON.stringify({ ...outcome, bulk: bulk.written / KiB })
  t.comment(said)
  t.equal(terms, 0, `no election: ${said}`)
  t.equal(errors, 0, 'no error')
  t.notOk(bulk.errno, 'the long write goes on, or has ended well')
  const late = Math.max(...outcome.with.map((ms, i) => ms - without[i]!))
  t.ok(late <= 1000, `small fsyncs are ${late} ms later at most`)
}

t.setTimeout(300_000)
for (const kbit of [2000, 10_000]) {
  for (const up of [2, 3] as const) {
    for (const writer of ['leader', 'follower'] as const) {
      void t.test(`${kbit} kbit/s, ${up} of 3 up, a long write on the ${writer}`, t => {
        check(t, { kbit, up, writer })
        t.end()
      })
    }
  }
}

void t.test('where a link carries much, long durable writes are soon one change each', t => {
  const cluster = new Cluster(3, 1)
  const [leader, follower] = cluster.roles() as Three
  for (const { id } of cluster.members) cluster.network.narrow(id, 1e9 / 8)
  for (const member of [leader, follower]) {
    const before = leader.channel.commitIndex
    const bulk = new BulkWriter(cluster, member, 20 * MiB, MiB, 2 | O_DSYNC)
    cluster.advance(20_000)
    t.equal(bulk.written, 20 * MiB)
    const changes = leader.channel.commitIndex - before
    t.ok(changes < 100, `20 writes were ${changes} changes`)
  }
  t.end()
})
