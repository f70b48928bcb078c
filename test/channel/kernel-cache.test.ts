import t, { type Test } from 'tap'
import { EIO, errnoName } from '../../src/base/errno.js'
import type { Operation } from '../../src/fs/operation.js'
import { rootInode } from '../../src/fs/records.js'
import { checkKernelCache } from '../sim/checkers/kernel-cache.js'
import { Kernel, type Answer } from '../sim/kernel.js'
import { Cluster, make, type Member } from './support/cluster.js'

const rename = (name: string, newName: string): Operation => ({
  kind: 'rename',
  parent: rootInode,
  name,
  newParent: rootInode,
  newName,
  flags: 0,
})

type Three = [Member, Member, Member]

/** A program's calls, and what its kernel keeps. */
class Mount {
  readonly kernel: Kernel
  readonly #cluster: Cluster
  readonly #member: Member

  constructor(cluster: Cluster, member: Member) {
    this.#cluster = cluster
    this.#member = member
    this.kernel = new Kernel(member.frontend, () => cluster.clock.now)
  }

  /** Makes a call and lets time pass until it is answered. */
  call<T>(call: (answer: Answer<T>) => void): { errno: number; value: T | undefined } {
    let answered: { errno: number; value: T | undefined } | undefined
    call((errno, value) => (answered = { errno, value }))
    this.#cluster.until('the answer to a call', () => answered !== undefined)
    return answered!
  }

  create(name: string): { ino: number; handle: number } {
    const { entry, file } = this.call<Parameters<Parameters<Kernel['create']>[3]>[1]>(answer =>
      this.kernel.create(rootInode, name, 2, answer),
    ).value!
    return { ino: entry.attributes.ino, handle: file.handle }
  }

  /** The inode a name leads to. */
  lookup(name: string): number | undefined {
    return this.call<Parameters<Parameters<Kernel['lookup']>[2]>[1]>(answer =>
      this.kernel.lookup(rootInode, name, answer),
    ).value?.attributes?.ino
  }

  check(test: Test, message: string): void {
    test.doesNotThrow(() => checkKernelCache(this.#member, this.kernel), message)
  }
}

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

void t.test("a lost leader's change is shown again when what it builds on is there", t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  cluster.settle()
  const ino = follower.nextInode()
  const made = follower.change(make(rootInode, 'x', ino, 0o100644))
  while (leader.lookup('x') === undefined) cluster.advance(1)
  // the others have what the leader orders, and it does not hear of that
  for (const { id } of [follower, other]) cluster.network.mute(id, leader.id, 100_000)
  const renamed = mount.call<void>(answer => mount.kernel.rename([rootInode, 'x'], [rootInode, 'y'], 0, answer))
  t.equal(renamed.errno, 0)
  cluster.advance(20)
  cluster.network.isolate(leader.id)
  cluster.until('another leader', () => !leader.leads && cluster.alive.some(one => one.leads))
  t.equal(mount.lookup('y'), undefined, 'it cannot be shown without the other')
  cluster.network.connectAll()
  cluster.answered(made)
  cluster.settle()
  cluster.checkDigests()
  t.equal(leader.lookup('y'), ino)
  mount.check(t, 'the kernel has heard of it')
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
