import t from 'tap'
import {
  EEXIST,
  EIO,
  ENAMETOOLONG,
  ENODATA,
  ENOENT,
  ENXIO,
  EOPNOTSUPP,
  ESTALE,
  errnoName,
} from '../../src/base/errno.js'
import { chunkBytes, readableGhostBytesMax } from '../../src/base/limits.js'
import { accessDelayMs } from '../../src/channel/access-times.js'
import type {
  AttributeChange,
  Attributes,
  DirectoryItem,
  Entry,
  OpenFile,
  Reply,
} from '../../src/channel/mount-port.js'
import { nowhere } from '../../src/fs/operation.js'
import { S_IFREG } from '../../src/fs/records.js'
import { call, caller, Program, type Result } from './support/calls.js'
import { Cluster, type Member, type Three } from './support/cluster.js'

/** The calls of one mount, as a test writes them. */
class Calls {
  readonly program: Program
  readonly #cluster: Cluster
  readonly #member: Member

  constructor(cluster: Cluster, member: Member) {
    this.#cluster = cluster
    this.#member = member
    this.program = new Program(cluster, member)
  }

  call<T>(make: (frontend: Member['frontend'], reply: Reply<T>) => void): Result<T> {
    return call<T>(this.#cluster, reply => make(this.#member.frontend, reply))
  }

  stat(ino: number): Attributes {
    return this.call<{ attributes: Attributes }>((f, reply) => f.getattr(caller, ino, reply)).value!.attributes
  }
  set(ino: number, change: Partial<AttributeChange>): number | undefined {
    const whole = { killPrivileges: false, ...change }
    return this.call<{ attributes: Attributes }>((f, reply) => f.setattr(caller, ino, whole, reply)).errno
  }
  copy(from: number, to: number, offset: number, length: number, target: number): Result<number> {
    const end = (ino: number, at: number) => ({ ino, handle: 0, offset: at })
    return this.call<number>((f, reply) => f.copyFileRange(caller, end(from, offset), end(to, target), length, reply))
  }
  tmpfile(): { ino: number; handle: number } {
    const made = this.call<{ entry: Entry; file: OpenFile }>((f, reply) =>
      f.tmpfile({ ...caller, umask: 0o027 }, 1, 0o100666, 0o20200002, reply),
    ).value!
    return { ino: made.entry.attributes.ino, handle: made.file.handle }
  }
  link(ino: number, name: string): Result<Entry> {
    return this.call<Entry>((f, reply) => f.link(caller, ino, 1, name, reply))
  }
  seek(ino: number, offset: number, whence: number): Result<number> {
    return this.call<number>((f, reply) => f.lseek(caller, ino, 0, offset, whence, reply))
  }
  allocate(ino: number, mode: number, offset: number, length: number): number | undefined {
    return this.call<void>((f, reply) => f.fallocate(caller, ino, 0, mode, offset, length, reply)).errno
  }
  setxattr(ino: number, name: string, value: string): number | undefined {
    return this.call<void>((f, reply) => f.setxattr(caller, ino, name, Buffer.from(value), 0, reply)).errno
  }
  getxattr(ino: number, name: string): string {
    const { value, errno } = this.call<Uint8Array>((f, reply) => f.getxattr(caller, ino, name, reply))
    return errno === undefined ? Buffer.from(value!).toString() : errnoName(errno)
  }
  opendir(ino: number): number {
    return this.call<OpenFile>((f, reply) => f.opendir(caller, ino, 0, reply)).value!.handle
  }
  /** At most `count` items after an offset. */
  readdir(ino: number, handle: number, offset: bigint, count: number, plus = false): DirectoryItem[] {
    const items: DirectoryItem[] = []
    this.call<void>((f, reply) =>
      f.readdir(caller, ino, handle, offset, plus, item => items.length < count && items.push(item) > 0, reply),
    )
    return items
  }
}

void t.test('copy_file_range(2) shares content on every member, also what is still on its way', t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const text = 'abcdefgh'.repeat(20_000)
  for (const member of [leader, follower]) {
    const calls = new Calls(cluster, member)
    const { program } = calls
    const a = program.create(`a${member.slot}`)
    const b = program.create(`b${member.slot}`)
    program.write(a.ino, a.handle, 3, text)
    // nothing of it is committed yet
    t.equal(calls.copy(a.ino, b.ino, 3, 1e9, 70_001).value, text.length, 'as much as there is')
    program.write(a.ino, a.handle, 3, 'X'.repeat(text.length))
    t.equal(program.read(b.ino, b.handle), '\0'.repeat(70_001) + text)
    t.equal(program.close(b.ino, b.handle), 0)
    cluster.settle()
    cluster.checkDigests()
    t.equal(other.content(b.ino), '\0'.repeat(70_001) + text)
    program.unlink(`a${member.slot}`)
    t.equal(calls.copy(a.ino, b.ino, 0, 5, 0).errno, EOPNOTSUPP, 'with a file that lost its name the kernel copies')
    t.equal(calls.copy(b.ino, b.ino, 1e6, 5, 0).value, 0, 'beyond the end there is nothing')
    cluster.settle()
    t.equal(other.content(b.ino), '\0'.repeat(70_001) + text, "the source's blobs stay as long as the copy needs them")
  }
  const calls = new Calls(cluster, follower)
  const small = calls.program.create('small')
  calls.program.write(small.ino, small.handle, 0, 'text')
  t.equal(calls.copy(small.ino, small.ino, 0, 2, 100).errno, EOPNOTSUPP, 'a few bytes do not wait for the order')
  t.end()
})

void t.test('a copy that was answered and then refused is told at the close', t => {
  const cluster = new Cluster(3)
  const [leader, second, third] = cluster.roles() as Three
  const calls = new Calls(cluster, leader)
  const a = calls.program.create('a')
  calls.program.write(a.ino, a.handle, 0, 'content')
  const b = calls.program.create('b')
  cluster.settle()
  cluster.network.isolate(leader.id, 0)
  const end = { ino: b.ino, handle: b.handle, offset: 0 }
  const copied = calls.call<number>((f, reply) =>
    f.copyFileRange(caller, { ino: a.ino, handle: a.handle, offset: 0 }, end, 100, reply),
  )
  t.equal(copied.value, 7)
  cluster.until('another leader', () => second.leads || third.leads)
  const next = second.leads ? second : third
  t.equal(new Calls(cluster, next).set(a.ino, { size: 3 }), undefined)
  cluster.network.connectAll()
  cluster.settle()
  t.equal(calls.program.flush(b.ino, b.handle), EIO)
  t.equal(next.content(b.ino), '')
  cluster.checkDigests()
  t.end()
})

void t.test('O_TMPFILE: nobody sees the file before linkat(2), and then all of it', t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  for (const member of [leader, follower]) {
    const calls = new Calls(cluster, member)
    const { program } = calls
    const before = member.channel.lastSequence
    const { ino, handle } = calls.tmpfile()
    program.write(ino, handle, 5, 'hidden')
    program.write(ino, handle, 3 * chunkBytes, 'far')
    t.equal(calls.setxattr(ino, 'user.a', 'one'), undefined)
    t.equal(calls.allocate(ino, 1, 0, 4 * chunkBytes), undefined)
    calls.set(ino, { mtime: 5n, atime: 6n })
    t.equal(member.channel.lastSequence, before, 'nothing of it is logged')
    const { mode, nlink, blocks } = calls.stat(ino)
    t.same([mode, nlink, blocks], [S_IFREG | 0o640, 0, (4 * chunkBytes) / 512])
    program.create(`taken${member.slot}`)
    t.equal(calls.link(ino, `taken${member.slot}`).errno, EEXIST)
    const linked = calls.link(ino, `name${member.slot}`).value!.attributes
    t.same([linked.ino, linked.nlink, linked.mtime, linked.atime, linked.blocks], [ino, 1, 5n, 6n, blocks])
    t.equal(other.lookup(`name${member.slot}`) ?? ino, ino)
    t.equal(calls.getxattr(ino, 'user.a'), 'one')
    program.write(ino, handle, 0, 'now ')
    t.equal(program.close(ino, handle), 0)
    cluster.settle()
    cluster.checkDigests()
    t.equal(other.content(ino)!.slice(0, 11), 'now \0hidden')
    t.equal(other.content(ino)!.length, 3 * chunkBytes + 3)
    t.same(other.names(nowhere), [], 'nothing is left on the way')
    const second = calls.tmpfile()
    program.close(second.ino, second.handle)
    t.equal(calls.link(second.ino, 'late').errno, ENOENT, 'it is gone with its last close')
  }
  t.end()
})

void t.test('a file that lost its name is a file: truncate, fallocate, lseek, chmod, chown, xattrs', t => {
  const cluster = new Cluster(3)
  const [leader] = cluster.roles() as Three
  const calls = new Calls(cluster, leader)
  const { program } = calls
  const { ino, handle } = program.create('f')
  program.write(ino, handle, 0, 'x'.repeat(100))
  calls.setxattr(ino, 'user.a', 'one')
  program.unlink('f')
  const { lastIndex } = leader.channel
  t.equal(calls.getxattr(ino, 'user.a'), 'one')
  t.equal(calls.setxattr(ino, 'user.b', 'two'), undefined)
  t.equal(calls.call<void>((f, reply) => f.removexattr(caller, ino, 'user.a', reply)).errno, undefined)
  t.equal(calls.getxattr(ino, 'user.a'), errnoName(ENODATA))
  t.same(calls.call<readonly string[]>((f, reply) => f.listxattr(caller, ino, reply)).value, ['user.b'])
  calls.set(ino, { mode: 0o106755 })
  calls.set(ino, { uid: 5 })
  t.same([calls.stat(ino).mode, calls.stat(ino).uid], [S_IFREG | 0o755, 5], 'chown(2) takes the set-uid bit')
  calls.set(ino, { size: 3 * chunkBytes })
  t.equal(calls.seek(ino, 0, 4).value, 100)
  t.equal(calls.seek(ino, 200, 3).errno, ENXIO)
  t.equal(calls.allocate(ino, 8, 0, 10), EOPNOTSUPP)
  t.equal(calls.allocate(ino, 3, 10, 80), undefined)
  t.equal(program.read(ino, handle).slice(0, 100), 'x'.repeat(10) + '\0'.repeat(80) + 'x'.repeat(10))
  program.write(ino, handle, 2 * chunkBytes, 'tail')
  t.equal(calls.seek(ino, 200, 3).value, 2 * chunkBytes)
  calls.set(ino, { size: 5 })
  t.equal(program.read(ino, handle), 'xxxxx')
  t.equal(calls.stat(ino).nlink, 0)
  t.equal(calls.link(ino, 'again').errno, ENOENT)
  t.equal(leader.channel.lastIndex, lastIndex, 'nothing of it is logged')
  t.end()
})

void t.test('an open file keeps its content when the entries that made it are cut from the log', t => {
  const cluster = new Cluster(3)
  const [leader, second, third] = cluster.roles() as Three
  const { program } = new Calls(cluster, leader)
  cluster.network.isolate(leader.id, 0)
  const { ino, handle } = program.create('f')
  program.write(ino, handle, 0, 'its own content')
  t.equal(program.unlink('f'), 0, 'it leads still, and orders')
  t.equal(program.read(ino, handle), 'its own content')
  cluster.until('another leader', () => second.leads || third.leads)
  const next = second.leads ? second : third
  const other = new Calls(cluster, next).program
  // entries with the same numbers, and so blobs with the same numbers, of another file
  for (let i = 0; i < 8; i++) {
    const made = other.create(`other${i}`)
    other.write(made.ino, made.handle, 0, 'something else altogether')
  }
  cluster.network.connectAll()
  for (let i = 0; i < 200; i++) {
    cluster.advance(10)
    t.equal(program.read(ino, handle), 'its own content')
  }
  cluster.settle()
  cluster.checkDigests()
  t.equal(program.read(ino, handle), 'its own content')
  t.equal(program.links(ino), 0)
  t.end()
})

void t.test('a file that loses its name between lookup and open is opened with its content, or looked up again', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const program = new Program(cluster, follower)
  const [small, large] = [leader.create('small'), leader.create('large')]
  cluster.answered(leader.write(small.ino, 0, 'its content'))
  for (let at = 0; at < readableGhostBytesMax * 2; at += chunkBytes) {
    cluster.answered(leader.write(large.ino, at, 'x'.repeat(chunkBytes)))
  }
  cluster.settle()
  for (const name of ['small', 'large']) t.equal(program.unlink(name), 0)
  cluster.settle()
  const handle = program.open(small.ino)
  t.equal(program.read(small.ino, handle), 'its content')
  program.write(small.ino, handle, 4, 'CON')
  t.equal(program.read(small.ino, handle), 'its CONtent')
  t.equal(program.close(small.ino, handle), 0)
  const refused = call<OpenFile>(cluster, reply => follower.frontend.open(caller, large.ino, 2, false, reply))
  t.equal(refused.errno, ESTALE)
  t.equal(follower.channel.pinned.size, 0, 'nothing stays pinned')
  t.end()
})

void t.test('a removed directory that a program is in still has attributes, and no names', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const calls = new Calls(cluster, follower)
  const { ino, answer } = leader.mkdir('d')
  cluster.answered(answer)
  cluster.settle()
  const handle = calls.opendir(ino)
  t.equal(calls.readdir(ino, handle, 0n, 10).length, 2)
  cluster.answered(leader.change({ kind: 'rmdir', parent: 1, name: 'd' }))
  cluster.settle()
  t.equal(calls.stat(ino).nlink, 0)
  t.same(calls.readdir(ino, handle, 0n, 10), [])
  follower.frontend.forget([{ ino }])
  t.equal(calls.call((f, reply) => f.getattr(caller, ino, reply as never)).errno, ESTALE)
  t.end()
})

void t.test('a listing goes on where it was, whatever comes and goes', t => {
  const cluster = new Cluster(1)
  const leader = cluster.leader()
  const calls = new Calls(cluster, leader)
  for (let i = 0; i < 5000; i++) leader.create(`f${String(i).padStart(4, '0')}`)
  cluster.settle()
  const handle = calls.opendir(1)
  const first = calls.readdir(1, handle, 0n, 10)
  t.equal(first.at(-1)!.name, 'f0007')
  for (const name of ['f0003', 'f0007', 'f0008', 'f4000']) {
    cluster.answered(leader.change({ kind: 'unlink', parent: 1, name }))
  }
  cluster.answered(leader.create('a-new-one').answer)
  cluster.answered(leader.create('z-new-one').answer)
  const names: string[] = []
  let offset = first.at(-1)!.offset
  for (;;) {
    const items = calls.readdir(1, handle, offset, 700)
    if (items.length === 0) break
    names.push(...items.map(({ name }) => name))
    offset = items.at(-1)!.offset
  }
  t.equal(new Set(names).size, names.length, 'none twice')
  t.equal(names.filter(name => name > 'f0008' && name < 'g').length, 5000 - 10 + (names.includes('f4000') ? 1 : 0))
  t.equal(calls.readdir(1, handle, first[4]!.offset, 1)[0]!.name, first[5]!.name, 'seekdir(3)')
  t.equal(calls.readdir(1, handle, 0n, 3)[2]!.name, 'a-new-one', 'rewinddir(3) begins anew')
  t.end()
})

void t.test('a listing that goes on says of no name what was so when it began', t => {
  const cluster = new Cluster(1)
  const leader = cluster.leader()
  const calls = new Calls(cluster, leader)
  const made = new Map(['first', 'new', 'replaced', 'stays'].map(name => [name, leader.create(name).ino]))
  cluster.settle()
  const handle = calls.opendir(1)
  const first = calls.readdir(1, handle, 0n, 3, true)
  t.match(first[2], { name: 'first', entry: { attributes: { ino: made.get('first') } } })
  const change = { kind: 'rename', parent: 1, name: 'new', newParent: 1, newName: 'replaced', flags: 0 } as const
  cluster.answered(leader.change(change))
  const newest = leader.create('new').ino
  const rest = calls.readdir(1, handle, first[2]!.offset, 10, true)
  t.same(
    rest.map(({ name, entry }) => [name, entry?.attributes.ino]),
    [
      ['new', undefined],
      ['replaced', undefined],
      ['stays', made.get('stays')],
    ],
  )
  const again = calls.readdir(1, handle, 0n, 10, true)
  t.same(
    again.slice(2).map(({ entry }) => entry?.attributes.ino),
    [made.get('first'), newest, made.get('new'), made.get('stays')],
    'rewinddir(3)',
  )
  t.end()
})

void t.test('access times: as relatime has them, at once here, in a batch there', t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const calls = new Calls(cluster, follower)
  const { program } = calls
  const made = program.create('f')
  program.write(made.ino, made.handle, 0, 'text')
  program.close(made.ino, made.handle)
  cluster.settle()
  cluster.advance(5000)
  const before = calls.stat(made.ino)
  const { lastIndex } = leader.channel
  const opened = calls.call<OpenFile>((f, reply) => f.open(caller, made.ino, 0, false, reply)).value!
  t.notOk(opened.keepCache, 'the first read is to be seen')
  t.equal(program.read(made.ino, opened.handle), 'text')
  const after = calls.stat(made.ino)
  t.ok(after.atime > before.atime, 'it shows here at once')
  t.same({ ...after, atime: 0n }, { ...before, atime: 0n }, 'and nothing else does')
  t.equal(leader.channel.lastIndex, lastIndex, 'nobody was told')
  cluster.advance(accessDelayMs + 500)
  cluster.settle()
  t.equal(new Calls(cluster, other).stat(made.ino).atime, after.atime)
  t.equal(leader.channel.lastIndex, lastIndex + 1)
  program.read(made.ino, opened.handle)
  const again = calls.call<OpenFile>((f, reply) => f.open(caller, made.ino, 0, false, reply)).value!
  t.ok(again.keepCache)
  cluster.advance(accessDelayMs * 3)
  cluster.settle()
  t.equal(leader.channel.lastIndex, lastIndex + 1, 'a second read changes nothing')
  cluster.checkDigests()
  t.end()
})

void t.test('access times: O_NOATIME leaves none, and reading needs no majority', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const calls = new Calls(cluster, follower)
  const { program } = calls
  const made = program.create('f')
  program.write(made.ino, made.handle, 0, 'text')
  program.close(made.ino, made.handle)
  cluster.settle()
  cluster.advance(100)
  const before = calls.stat(made.ino).atime
  program.read(made.ino, program.open(made.ino, 0o1000000))
  t.equal(calls.stat(made.ino).atime, before)
  cluster.network.isolate(follower.id, 100_000)
  cluster.advance(5000)
  const handle = program.open(made.ino, 0)
  for (let i = 0; i < 20; i++) {
    t.equal(program.read(made.ino, handle), 'text')
    cluster.advance(3000)
  }
  t.ok(follower.channel.pending.operations <= 1, 'one batch waits, not many')
  cluster.network.connectAll()
  cluster.settle()
  program.read(made.ino, handle)
  cluster.advance(accessDelayMs + 500)
  cluster.settle()
  t.ok(new Calls(cluster, leader).stat(made.ino).atime > before)
  cluster.checkDigests()
  t.end()
})

void t.test('names and namespaces (path_resolution(7), xattr(7))', t => {
  const cluster = new Cluster(1)
  const leader = cluster.leader()
  const calls = new Calls(cluster, leader)
  const lookup = (name: string) => calls.call<unknown>((f, reply) => f.lookup(caller, 1, name, reply as never)).errno
  t.equal(lookup('x'.repeat(255)), undefined)
  t.equal(lookup('x'.repeat(256)), ENAMETOOLONG)
  const { ino } = calls.program.create('f')
  for (const name of ['user.a', 'trusted.a', 'security.a']) t.equal(calls.setxattr(ino, name, 'v'), undefined, name)
  for (const name of ['a', 'nope.a', 'system.a', 'User.a']) t.equal(calls.setxattr(ino, name, 'v'), EOPNOTSUPP, name)
  t.equal(calls.getxattr(ino, 'system.posix_acl_access'), 'ENODATA')
  t.equal(calls.getxattr(ino, 'system.nfs4_acl'), 'EOPNOTSUPP')
  t.equal(calls.setxattr(ino, 'user.', 'v'), 22)
  const list = (uid: number) =>
    calls.call<readonly string[]>((f, reply) => f.listxattr({ ...caller, uid }, ino, reply)).value
  t.same(list(0), ['security.a', 'trusted.a', 'user.a'])
  t.same(list(7), ['security.a', 'user.a'], 'what is trusted is shown to root')
  t.end()
})
