/** Real nodes, and one of their members, a stranger and nobody at all who send what they like to them. */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createAuthority, createSigningRequest, issueCertificate } from '../../src/adapters/pki/authority.js'
import { CspHome } from '../../src/adapters/pki/csp-home.js'
import { encodeFrame } from '../../src/adapters/rpc/frame-codec.js'
import { RpcNode } from '../../src/adapters/rpc/rpc-node.js'
import { peerService } from '../../src/adapters/rpc/services.js'
import { protocolVersion, strangerStreamsMax } from '../../src/adapters/rpc/tuning.js'
import { Rng } from '../../src/base/rng.js'
import { inodesPerSlot } from '../../src/channel/descriptor.js'
import type { PeerMessage } from '../../src/channel/transport-port.js'
import { readDescriptor } from '../../src/daemon/channels-on-disk.js'
import { EnrollRequestSchema } from '../../src/gen/rkfs/v1/enrollment_pb.js'
import { SnapshotRequestSchema, SubscribeRequestSchema } from '../../src/gen/rkfs/v1/peer_pb.js'
import { makeKey } from '../adapters/rpc/cluster.js'
import { frameSamples } from '../adapters/rpc/frame-samples.js'
import { clusterOf, sleep, until, type Machine } from '../e2e/support/cluster.js'
import { hostileBytes } from './support/hostile.js'
import { Liar, type Victim } from './support/liar.js'
import { all, runs, seed } from './support/options.js'
import { methods, RawPeer, rawTls, type Credentials } from './support/raw-peer.js'
import { strangerCalls } from './support/stranger-calls.js'

t.comment(`SEED=${seed}`)
const residentMiBMax = 400

const cluster = clusterOf(t, all ? 1200 : undefined)
const [a, b, c] = (await cluster.members('a', 'b', 'c')) as [Machine, Machine, Machine]
const honest = [a, b]
for (const machine of honest) await machine.mount()
await a.shell('echo kept > kept; sync kept')
const channelId = (await a.status())!.id
const pids = await Promise.all(honest.map(machine => machine.pid()))
await c.must('stop')

// from here on this process is the third member, with its own good certificate
const csp = new CspHome(c.home)
const identity = (await csp.identity('demo', Date.now()))!
const nodeKey = await csp.nodeKey()
const descriptor = readDescriptor(c.folder())
const foreign = await createAuthority('demo')
const strangersKey = await makeKey()
const request = await createSigningRequest(strangersKey.key, 'stranger')
const shown: readonly (readonly [string, Credentials | undefined])[] = [
  ['a member', identity],
  [
    'a stranger',
    { keyPem: strangersKey.pem, certificatePem: await issueCertificate(foreign, request, undefined, 'x') },
  ],
  ['nobody', undefined],
]

const addressOf = (machine: Machine): string => `127.0.0.1:${machine.port}`
const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
const linesOf = (machine: Machine): string[] => readFileSync(join(machine.home, 'node.log'), 'utf8').split('\n')

/** Both are the processes they were, of a bounded size, and do what they are for. */
async function unharmed(test: Test, what: string): Promise<void> {
  for (const [i, machine] of honest.entries()) {
    test.equal(await machine.pid(), pids[i], `${what}: ${machine.name} is the same process`)
    const size = residentMiB(pids[i]!)
    test.ok(size < residentMiBMax, `${what}: ${machine.name} takes ${Math.round(size)} MiB`)
  }
  const name = what.replaceAll(/\W/g, '-')
  const made = await a.shell(`echo good > ${name}; sync ${name}`)
  test.equal(made.code, 0, `${what}: a change is made (${made.stderr})`)
  await until('the other has it', async () => (await b.shell(`cat ${name}`)).stdout === 'good\n')
  await until('both agree', async () => {
    const [x, y] = await Promise.all(honest.map(async machine => (await machine.status())?.digest))
    return x?.index === y?.index && x?.hash === y?.hash
  })
  for (const machine of honest) {
    const status = await machine.status()
    // who acknowledges what it then refuses is named, and that its node is not there
    const problems = status?.problems.filter(
      problem => !/^member lie \(|^.* is not there|^one voter does not keep up/.test(problem),
    )
    test.same(problems, [], `${what}: ${machine.name} has no problem`)
    test.equal(status?.members.length, 3)
  }
  const names = (await b.shell('ls -a')).stdout.split('\n')
  test.same(
    names.filter(each => /^lie(-|$)/.test(each)),
    [],
    `${what}: nothing of it was taken`,
  )
  test.equal((await b.shell('cat kept')).stdout, 'kept\n')
}

/** Fewer lines than messages by far, none of them a stack. */
function quietly(test: Test, what: string, before: readonly number[], linesMax: number): void {
  for (const [i, machine] of honest.entries()) {
    const said = linesOf(machine).slice(before[i])
    test.ok(said.length <= linesMax, `${what}: ${said.length} lines in the log of ${machine.name}`)
    test.same(
      said.filter(line => /\\n +at |AssertionFailure|TypeError|RangeError|fault of rkfs/.test(line)),
      [],
    )
  }
}
const logLengths = (): number[] => honest.map(machine => linesOf(machine).length - 1)

const hello = (id: string, address = ''): Uint8Array =>
  toBinary(
    SubscribeRequestSchema,
    create(SubscribeRequestSchema, {
      kind: { case: 'hello', value: { channelId: id, protocolVersion, address } },
    }),
  )
const goodRequests: readonly Uint8Array[] = [
  hello(channelId),
  hello(channelId, '6.6.6.6:1'),
  hello('f'.repeat(16)),
  toBinary(SnapshotRequestSchema, create(SnapshotRequestSchema, { channel: channelId, index: 2n ** 63n })),
  toBinary(SnapshotRequestSchema, create(SnapshotRequestSchema, { channel: '../..', index: 1n })),
  toBinary(
    EnrollRequestSchema,
    create(EnrollRequestSchema, {
      channelId,
      secret: new Uint8Array(16),
      signingRequest: request as Uint8Array<ArrayBuffer>,
      name: 'lie',
      address: '127.0.0.1:1',
    }),
  ),
]

const messages = fc.sample(hostileBytes(goodRequests), { seed, numRuns: runs(32) })
/** More than a node takes of anybody. */
const tooMuch = Buffer.alloc(5 << 20)

await t.test('each method: noise, damaged requests, too much of it', async t => {
  const before = logLengths()
  const peer = new RawPeer(addressOf(a), channelId, identity)
  const answers = new Set<string>()
  for (const path of methods) {
    for (let from = 0; from < messages.length; from += 16) {
      const batch = messages.slice(from, from + 16)
      // a stream that began well stays until its deadline
      for (const answer of await Promise.all(batch.map(message => peer.call(path, [message], 3))))
        answers.add(answer.split(':')[0]!)
    }
    answers.add((await peer.call(path, [tooMuch])).split(':')[0]!)
  }
  peer.close()
  t.notOk(answers.has('UNKNOWN'), `no fault of the node's own: ${[...answers].join(' ')}`)
  quietly(t, 'calls', before, 40)
  await unharmed(t, 'calls')
})

await t.test('each method, by who is no member: it is refused or cut off', async t => {
  const before = logLengths()
  for (const [who, credentials] of shown.slice(1)) {
    const call = (path: string, batch: readonly Uint8Array[]): Promise<string[]> =>
      strangerCalls({ host: '127.0.0.1', port: a.port }, channelId, credentials, path, batch)
    for (const path of methods) {
      const answers = new Set<string>()
      for (let from = 0; from < messages.length; from += strangerStreamsMax)
        for (const answer of await call(path, messages.slice(from, from + strangerStreamsMax))) answers.add(answer)
      const what = `${who}, ${path}: ${[...answers].join(' ')}`
      t.notOk(answers.has('OK') || answers.has('UNKNOWN') || answers.has('hangs'), what)
      t.ok(
        [...answers].some(answer => answer !== 'cut'),
        what,
      )
      t.notMatch(await call(path, [tooMuch]), ['hangs'])
    }
    const many = await call(methods[0]!, [...messages.slice(0, strangerStreamsMax), ...messages])
    t.ok(many.includes('cut') && !many.includes('hangs'), `${who}, too many: ${many.join(' ')}`)
  }
  quietly(t, 'strangers', before, 40)
  await unharmed(t, 'strangers')
})

await t.test('connections and streams that never end', async t => {
  const before = logLengths()
  const sockets: Socket[] = []
  const peers: RawPeer[] = []
  const { port } = a
  for (let n = 0; n < runs(200); n++) sockets.push(connect({ host: '127.0.0.1', port }).on('error', () => {}))
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  // HEADERS without END_HEADERS, and a SETTINGS flood
  const openHeaders = Buffer.from([0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82])
  const settings = Buffer.concat(Array.from({ length: 20_000 }, () => Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])))
  for (const [, credentials] of shown) {
    for (let n = 0; n < runs(20); n++) {
      const parts = [[preface], [preface, settings.subarray(0, 9), openHeaders], [preface, settings]][n % 3]!
      sockets.push(rawTls({ host: '127.0.0.1', port }, channelId, credentials, parts))
    }
    for (let n = 0; n < runs(8); n++) {
      const peer = new RawPeer(addressOf(a), channelId, credentials)
      peers.push(peer)
      // streams that say nothing, half a hello and nothing more, or pings without an end
      for (let stream = 0; stream < 40; stream++) {
        const call = peer.open(methods[stream % 3]!, 60)
        if (stream % 4 === 1) call.write(Buffer.from(hello(channelId).subarray(0, 5)))
        if (stream % 4 === 2) call.end()
        if (stream % 4 === 3) call.cancel()
      }
    }
  }
  // slow loris: a byte at a time
  const slow = rawTls({ host: '127.0.0.1', port }, channelId, identity, [preface.subarray(0, 5)])
  sockets.push(slow)
  const drip = setInterval(() => slow.writable && slow.write(preface.subarray(5, 6)), 200)
  await unharmed(t, 'while all are open')
  for (const peer of peers) peer.close()
  for (const socket of sockets) socket.destroy()
  clearInterval(drip)
  quietly(t, 'connections', before, 60)
  await unharmed(t, 'when all are gone')
})

/** What the nodes' subscriptions to the third member get: frames, whatever they are. */
await t.test('frames that are none', async t => {
  const before = logLengths()
  const welcome = encodeFrame([{ kind: 'welcome', protocolVersion, run: '' }])
  const samples = [...frameSamples.map(sample => encodeFrame([sample])), encodeFrame(frameSamples)]
  const frames = fc.sample(hostileBytes(samples), { seed, numRuns: runs(300) })
  let sent = 0
  let subscriptions = 0
  const server = new Server({ 'grpc.max_send_message_length': -1 })
  const same = (bytes: Buffer): Buffer => bytes
  server.addService(
    {
      subscribe: {
        ...peerService.subscribe,
        requestDeserialize: same,
        responseSerialize: same,
      },
    },
    {
      subscribe(call: ServerDuplexStream<Buffer, Buffer>) {
        subscriptions++
        call.on('error', () => undefined)
        call.on('data', () => undefined)
        call.write(welcome)
        const frame = frames[sent++ % frames.length]!
        call.write(sent % 10 === 0 ? Buffer.alloc(5 << 20) : Buffer.from(frame))
      },
    },
  )
  const pair = {
    private_key: Buffer.from(identity.keyPem),
    cert_chain: Buffer.from(`${identity.certificatePem}\n${identity.caPem}`),
  }
  await new Promise<void>((resolve, reject) => {
    const secure = ServerCredentials.createSsl(Buffer.from(identity.caPem), [pair], false)
    server.bindAsync(addressOf(c), secure, error => (error ? reject(error) : resolve()))
  })
  // each time that it calls them they try again at once
  const peers = honest.map(machine => new RawPeer(addressOf(machine), channelId, identity))
  const wanted = runs(12)
  await until(
    `${wanted} subscriptions are answered with nonsense`,
    () => {
      for (const peer of peers) peer.open(methods[0]!, 30).write(Buffer.from(hello(channelId, addressOf(c))))
      return subscriptions >= wanted
    },
    all ? 600 : 120,
  )
  for (const peer of peers) peer.close()
  server.forceShutdown()
  quietly(t, 'frames', before, 40)
  await unharmed(t, 'frames')
})

await t.test('a member that lies', async t => {
  const before = logLengths()
  const node = new RpcNode({ listen: addressOf(c), nodeKey, log: () => {} })
  await node.start()
  t.teardown(() => node.stop())
  const seen = new Map<string, { term: number; commit: number }>()
  const transport = node.openChannel({
    ...identity,
    name: 'demo',
    self: identity.memberId,
    authorize: () => undefined,
    events: {
      heard: () => {},
      connected: () => {},
      disconnected: () => {},
      message: (from, message) => {
        if (message.kind !== 'raft') return
        const commit =
          message.message.kind === 'append' || message.message.kind === 'heartbeat' ? message.message.commit : 0
        seen.set(from, { term: message.message.term, commit })
      },
    },
    onPeerProblem: () => {},
    // whoever asks for its state gets nonsense
    snapshot: async (_from, _request, sink) => {
      await sink.write({ kind: 1, id: 0, data: Buffer.from('{"version":1,"index":9e15,"hash":5}') })
    },
  })
  transport.setPeers(descriptor.members.map(({ id, address }) => ({ id, address })))
  const others = descriptor.members.filter(({ id }) => id !== identity.memberId)
  await until('the nodes are connected to it', () => others.every(({ id }) => transport.connected(id)))
  const slot = descriptor.members.find(({ id }) => id === identity.memberId)!.slot
  let made = 0
  const self = { id: identity.memberId, nextInode: () => slot * inodesPerSlot + 2 ** 39 + made++ }
  const victims = others.map(({ id }): Victim => {
    const known = () => seen.get(id) ?? { term: 1, commit: 1 }
    return {
      id,
      nextInode: self.nextInode,
      channel: {
        get term() {
          return known().term
        },
        get lastIndex() {
          return known().commit
        },
        get commitIndex() {
          return known().commit
        },
        get appliedIndex() {
          return known().commit
        },
        entry: () => undefined,
      },
    }
  })
  const rng = new Rng(seed)
  const said = new Map<string, number>()
  const tell = (message: PeerMessage, to: Victim): void => {
    if (transport.send(to.id, message)) said.set(message.kind, (said.get(message.kind) ?? 0) + 1)
  }
  const forged = JSON.stringify({ address: '6.6.6.6:1', name: 'lie' })
  for (let n = 0; n < runs(1200); n++) {
    const victim = victims[n % victims.length]!
    tell(new Liar(rng, self, victim, descriptor).harmless(), victim)
    if (n % 50 === 0)
      tell({ kind: 'note', topic: 'address', body: `${forged.slice(0, -1)},"member":"${victim.id}"}` }, victim)
    if (n % 20 === 0) await sleep(5)
  }
  t.comment(JSON.stringify([...said]))
  t.ok((said.get('propose') ?? 0) > 100)
  quietly(t, 'lies', before, 120)
  const lines = honest.flatMap((machine, i) => linesOf(machine).slice(before[i]))
  t.ok(
    lines.some(line => line.includes('in the name of') && line.includes(identity.memberId)),
    'forgery is told, by name',
  )
  for (const { id } of others) {
    const now = (await a.status())!.members.find(member => member.id === id)!
    t.not(now.address, '6.6.6.6:1', 'nobody else was moved')
  }
  await unharmed(t, 'lies')
  t.match((await a.rkfs('status')).stdout, /demo/)
})
