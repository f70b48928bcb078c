/** Slow, stuck and full disks, and errors that were told to nobody. */
import t, { type Test } from 'tap'
import { EIO, ENOSPC, EROFS, errnoName } from '../../src/base/errno.js'
import { Program } from '../channel/support/calls.js'
import { Cluster, type Member, type Three } from '../channel/support/cluster.js'

const secondMs = 1000

/** A cluster with a file that all know. */
function withFile(seed: number): { cluster: Cluster; roles: Three; ino: number } {
  const cluster = new Cluster(3, seed)
  const roles = cluster.roles() as Three
  const { ino, answer } = roles[0].create('file')
  cluster.answered(answer)
  cluster.settle()
  return { cluster, roles, ino }
}

/** How long this member waits for a majority to hold an appended record, in milliseconds. */
function appendMs(t: Test, cluster: Cluster, member: Member, ino: number, text: string): number {
  const begun = cluster.clock.now
  member.append(ino, text)
  t.equal(errnoName(cluster.answered(member.durable(), 60 * secondMs)), errnoName(0), text)
  return cluster.clock.now - begun
}

/** No member reaches another, and none knows it yet: writes are still accepted. */
function cutAll(cluster: Cluster): void {
  for (const member of cluster.members) cluster.network.isolate(member.id, 2 * secondMs)
}

/**
 * The loop that sent heartbeats also waited for the disk. A sync that took longer than the election timeout cost the leader
 * its leadership; the next leader had as much to write, and lost it, too.
 */
void t.test('etcd-io/etcd#15247: syncs slower than an election timeout cause no election', t => {
  for (const slow of ['leader', 'followers', 'all'] as const) {
    const { cluster, roles, ino } = withFile(15247)
    const { term } = roles[0].channel
    for (const member of roles) {
      if (slow === 'all' || (slow === 'leader') === member.leads) member.syncMsMax = 4 * secondMs
    }
    for (let i = 0; i < 6; i++) {
      const ms = appendMs(t, cluster, roles[i % 3]!, ino, `${i};`)
      t.ok(ms < 20 * secondMs, `${ms} ms`)
    }
    cluster.advance(20 * secondMs)
    for (const member of cluster.members) t.equal(member.channel.term, term, `no election, ${slow} slow`)
    t.ok(roles[0].leads)
    cluster.settle()
    cluster.checkDigests()
    t.equal(roles[2].content(ino), '0;1;2;3;4;5;')
  }
  t.end()
})

/**
 * A leader whose disk hangs kept its leadership, since only the network renewed it, and answered nothing more; nobody else
 * could take over. Here the others are a majority without its copy.
 */
void t.test('cloudamqp/lavinmq#2151: a leader whose disk hangs holds up nobody else, and itself not for ever', t => {
  const { cluster, roles, ino } = withFile(2151)
  const [leader, follower, other] = roles
  leader.syncMsMax = 1e9
  // the first of these sits in the sync that never ends
  const own = leader.append(ino, 'own;')
  const sync = leader.durable(5 * secondMs)
  cluster.until('an answer', () => own.errno !== undefined)
  for (let i = 0; i < 5; i++) {
    for (const member of [follower, other]) {
      const ms = appendMs(t, cluster, member, ino, `${member.slot}:${i};`)
      t.ok(ms < 2 * secondMs, `${ms} ms`)
    }
  }
  const begun = cluster.clock.now
  const errno = cluster.answered(sync)
  t.ok(errno === 0 || errno === EIO, errnoName(errno))
  t.ok(cluster.clock.now - begun <= 6 * secondMs)
  // it stops altogether
  leader.crash()
  leader.syncMsMax = undefined
  for (const member of [follower, other]) appendMs(t, cluster, member, ino, `${member.slot}:last;`)
  leader.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.match(leader.content(ino), /^own;.*last;$/)
  t.end()
})

/**
 * The data could not be stored; who called fsync was told, who only called close (as `echo > file` does) was told nothing,
 * and an empty file stayed.
 */
void t.test('seaweedfs/seaweedfs#4485, #1765: close tells what could not be stored', t => {
  for (const place of [0, 1]) {
    const cluster = new Cluster(3, 4485)
    const member = cluster.roles()[place]!
    const program = new Program(cluster, member)
    const [kept, lost] = [program.create('kept'), program.create('lost')]
    program.write(kept.ino, kept.handle, 0, 'stored')
    t.equal(program.close(kept.ino, kept.handle), 0)
    cutAll(cluster)
    program.write(lost.ino, lost.handle, 0, 'dead')
    const errno = program.flush(lost.ino, lost.handle)
    t.ok(errno === EIO || errno === EROFS, errnoName(errno))
    t.not(program.close(lost.ino, lost.handle), 0, 'a second descriptor of it is told as well')
    cluster.network.connectAll()
    cluster.settle()
    cluster.checkDigests()
    for (const one of cluster.members)
      t.equal(one.content(lost.ino), 'dead', 'what was accepted comes about all the same')
  }
  t.end()
})

/** Once the storage had failed, files that were opened after it had come back still failed. */
void t.test('juicedata/juicefs#5963: when the others are back, so is writing', t => {
  const cluster = new Cluster(3, 5963)
  const [leader, follower] = cluster.roles() as Three
  const programs = [leader, follower].map(member => new Program(cluster, member))
  const files = programs.map((program, i) => program.create(`${i}`))
  cluster.settle()
  cutAll(cluster)
  files.forEach(({ ino, handle }, i) => programs[i]!.write(ino, handle, 0, 'x'))
  files.forEach(({ ino, handle }, i) => t.not(programs[i]!.flush(ino, handle), 0))
  cluster.advance(300 * secondMs)
  cluster.network.connectAll()
  cluster.settle()
  files.forEach(({ ino, handle }, i) => {
    const program = programs[i]!
    program.write(ino, handle, 0, 'again')
    t.equal(program.close(ino, handle), 0, 'the file that was open')
    const fresh = program.open(ino)
    program.write(ino, fresh, 5, ', and more')
    t.equal(program.close(ino, fresh), 0, 'opened anew')
  })
  cluster.settle()
  cluster.checkDigests()
  for (const { ino } of files) t.equal(leader.content(ino), 'again, and more')
  t.end()
})

/** A member whose disk was full made the whole group unreachable until somebody removed it. */
void t.test('etcd-io/etcd#3068: a voter without room is no obstacle, votes on, and comes back', t => {
  const { cluster, roles, ino } = withFile(3068)
  const [leader, follower, other] = roles
  follower.log.full = true
  const program = new Program(cluster, follower)
  const handle = program.open(ino)
  appendMs(t, cluster, other, ino, 'one;')
  // its own program is told, at the write or at the close, and by the right name
  const write = follower.append(ino, 'none;', { timeoutMs: 3 * secondMs })
  t.equal(errnoName(cluster.answered(write)), errnoName(ENOSPC))
  t.equal(program.close(ino, handle), 0, 'who wrote nothing is not')
  leader.crash()
  // two are left, one of them without room for more than its vote
  cluster.until('a leader', () => cluster.alive.some(member => member.leads))
  follower.log.full = false
  appendMs(t, cluster, other, ino, 'two;')
  leader.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.equal(follower.content(ino), 'one;two;')
  t.equal(follower.channel.diskFull, undefined)
  t.end()
})
