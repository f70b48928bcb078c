/** Writes that other systems acknowledged and lost, at failover, at a loss of power, or between two files of one member. */
import t from 'tap'
import { EIO } from '../../src/base/errno.js'
import { Program } from '../channel/support/calls.js'
import { Cluster, type Member, type Three } from '../channel/support/cluster.js'

/** Lets a new leader take over from one that is down or cut off. */
function takenOver(cluster: Cluster, from: Member): Member {
  cluster.until('another leader', () => cluster.alive.some(member => member !== from && member.leads))
  return cluster.alive.find(member => member !== from && member.leads)!
}

/**
 * The primary took writes without any replica, ended, and came back as a replica: its writes were acknowledged, and then
 * "client transaction id exceeds primary transaction id, clearing client position".
 */
void t.test(
  'superfly/litefs#282: what a leader took alone is not called durable, and is not cleared when it is back',
  t => {
    const cluster = new Cluster(3, 282)
    const [leader, other, third] = cluster.roles() as Three
    for (const replica of [other, third]) replica.stop()
    const program = new Program(cluster, leader)
    const mine = leader.create('mine')
    const write = leader.write(mine.ino, 0, 'written alone')
    t.equal(cluster.answered(write), 0, 'it is accepted')
    const sync = leader.durable(2000)
    t.equal(cluster.answered(sync), EIO, 'and not called durable')
    t.equal(program.flush(mine.ino, program.open(mine.ino)), 0, 'who wrote nothing has nothing to wait for')
    leader.stop()
    for (const replica of [other, third]) replica.start()
    cluster.network.connectAll()
    const theirs = takenOver(cluster, leader).create('theirs')
    t.equal(cluster.answered(theirs.answer), 0, 'the others go on meanwhile')
    leader.start()
    cluster.network.connectAll()
    cluster.settle()
    cluster.checkDigests()
    for (const member of cluster.members) t.equal(member.content(mine.ino), undefined, 'it does not come late')
    t.equal(leader.lostText(), 'written alone', 'a copy is kept')
    t.end()
  },
)

/**
 * Leaders were killed while files were written through the mount of another node. Each write and close returned 0, and some
 * files had lines of others, or nothing.
 */
void t.test('seaweedfs/seaweedfs#7243, #2913, #4557: a file written while leaders die is what was written', t => {
  for (let seed = 1; seed <= 8; seed++) {
    const cluster = new Cluster(3, seed)
    const writer = cluster.roles()[1]!
    const program = new Program(cluster, writer)
    for (let file = 0; file < 6; file++) {
      const { ino, handle } = program.create(`${file}`)
      let wanted = ''
      let victim: Member | undefined
      for (let line = 0; line < 40; line++) {
        const text = `${file}`.repeat(1 + cluster.rng.below(30)) + '\n'
        program.write(ino, handle, wanted.length, text)
        wanted += text
        if (line === 20) {
          victim = cluster.alive.find(member => member.leads && member !== writer)
          victim?.crash()
        }
        cluster.advance(cluster.rng.below(20))
      }
      const errno = program.close(ino, handle)
      victim?.start()
      cluster.network.connectAll()
      cluster.settle()
      if (errno !== 0) t.fail(`seed ${seed}: close of ${file} said ${errno}`)
      for (const member of cluster.members) {
        if (member.content(ino) !== wanted) t.equal(member.content(ino), wanted, `seed ${seed}, file ${file}`)
      }
    }
    cluster.checkDigests()
    t.same(writer.lost, [])
  }
  t.end()
})

/** Messages were acknowledged when a majority had them in memory, and synced two minutes later: a power cut took all copies. */
void t.test('nats-io/nats-server#7564: a power cut of all members takes nothing that was acknowledged', t => {
  for (let seed = 1; seed <= 12; seed++) {
    const cluster = new Cluster(3, seed)
    cluster.syncMsMax = 40
    const [leader, follower] = cluster.roles() as Three
    const { ino, answer } = leader.create('log')
    cluster.answered(answer)
    cluster.settle()
    const writer = seed % 2 === 0 ? leader : follower
    let wanted = ''
    for (let i = 0; i < 10; i++) {
      writer.append(ino, `${i};`)
      wanted += `${i};`
      cluster.advance(cluster.rng.below(10))
    }
    if (cluster.answered(writer.durable()) !== 0) t.fail('not durable')
    for (const member of cluster.members) member.crash()
    for (const member of cluster.members) member.start()
    cluster.network.connectAll()
    cluster.settle()
    cluster.checkDigests()
    if (leader.content(ino) !== wanted) t.equal(leader.content(ino), wanted, `seed ${seed}`)
  }
  t.pass('12 seeds')
  t.end()
})

/**
 * Of five, three had a record; one of the three lost its power, and with it what it had acknowledged. Together with the two
 * that never had the record it was a majority, which went on without it.
 */
void t.test('nats-io/nats-server#7567: one power cut among a majority that forms without the others', t => {
  for (let seed = 1; seed <= 12; seed++) {
    const cluster = new Cluster(5, seed)
    cluster.syncMsMax = 60
    const leader = cluster.leader()
    const others = cluster.members.filter(member => member !== leader)
    const [a, b, c, d] = others as [Member, Member, Member, Member]
    const { ino, answer } = leader.create('log')
    cluster.answered(answer)
    cluster.settle()
    for (const cut of [c, d]) cluster.network.isolate(cut.id)
    leader.append(ino, 'acknowledged;')
    if (cluster.answered(leader.durable()) !== 0) t.fail('not durable')
    // at this very moment: what no sync covered goes with the power of b
    b.crash()
    for (const away of [leader, a]) cluster.network.isolate(away.id)
    b.start()
    for (const [one, two] of [
      [b, c],
      [b, d],
      [c, d],
    ] as const) {
      cluster.network.connect(one.id, two.id)
    }
    cluster.until('a leader among b, c and d', () => [b, c, d].some(member => member.leads))
    const late = c.append(ino, 'later;')
    cluster.until('an answer', () => late.errno !== undefined)
    cluster.network.connectAll()
    cluster.settle()
    cluster.checkDigests()
    if (c.content(ino) !== 'acknowledged;later;') t.equal(c.content(ino), 'acknowledged;later;', `seed ${seed}`)
  }
  t.pass('12 seeds')
  t.end()
})

/**
 * The applied index was saved apart from what it stands for: a crash between the two, and entries were applied twice, or
 * never, on that member alone, which nobody noticed.
 */
void t.test('etcd-io/etcd#13766: a crash between applying and saving the index', t => {
  for (let seed = 1; seed <= 6; seed++) {
    const cluster = new Cluster(3, seed)
    const [, writer, victim] = cluster.roles() as Three
    const { ino, answer } = writer.create('log')
    cluster.answered(answer)
    // an append that is applied twice is there twice
    let wanted = ''
    for (let i = 0; i < 60; i++) {
      writer.append(ino, `${i};`)
      wanted += `${i};`
      // state is written out every half second: some crashes come right before, some right after
      cluster.advance(cluster.rng.below(300))
      if (i % 6 !== 5) continue
      victim.crash()
      cluster.advance(cluster.rng.below(500))
      victim.start()
      cluster.network.connectAll()
    }
    cluster.settle()
    cluster.checkDigests()
    if (victim.content(ino) !== wanted) t.equal(victim.content(ino), wanted, `seed ${seed}`)
  }
  t.pass('6 seeds, 10 crashes each')
  t.end()
})

/**
 * A restore from a snapshot was followed by entries that it contained already, or its own client's retry was taken for new:
 * elements twice, members apart. The record of who did what must be part of the snapshot.
 */
void t.test('rqlite/rqlite#2759, RedisLabs/redisraft#52: after a snapshot nothing is done twice', t => {
  const cluster = new Cluster(3, 52)
  cluster.provideSnapshots()
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = follower.create('log')
  cluster.answered(answer)
  let wanted = ''
  const append = (): void => {
    const record = `${wanted.length};`
    follower.append(ino, record)
    wanted += record
  }
  for (let i = 0; i < 400; i++) {
    append()
    cluster.answered(follower.durable())
  }
  cluster.settle()
  follower.channel.compact()
  t.ok(follower.log.anchor.index > 1, 'its log no longer reaches back to the beginning')
  append()
  append()
  while (leader.content(ino) !== wanted) cluster.advance(1)
  // they have their place, and the answer does not come
  cluster.network.isolate(follower.id)
  follower.crash()
  follower.loseState()
  follower.start()
  t.equal(follower.channel.serving, false, 'without a state it shows nothing')
  cluster.network.connectAll()
  cluster.until('it serves again', () => follower.channel.serving)
  append()
  cluster.settle()
  cluster.checkDigests()
  for (const member of cluster.members) t.equal(member.content(ino), wanted)
  t.end()
})
