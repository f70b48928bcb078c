/** A channel of two voters, one of which has lost its disk, or is gone for good. */
import { renameSync } from 'node:fs'
import t from 'tap'
import { clusterOf, until, type Machine } from './support/cluster.js'
import { refused } from './support/refusal.js'

const cluster = clusterOf(t)

const [a, b] = (await cluster.members('a', 'b')) as [Machine, Machine]
await a.mount()
t.equal((await a.shell('echo precious > kept; sync kept')).code, 0)

await t.test('wrong use', async t => {
  await refused(t, a, ['member', 'lost', 'demo', 'b'], 2, /never run it\s+on both.*Add --yes if that is so/s)
  await refused(t, a, ['member', 'lost', 'demo', 'b', '--yes'], 4, /member.* is connected/)
  await refused(t, a, ['member', 'lost', 'demo', 'nobody', '--yes'], 1, /nobody/)
})

await t.test('the machine is gone: the other one goes on, and a new home of the old identity joins', async t => {
  await b.must('stop')
  await until('no quorum', async () => (await a.status())?.quorum.ok === false)
  t.match(await a.must('member', 'lost', 'demo', 'b', '--yes'), /^member .* has no vote in demo any more/)
  await until('it serves', async () => (await a.status())?.quorum.ok === true)
  t.equal((await a.shell('cat kept; echo more > later; sync later')).stdout, 'precious\n')
  // all of its channel is lost, and its identity is not
  renameSync(b.folder(), `${b.home}.lost`)
  const { code, stderr } = await b.rkfs('join', await a.must('member', 'invite', 'demo'))
  t.equal(code, 0, stderr)
  await cluster.agree([a, b])
  await b.mount()
  t.equal((await b.shell('cat kept later')).stdout, 'precious\nmore\n')
  await cluster.same([a, b])
})

await t.test('it was not gone: it is brought up to date, and has its vote again', async t => {
  await b.must('stop')
  await a.must('member', 'lost', 'demo', 'b', '--yes')
  t.equal((await a.shell('echo alone > alone; sync alone', 40)).code, 0)
  await b.mount()
  await cluster.agree([a, b]).catch(async (error: unknown) => {
    t.comment(JSON.stringify([await a.status(), await b.status()]))
    throw error
  })
  t.equal((await b.shell('cat alone')).stdout, 'alone\n')
  await cluster.same([a, b])
  for (const one of [a, b]) t.equal((await one.rkfs('status')).code, 0)
})

await t.test('the owner is gone: who goes on alone is told what it lacks', async t => {
  await a.must('stop')
  await until('no quorum', async () => (await b.status())?.quorum.ok === false)
  const before = await b.rkfs('status')
  t.equal(before.code, 3)
  t.match(before.stdout, /^ {2}! no quorum: .*`rkfs member lost demo a --yes`.*a owns demo: without it nobody can be/m)
  await b.must('member', 'lost', 'demo', 'a', '--yes')
  await until('it serves', async () => (await b.status())?.quorum.ok === true)
  const { code, stdout } = await b.rkfs('status')
  t.equal(code, 1)
  const [first, second] = stdout.split('\n')
  t.equal(first, 'demo: One copy only of 2 is complete; 1 of 1 needed: no machine may fail')
  t.match(second, /^ {2}! a is not there: .*a owns demo: without it nobody can be admitted.*make a new channel/)
  t.match((await b.rkfs('doctor')).stdout, /warn.*a is not there/)
})
