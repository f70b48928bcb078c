import t, { type Test } from 'tap'
import { EEXIST, EIO, errnoName } from '../../src/base/errno.js'
import { O_APPEND } from '../../src/channel/open-files.js'
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

void t.test("a lost leader's change goes out of sight when what it builds on goes", t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  mount.create('x')
  cluster.settle()
  cluster.network.isolate(leader.id)
  const renamed = mount.call<void>(answer => mount.kernel.rename([rootInode, 'x'], [rootInode, 'y'], 0, answer))
  t.equal(renamed.errno, 0)
  cluster.until('another leader', () => !leader.leads && cluster.alive.some(one => one.leads))
  t.equal(mount.lookup('x'), undefined, 'its own changes are shown as long as they may come true')
  const remover = [follower, other].find(one => one.leads)!
  const removed = remover.change({ kind: 'unlink', parent: rootInode, name: 'x' })
  t.equal(cluster.answered(removed), 0)
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.equal(mount.lookup('y'), undefined)
  mount.check(t, 'the kernel has heard of it')
  t.end()
})

void t.test("another member's changes are not shown on the leader before a majority has them", t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  const { ino, handle } = mount.create('mine')
  cluster.settle()
  const before = leader.channel.lastIndex
  // the leader hears the others, and not they it
  for (const { id } of [follower, other]) cluster.network.mute(leader.id, id, 300)
  const appended = follower.append(ino, 'theirs ')
  const made = follower.change(make(rootInode, 'x', follower.nextInode(), 0o100644))
  cluster.until('their place in the order', () => leader.channel.lastIndex === before + 2)
  t.equal(mount.lookup('x'), undefined)
  const written = mount.call<number>(answer =>
    mount.kernel.write(ino, handle, 0, Buffer.from('own'), 2 | O_APPEND, answer),
  )
  t.equal(written.errno, 0)
  t.equal(leader.content(ino), 'own', 'own writes show at once')
  mount.check(t, 'the kernel has heard of its own')
  // what rests on them is answered when they are shown
  const answers: number[] = []
  mount.kernel.mkdir(rootInode, 'x', errno => answers.push(errno))
  cluster.advance(50)
  t.same(answers, [])
  t.equal(mount.lookup('x'), undefined)
  cluster.network.isolate(leader.id)
  cluster.network.connectAll()
  t.equal(cluster.answered(made), 0)
  t.equal(cluster.answered(appended), 0)
  cluster.settle()
  t.same(answers.map(errnoName), [errnoName(EEXIST)])
  t.not(mount.lookup('x'), undefined)
  t.equal(leader.content(ino), 'theirs own')
  mount.check(t, 'the kernel has heard of all')
  cluster.checkDigests()
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
