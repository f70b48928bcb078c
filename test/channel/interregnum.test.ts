/** A leader dies, or is silent: who starts a program elsewhere at once finds what was acknowledged, and nobody waits for long. */
import t from 'tap'
import type { Entry, OpenFile } from '../../src/channel/mount-port.js'
import { rootInode } from '../../src/fs/records.js'
import { ok } from './support/answers.js'
import { call, caller } from './support/calls.js'
import { Cluster, type Member, type Three } from './support/cluster.js'

const open = (cluster: Cluster, { frontend }: Member, ino: number): number | undefined =>
  call<OpenFile>(cluster, reply => frontend.open(caller, ino, 0, false, reply)).errno
const find = (cluster: Cluster, { frontend }: Member, name: string): number | undefined =>
  call<Entry>(cluster, reply => frontend.lookup(caller, rootInode, name, reply)).value?.attributes?.ino

void t.test('what a leader acknowledged before it died is there on the others at once', t => {
  for (let seed = 1; seed <= 20; seed++) {
    for (const cut of [false, true]) {
      const cluster = new Cluster(3, seed)
      const [leader, one, other] = cluster.roles() as Three
      const { ino, answer } = leader.create('f')
      ok(t, cluster, answer, leader.write(ino, 0, 'old', { durable: true }))
      cluster.settle()
      const write = leader.write(ino, 0, 'new', { durable: true })
      const made = leader.create('g')
      ok(t, cluster, write, made.answer)
      if (cut) {
        for (const { id } of [one, other]) cluster.network.silence(leader.id, id, 60_000)
        cluster.advance(500)
      }
      leader.crash()
      for (const member of [one, other]) {
        t.equal(open(cluster, member, ino), undefined)
        t.equal(member.content(ino), 'new', `seed ${seed}, ${cut ? 'cut' : 'killed'}`)
      }
    }
  }
  t.end()
})

void t.test('names, too', t => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, one] = cluster.roles() as Three
    cluster.settle()
    const { ino, answer } = leader.create('f')
    ok(t, cluster, answer, leader.write(ino, 0, 'new', { durable: true }))
    leader.crash()
    t.equal(find(cluster, one, 'f'), ino, `seed ${seed}`)
  }
  t.end()
})

void t.test('who comes back begins with what there is, not with what there was when it went', t => {
  for (const how of ['stopped', 'cut off'] as const) {
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = new Cluster(3, seed)
      const [leader, one] = cluster.roles() as Three
      const { ino, answer } = leader.create('f')
      ok(t, cluster, answer, leader.write(ino, 0, 'old', { durable: true }))
      cluster.settle()
      if (how === 'stopped') one.stop()
      else cluster.network.isolate(one.id)
      cluster.advance(1000)
      for (let n = 0; n < 30; n++) ok(t, cluster, leader.write(ino, 10, 'x'.repeat(300_000)))
      ok(t, cluster, leader.write(ino, 0, 'new', { durable: true }))
      if (how === 'stopped') one.start()
      cluster.network.connectAll()
      cluster.until('a leader is heard', () => one.channel.leader === leader.id)
      t.equal(open(cluster, one, ino), undefined)
      t.equal(one.content(ino)?.slice(0, 3), 'new', `seed ${seed}, ${how}`)
    }
  }
  t.end()
})

void t.test('without a majority reads go on at once; with a silent one after some seconds, once', t => {
  const cluster = new Cluster(3)
  const [leader, one, other] = cluster.roles() as Three
  const { ino, answer } = leader.create('f')
  ok(t, cluster, answer, leader.write(ino, 0, 'content', { durable: true }))
  cluster.settle()
  const waited = (): number => {
    const begun = cluster.clock.now
    t.equal(open(cluster, one, ino), undefined)
    return cluster.clock.now - begun
  }
  t.ok(waited() < 50)
  for (const silent of [leader, other]) silent.freeze()
  cluster.advance(1000)
  const first = waited()
  t.ok(first >= 4000 && first < 6000, `${first} ms`)
  t.ok(waited() < 50)
  cluster.advance(20_000)
  t.ok(waited() < 50)
  for (const silent of [leader, other]) silent.unfreeze()
  cluster.settle()
  t.ok(waited() < 50)
  for (const silent of cluster.members) if (silent !== one) silent.crash()
  cluster.advance(10)
  t.ok(waited() < 50, 'no majority')
  t.end()
})
