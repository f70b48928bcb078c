import t from 'tap'
import { EINTR, EIO } from '../../src/base/errno.js'
import type { MemberId } from '../../src/base/ids.js'
import { blobsPerEntryMax } from '../../src/base/limits.js'
import type { Invalidation, Reply } from '../../src/channel/mount-port.js'
import type { ChannelPorts } from '../../src/channel/ports.js'
import type { PeerMessage } from '../../src/channel/transport-port.js'
import { intercept } from '../sim/intercept.js'
import { ok } from './support/answers.js'
import { call, caller } from './support/calls.js'
import { Cluster, type ClusterOptions, type Member, type Three } from './support/cluster.js'
import { trySnapshot } from './support/sim-disk.js'
import { SlowKernel } from './support/slow-kernel.js'

const text = 'what was written'
const retention = { margin: 1, entriesMax: 5 }

interface Damaged {
  readonly cluster: Cluster
  readonly leader: Member
  readonly bad: Member
  readonly other: Member
  readonly ino: number
  readonly blob: number
}

/** A file whose only blob one follower's disk has lost, and no memory has. */
function damaged(options: ClusterOptions = {}): Damaged {
  const cluster = new Cluster(3, 1, options)
  const [leader, bad, other] = cluster.roles() as Three
  const { ino } = leader.create('file')
  ok(t, cluster, leader.write(ino, 0, text, { durable: true }))
  cluster.settle()
  const blob = leader.log.blobIds(0, 10)[0]!
  bad.kill()
  bad.log.damage(blob)
  bad.start()
  cluster.network.connectAll()
  cluster.until('it follows', () => bad.channel.appliedIndex >= Math.floor(blob / blobsPerEntryMax))
  return { cluster, leader, bad, other, ino, blob }
}

/** A program's read: what it is told, and a way to give up. */
function read(member: Member, ino: number): { text?: string; errno?: number; cancel: () => void } {
  const got: { text?: string; errno?: number; cancel: () => void } = { cancel: () => {} }
  const reply: Reply<Uint8Array[]> = {
    ok: parts => (got.text = Buffer.concat(parts).toString()),
    fail: errno => (got.errno = errno),
    onInterrupt: cancel => (got.cancel = cancel),
  }
  member.frontend.read({ uid: 0, gid: 0, pid: 1, umask: 0 } as never, ino, 1, 0, 4096, reply)
  return got
}

void t.test('a kernel is told how long a file is when its last byte can be read, and not of another byte', t => {
  const { cluster, leader, bad, ino } = damaged()
  const kernel = new SlowKernel(bad)
  // what is changed while nobody has it open is told with the next open
  ok(t, cluster, leader.write(ino, 0, 'W', { durable: true }))
  cluster.settle()
  const opened = call<unknown>(cluster, reply => bad.frontend.open(caller, ino, 0, false, reply))
  t.equal(opened.errno, undefined)
  const sizes = (): Invalidation[] => kernel.items.filter(({ kind }) => kind === 'size')
  t.same(sizes(), [])
  cluster.until('it is told', () => sizes().length > 0)
  t.same(sizes(), [{ kind: 'size', ino, size: text.length, last: text.charCodeAt(text.length - 1) }])
  t.same(bad.channel.healing, { wanted: 0, healed: 1 })
  t.end()
})

void t.test('a damaged blob is fetched from another member while its reader waits, and is whole from then on', t => {
  const { cluster, bad, ino, blob } = damaged()
  const got = read(bad, ino)
  t.same([got.text, got.errno], [undefined, undefined], 'it waits')
  t.equal(bad.channel.healing.wanted, 1)
  cluster.until('the answer', () => got.text !== undefined || got.errno !== undefined)
  t.equal(got.text, text)
  t.same(bad.channel.healing, { wanted: 0, healed: 1 })
  t.equal(bad.channel.damage, undefined)
  t.ok(bad.channel.serving)
  bad.kill()
  t.equal(Buffer.from(bad.log.blob(blob)!).toString(), text, 'on the disk, too')
  t.ok(bad.reports.some(({ level, message }) => level === 'error' && /cannot be read/.test(message)))
  t.ok(bad.reports.some(({ message }) => /whole again/.test(message)))
  t.end()
})

void t.test('a leader heals, too, and so does a blob of an entry that the log has forgotten', t => {
  const { cluster, leader, bad, ino } = damaged({ retention })
  for (let i = 0; i < 20; i++) leader.mkdir(`d${i}`)
  cluster.until('compaction', () => bad.log.anchor.index > 5)
  leader.channel.transferLeadership(bad.id)
  cluster.until('it leads', () => bad.leads)
  const got = read(bad, ino)
  cluster.until('the answer', () => got.text !== undefined || got.errno !== undefined)
  t.equal(got.text, text)
  t.equal(bad.channel.healing.healed, 1)
  t.end()
})

void t.test('a reader waits for a member that has it, up to its deadline, and may give up', t => {
  const { cluster, leader, bad, other, ino } = damaged({ mountOptions: { timeoutMs: 5000 } })
  leader.stop()
  other.stop()
  const late = read(bad, ino)
  const gone = read(bad, ino)
  gone.cancel()
  t.equal(gone.errno, EINTR)
  cluster.advance(4000)
  t.equal(late.errno, undefined)
  cluster.advance(2000)
  t.equal(late.errno, EIO)
  t.equal(bad.channel.damage, undefined, 'nobody has said that it is lost')
  const again = read(bad, ino)
  other.start()
  cluster.network.connectAll()
  cluster.until('the answer', () => again.text !== undefined || again.errno !== undefined)
  t.equal(again.text, text)
  t.end()
})

void t.test('where nobody has it, the reader is told at once, the status says so, and it is asked for again', t => {
  const { cluster, leader, bad, other, ino, blob } = damaged()
  for (const one of [leader, other]) {
    one.kill()
    one.log.damage(blob)
    one.start()
  }
  cluster.network.connectAll()
  cluster.until('all are there', () => cluster.members.every(({ channel }) => channel.leader !== undefined))
  const got = read(bad, ino)
  cluster.until('the answer', () => got.errno !== undefined, 5000)
  t.equal(got.errno, EIO)
  t.match(bad.channel.damage, /cannot be read/)
  t.ok(bad.channel.serving, 'the rest is served')
  // its disk answers again
  leader.kill()
  t.ok(leader.log.heal(blob, Buffer.from(text)))
  leader.start()
  cluster.network.connectAll()
  cluster.until('it is healed', () => bad.channel.healing.healed === 1, 60_000)
  t.equal(bad.channel.damage, undefined)
  t.equal(bad.content(ino), text)
  t.end()
})

void t.test('bytes that are others are not taken, whoever sends them', t => {
  const lies = new Set<string>()
  const { cluster, bad, ino } = damaged({
    hooks: {
      ports: (member, ports) => ({
        ...ports,
        transport: {
          ...ports.transport,
          send: (to, message: PeerMessage) => {
            const isLie = message.kind === 'blob' && lies.size === 0
            if (isLie) lies.add(member.id)
            const sent = isLie ? { ...message, data: Buffer.from('what was invented'.slice(0, text.length)) } : message
            return ports.transport.send(to, sent)
          },
        },
      }),
    },
  })
  const got = read(bad, ino)
  cluster.until('the answer', () => got.text !== undefined || got.errno !== undefined)
  t.equal(lies.size, 1)
  t.equal(got.text, text, 'the next one is asked')
  t.end()
})

void t.test('a leader whose disk has lost a payload sends it to who lacks it when it is healed', t => {
  const cluster = new Cluster(3, 1)
  const [leader, other, late] = cluster.roles() as Three
  late.stop()
  const { ino } = leader.create('file')
  ok(t, cluster, leader.write(ino, 0, text, { durable: true }))
  cluster.until('both have it', () => other.channel.appliedIndex === leader.channel.appliedIndex)
  const blob = leader.log.blobIds(0, 10)[0]!
  leader.kill()
  leader.log.damage(blob)
  leader.start()
  cluster.network.connectAll()
  const led = cluster.leader()
  if (led !== leader) {
    led.channel.transferLeadership(leader.id)
    cluster.until('it leads', () => leader.leads)
  }
  late.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.equal(late.content(ino), text)
  t.equal(leader.channel.failure, undefined)
  t.end()
})

void t.test('a member starts though the payload of an entry that it has not applied is damaged', t => {
  const cluster = new Cluster(3, 1)
  const [leader, bad] = cluster.roles() as Three
  const { ino } = leader.create('file')
  ok(t, cluster, leader.write(ino, 0, text, { durable: true }))
  const blob = leader.log.blobIds(0, 10)[0]!
  const index = Math.floor(blob / blobsPerEntryMax)
  cluster.until('it has it', () => bad.log.durableIndex >= index)
  bad.kill()
  t.ok((bad.state.position?.index ?? 0) < index, 'its state is older')
  bad.log.damage(blob)
  bad.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  const got = read(bad, ino)
  cluster.until('the answer', () => got.text !== undefined || got.errno !== undefined)
  t.equal(got.text, text)
  t.end()
})

void t.test('a snapshot heals what is damaged of the log that it meets', t => {
  const { cluster, bad, ino, blob } = damaged()
  bad.stop()
  bad.loseState()
  cluster.provideSnapshots()
  bad.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.equal(bad.content(ino), text)
  t.equal(Buffer.from(bad.log.blob(blob)!).toString(), text)
  t.end()
})

void t.test('a blob that only a member without a state has whole is fetched from it, and it gets its snapshot', t => {
  const { cluster, leader, bad, other, ino, blob } = damaged({ retention })
  for (let i = 0; i < 20; i++) leader.mkdir(`d${i}`)
  cluster.until('compaction', () => cluster.members.every(({ log }) => log.anchor.index > 5))
  leader.kill()
  leader.log.damage(blob)
  leader.start()
  other.stop()
  other.loseState()
  // as long as a fetch takes, and the second before it is tried again
  cluster.onSnapshotNeeded = (to, from) => {
    const { channel } = to
    if (channel.restoring || !channel.beginRestore()) return
    cluster.clock.after(1500, () => {
      const snapshot = trySnapshot(cluster.members.find(({ id }) => id === from)!)
      channel.restored(snapshot && to.disk.install(snapshot, channel))
    })
  }
  other.start()
  cluster.network.connectAll()
  cluster.until('it has a state', () => !other.channel.stateMissing)
  for (const member of [leader, bad, other]) t.equal(member.content(ino), text)
  t.end()
})

void t.test('who has just started says nothing of what it does not know to be committed yet', t => {
  const answers: (Uint8Array | undefined)[] = []
  const ports = (_: Member, plain: ChannelPorts): ChannelPorts => ({
    ...plain,
    transport: intercept(plain.transport, {
      send: (to: MemberId, message: PeerMessage) => {
        if (message.kind === 'blob') answers.push(message.data)
        return plain.transport.send(to, message)
      },
    }),
  })
  const cluster = new Cluster(3, 1, { hooks: { ports } })
  const [leader, member] = cluster.roles() as Three
  const { ino } = leader.create('file')
  ok(t, cluster, leader.write(ino, 0, text, { durable: true }))
  cluster.settle()
  const blob = leader.log.blobIds(0, 10)[0]!
  member.kill()
  member.start()
  const ask = (): void => member.channel.message(leader.id, { kind: 'blob-wanted', id: blob, term: 0 })
  ask()
  t.same(answers, [], 'not that it has none: nobody would ask again for a while')
  cluster.network.connectAll()
  cluster.settle()
  ask()
  cluster.advance(10)
  t.same(
    answers.map(data => data && Buffer.from(data).toString()),
    [text],
  )
  t.end()
})
