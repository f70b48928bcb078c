/**
 * A home is put back from an old copy while another member is away: the two that know nothing of what was acknowledged
 * meanwhile are a majority, and give the same term away again, or a later one. Nothing can undo that; all are told.
 */
import { cpSync, rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { clusterOf, until, type Machine } from './support/cluster.js'
import { refused } from './support/refusal.js'

const cluster = clusterOf(t)

async function putBack(t: Test, elections: number): Promise<void> {
  const name = (machine: string): string => `${machine}${elections}`
  const [a, b, c] = (await cluster.members(name('a'), name('b'), name('c'))) as [Machine, Machine, Machine]
  await Promise.all([a, b, c].map(machine => machine.must('stop')))
  const copyOf = ({ home }: Machine): string => `${home}.copy`
  for (const machine of [a, c]) cpSync(machine.home, copyOf(machine), { recursive: true })
  await Promise.all([a, c].map(machine => machine.mount()))
  t.equal((await a.shell('echo precious > kept; sync kept')).code, 0)
  await a.must('sync', 'demo')
  // the follower goes first: the leader has nobody to hand over to
  const restored = await cluster.leader([a, c])
  const whole = restored === a ? c : a
  for (const machine of [whole, restored]) await machine.must('stop')
  rmSync(restored.home, { recursive: true })
  cpSync(copyOf(restored), restored.home, { recursive: true })

  const two = [b, restored]
  for (let n = 1; n <= elections; n++) {
    if (n > 1) await Promise.all(two.map(machine => machine.must('stop')))
    await Promise.all(two.map(machine => machine.mount()))
    await cluster.leader(two)
  }
  t.equal((await b.shell('echo another > other; sync other')).code, 0)
  // it may know so before it is mounted, and is not mounted then
  const mounted = await whole.rkfs('mount', 'demo', whole.directory)
  if (mounted.code !== 0) t.match(mounted.stderr, /differs from|does not (fit|continue)/)
  await until('it says that they differ', async () => /quarantined|failed/.test((await whole.status())?.state ?? ''))
  const { code, stdout } = await whole.rkfs('status')
  t.equal(code, 1)
  t.match(stdout, /safe +not known here/)
  t.match(stdout, /! .*(differs from|does not (fit|continue))/)
  await refused(
    t,
    whole,
    ['sync', 'demo'],
    1,
    /what of demo is safe is not known here: .*(differs from|does not (fit|continue))/,
  )
  t.equal((await b.shell('echo more >> other; sync other')).code, 0, 'the others go on')
}

t.jobs = 2
await Promise.all([
  t.test('the same term again', { buffered: true }, t => putBack(t, 1)),
  t.test('a later term', { buffered: true }, t => putBack(t, 2)),
])
