import t from 'tap'
import { EEXIST, EROFS } from '../../src/base/errno.js'
import { rootInode } from '../../src/fs/records.js'
import { ok } from './support/answers.js'
import { Cluster, type Member, type Three } from './support/cluster.js'

const seeds = 20

/**
 * The member's power goes. What it had written a moment before may or may not be on stable storage, so that several
 * seeds are needed.
 */
function losePower(cluster: Cluster, member: Member): void {
  member.crash()
  member.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
}

t.test('a loss of power does not bring about what the leader refused', t => {
  for (let seed = 1; seed <= seeds; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower] = cluster.roles() as Three
    const { ino, answer } = leader.create('name')
    ok(t, cluster, answer)
    cluster.settle()
    const refused = follower.create('name')
    t.equal(cluster.answered(refused.answer), EEXIST)
    cluster.network.isolate(follower.id, 0)
    ok(t, cluster, leader.change({ kind: 'unlink', parent: rootInode, name: 'name' }))
    losePower(cluster, follower)
    t.equal(leader.lookup('name'), undefined, `seed ${seed}: the name is free, as its last user left it`)
    t.equal(leader.content(ino), undefined)
  }
  t.end()
})

t.test('… nor what waited for nothing', t => {
  for (let seed = 1; seed <= seeds; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower] = cluster.roles() as Three
    const { ino, answer } = leader.create('file')
    ok(t, cluster, answer)
    cluster.settle()
    // accepted, and cut off before it is sent
    const append = follower.append(ino, 'x', { durable: true, timeoutMs: 1000 })
    cluster.network.isolate(follower.id, 0)
    t.equal(cluster.answered(append), EROFS)
    losePower(cluster, follower)
    t.equal(leader.content(ino), '', `seed ${seed}: nothing was appended`)
  }
  t.end()
})

t.test('… nor propose again, or report twice, what was reported as lost', t => {
  for (let seed = 1; seed <= seeds; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower] = cluster.roles() as Three
    const { ino, answer } = leader.create('file')
    ok(t, cluster, answer)
    cluster.settle()
    const gone = leader.change({ kind: 'unlink', parent: rootInode, name: 'file' })
    const write = follower.write(ino, 0, 'too late')
    ok(t, cluster, gone, write)
    cluster.settle()
    t.equal(follower.lost.length, 1)
    losePower(cluster, follower)
    t.equal(follower.lost.length, 1, `seed ${seed}: its journal has it no more`)
  }
  t.end()
})

t.test('of what ended with its process, what was answered is kept as a copy, and the rest is gone', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = leader.create('file')
  ok(t, cluster, answer)
  cluster.settle()
  const [told, waits, toldToo] = [
    follower.append(ino, 'a'),
    follower.append(ino, 'b', { durable: true }),
    follower.append(ino, 'c'),
  ]
  const name = follower.create('other')
  cluster.network.isolate(follower.id, 0)
  ok(t, cluster, told, toldToo)
  t.equal(follower.content(ino), 'abc', 'programs see all of it meanwhile')
  t.same([waits.errno, name.answer.errno], [undefined, undefined])
  follower.kill()
  follower.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  for (const member of cluster.members) {
    t.equal(member.content(ino), '')
    t.equal(member.lookup('other'), undefined)
  }
  t.equal(follower.lostText(), 'ac')
  losePower(cluster, follower)
  t.equal(follower.lostText(), 'ac', 'reported once')
  t.end()
})

t.test('in a channel of one nothing that was answered is lost with the process: nobody can have come in between', t => {
  for (let seed = 1; seed <= 5; seed++) {
    const cluster = new Cluster(1, seed)
    const member = cluster.leader()
    const { ino, answer } = member.create('log')
    ok(t, cluster, answer)
    let text = ''
    for (let life = 0; life < 3; life++) {
      // small writes that go on where the last one ended: the journal has them before the log
      for (let i = 0; i < 10; i++) {
        const line = `${life}.${i}\n`
        const append = member.append(ino, line)
        cluster.answered(append)
        text += line
      }
      member.kill()
      member.start()
      cluster.settle()
      t.equal(member.content(ino), text, `seed ${seed}, life ${life}`)
    }
    t.same(member.lost, [])
  }
  t.end()
})
