/**
 * What a leader's mounts are shown while other members' changes wait for a majority, and when it loses its lead (channel
 * DESIGN, "Views").
 */
import t from 'tap'
import { EEXIST, EIO, EROFS, errnoName } from '../../src/base/errno.js'
import { RkfsError } from '../../src/base/errors.js'
import { KiB } from '../../src/base/limits.js'
import type { Entry, OpenFile } from '../../src/channel/mount-port.js'
import { O_APPEND } from '../../src/channel/open-files.js'
import type { Operation } from '../../src/fs/operation.js'
import { rootInode } from '../../src/fs/records.js'
import type { StateStore } from '../../src/fs/store-port.js'
import { intercept } from '../sim/intercept.js'
import { Cluster, make, type Member, type Three } from './support/cluster.js'
import { Mount } from './support/mount.js'

const unlink = (name: string): Operation => ({ kind: 'unlink', parent: rootInode, name })
const clone = (source: number, ino: number, offset = 0): Operation => ({
  kind: 'clone',
  source,
  sourceOffset: 0,
  ino,
  offset,
  length: 6,
})

/** The member that leads instead. */
function successor(cluster: Cluster, leader: Member, others: readonly Member[]): Member {
  cluster.until('another leader', () => !leader.leads && others.some(one => one.leads))
  return others.find(one => one.leads)!
}

/** The leader hears the others, and not they it, from the moment on that it has ordered `change`. */
function hideOn(cluster: Cluster, [leader, ...others]: Three, change: () => unknown, ms = 300): void {
  const before = leader.channel.lastIndex
  change()
  while (leader.channel.lastIndex === before) cluster.advance(1)
  for (const { id } of others) cluster.network.mute(leader.id, id, ms)
}

function again(cluster: Cluster, leader: Member): void {
  cluster.network.isolate(leader.id)
  cluster.network.connectAll()
}

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
  const removed = remover.change(unlink('x'))
  t.equal(cluster.answered(removed), 0)
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.equal(mount.lookup('y'), undefined)
  mount.check(t, 'the kernel has heard of it')
  t.end()
})

for (const when of ['is waited for', 'comes later', 'comes of a directory opened later'] as const) {
  void t.test(`a lost leader's rename comes to nothing: fsync of the directory tells; it ${when}`, t => {
    const cluster = new Cluster(3)
    const [leader, follower, other] = cluster.roles() as Three
    const mount = new Mount(cluster, leader)
    const opened = (): number => mount.call<OpenFile>(answer => mount.kernel.opendir(rootInode, answer)).value!.handle
    const sync = (directory: number): string =>
      errnoName(mount.call<void>(answer => mount.kernel.fsyncdir(rootInode, directory, answer)).errno)
    mount.create('x')
    cluster.settle()
    const before = when === 'comes of a directory opened later' ? [] : [opened(), opened()]
    cluster.network.isolate(leader.id)
    const renamed = mount.call<void>(answer => mount.kernel.rename([rootInode, 'x'], [rootInode, 'y'], 0, answer))
    t.equal(renamed.errno, 0)
    const waiting: string[] = []
    if (when === 'is waited for') {
      for (const directory of before) {
        mount.kernel.fsyncdir(rootInode, directory, errno => waiting.push(errnoName(errno)))
      }
    }
    t.equal(cluster.answered(successor(cluster, leader, [follower, other]).change(unlink('x'))), 0)
    t.same(waiting, [], 'nobody knows yet')
    cluster.network.connectAll()
    cluster.settle()
    t.equal(mount.lookup('y'), undefined)
    if (when === 'is waited for') t.same(waiting, ['EIO', 'EIO'])
    else if (when === 'comes later') t.same(before.map(sync), ['EIO', 'EIO'], 'each that was open tells')
    else t.equal(sync(opened()), 'EIO', 'the next one that is opened tells')
    t.same(
      [...before, opened()].map(sync),
      [...before, 0].map(() => 'errno 0'),
      'once',
    )
    t.end()
  })
}

void t.test('read=latest: who is told of a change of names is told what a majority has', t => {
  const cluster = new Cluster(3, 1, { mountOptions: { latest: true } })
  const [leader, follower, other] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  cluster.settle()
  cluster.network.isolate(leader.id)
  const answers: string[] = []
  for (const program of ['first', 'second']) {
    mount.kernel.symlink(rootInode, 'x', program, errno => answers.push(`${program} ${errnoName(errno)}`))
  }
  const next = successor(cluster, leader, [follower, other])
  const { ino, answer } = next.create('x')
  t.equal(cluster.answered(answer), 0)
  t.same(answers, [], 'neither of success nor of refusal')
  cluster.network.connectAll()
  cluster.settle()
  t.same(answers, ['first EEXIST', 'second EEXIST'])
  t.equal(mount.lookup('x'), ino)
  mount.check(t, 'the kernel has heard of it')
  t.end()
})

void t.test('read=latest: a refusal that rests on what no majority has can be given up', t => {
  const cluster = new Cluster(3, 1, { mountOptions: { latest: true } })
  const [leader] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  cluster.settle()
  cluster.network.isolate(leader.id)
  const answers: string[] = []
  const answer = (errno: number): void => void answers.push(errnoName(errno))
  mount.kernel.symlink(rootInode, 'x', 'to', answer)
  mount.kernel.removexattr(rootInode, 'user.none', answer)
  cluster.advance(20)
  t.same(answers, [])
  mount.kernel.signal(below => below - 1)
  t.same(answers, ['EINTR'])
  cluster.network.connectAll()
  cluster.settle()
  t.same(answers, ['EINTR', errnoName(0)])
  t.end()
})

void t.test(
  'linkat(2) of an O_TMPFILE that was given up gives the name after all: what is written then is written to it',
  t => {
    for (const isWrittenMeanwhile of [false, true]) {
      const cluster = new Cluster(3)
      const [leader, follower] = cluster.roles() as Three
      const mount = new Mount(cluster, follower)
      cluster.settle()
      const { entry, file } = mount.call<{ entry: Entry; file: OpenFile }>(answer =>
        mount.kernel.tmpfile(rootInode, answer),
      ).value!
      const { ino } = entry.attributes
      const write = (text: string): string =>
        errnoName(mount.call<number>(a => mount.kernel.write(ino, file.handle, 0, Buffer.from(text), 2, a)).errno)
      write('before')
      const answers: string[] = []
      mount.kernel.link(ino, rootInode, 'x', errno => answers.push(errnoName(errno)))
      cluster.until('it is committed', () => leader.lookup('x') !== undefined)
      mount.kernel.signal(() => 0)
      t.same(answers, ['EINTR'])
      if (isWrittenMeanwhile) write('between')
      cluster.settle()
      t.equal(mount.lookup('x'), ino)
      t.equal(write('after'), isWrittenMeanwhile ? 'EIO' : errnoName(0), 'what came between has no place in the order')
      if (isWrittenMeanwhile) t.equal(write('after'), errnoName(0))
      cluster.settle()
      t.equal(leader.content(ino), 'aftere')
    }
    t.end()
  },
)

void t.test('linkat(2) of an O_TMPFILE that was given up: the kernel learns that the file has a name', t => {
  const cluster = new Cluster(3, 1, { mountOptions: { sync: 'always' } })
  const [leader] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  cluster.settle()
  const { entry } = mount.call<{ entry: Entry; file: OpenFile }>(answer =>
    mount.kernel.tmpfile(rootInode, answer),
  ).value!
  const { ino } = entry.attributes
  const answers: string[] = []
  mount.kernel.link(ino, rootInode, 'x', errno => answers.push(errnoName(errno)))
  cluster.until('it is ordered', () => leader.lookup('x') !== undefined)
  mount.kernel.signal(() => 0)
  t.same(answers, ['EINTR'])
  // a program asks as soon as the kernel has forgotten
  let last = 0
  const ask = (): void => mount.kernel.getattr(ino, (_errno, found) => (last = found!.attributes.nlink))
  leader.frontend.mounted = intercept(leader.frontend.mounted!, {
    invalidate: items => {
      mount.kernel.invalidate(items)
      ask()
    },
  })
  cluster.settle()
  t.equal(last, 1)
  mount.check(t, 'the kernel has nothing old')
  t.end()
})

void t.test('a change that was given up and refused: no directory tells, since nobody was told that it is done', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const mount = new Mount(cluster, follower)
  const directory = mount.call<OpenFile>(answer => mount.kernel.opendir(rootInode, answer)).value!.handle
  cluster.settle()
  const theirs = leader.create('x')
  const answers: string[] = []
  mount.kernel.symlink(rootInode, 'x', 'to', errno => answers.push(errnoName(errno)))
  // it is sent
  cluster.advance(1)
  mount.kernel.signal(() => 0)
  t.same(answers, ['EINTR'])
  t.equal(cluster.answered(theirs.answer), 0)
  cluster.settle()
  const synced = mount.call<void>(answer => mount.kernel.fsyncdir(rootInode, directory, answer))
  t.equal(errnoName(synced.errno), errnoName(0))
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
  t.equal(leader.lookup('x'), undefined)
  again(cluster, leader)
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

for (const linked of [false, true]) {
  void t.test(`a lost leader's rename moves another file${linked ? ', its own has another name' : ''}`, t => {
    const cluster = new Cluster(3)
    const [leader, follower, other] = cluster.roles() as Three
    const mount = new Mount(cluster, leader)
    const { ino } = mount.create('a')
    if (linked) mount.call<unknown>(answer => mount.kernel.link(ino, rootInode, 'c', answer))
    cluster.settle()
    cluster.network.isolate(leader.id)
    mount.call<void>(answer => mount.kernel.rename([rootInode, 'a'], [rootInode, 'b'], 0, answer))
    t.equal(mount.lookup('b'), ino)
    mount.call<unknown>(answer => mount.kernel.getattr(ino, answer))
    const next = successor(cluster, leader, [follower, other])
    const removed = next.change(unlink('a'))
    const { ino: second, answer } = next.create('a')
    t.equal(cluster.answered(removed), 0)
    t.equal(cluster.answered(answer), 0)
    cluster.network.connectAll()
    cluster.settle()
    t.equal(leader.lookup('b'), second)
    mount.check(t, 'the kernel has heard of it')
    t.end()
  })
}

void t.test("a lost leader's clone is of what another member wrote first", t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  const source = mount.create('source')
  const target = mount.create('target')
  mount.call<number>(answer => mount.kernel.write(source.ino, source.handle, 0, Buffer.from('before'), 2, answer))
  cluster.settle()
  cluster.network.isolate(leader.id)
  t.equal(cluster.answered(leader.change(clone(source.ino, target.ino))), 0)
  mount.call<Uint8Array>(answer => mount.kernel.read(target.ino, target.handle, 100, answer))
  const next = successor(cluster, leader, [follower, other])
  t.equal(cluster.answered(next.write(source.ino, 0, 'after.')), 0)
  cluster.network.connectAll()
  cluster.settle()
  t.equal(leader.content(target.ino), 'after.')
  mount.check(t, 'the kernel has heard of it')
  t.end()
})

void t.test('what waited for others is shown below what was made after it', t => {
  const cluster = new Cluster(3)
  const members = cluster.roles() as Three
  const [leader, follower] = members
  const mount = new Mount(cluster, leader)
  const files = ['source', 'cut', 'target', 'other', 'log'].map(name => mount.create(name))
  const [source, cut, target, other, log] = files
  for (const { ino } of [source!, cut!]) leader.write(ino, 0, 'source')
  cluster.settle()
  hideOn(cluster, members, () => follower.create('x'), 40)
  const answers = [
    leader.change(clone(source!.ino, target!.ino)),
    leader.change(clone(cut!.ino, other!.ino)),
    leader.change(clone(source!.ino, log!.ino, 8192)),
  ]
  const written = leader.write(target!.ino, 0, 'OWN')
  const emptied = leader.change({ kind: 'setattr', ino: cut!.ino, size: 0, killPrivileges: false })
  const appended = leader.append(log!.ino, 'mine')
  for (const answer of [written, emptied, appended]) t.equal(cluster.answered(answer), 0)
  t.same(
    answers.map(({ errno }) => errno),
    [undefined, undefined, undefined],
  )
  t.equal(leader.content(log!.ino), 'mine')
  mount.call<Uint8Array>(answer => mount.kernel.read(log!.ino, log!.handle, 100, answer))
  for (const answer of answers) t.equal(cluster.answered(answer), 0)
  t.equal(leader.content(target!.ino), 'OWNrce', 'the program was told that its write is done')
  t.equal(leader.content(log!.ino)!.length, 8202)
  mount.check(t, 'the kernel has heard of it')
  again(cluster, leader)
  cluster.settle()
  t.equal(leader.content(other!.ino), 'source')
  mount.check(t, 'nothing else came of it')
  cluster.checkDigests()
  t.end()
})

void t.test('what a kernel was shown is not told of again because it is applied beside what was hidden', t => {
  const cluster = new Cluster(3)
  const members = cluster.roles() as Three
  const [leader, ...others] = members
  const mount = new Mount(cluster, leader)
  const { ino } = mount.create('f')
  cluster.settle()
  for (const { id } of others) cluster.network.mute(leader.id, id, 150)
  const set = mount.call<void>(answer => mount.kernel.setxattr(ino, 'user.x', Buffer.from('value'), answer))
  t.equal(set.errno, 0, 'shown at once')
  const before = leader.channel.lastIndex
  const made = others[0]!.create('g')
  while (leader.channel.lastIndex === before) cluster.advance(1)
  for (const directory of [rootInode, ino]) {
    mount.call<unknown>(answer => mount.kernel.getattr(directory, answer))
    t.ok(mount.kernel.attributes.has(directory))
  }
  again(cluster, leader)
  t.equal(cluster.answered(made.answer), 0)
  cluster.settle()
  t.ok(leader.leads, 'it was not deposed')
  t.ok(leader.channel.appliedIndex > before)
  t.equal(mount.kernel.attributes.has(ino), true, 'a GETATTR under way is not overtaken')
  t.equal(mount.kernel.attributes.has(rootInode), false, 'what the other member changed is told')
  mount.check(t, 'the kernel has heard of it')
  t.end()
})

void t.test('content that was shown is told of again for what comes into sight under it, and for nothing else', t => {
  const cluster = new Cluster(3)
  const [leader, ...others] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  const [bystander, target, source] = ['bystander', 'target', 'source'].map(name => mount.create(name))
  mount.call<number>(answer => mount.kernel.write(source!.ino, source!.handle, 0, Buffer.from('source'), 2, answer))
  cluster.settle()
  const before = leader.channel.lastIndex
  others[0].create('hidden')
  while (leader.channel.lastIndex === before) cluster.advance(1)
  // it is on its way to the others; what follows is not
  cluster.advance(2)
  for (const { id } of others) cluster.network.mute(leader.id, id, 150)
  t.equal(leader.lookup('hidden'), undefined)
  const cloned = leader.change(clone(source!.ino, target!.ino))
  for (const { ino, handle } of [bystander!, target!]) {
    const write = mount.call<number>(answer => mount.kernel.write(ino, handle, 0, Buffer.from('OWN'), 2, answer))
    t.equal(write.errno, 0)
    mount.call<unknown>(answer => mount.kernel.getattr(ino, answer))
  }
  t.equal(cloned.errno, undefined, 'it waits for what is hidden')
  t.equal(cluster.answered(cloned), 0)
  t.equal(leader.channel.appliedIndex, before + 1, 'it came into sight before it was applied')
  again(cluster, leader)
  cluster.settle()
  t.equal(mount.kernel.attributes.has(bystander!.ino), true)
  t.equal(mount.kernel.attributes.has(target!.ino), false)
  t.equal(leader.content(target!.ino), 'OWNrce')
  mount.check(t, 'the kernel has heard of it')
  t.end()
})

void t.test('an open file that another member removes is changed as a file without a name', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const mount = new Mount(cluster, leader)
  const { ino, handle } = mount.create('f')
  cluster.settle()
  const before = leader.channel.lastIndex
  follower.change(unlink('f'))
  while (leader.channel.lastIndex === before) cluster.advance(1)
  const answers: [string, number][] = []
  mount.kernel.write(ino, handle, 0, Buffer.from('text'), 2, errno => answers.push(['write', errno]))
  mount.kernel.truncate(ino, 5, handle, errno => answers.push(['ftruncate', errno]))
  mount.kernel.fallocate(ino, handle, 0, 0, 10, errno => answers.push(['fallocate', errno]))
  mount.kernel.chmod(ino, 0o600, errno => answers.push(['fchmod', errno]))
  cluster.advance(100)
  const expected = ['write', 'ftruncate', 'fallocate', 'fchmod'].map(call => [call, 0])
  t.same(answers.sort(), expected.sort())
  t.end()
})

void t.test('a refusal for the sake of what is never committed says that nothing was done', t => {
  const cluster = new Cluster(3)
  const members = cluster.roles() as Three
  const [leader, follower] = members
  cluster.settle()
  hideOn(cluster, members, () => follower.create('x'), 100_000)
  for (const { id } of members.slice(1)) cluster.network.mute(id, leader.id, 100_000)
  const refused = leader.change(make(rootInode, 'x', leader.nextInode(), 0o100644), undefined, { timeoutMs: 3000 })
  t.equal(errnoName(cluster.answered(refused)), errnoName(EROFS))
  t.equal(leader.lookup('x'), undefined)
  t.end()
})

void t.test('a log that cannot be written: who waits is answered', t => {
  const cluster = new Cluster(1)
  const leader = cluster.leader()
  const { ino, answer } = leader.create('f')
  cluster.answered(answer)
  cluster.settle()
  leader.log.commit = () => {
    throw new RkfsError('corrupt', 'the log is broken')
  }
  const written = leader.write(ino, 0, 'text')
  cluster.until('the end', () => leader.channel.failure !== undefined)
  t.equal(errnoName(written.errno!), errnoName(EIO))
  t.equal(errnoName(cluster.answered(leader.durable(1000))), errnoName(EIO))
  t.end()
})

void t.test('a state that cannot be read when a change that waited is accepted', t => {
  let isBroken = false
  const cluster = new Cluster(3, 1, {
    hooks: {
      ports: (_, plain) => ({
        ...plain,
        state: intercept(plain.state, {
          get: (...args: Parameters<StateStore['get']>) => {
            if (isBroken) throw new RkfsError('corrupt', 'the state is broken')
            return plain.state.get(...args)
          },
        }),
      }),
    },
  })
  const [, follower] = cluster.roles() as Three
  cluster.settle()
  cluster.network.isolate(follower.id)
  cluster.advance(20)
  const waiting = follower.write(999_999, 0, 'x')
  t.equal(waiting.errno, undefined)
  isBroken = true
  cluster.network.connectAll()
  cluster.until('the end', () => follower.channel.failure !== undefined)
  t.equal(errnoName(waiting.errno!), errnoName(EIO))
  t.end()
})

void t.test('programs whose changes were never sent give up together, not one after the other', t => {
  const cluster = new Cluster(3)
  const [leader, follower, third] = cluster.roles() as Three
  const { ino, answer } = follower.create('file')
  cluster.answered(answer)
  // the window grows with what gets through
  for (let at = 0; at < 160; at++) cluster.answered(follower.write(ino, at * 256 * KiB, 'x'.repeat(256 * KiB)))
  cluster.settle()
  for (const member of [leader, third]) member.freeze()
  for (let at = 0; at < 90; at++) follower.write(ino, at * 256 * KiB, 'y'.repeat(256 * KiB))
  const answers = Array.from({ length: 8 }, (_, i) => follower.create(`new-${i}`).answer)
  cluster.advance(10)
  for (const member of [leader, third]) member.stop()
  cluster.advance(40_000)
  t.same(
    answers.map(({ errno }) => errnoName(errno ?? 0)),
    answers.map(() => 'EROFS'),
  )
  t.end()
})
