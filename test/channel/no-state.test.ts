/** A member that cannot show all that there is shows nothing: calls of its mounts fail. */
import t from 'tap'
import { EIO } from '../../src/base/errno.js'
import { withMember } from '../../src/channel/descriptor.js'
import type { DirectoryItem, OpenFile } from '../../src/channel/mount-port.js'
import { rootInode } from '../../src/fs/records.js'
import { ok } from './support/answers.js'
import { call, caller } from './support/calls.js'
import { Cluster, type Member, type Three } from './support/cluster.js'

/** What a program lists in the root by an open directory, or the errno. */
function list(cluster: Cluster, { frontend }: Member, handle?: number): string[] | number {
  const opened = handle ?? call<OpenFile>(cluster, reply => frontend.opendir(caller, rootInode, 0, reply))
  if (typeof opened !== 'number' && opened.value === undefined) return opened.errno!
  const names: string[] = []
  const add = ({ name }: DirectoryItem): boolean => names.push(name) > 0
  const open = typeof opened === 'number' ? opened : opened.value!.handle
  const { errno } = call<void>(cluster, reply => frontend.readdir(caller, rootInode, open, 0n, false, add, reply))
  return errno ?? names.filter(name => !name.startsWith('.'))
}

/** The errnos of calls that look at what is there; undefined for those that succeed. */
function looks(cluster: Cluster, { frontend }: Member, ino: number): (number | undefined)[] {
  return [
    call(cluster, reply => frontend.getattr(caller, rootInode, reply)).errno,
    call(cluster, reply => frontend.lookup(caller, rootInode, 'nothing', reply)).errno,
    call(cluster, reply => frontend.open(caller, ino, 0, false, reply)).errno,
    call(cluster, reply => frontend.listxattr(caller, ino, reply)).errno,
    call(cluster, reply => frontend.mkdir(caller, rootInode, 'new', 0o755, reply)).errno,
  ]
}

void t.test('a newcomer, until it has caught up', t => {
  const cluster = new Cluster(3, 9)
  const [leader] = cluster.roles() as Three
  const { ino, answer } = leader.create('file')
  ok(t, cluster, answer, leader.write(ino, 0, 'content', { durable: true }))
  cluster.settle()
  const owner = cluster.members[0]!
  const newcomer = cluster.newcomer()
  t.ok(newcomer.channel.stateMissing)
  const wanted = { id: newcomer.id, name: 'new', address: '', role: 'voter', certificate: '' } as const
  // it gets its files later
  const fetched: (() => void)[] = []
  const { onSnapshotNeeded } = cluster
  cluster.onSnapshotNeeded = (...args) => void fetched.push(() => onSnapshotNeeded?.(...args))
  owner.channel.changeMembers(withMember(owner.channel.descriptor, wanted), 20_000, () => {})
  cluster.until('it asks for the files', () => fetched.length > 0)
  t.equal(list(cluster, newcomer), EIO)
  t.same(looks(cluster, newcomer, ino), [EIO, EIO, EIO, EIO, EIO])
  fetched.at(-1)!()
  cluster.onSnapshotNeeded = onSnapshotNeeded
  cluster.until('it has a state', () => !newcomer.channel.stateMissing)
  if (!newcomer.channel.usable) t.equal(list(cluster, newcomer), EIO, 'a learner is behind still')
  cluster.until('it has caught up', () => newcomer.channel.usable)
  t.ok(leader.channel.configuration.voters.includes(newcomer.id))
  t.same(list(cluster, newcomer), ['file'])
  t.same(looks(cluster, newcomer, ino), [undefined, undefined, undefined, undefined, undefined])
  t.end()
})

void t.test('a member that is put back among the learners, with its mount and an open directory', t => {
  const cluster = new Cluster(3, 4)
  cluster.roles()
  const owner = cluster.members[0]!
  const member = cluster.members[2]!
  const { ino, answer } = cluster.leader().create('file')
  ok(t, cluster, answer)
  cluster.settle()
  const handle = call<OpenFile>(cluster, reply => member.frontend.opendir(caller, rootInode, 0, reply)).value!.handle
  t.same(list(cluster, member, handle), ['file'])
  const { descriptor } = owner.channel
  const members = descriptor.members.map(each =>
    each.id === member.id ? { ...each, state: 'learner' as const } : each,
  )
  let errno: number | undefined
  owner.channel.changeMembers(
    { ...descriptor, version: descriptor.version + 1, members },
    20_000,
    code => (errno = code),
  )
  cluster.until('it is a learner', () => !member.channel.usable)
  t.equal(list(cluster, member, handle), EIO)
  t.same(looks(cluster, member, ino), [EIO, EIO, EIO, EIO, EIO])
  cluster.until('it is a voter again', () => member.channel.usable)
  t.equal(errno, 0)
  t.same(list(cluster, member, handle), ['file'])
  t.end()
})

void t.test('a state that is lost', t => {
  const cluster = new Cluster(3, 1, { retention: { margin: 1, entriesMax: 5 } })
  const [leader, bare] = cluster.roles() as Three
  const { ino } = leader.create('file')
  for (let i = 0; i < 20; i++) leader.mkdir(`d${i}`)
  cluster.settle()
  cluster.until('compaction', () => bare.log.anchor.index > 1)
  bare.stop()
  bare.loseState()
  bare.start()
  cluster.network.connectAll()
  t.equal(list(cluster, bare), EIO)
  t.same(looks(cluster, bare, ino), [EIO, EIO, EIO, EIO, EIO])
  cluster.provideSnapshots()
  cluster.until('it serves', () => bare.channel.usable)
  t.equal((list(cluster, bare) as string[]).length, 21)
  t.end()
})
