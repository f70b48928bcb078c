import t, { type Test } from 'tap'
import { EIO } from '../../src/base/errno.js'
import { encodeOperation } from '../../src/fs/operation-codec.js'
import { earlierSessionsMax } from '../../src/fs/records.js'
import { zeroHash } from '../../src/oplog/codec.js'
import { ok } from './support/answers.js'
import { Cluster, type Answer, type Member, type Three } from './support/cluster.js'
import { keepBlobs, takeSnapshot } from './support/sim-disk.js'

interface Parted {
  readonly cluster: Cluster
  /** It led, and was cut off with a change of its own: `A` in the file. */
  readonly away: Member
  /** It leads the others, with another history: `x` in the file. */
  readonly leader: Member
  readonly other: Member
  readonly file: number
}

function part(t: Test, seed: number): Parted {
  const cluster = new Cluster(3, seed)
  const [away, ...others] = cluster.roles() as Three
  const { ino: file, answer } = away.create('file')
  ok(t, cluster, answer)
  cluster.settle()
  cluster.network.isolate(away.id, 0)
  // where the others have the entry with which a leader begins
  ok(t, cluster, away.mkdir('mine').answer)
  ok(t, cluster, away.append(file, 'A'))
  cluster.until('another leader', () => others.some(member => member.leads))
  const [leader, other] = others[0].leads ? others : [others[1], others[0]]
  ok(t, cluster, leader.append(file, 'x', { durable: true }))
  cluster.until('the old leader stands down', () => !away.leads)
  return { cluster, away, leader, other, file }
}

function install({ away, leader }: Parted): void {
  away.channel.restored(away.disk.install(takeSnapshot(leader), away.channel))
}

/** All are together again, and have what was accepted once. */
function checkEnd(t: Test, { cluster, away, file }: Parted, content: string, lost = ''): void {
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  for (const member of cluster.members) t.equal(member.content(file), content)
  t.equal(away.lostText(), lost)
}

t.test(
  'an own change that only the log had outlives the snapshot that takes its place, and is kept after a kill',
  t => {
    const parted = part(t, 1)
    const { away } = parted
    t.ok(away.channel.beginRestore())
    install(parted)
    away.kill()
    away.start()
    checkEnd(t, parted, 'x', 'A')
    t.end()
  },
)

t.test('while its process lives, it is ordered by this member itself if it leads next', t => {
  let led = 0
  for (let seed = 1; seed <= 12; seed++) {
    const parted = part(t, seed)
    const { cluster, away, leader, other } = parted
    t.ok(away.channel.beginRestore())
    install(parted)
    // it hears of the term, and the leader does not hear it
    cluster.network.connectAll()
    cluster.network.mute(away.id, leader.id, 100)
    cluster.until('it follows', () => away.channel.leader === leader.id)
    leader.stop()
    cluster.network.break(away.id, other.id)
    cluster.network.connectAll()
    cluster.until('a leader', () => away.leads || other.leads)
    if (away.leads) led++
    ok(t, cluster, away.append(parted.file, 'B'))
    cluster.settle()
    leader.start()
    checkEnd(t, parted, 'xAB')
  }
  t.ok(led > 0, 'it led')
  t.end()
})

t.test('a snapshot that breaks off after it contradicted the log leaves a log that goes on', t => {
  const parted = part(t, 1)
  const { away, leader } = parted
  const { lastIndex } = away.channel
  t.ok(away.channel.beginRestore())
  keepBlobs(away.log, away.channel, takeSnapshot(leader))
  t.ok(away.log.lastIndex < lastIndex, 'something was cut')
  t.equal(away.channel.lastIndex, away.log.lastIndex, 'the consensus core knows')
  away.channel.restored(undefined)
  checkEnd(t, parted, 'xA')
  t.end()
})

t.test('a change that is accepted in the moment of the installation is in the journal when it is answered', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = leader.create('file')
  ok(t, cluster, answer)
  cluster.settle()
  t.ok(follower.channel.beginRestore())
  const append = follower.append(ino, 'A')
  follower.channel.restored(follower.disk.install(takeSnapshot(leader), follower.channel))
  cluster.network.isolate(follower.id, 0)
  ok(t, cluster, append)
  follower.kill()
  follower.start()
  cluster.network.connectAll()
  cluster.settle()
  for (const member of cluster.members) t.equal(member.content(ino), '')
  t.equal(follower.lostText(), 'A', 'it is kept')
  t.end()
})

/** A follower that hears nothing makes two changes, and meets them in a snapshot: their answers. */
function meetAgain(t: Test, changes: (follower: Member, file: number) => [Answer, Answer]): number[] {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = leader.create('file')
  ok(t, cluster, answer)
  cluster.settle()
  const { appliedIndex } = leader.channel
  cluster.network.mute(leader.id, follower.id, 60_000)
  const answers = changes(follower, ino)
  cluster.until('the leader applied both', () => leader.channel.appliedIndex === appliedIndex + 2)
  for (const { errno } of answers) t.equal(errno, undefined)
  t.ok(follower.channel.beginRestore())
  follower.channel.restored(follower.disk.install(takeSnapshot(leader), follower.channel))
  const errnos = answers.map(answer => cluster.answered(answer))
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  for (const member of cluster.members) {
    t.equal(member.content(ino), 'A')
    t.ok(member.lookup('directory') !== undefined)
  }
  return errnos
}

t.test('the last own change that a snapshot contains was not refused; of those before it that is not known', t => {
  const errnos = meetAgain(t, (follower, file) => [
    follower.mkdir('directory').answer,
    follower.append(file, 'A', { durable: true }),
  ])
  t.same(errnos, [EIO, 0])
  t.end()
})

t.test('a kernel is not told of success with names that may be others since', t => {
  const errnos = meetAgain(t, (follower, file) => [
    follower.append(file, 'A', { durable: true }),
    follower.mkdir('directory').answer,
  ])
  t.same(errnos, [EIO, EIO])
  t.end()
})

t.test('nothing begins while the disk has no room for what must outlive the log', t => {
  const parted = part(t, 1)
  const { cluster, away } = parted
  away.log.full = true
  t.notOk(away.channel.beginRestore())
  t.notOk(away.channel.restoring)
  away.log.full = false
  cluster.advance(100)
  t.ok(away.channel.beginRestore())
  install(parted)
  away.kill()
  away.start()
  checkEnd(t, parted, 'x', 'A')
  t.end()
})

/** Runs of a member's process that nobody here has seen: each opens a session, as its own forwarding would. */
function openSessions(cluster: Cluster, member: Member, count: number): void {
  const leader = cluster.leader()
  for (let n = 1; n <= count; n++) {
    const last = leader.channel.table.get('session', 0, member.id)!
    const proposal = {
      kind: 'change',
      origin: member.id,
      session: last.session + 1,
      sequence: 1,
      time: 0n,
      operation: encodeOperation({ kind: 'open-session' }),
      payload: new Uint8Array(0),
      payloadHash: zeroHash,
      signature: new Uint8Array(0),
    } as const
    const { appliedIndex } = leader.channel
    leader.channel.message(member.id, { kind: 'propose', restart: true, first: 1, proposals: [proposal] })
    cluster.until('a session is open', () => leader.channel.appliedIndex > appliedIndex)
  }
}

for (const [missed, kept] of [
  [earlierSessionsMax, ''],
  [earlierSessionsMax + 1, 'A'],
] as const) {
  t.test(`who misses ${missed} of its sessions in a snapshot keeps ${kept === '' ? 'no' : 'a'} copy too many`, t => {
    const cluster = new Cluster(3)
    const [leader, follower] = cluster.roles() as Three
    const { ino, answer } = leader.create('file')
    ok(t, cluster, answer)
    cluster.settle()
    cluster.network.mute(leader.id, follower.id, 60_000)
    ok(t, cluster, follower.append(ino, 'A'))
    cluster.until('it is in the order', () => leader.content(ino) === 'A')
    follower.kill()
    openSessions(cluster, follower, missed)
    follower.start()
    t.ok(follower.channel.beginRestore())
    follower.channel.restored(follower.disk.install(takeSnapshot(leader), follower.channel))
    cluster.network.connectAll()
    cluster.settle()
    t.equal(follower.lostText(), kept)
    t.equal(follower.content(ino), 'A')
    t.end()
  })
}

t.test('what is given up while its copy finds no room stays in the journal, and is kept when there is room', t => {
  for (const how of ['room', 'killed'] as const) {
    const parted = part(t, 1)
    const { cluster, away } = parted
    // it knows that the session has ended, and has no room for the copy
    ok(t, cluster, parted.leader.fence(away))
    away.copiesFull = true
    cluster.network.connectAll()
    cluster.until('it is given up', () => away.channel.notKept > 0)
    cluster.advance(5000)
    t.equal(away.lostText(), '')
    if (how === 'killed') {
      away.kill()
      away.start()
    }
    away.copiesFull = false
    cluster.advance(3000)
    checkEnd(t, parted, 'x', 'A')
    t.equal(away.channel.notKept, 0)
    t.same(away.log.journal(), [])
  }
  t.end()
})

t.test('so does a change that was refused, though later ones of its session have their place', t => {
  for (const how of ['room', 'killed'] as const) {
    const cluster = new Cluster(3)
    const [leader, follower] = cluster.roles() as Three
    const [gone, file] = [leader.create('gone'), leader.create('file')]
    ok(t, cluster, gone.answer, file.answer)
    cluster.settle()
    cluster.network.mute(leader.id, follower.id, 500)
    ok(t, cluster, leader.change({ kind: 'unlink', parent: 1, name: 'gone' }))
    ok(t, cluster, follower.append(gone.ino, 'A'))
    cluster.advance(20)
    follower.copiesFull = true
    cluster.network.break(leader.id, follower.id)
    cluster.network.connectAll()
    cluster.until('it is given up', () => follower.channel.notKept > 0)
    ok(t, cluster, follower.append(file.ino, 'B', { durable: true }))
    t.equal(follower.lostText(), '')
    t.equal(follower.log.journal().length, 1)
    if (how === 'killed') {
      follower.kill()
      follower.start()
      cluster.network.connectAll()
    }
    follower.copiesFull = false
    cluster.settle()
    cluster.advance(3000)
    t.equal(follower.lostText(), 'A', how)
    t.same(follower.log.journal(), [])
    for (const member of cluster.members) t.equal(member.content(file.ino), 'B')
  }
  t.end()
})
