/** The control socket of a real node: noise, requests with wrong values, connections that say little or nothing. */
import { lstatSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { controlSocketPath } from '../../src/daemon/control-path.js'
import { clusterOf, until } from '../e2e/support/cluster.js'
import { hostileBytes, hostileJson } from './support/hostile.js'
import { all, runs, seed } from './support/options.js'

t.comment(`SEED=${seed}`)
const cluster = clusterOf(t)
const machine = await cluster.machine('solo')
await machine.must('channel', 'create', 'demo')
const pid = await machine.pid()
const path = controlSocketPath(machine.home)

/** Each verb but `stop`, with arguments that do no harm; places outside the test's own folder do not occur. */
const requests: readonly object[] = [
  { verb: 'ping', args: {} },
  { verb: 'status', args: { channel: 'demo' } },
  { verb: 'channel.create', args: { channel: '..' } },
  { verb: 'channel.list', args: {} },
  { verb: 'channel.show', args: { channel: 'demo' } },
  { verb: 'channel.close', args: { channel: 'nope', force: false } },
  { verb: 'member.invite', args: { channel: 'demo', expires: 60 } },
  { verb: 'member.add', args: { channel: 'demo', certificatePem: 'x', address: '127.0.0.1:1', name: 'x' } },
  { verb: 'member.remove', args: { channel: 'demo', member: 'nobody' } },
  { verb: 'member.list', args: { channel: 'demo' } },
  { verb: 'join', args: { token: 'rkfs2-x' } },
  { verb: 'mount', args: { channel: 'nope', directory: '/nonexistent', options: ['ro'], create: false } },
  { verb: 'umount', args: { directory: '/nonexistent', force: false, timeout: 1 } },
  { verb: 'sync', args: { channel: 'demo', all: false, timeout: 1 } },
  { verb: 'verify', args: { channel: 'demo', deep: true } },
  { verb: 'log', args: { channel: 'demo', follow: false, from: 0, limit: 5 } },
  { verb: 'conflicts', args: { channel: 'demo' } },
]

/** What comes back for some bytes, until the end or, where none is due, half a second. */
function raw(bytes: Uint8Array | string, answered: boolean): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    const socket = connect(path, () => socket.write(bytes))
    const timer = setTimeout(() => socket.destroy(), answered ? 20_000 : 500)
    socket.setEncoding('utf8').on('data', part => (text += part))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(text)
    })
  })
}

const logOf = (): string => readFileSync(join(machine.home, 'node.log'), 'utf8')
const isWell = async (): Promise<boolean> => (await machine.rkfs('status')).code === 0

await t.test('nobody else may connect', async t => {
  t.equal(lstatSync(path).mode & 0o777, 0o600)
  t.equal(lstatSync(machine.home).mode & 0o777, 0o700)
})

await t.test('requests', async t => {
  const texts = fc.sample(hostileJson(requests), { seed, numRuns: runs(300) })
  let answers = 0
  for (let from = 0; from < texts.length; from += 16) {
    const batch = texts.slice(from, from + 16).filter(text => !/"stop"/.test(text))
    for (const [i, reply] of (await Promise.all(batch.map(text => raw(`${text}\n`, true)))).entries()) {
      const last = reply.trimEnd().split('\n').at(-1)!
      if (!/^\{"(result|error)":/.test(last)) t.fail(`${batch[i]!.slice(0, 300)}: ${reply.slice(0, 300)}`)
      if (reply.includes('a fault of rkfs')) t.fail(`${batch[i]!.slice(0, 300)}: ${last.slice(0, 300)}`)
      if (last.length > 20_000) t.fail(`${last.length} bytes in answer to ${batch[i]!.length}`)
      answers++
    }
  }
  t.ok(answers > 0, `${answers} answers`)
  t.notMatch(logOf(), /AssertionFailure|fault of rkfs/)
  t.ok(await isWell())
})

await t.test('noise', async t => {
  const noise = fc.sample(hostileBytes(requests.map(request => Buffer.from(JSON.stringify(request)))), {
    seed,
    numRuns: runs(150),
  })
  const safe = noise.filter(bytes => !Buffer.from(bytes).includes('stop'))
  for (let from = 0; from < safe.length; from += 50)
    await Promise.all(safe.slice(from, from + 50).map(bytes => raw(bytes, false)))
  t.match(await raw(Buffer.alloc(3 << 20, 0x61), true), /a request is at most \d+ bytes/)
  t.ok(await isWell())
  t.equal(await machine.pid(), pid)
})

// it takes ten seconds
const skipSlow = all ? false : 'FUZZ=all'
await t.test('connections that ask for nothing, or a byte at a time', { skip: skipSlow }, async t => {
  const sockets: Socket[] = []
  for (let n = 0; n < 200; n++) {
    const socket = connect(path, () => socket.write('{"verb"')).on('error', () => undefined)
    sockets.push(socket)
  }
  const drip = setInterval(() => sockets.forEach(socket => socket.writable && socket.write(' ')), 500)
  // they keep all others out, but for ten seconds only, however busy they are
  await until('the node answers again', isWell, 20)
  clearInterval(drip)
  for (const socket of sockets) socket.destroy()
  t.equal(await machine.pid(), pid)
})
