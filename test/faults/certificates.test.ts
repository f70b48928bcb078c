/** The certificates of all members end while their nodes run: what goes on, what is said, how it is mended. */
import t from 'tap'
import { until } from '../e2e/support/cluster.js'
import { fakeTime, type Member } from './support/member.js'
import { skipUnlessNetworked } from './support/network.js'
import { Trial } from './support/trial.js'

skipUnlessNetworked(
  t,
  (process.env['FAULTS'] !== 'all' && 'runs with FAULTS=all') ||
    (fakeTime === undefined && 'needs libfaketime (Debian: faketime)'),
)
t.setTimeout(200_000)
const trial = new Trial({ members: 3, seed: 1, settings: 'cert_days = 1\n' })
t.teardown(() => trial.close())
await trial.open()
trial.load.startAll(trial.members)
const [a, b, c] = trial.members as [Member, Member, Member]
const ended = /certificate expired on/

async function problems(member: Member): Promise<string> {
  return (await member.status())?.problems.join('; ') ?? 'silent'
}

async function renew(member: Member): Promise<void> {
  t.match(await member.must('join', await a.must('member', 'invite', 'demo')), /certificate renewed until/)
}

await t.test('they end while the nodes run', async t => {
  const before = await b.shell('echo before > load/before')
  t.equal(before.code, 0, before.stderr)
  for (const member of trial.members) member.clock(30 * 3600)
  for (const member of trial.members) {
    await until(`${member.name} says that its certificate ended`, async () => ended.test(await problems(member)))
    await until(`${member.name} has no quorum`, async () => (await member.status())?.state === 'no-quorum')
  }
  for (const member of trial.members) {
    t.equal((await member.shell('cat load/before')).stdout, 'before\n', 'reads go on')
    const change = await member.shell('echo after > load/after && sync load/after', 20)
    t.match(change.stderr, /Read-only file system|Input\/output error/)
    t.match(await problems(member), /no quorum: 1 of 3/)
    for (const { self, problem, name } of (await member.status())!.members) {
      if (!self) t.match(problem, ended, `${member.name} says why it does not reach ${name}`)
    }
  }
})

await t.test('the owner renews its own when it starts', async t => {
  t.equal(await a.terminate(), '0')
  await a.start()
  t.notMatch(await problems(a), /certificate expired/)
  t.match(await problems(a), /no quorum/)
})

await t.test('one more, and there is a majority; the third is refused by name and disturbs nobody', async t => {
  await renew(b)
  await trial.getsOn(a, 20)
  await trial.getsOn(b, 20)
  const { term } = (await a.status())!
  for (const member of [a, b]) {
    const seen = (await member.status())!.members.find(({ name }) => name === 'c')!
    t.notOk(seen.connected)
    t.match(seen.problem, new RegExp(`"c".*certificate expired on`), `${member.name} about c`)
  }
  t.match(await problems(c), ended)
  t.equal((await c.shell('cat load/before')).stdout, 'before\n', 'reads go on')
  t.equal((await a.status())!.term, term, 'no elections')
})

await t.test('all are back', async () => {
  await renew(c)
  await trial.cluster.agree(trial.members)
  for (const member of trial.members) await trial.getsOn(member, 20)
  await trial.settle(t)
})
