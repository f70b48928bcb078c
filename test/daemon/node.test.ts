import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createSigningRequest, issueCertificate } from '../../src/adapters/pki/authority.js'
import { CspHome } from '../../src/adapters/pki/csp-home.js'
import { RkfsError } from '../../src/base/errors.js'
import { loadConfig } from '../../src/daemon/config.js'
import { openHome } from '../../src/daemon/home.js'
import { silentLog } from '../../src/daemon/log.js'
import { Node } from '../../src/daemon/node.js'
import { certificateEnd } from '../../src/daemon/status.js'

const never = new AbortController().signal
const day = 86_400_000

/** A folder for homes, removed when their nodes have stopped: tap removes its own before that. */
function homes(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'rkfs-node.'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1500 && !holds(); i++) await new Promise(resolve => setTimeout(resolve, 20))
  t.ok(holds(), what)
}

function start(home: string, name: string, certDays = '730', listen = '127.0.0.1:0'): Promise<Node> {
  const { config } = loadConfig(home, {}, { listen, name, cert_days: certDays })
  return Node.start(home, config, silentLog)
}

t.test('renewing certificates, and a certificate of a channel that another node owns', async t => {
  const folder = homes(t)
  const [homeA, homeB] = ['a', 'b'].map(name => openHome(join(folder, name))) as [string, string]
  let a = await start(homeA, 'alpha', '20')
  t.teardown(() => a.stop(true))
  let b = await start(homeB, 'beta')
  t.teardown(() => b.stop(true))
  await a.createChannel('demo')
  await b.join((await a.invite('demo', 60)).token, () => {}, never)
  const before = b.host('demo').identity.notAfter
  t.ok(before.getTime() < Date.now() + 21 * day)

  await a.stop(false)
  a = await start(homeA, 'alpha', '730', a.listen)
  t.ok(a.host('demo').identity.notAfter.getTime() > Date.now() + 700 * day, 'the owner renews its own at its start')
  await until('beta is back', () => a.host('demo').transport.connected(b.id))

  const renewed = await b.join((await a.invite('demo', 60)).token, () => {}, never)
  t.ok(Date.parse(renewed.renewedUntil!) > Date.now() + 700 * day)
  t.equal(renewed.member, b.id)
  t.equal(b.host('demo').identity.notAfter.toISOString(), renewed.renewedUntil)
  const ends = (): number[] => b.host('demo').channel.descriptor.members.map(m => Date.parse(certificateEnd(m)!))
  await until('the descriptor has both new certificates', () => ends().every(end => end > Date.now() + 700 * day))
  t.equal(ends().length, 2)

  await a.createChannel('other')
  await t.rejects(
    b.join((await a.invite('other', 60)).token, () => {}, AbortSignal.abort()),
    { code: 'unavailable' },
  )

  await b.stop(true)
  rmSync(join(homeB, 'channels', 'demo'), { recursive: true })
  b = await start(homeB, 'beta', '730', b.listen)
  await t.rejects(b.createChannel('demo'), { code: 'refused', message: /something of one is there.*rkfs join/ })
  t.equal(await new CspHome(homeB).authority('demo'), undefined)
})

t.test('a certificate that has ended is renewed, though without it there is no majority', async t => {
  const folder = homes(t)
  const [homeA, homeB] = ['a', 'b'].map(name => openHome(join(folder, name))) as [string, string]
  const a = await start(homeA, 'alpha')
  t.teardown(() => a.stop(true))
  let b = await start(homeB, 'beta')
  t.teardown(() => b.stop(true))
  await a.createChannel('demo')
  const first = await a.invite('demo', 60)
  await b.join(first.token, () => {}, never)
  const { token } = await a.invite('demo', 60)
  await b.stop(false)

  const authority = (await a.csp.authority('demo'))!
  const request = await createSigningRequest((await b.csp.nodeKey()).key, 'beta')
  const ended = await issueCertificate(authority, request, b.id, 'beta', { now: Date.now() - 9 * day, days: 1 })
  await b.csp.storeMembership('demo', authority.caPem, ended)
  b = await start(homeB, 'beta')
  t.match(b.broken.get('demo'), /expired/)
  const renewed = await b.join(token, () => {}, never)
  t.ok(Date.parse(renewed.renewedUntil!) > Date.now() + 700 * day)
  t.same([...b.broken], [])
  await until('connected again', () => a.host('demo').transport.connected(b.id))
})

t.test('a member whose channel is gone is admitted anew, with another slot; that is no renewal', async t => {
  const folder = homes(t)
  const [homeA, homeB, homeC] = ['a', 'b', 'c'].map(name => openHome(join(folder, name))) as [string, string, string]
  const a = await start(homeA, 'alpha')
  const b = await start(homeB, 'beta')
  let c = await start(homeC, 'gamma')
  t.teardown(() => Promise.all([a, b, c].map(node => node.stop(true))))
  await a.createChannel('demo')
  for (const node of [b, c]) await node.join((await a.invite('demo', 60)).token, () => {}, never)
  const channel = a.host('demo').channel
  await until('all three vote', () => channel.configuration.voters.length === 3)
  const slotOf = (id: string): number => channel.descriptor.members.find(m => m.id === id)!.slot
  const before = slotOf(c.id)
  await c.stop(false)
  rmSync(join(homeC, 'channels', 'demo'), { recursive: true })
  c = await start(homeC, 'gamma')
  const joined = await c.join((await a.invite('demo', 60)).token, () => {}, never)
  t.equal(joined.renewedUntil, undefined)
  t.ok(slotOf(c.id) > before, 'what it acknowledged before counts no more')
  await until('it votes again', () => channel.configuration.voters.includes(c.id))
  await until('its log is the same', () => c.host('demo').channel.appliedIndex === channel.appliedIndex)
})

t.test('closed channels, and a member that is to join another channel of the same name', async t => {
  const folder = homes(t)
  const a = await start(openHome(join(folder, 'a')), 'alpha')
  t.teardown(() => a.stop(true))
  const b = await start(openHome(join(folder, 'b')), 'beta')
  t.teardown(() => b.stop(true))
  await a.createChannel('demo')
  await b.createChannel('demo')
  const { token } = await a.invite('demo', 60)
  await t.rejects(
    b.join(token, () => {}, never),
    { code: 'exists' },
  )
  t.same(b.closed, [])
  await b.closeChannel('demo', false)
  t.same(b.closed, ['demo'])
})

t.test('one thing at a time is done with a channel, and nothing new by a node that stops', async t => {
  const home = openHome(join(homes(t), 'a'))
  const node = await start(home, 'alpha')
  t.teardown(() => node.stop(true))
  const making = node.createChannel('demo')
  await t.rejects(node.createChannel('demo'), {
    code: 'busy',
    message: 'channel demo is being made just now: try again later',
  })
  await making
  const closing = node.closeChannel('demo', false)
  const attempts: (() => Promise<unknown>)[] = [
    () => node.reopen('demo'),
    () => node.closeChannel('demo', false),
    () => node.deleteChannel('demo'),
  ]
  for (const attempt of attempts) {
    await t.rejects(attempt, { code: 'busy', message: 'channel demo is being closed just now: try again later' })
  }
  await closing
  t.same(node.closed, ['demo'])
  t.equal((await node.reopen('demo')).name, 'demo', 'closed in full, it is opened again')

  const host = node.host('demo')
  const stopping = node.stop(false)
  await t.rejects(node.reopen('demo'), { code: 'unavailable', message: 'the node is stopping' })
  await t.rejects(node.createChannel('other'), { code: 'unavailable' })
  await t.rejects(node.mounts.mount(host, home + '-mnt', [], 1), {
    code: 'unavailable',
    message: 'the node is stopping',
  })
  await stopping
})

t.test('a mount that waits for the files gives up when its channel is closed', async t => {
  const folder = homes(t)
  const [homeA, homeB] = ['a', 'b'].map(name => openHome(join(folder, name))) as [string, string]
  const a = await start(homeA, 'alpha')
  t.teardown(() => a.stop(true))
  let b = await start(homeB, 'beta')
  t.teardown(() => b.stop(true))
  await a.createChannel('demo')
  await b.join((await a.invite('demo', 60)).token, () => {}, never)
  await b.stop(true)
  await a.stop(true)
  for (const file of readdirSync(join(homeB, 'channels', 'demo'))) {
    if (file.startsWith('state.')) rmSync(join(homeB, 'channels', 'demo', file))
  }
  b = await start(homeB, 'beta', '730', b.listen)
  const patience = { seconds: 600, progress: () => {}, signal: never }
  const waiting = b.mounts.mount(b.host('demo'), folder, [], 5, patience)
  const refused = t.rejects(waiting, { code: 'unavailable', message: 'it is not mounted: demo is being closed here' })
  await b.closeChannel('demo', true)
  await refused
})

t.test('a member, and the owner, with another address are found, and the descriptor follows', async t => {
  const folder = homes(t)
  const [homeA, homeB] = ['a', 'b'].map(name => openHome(join(folder, name))) as [string, string]
  let a = await start(homeA, 'alpha')
  t.teardown(() => a.stop(true))
  let b = await start(homeB, 'beta')
  t.teardown(() => b.stop(true))
  const host = await a.createChannel('demo')
  await b.join((await a.invite('demo', 60)).token, () => {}, never)
  const old = b.listen
  await b.stop(false)
  b = await start(homeB, 'bee')
  t.not(b.listen, old)
  await until('connected again', () => host.transport.connected(b.id))
  const entry = (): string => {
    const { address, name } = host.channel.descriptor.members.find(m => m.id === b.id)!
    return `${name} ${address}`
  }
  await until('the descriptor follows', () => entry() === `bee ${b.listen}`)

  const oldA = a.listen
  await a.stop(false)
  a = await start(homeA, 'alpha')
  t.not(a.listen, oldA)
  const ownersAddress = (): string | undefined => b.host('demo').channel.descriptor.members[0]?.address
  await until('the descriptor has the new address of its owner', () => ownersAddress() === a.listen)
})

t.test('a channel that could not be opened is tried again: its folder was missing, the clock was wrong', async t => {
  const folder = homes(t)
  const [homeA, homeB] = ['a', 'b'].map(name => openHome(join(folder, name))) as [string, string]
  let a = await start(homeA, 'alpha')
  t.teardown(() => a.stop(true))
  let b = await start(homeB, 'beta')
  t.teardown(() => b.stop(true))
  await a.createChannel('demo')
  await b.join((await a.invite('demo', 60)).token, () => {}, never)
  await a.stop(false)
  await b.stop(false)

  const away = join(folder, 'away')
  renameSync(join(homeA, 'channels', 'demo'), away)
  a = await start(homeA, 'alpha', '730', a.listen)
  t.match(a.broken.get('demo'), /tried again at \d\d:\d\d:\d\d UTC/)
  t.throws(() => a.host('demo'), { code: 'failed' })
  renameSync(away, join(homeA, 'channels', 'demo'))
  await until('it is open', () => a.hosts.length === 1)
  t.same([...a.broken], [])

  const { now } = Date
  Date.now = () => now() + 3000 * day
  try {
    b = await start(homeB, 'beta')
    t.match(b.broken.get('demo'), /expired.*tried again/)
  } finally {
    Date.now = now
  }
  await until('it is open', () => b.hosts.length === 1)
  await until('and connected', () => b.host('demo').transport.connected(a.id))
})

t.test('nothing runs on of a channel that could not be opened', async t => {
  const folder = homes(t)
  const home = openHome(join(folder, 'a'))
  let node = await start(home, 'alpha')
  t.teardown(() => node.stop(true))
  await node.createChannel('demo')
  await node.stop(false)
  writeFileSync(join(home, 'channels', 'demo', 'log.db'), 'nothing that is a database')
  const running = new Set<unknown>()
  const { setInterval, clearInterval } = globalThis
  const started = ((...args: Parameters<typeof setInterval>) => {
    const timer = setInterval(...args)
    running.add(timer)
    return timer
  }) as typeof setInterval
  globalThis.setInterval = started
  globalThis.clearInterval = timer => {
    running.delete(timer)
    clearInterval(timer)
  }
  try {
    node = await start(home, 'alpha')
    t.match(node.broken.get('demo'), /log\.db/)
    await node.stop(false)
    t.equal(running.size, 0)
  } finally {
    Object.assign(globalThis, { setInterval, clearInterval })
  }
})

/** From its so-manieth call on, a node's identity cannot be read, as if it had no descriptors left. */
function failIdentity(node: Node, calls: number): () => void {
  const read = node.csp.identity.bind(node.csp)
  node.csp.identity = (...args) =>
    calls-- > 1 ? read(...args) : Promise.reject(new RkfsError('too-many-files', 'no more files'))
  return () => (node.csp.identity = read)
}

t.test('of a channel that cannot be made nothing is left', async t => {
  const home = openHome(join(homes(t), 'home'))
  const node = await start(home, 'alpha')
  t.teardown(() => node.stop(true))
  for (const calls of [1, 2]) {
    const mend = failIdentity(node, calls)
    await t.rejects(node.createChannel('demo'), { message: 'no more files' })
    mend()
    t.same(node.summaries(), [])
    t.same([node.closed, [...node.broken]], [[], []])
    t.same(readdirSync(join(home, 'channels')), [])
    t.same(readdirSync(join(home, 'csp', 'keystore')), ['node.pem'])
  }
  await node.createChannel('demo')
  await node.closeChannel('demo', true)
  const mend = failIdentity(node, 1)
  await t.rejects(node.reopen('demo'), { message: 'no more files' })
  mend()
  t.ok(existsSync(join(home, 'channels', 'demo', 'closed')), 'a closed one that cannot be opened stays closed')
  await node.reopen('demo')
  t.notOk(existsSync(join(home, 'channels', 'demo', 'closed')))
  await node.unmake('demo')
  t.same(node.summaries(), [])

  const { channel } = await node.createChannel('demo')
  const file = { parent: 1, name: 'file', ino: 2 ** 40 + 1, mode: 0o100644, uid: 0, gid: 0, rdev: 0, target: '' }
  const errno = await new Promise(done => {
    channel.change({ kind: 'make', ...file }, new Uint8Array(0), { mount: 1, durable: true, timeoutMs: 5000, done })
  })
  t.equal(errno, 0)
  await node.unmake('demo')
  t.equal(node.hosts.length, 1, 'one that holds files stays')
})

t.test('a channel that was joined and cannot be opened is tried again', async t => {
  const folder = homes(t)
  const a = await start(openHome(join(folder, 'a')), 'alpha')
  t.teardown(() => a.stop(true))
  const b = await start(openHome(join(folder, 'b')), 'beta')
  t.teardown(() => b.stop(true))
  await a.createChannel('demo')
  const { token } = await a.invite('demo', 60)
  const mend = failIdentity(b, 2)
  await t.rejects(
    b.join(token, () => {}, never),
    { message: 'no more files' },
  )
  t.match(b.broken.get('demo'), /no more files \(opening it is tried again at /)
  mend()
  await until('it is open', () => b.hosts.length === 1)
})
