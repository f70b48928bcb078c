import t from 'tap'
import type { AttributeChange, Attributes } from '../../src/channel/mount-port.js'
import { call, caller, Program } from './support/calls.js'
import { Cluster, type Member, type Three } from './support/cluster.js'

const other = { ...caller, pid: 7 }

/** A change of attributes without an open file. */
function set(cluster: Cluster, member: Member, ino: number, change: Partial<AttributeChange>, who = other): number {
  const whole = { killPrivileges: false, ...change }
  const { errno } = call<{ attributes: Attributes }>(cluster, reply => member.frontend.setattr(who, ino, whole, reply))
  return errno ?? 0
}

/** A member's file with a few bytes that all members have. */
function made(cluster: Cluster, member: Member): { ino: number; handle: number } {
  const program = new Program(cluster, member)
  const file = program.create('f')
  program.write(file.ino, file.handle, 0, 'before')
  program.flush(file.ino, file.handle)
  cluster.settle()
  return file
}

for (const sync of ['close', 'fsync', 'always'] as const) {
  void t.test(`truncate(2) by path, and then another member's write: sync=${sync}`, t => {
    const cluster = new Cluster(3, 1, { mountOptions: { sync } })
    const [leader, follower] = cluster.roles() as Three
    const { ino } = made(cluster, leader)
    const writer = new Program(cluster, leader)
    for (let round = 0; round < 25; round++) {
      t.equal(set(cluster, follower, ino, { size: 0 }), 0)
      const handle = writer.open(ino)
      writer.write(ino, handle, 0, `round ${round}`)
      t.equal(writer.close(ino, handle), 0)
      t.equal(leader.content(ino), `round ${round}`)
    }
    cluster.settle()
    cluster.checkDigests()
    for (const member of cluster.members) t.equal(member.content(ino), 'round 24')
    t.end()
  })
}

void t.test('chmod(2), chown(2) and utimensat(2) by path have their place when they return', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino } = made(cluster, leader)
  const stored = () => leader.channel.view.get('inode', ino, '')!
  t.equal(set(cluster, follower, ino, { mode: 0o100600 }), 0)
  t.equal(stored().mode & 0o7777, 0o600)
  t.equal(set(cluster, follower, ino, { uid: 5, gid: 6 }), 0)
  t.same([stored().uid, stored().gid], [5, 6])
  t.equal(set(cluster, follower, ino, { mtime: 77n }), 0)
  t.equal(stored().mtime, 77n)
  t.end()
})

void t.test('fchmod(2), fchown(2) and futimens(3) wait for nobody: the close of the open file does', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino } = made(cluster, leader)
  const program = new Program(cluster, follower)
  const handle = program.open(ino)
  t.equal(set(cluster, follower, ino, { mode: 0o100640 }, caller), 0)
  t.equal(leader.channel.view.get('inode', ino, '')!.mode & 0o7777, 0o644, 'it is on its way')
  t.equal(program.close(ino, handle), 0)
  t.equal(leader.channel.view.get('inode', ino, '')!.mode & 0o7777, 0o640)
  t.equal(set(cluster, follower, ino, { mode: 0o100600 }, caller), 0)
  t.equal(leader.channel.view.get('inode', ino, '')!.mode & 0o7777, 0o600, 'it is closed, and nothing else waits')
  t.end()
})

void t.test('with sync=fsync no close waits, so that fchmod(2) does', t => {
  const cluster = new Cluster(3, 1, { mountOptions: { sync: 'fsync' } })
  const [leader, follower] = cluster.roles() as Three
  const { ino } = made(cluster, leader)
  new Program(cluster, follower).open(ino)
  t.equal(set(cluster, follower, ino, { mode: 0o100640 }, caller), 0)
  t.equal(leader.channel.view.get('inode', ino, '')!.mode & 0o7777, 0o640)
  t.end()
})

void t.test('truncate(2) by path on the leader waits for a majority as a close does', t => {
  const cluster = new Cluster(3)
  const [leader] = cluster.roles() as Three
  const { ino } = made(cluster, leader)
  t.equal(set(cluster, leader, ino, { size: 3 }), 0)
  t.equal(leader.channel.commitIndex, leader.channel.lastIndex)
  t.equal(leader.channel.pending.operations, 0)
  t.end()
})
