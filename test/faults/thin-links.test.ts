/**
 * Links that carry little, for real: the kernel's tbf between three nodes. A program on one member writes as much as the
 * links carry in some time; small fsyncs on all members go on, hardly later than without it, and nobody stands for election.
 *   THIN_LINKS=all    2 and 10 Mbit/s, two and three members up, the leader and a follower; and 1 Mbit/s, 256 and 64 kbit/s
 */
import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { until } from '../e2e/support/cluster.js'
import type { Member } from './support/member.js'
import { skipUnlessNetworked } from './support/network.js'
import { Trial } from './support/trial.js'

skipUnlessNetworked(t)

interface Case {
  readonly kbit: number
  readonly up: 2 | 3
  readonly writer: 'leader' | 'follower'
}

const each = <T, U>(all: readonly T[], make: (one: T) => readonly U[]): U[] => all.flatMap(make)
const matrix: Case[] = each([2000, 10_000], kbit =>
  each([2, 3] as const, up => (['leader', 'follower'] as const).map(writer => ({ kbit, up, writer }))),
)
const thinner: Case[] = [1000, 256, 64].map(kbit => ({ kbit, up: 3, writer: 'leader' }))
const isShort = process.env['THIN_LINKS'] !== 'all'
const cases: Case[] = isShort ? [{ kbit: 2000, up: 2, writer: 'follower' }] : [...matrix, ...thinner]
const seconds = isShort ? 15 : 30
/** What the machine that runs the tests may be late by itself. */
const slackMs = 1000
t.setTimeout(60_000 + cases.length * (seconds + 60) * 1000)

/** Small writes, each with an fsync, one after the other. */
class SmallWrites {
  readonly member: Member
  readonly errors: string[] = []
  #tookMs: number[] = []
  #ended = false
  readonly #end: Promise<void>

  constructor(member: Member) {
    this.member = member
    this.#end = this.#run()
  }

  /** The longest of those that ended since the last call, and how many. */
  take(): { longest: number; count: number } {
    const took = this.#tookMs
    this.#tookMs = []
    return { longest: Math.max(0, ...took), count: took.length }
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.#end
  }

  async #run(): Promise<void> {
    const file = await open(join(this.member.directory, `small-${this.member.name}`), 'w')
    while (!this.#ended) {
      const begun = performance.now()
      try {
        await file.write(new Uint8Array(512), 0, 512, 0)
        await file.sync()
        this.#tookMs.push(performance.now() - begun)
      } catch (error) {
        this.errors.push(String(error))
      }
      await sleep(300)
    }
    await file.close().catch(() => undefined)
  }
}

async function check(t: Test, { kbit, up, writer }: Case): Promise<void> {
  const trial = new Trial({ members: 3, seed: 1, mountOptions: 'timeout=20' })
  t.teardown(() => trial.close())
  await trial.open()
  const { members, network } = trial
  const leader = (await trial.cluster.leader(members)) as Member
  const followers = members.filter(member => member !== leader)
  if (up === 2) await followers[1]!.crash()
  const alive = up === 2 ? [leader, followers[0]!] : members
  for (const member of members) network.narrow(member.name, kbit)
  const smalls = alive.map(member => new SmallWrites(member))
  await sleep(5000)
  const without = smalls.map(small => small.take().longest)
  const term = (await leader.status())?.term
  const target = join((writer === 'leader' ? leader : followers[0]!).directory, 'bulk')
  const mib = Math.ceil((kbit * 125 * seconds) / 2 ** 20)
  const bulk = spawn('dd', ['if=/dev/urandom', `of=${target}`, 'bs=1M', `count=${mib}`, 'conv=fsync', 'status=none'])
  const bulkEnd = new Promise<number | null>(resolve => bulk.once('exit', code => resolve(code)))
  await sleep(seconds * 1000)
  const during = smalls.map(small => small.take())
  const after = await leader.status()
  await Promise.all(smalls.map(small => small.end()))
  t.comment(JSON.stringify({ kbit, up, writer, without, during, term, after: after?.term }))
  t.equal(after?.term, term, 'nobody stood for election')
  t.same(
    smalls.flatMap(({ errors }) => errors),
    [],
    'no small write failed',
  )
  for (const [i, { longest, count }] of during.entries()) {
    const late = Math.round(longest - without[i]!)
    t.ok(count > 0, `${alive[i]!.name}: ${count} small fsyncs`)
    if (kbit >= 1000) t.ok(late <= 1000 + slackMs, `${alive[i]!.name}: ${late} ms later at most`)
  }
  network.heal()
  await until(
    'the long write ends when the links are wide again',
    async () => (await Promise.race([bulkEnd, sleep(100, undefined)])) !== undefined,
  )
  t.equal(await bulkEnd, 0, 'the long write has ended well')
}

for (const one of cases) {
  const { kbit, up, writer } = one
  await t.test(`${kbit} kbit/s, ${up} of 3 up, a long write on the ${writer}`, t => check(t, one))
}
