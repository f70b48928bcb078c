import t from 'tap'
import { EIO, errnoName } from '../../src/base/errno.js'
import { rootInode } from '../../src/fs/records.js'
import type { Answer } from '../sim/kernel.js'
import { Cluster, type Three } from './support/cluster.js'
import { Mount, rename } from './support/mount.js'

/** A mount of the leader's, then one of a follower's, each with a file of its own. */
function* eachWithFile(cluster: Cluster) {
  const [leader, follower] = cluster.roles() as Three
  for (const member of [leader, follower]) {
    const mount = new Mount(cluster, member)
    const file = mount.create(`f${member.slot}`)
    cluster.settle()
    yield { member, mount, ...file }
  }
}

void t.test('a change that is shown, and fails because the disk is full, is known to the kernel', t => {
  const cluster = new Cluster(3)
  for (const { member, mount, ino, handle } of eachWithFile(cluster)) {
    const { kernel } = mount
    member.log.full = true
    const failed = mount.call<unknown>(answer => kernel.truncate(ino, 5, handle, answer))
    t.equal(errnoName(failed.errno), errnoName(EIO))
    mount.check(t, 'what is shown of it')
    member.log.full = false
    cluster.settle()
    mount.check(t, 'what became of it')
  }
  t.end()
})

void t.test('parts of an open write are not told as done while only memory holds them', t => {
  const cluster = new Cluster(3)
  for (const { member, mount, ino, handle } of eachWithFile(cluster)) {
    const { kernel } = mount
    const write = (offset: number) => (answer: Answer<number>) =>
      kernel.write(ino, handle, offset, Buffer.from('text'), 2, answer)
    t.equal(mount.call(write(0)).errno, 0)
    t.equal(mount.call(write(4)).errno, 0, 'the write is open')
    member.log.full = true
    t.equal(errnoName(mount.call(write(8)).errno), errnoName(EIO), member.leads ? 'leader' : 'follower')
    member.log.full = false
    cluster.settle()
    mount.check(t, 'what became of it')
  }
  t.end()
})

void t.test('a name that another member replaced in time is moved, not the file that the kernel took for it', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const mount = new Mount(cluster, follower)
  mount.create('a')
  const { ino } = mount.create('b')
  cluster.settle()
  const replaced = leader.change(rename('b', 'a'))
  t.not(follower.lookup('a'), ino, 'the follower has not heard of it')
  const moved = mount.call<void>(answer => mount.kernel.rename([rootInode, 'a'], [rootInode, 'c'], 0, answer))
  t.equal(moved.errno, 0)
  t.equal(cluster.answered(replaced), 0)
  cluster.settle()
  t.equal(follower.lookup('c'), ino)
  mount.check(t, 'the kernel has heard of it')
  t.end()
})
