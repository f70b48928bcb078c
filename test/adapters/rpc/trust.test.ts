/** Who does not belong gets nothing. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import * as tls from 'node:tls'

import { Client, credentials, status, type ServiceError } from '@grpc/grpc-js'
import t from 'tap'

import { createAuthority } from '../../../src/adapters/pki/authority.js'
import { RpcNode } from '../../../src/adapters/rpc/rpc-node.js'
import { protocolVersion, strangersMax } from '../../../src/adapters/rpc/tuning.js'
import { allConnected, cluster, day, introduce, makeKey, Member, until } from './cluster.js'

interface Identity {
  readonly key: string
  readonly certificate: string
}

const methods = [
  '/rkfs.v1.Peer/Subscribe',
  '/rkfs.v1.Peer/FetchSnapshot',
  '/rkfs.v1.Peer/Nothing',
  '/other.Service/Call',
]

/** Calls a method with raw bytes; resolves to the status, or to `answered`. */
function call(member: Member, path: string, identity: Identity | undefined, servername?: string): Promise<string> {
  const context = tls.createSecureContext({
    ca: member.authority.caPem,
    ...(identity && { key: identity.key, cert: identity.certificate }),
  })
  const client = new Client(
    member.address,
    credentials.createFromSecureContext(context, { rejectUnauthorized: false, checkServerIdentity: () => undefined }),
    {
      'grpc.ssl_target_name_override': servername ?? `${member.authority.channelId}.rkfs`,
      'grpc.use_local_subchannel_pool': 1,
    },
  )
  const same = (bytes: Buffer): Buffer => bytes
  return new Promise<string>(resolve => {
    const stream = client.makeBidiStreamRequest(path, same, same, { deadline: Date.now() + 5000 })
    stream.on('data', () => resolve('answered'))
    stream.on('error', (error: ServiceError) => resolve(`${status[error.code]}: ${error.details}`))
    // A good hello (and a bad request of the other methods): channel_id and protocol_version.
    const channel = Buffer.from(member.authority.channelId)
    const hello = Buffer.concat([Buffer.from([0x0a, channel.length]), channel, Buffer.from([0x10, protocolVersion])])
    stream.write(path.endsWith('Subscribe') ? Buffer.concat([Buffer.from([0x0a, hello.length]), hello]) : hello)
    if (!path.endsWith('Subscribe')) stream.end()
  }).finally(() => client.close())
}

t.test('strangers are refused at every method, by reason', async t => {
  const authority = await createAuthority('demo')
  const members = await cluster(2, authority)
  t.teardown(() => Promise.all(members.map(member => member.stop())))
  await allConnected(members)
  const [a] = members as [Member, Member]
  const other = await Member.make(await createAuthority('demo'), 'foreign')
  const expired = await Member.make(authority, 'expired', { now: Date.now() - 10 * day, days: 5 })
  const early = await Member.make(authority, 'early', { now: Date.now() + 10 * day, days: 5 })
  const good = await Member.make(authority, 'removed')
  const show = (member: Member): Identity => ({ key: member.key.pem, certificate: member.certificatePem })
  a.refused.set(good.id, `member ${good.id} was removed from demo`)
  const cases: [string, Identity | undefined, RegExp, string?][] = [
    ['no certificate', undefined, /UNAUTHENTICATED: this call needs a certificate/],
    ['another CA', show(other), /UNAUTHENTICATED: member .*"foreign".*signed by another CA/],
    ['expired', show(expired), /UNAUTHENTICATED: member .*"expired".*certificate expired on 20/],
    ['not yet valid', show(early), /UNAUTHENTICATED: member .*not yet valid/],
    ['no certificate, no such channel', undefined, /UNAUTHENTICATED/, 'example.org'],
    [
      'a good certificate for another server name',
      show(good),
      /UNAUTHENTICATED: .*no such channel/,
      '0123456789abcdef.rkfs',
    ],
  ]
  for (const [what, identity, expected, servername] of cases) {
    for (const path of methods) {
      const known = path === methods[0] || path === methods[1]
      t.match(await call(a, path, identity, servername), known ? expected : /^UNIMPLEMENTED/, `${what}: ${path}`)
    }
  }
  const removed = /PERMISSION_DENIED: member .* was removed from demo/
  t.match(await call(a, methods[0]!, show(good)), removed)
  t.match(await call(a, '/rkfs.v1.Enrollment/Enroll', show(good)), /UNIMPLEMENTED/)
  t.ok(
    members.every(member => member.count('message') === 0),
    'nothing of it reached a channel',
  )
  t.ok(a.transport.connected(members[1]!.id))
})

t.test('what a peer shows is checked, and the problem told', async t => {
  const authority = await createAuthority('demo')
  const [a] = (await cluster(1, authority)) as [Member]
  const expired = await Member.make(authority, 'expired', { now: Date.now() - 10 * day, days: 5 })
  const impostor = await Member.make(authority, 'impostor')
  const foreign = await Member.make(await createAuthority('demo'), 'foreign')
  t.teardown(() => Promise.all([a, expired, impostor, foreign].map(member => member.stop())))
  for (const member of [expired, impostor, foreign]) await member.start()
  const wanted = await makeKey()
  a.transport.setPeers([
    { id: expired.id, address: expired.address },
    { id: wanted.memberId, address: impostor.address },
    { id: foreign.id, address: foreign.address },
    { id: '0000000000000000', address: 'nonsense' },
  ])
  const problem = (id: string): string => a.transport.peerInfo(id).problem ?? ''
  await until('expired', () => /certificate expired on 20\d\d-/.test(problem(expired.id)))
  await until('impostor', () => problem(wanted.memberId).includes(`member ${impostor.id} answers at`))
  // it may only be starting: no word of a wrong certificate
  await until(
    'foreign',
    () => problem(foreign.id) === `member ${foreign.id} runs, but does not serve this channel (yet)`,
  )
  await until('bad address', () => problem('0000000000000000') !== '')
  t.comment(problem(expired.id), problem(wanted.memberId), problem(foreign.id), problem('0000000000000000'))
  t.equal(a.count('connected'), 0)
  t.ok(a.events.some(event => event.kind === 'problem' && event.peer === expired.id))
})

t.test("a removed member's streams are closed at once", async t => {
  const members = await cluster(3)
  t.teardown(() => Promise.all(members.map(member => member.stop())))
  await allConnected(members)
  const [a, b, c] = members as [Member, Member, Member]
  for (const member of [a, b]) {
    member.refused.set(c.id, `member ${c.id} was removed from demo`)
    member.transport.setPeers([a, b].map(({ id, address }) => ({ id, address })))
    t.equal(member.transport.connected(c.id), false)
    t.equal(member.transport.send(c.id, { kind: 'propose-again' }), false)
  }
  await until('c is alone', () => !c.transport.connected(a.id) && !c.transport.connected(b.id), 3)
  await until('c knows why', () => /was removed from demo/.test(c.transport.peerInfo(a.id).problem ?? ''))
  t.equal(c.transport.send(a.id, { kind: 'propose-again' }), false)
  t.equal(c.count('connected'), 2, 'and it did not come back')
  t.ok(a.transport.connected(b.id))
  a.refused.clear()
  b.refused.clear()
  introduce(members)
  await allConnected(members)
})

t.test('a port in use, a bad address', async t => {
  const [a] = (await cluster(1)) as [Member]
  t.teardown(() => a.stop())
  const nodeKey = await makeKey()
  const listen = (address: string): Promise<string> =>
    new RpcNode({ listen: address, nodeKey, log: () => undefined }).start()
  await t.rejects(listen(a.address), { code: 'busy', message: new RegExp(`${a.address} is in use.*--listen`) })
  for (const bad of ['', 'x', '7400', ':7400', 'a:b', 'a:99999', '[::1', '192.0.2.1:0']) {
    await t.rejects(listen(bad), { code: 'usage' }, bad)
  }
})

t.test('garbage on the port', async t => {
  const members = await cluster(2)
  t.teardown(() => Promise.all(members.map(member => member.stop())))
  await allConnected(members)
  const [a] = members as [Member, Member]
  const port = Number(a.address.split(':')[1])
  for (const text of [
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    '\x16\x03\x01\xff\xff',
    '\0'.repeat(100_000),
  ]) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(text)
    if (text.startsWith('PRI') || text.startsWith('GET')) await once(socket, 'close')
    else socket.destroy()
  }
  const plain = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(plain, 'secureConnect')
  t.ok(plain.getPeerCertificate().raw, 'TLS without a server name shows a certificate')
  plain.on('error', () => undefined)
  plain.end()

  // Strangers that hold connections open: bounded, and a member still gets in.
  const held = Array.from({ length: strangersMax * 2 }, () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    return socket
  })
  await until('the oldest were closed', () => held.filter(socket => socket.destroyed).length >= strangersMax)
  const late = await Member.make(a.authority, 'late')
  t.teardown(() => late.stop())
  await late.start()
  introduce([...members, late])
  await allConnected([...members, late])
  t.ok(members.every(member => member.count('disconnected') === 0))
  for (const socket of held) socket.destroy()
})

t.test('a peer that is silent is given up, and found again', async t => {
  const [a, b] = (await cluster(2)) as [Member, Member]
  t.teardown(() => Promise.all([a.stop(), b.stop()]))
  // Between them a wire that can be cut without a word.
  let cut = false
  const wire = createServer(socket => {
    const [host, port] = b.address.split(':') as [string, string]
    const onward = connect(Number(port), host)
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      from.on('data', data => cut || to.write(data))
      from.on('close', () => to.destroy())
      from.on('error', () => undefined)
    }
  })
  wire.listen(0, '127.0.0.1')
  await once(wire, 'listening')
  t.teardown(() => wire.close())
  const through = `127.0.0.1:${(wire.address() as { port: number }).port}`
  // b says where it listens, which would lead a around the wire
  a.transport.moved = () => undefined
  a.transport.setPeers([{ id: b.id, address: through }])
  await allConnected([a, b])
  cut = true
  const start = performance.now()
  await until('a gives up', () => !a.transport.connected(b.id), 10)
  const seconds = (performance.now() - start) / 1000
  t.ok(seconds > 3 && seconds < 8, `after ${seconds.toFixed(1)} s`)
  await until('b heard of it', () => !b.transport.connected(a.id), 1)
  cut = false
  await allConnected([a, b])
})

t.test('a certificate that ends while the stream stands', async t => {
  const authority = await createAuthority('demo')
  const [a] = (await cluster(1, authority)) as [Member]
  const b = await Member.make(authority, 'brief', { now: Date.now(), days: 3 / 86_400 })
  t.teardown(() => Promise.all([a.stop(), b.stop()]))
  await b.start()
  introduce([a, b])
  await allConnected([a, b])
  await until('it is closed', () => !a.transport.connected(b.id), 8)
  await until('by name', () => /expired/.test(a.transport.peerInfo(b.id).problem ?? ''))
})
