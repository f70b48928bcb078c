/** Two nodes of one identity: one of them is let in, and the other one is refused, by name, on both sides. */
import t from 'tap'
import { PeerRun } from '../../../src/adapters/rpc/peer-run.js'
import { secondRunGraceMs } from '../../../src/adapters/rpc/tuning.js'
import { allConnected, cluster, introduce, Member, until } from './cluster.js'

const run = (n: number): string => n.toString(16).padStart(16, '0')

/** Started anew, as another run of its home. */
async function restart(member: Member, n: number, peers: readonly Member[]): Promise<void> {
  await member.stop()
  member.options = { run: run(n) }
  await member.start()
  member.transport.setPeers(peers.map(({ id, address }) => ({ id, address })))
}

void t.test('the second node is refused as long as the first one is heard, and takes its place afterwards', async t => {
  const [a, b] = (await cluster(2)) as [Member, Member]
  const copy = new Member(b.key, b.authority, b.certificatePem)
  t.teardown(() => Promise.all([a, b, copy].map(member => member.stop())))
  await restart(a, 1, [a, b])
  await restart(b, 2, [a, b])
  await allConnected([a, b])
  copy.options = { run: run(3) }
  await copy.start()
  introduce([copy])
  copy.transport.setPeers([{ id: a.id, address: a.address }])
  await until('it is refused twice', () => copy.count('refused-as-second') >= 2)
  t.ok(a.count('second-run') >= 2, 'which is told on the other side, too')
  t.match(copy.transport.peerInfo(a.id).problem, /another node with the identity of member .* is connected here/)
  t.notOk(copy.transport.connected(a.id))
  t.ok(a.transport.connected(b.id), 'the first one has not noticed')
  t.ok(b.transport.connected(a.id))

  // an ordinary restart of the first
  const began = performance.now()
  await restart(b, 4, [a, b])
  await allConnected([a, b])
  t.ok(performance.now() - began < 4000, 'no longer than without a second node')
  t.same(
    copy.events.filter(e => e.kind === 'connected'),
    [],
  )

  // the first is gone: the second is let in, once that has lasted
  await b.stop()
  await until('the second node takes its place', () => copy.transport.connected(a.id))
  await until('on both sides', () => a.transport.connected(copy.id))
  await b.start()
  b.transport.setPeers([{ id: a.id, address: a.address }])
  await until('now the first is refused', () => b.count('refused-as-second') > 0)
  t.ok(copy.transport.connected(a.id))
})

void t.test('who answers at the address of the member goes before who only came', async t => {
  const [a, b] = (await cluster(2)) as [Member, Member]
  const copy = new Member(b.key, b.authority, b.certificatePem)
  t.teardown(() => Promise.all([a, b, copy].map(member => member.stop())))
  await a.stop()
  await restart(b, 2, [a, b])
  // the copy has the configuration of the first one, and so tells its address
  copy.options = { run: run(3) }
  await copy.start()
  await restart(a, 1, [a, b])
  copy.transport.setPeers([{ id: a.id, address: a.address }])
  b.transport.setPeers([{ id: a.id, address: a.address }])
  await until('one of them is in', () => a.transport.connected(b.id))
  await new Promise(resolve => setTimeout(resolve, 3000))
  const before = a.count('connected')
  t.not(b.transport.connected(a.id), copy.transport.connected(a.id), 'one alone')
  await new Promise(resolve => setTimeout(resolve, 3000))
  t.equal(a.count('connected'), before, 'they do not throw each other out')
})

void t.test('which run may connect', t => {
  const runs = new PeerRun()
  t.ok(runs.admit('a', undefined, 0))
  t.ok(runs.admit('a', 0, 100), 'again')
  t.ok(runs.admit('', 0, 100), 'one that does not tell')
  runs.take('a', '', 100)
  t.notOk(runs.admit('b', 0, 200))
  t.notOk(runs.admit('b', 4, 5000), 'the silent one may come back')
  runs.closed(6000)
  t.notOk(runs.admit('b', undefined, 6000 + secondRunGraceMs - 1))
  t.ok(runs.admit('c', undefined, 6100), 'a new run at once')
  runs.closed(7000)
  t.ok(runs.admit('b', undefined, 7000 + secondRunGraceMs))
  t.ok(runs.admit('d', 3, 20_000), 'after a silence, as a machine that lost its power leaves behind')
  t.end()
})
