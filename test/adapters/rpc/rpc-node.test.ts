import t from 'tap'

import type { PeerMessage } from '../../../src/channel/transport-port.js'
import { addressReach } from '../../../src/adapters/rpc/address.js'
import { allConnected, cluster, introduce, type Member, until } from './cluster.js'

const note = (n: number): PeerMessage => ({ kind: 'position', lastIndex: n, durableIndex: n, appliedIndex: n })

function append(first: number, payload: Uint8Array): PeerMessage {
  const data = { header: new Uint8Array(200), payload }
  const size = 200 + payload.length
  return {
    kind: 'raft',
    message: {
      kind: 'append',
      term: 1,
      previousIndex: first - 1,
      previousTerm: 1,
      first,
      last: first,
      entries: [{ index: first, term: 1, size, data }],
      commit: 0,
    },
  }
}

t.test('three members: both ways, in order', async t => {
  const members = await cluster(3)
  t.teardown(() => Promise.all(members.map(member => member.stop())))
  await allConnected(members)
  const [a, b, c] = members as [Member, Member, Member]
  for (let i = 0; i < 2000; i++) {
    for (const from of members)
      for (const to of members) if (from !== to) t.equal(from.transport.send(to.id, note(i)), true)
  }
  await until('all arrived', () => members.every(member => member.count('message') === 4000))
  for (const member of members) {
    for (const peer of members) {
      const seen = member.events.filter(event => event.kind === 'message' && event.peer === peer.id)
      if (peer === member) t.equal(seen.length, 0)
      else t.ok(seen.every((event, i) => (event.message as { lastIndex: number }).lastIndex === i))
    }
  }
  await until('a round trip was measured', () => a.transport.rttMs(b.id) !== undefined)
  const info = a.transport.peerInfo(c.id)
  t.equal(info.problem, undefined)
  t.equal(info.connected, true)
  t.ok(info.certExpires!.getTime() > Date.now())
  t.equal(a.transport.send('0123456789abcdef', note(1)), false)
  t.equal(a.transport.connected('0123456789abcdef'), false)
})

t.test('bulk', async t => {
  const members = await cluster(2)
  t.teardown(() => Promise.all(members.map(member => member.stop())))
  await allConnected(members)
  const [a, b] = members as [Member, Member]
  const payload = new Uint8Array(1024 * 1024).fill(7)
  const total = 600
  let received = 0
  let bytes = 0
  let refused = 0
  b.onMessage = (_from, message) => {
    if (message.kind !== 'raft' || message.message.kind !== 'append') return
    received++
    if (message.message.first !== received) t.fail(`entry ${message.message.first} came as number ${received}`)
    bytes += message.message.entries[0]!.data.payload.length
  }
  const start = performance.now()
  for (let i = 1; i <= total;) {
    if (i - received < 24 && a.transport.send(b.id, append(i, payload))) i++
    else {
      refused++
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  await until('all arrived', () => received === total, 60)
  const seconds = (performance.now() - start) / 1000
  t.equal(bytes, total * payload.length)
  t.comment(`bulk: ${(bytes / 1e6 / seconds).toFixed(0)} MB/s in one process (both ends), ${refused} waits`)
})

t.test('a full outbox refuses, and the rest arrives', async t => {
  const members = await cluster(2)
  t.teardown(() => Promise.all(members.map(member => member.stop())))
  await allConnected(members)
  const [a, b] = members as [Member, Member]
  const payload = new Uint8Array(1024 * 1024)
  let sent = 0
  while (a.transport.send(b.id, append(sent + 1, payload))) sent++
  t.ok(sent >= 40 && sent < 49, `${sent} MiB were taken`)
  await until('all arrived', () => b.count('message') === sent)
  await until('the outbox is empty', () => a.transport.peerInfo(b.id).outboxBytes === 0)
  t.equal(a.transport.send(b.id, append(1, payload)), true)
})

t.test('a node that comes back on its port', async t => {
  const members = await cluster(3)
  t.teardown(() => Promise.all(members.map(member => member.stop())))
  await allConnected(members)
  const [a, b, c] = members as [Member, Member, Member]
  for (let round = 0; round < 3; round++) {
    await b.stop()
    await until('the others noticed', () => !a.transport.connected(b.id) && !c.transport.connected(b.id))
    t.ok(a.transport.connected(c.id))
    t.equal(a.transport.send(b.id, note(0)), false)
    await until('a says why', () => /ECONNREFUSED|stops|closed|broke/.test(a.transport.peerInfo(b.id).problem ?? ''))
    await b.start()
    introduce(members)
    await allConnected(members)
    t.equal(a.transport.peerInfo(b.id).problem, undefined)
    t.equal(a.transport.send(b.id, note(round)), true)
    await until('a message got through', () => b.events.at(-1)?.kind === 'message')
  }
  const kinds = a.events.filter(event => event.peer === b.id && event.kind !== 'problem').map(event => event.kind)
  t.same(kinds, ['connected', 'disconnected', 'connected', 'disconnected', 'connected', 'disconnected', 'connected'])
})

t.test('a member that moved is found again by what its hello says', async t => {
  const members = await cluster(2)
  t.teardown(() => Promise.all(members.map(member => member.stop())))
  await allConnected(members)
  const [a, b] = members as [Member, Member]
  const old = b.address
  await b.stop()
  b.address = '127.0.0.1:0'
  await b.start()
  t.not(b.address, old)
  b.transport.setPeers([{ id: a.id, address: a.address }])
  await until('connected at the new address', () => a.transport.connected(b.id) && b.transport.connected(a.id))

  // what no peer could connect to, or is not an address, is ignored
  for (const address of ['', '0.0.0.0:7400', '[::]:7400', 'nonsense', 'h:99999']) a.transport.moved(b.id, address)
  a.transport.moved('0123456789abcdef', '127.0.0.1:1')
  // a new descriptor has the last word
  a.transport.setPeers([{ id: b.id, address: b.address }])
  t.equal(a.transport.connected(b.id), true)
})

t.test('addressReach', async t => {
  for (const address of ['0.0.0.0:1', '[::]:1', '[0:0::0]:1']) t.equal(addressReach(address), 'wildcard', address)
  for (const address of ['127.0.0.1:1', '127.1.2.3:1', 'localhost:1', '[::1]:1']) {
    t.equal(addressReach(address), 'loopback', address)
  }
  for (const address of ['192.0.2.1:1', '10.0.0.1:1', 'localhost.example.org:1', '[2001:db8::1]:1', '[fe80::]:1']) {
    t.equal(addressReach(address), 'network', address)
  }
})
