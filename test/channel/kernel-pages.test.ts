import t from 'tap'
import { EIO } from '../../src/base/errno.js'
import type { Attributes, Entry, Invalidation, NegativeEntry, Reply } from '../../src/channel/mount-port.js'
import { rootInode } from '../../src/fs/records.js'
import { call, caller, Program, type Result } from './support/calls.js'
import { Cluster, type Member, type Three } from './support/cluster.js'
import { SlowKernel } from './support/slow-kernel.js'

type Shown = { attributes: Attributes; ttlMs: number }
const O_WRONLY = 1

interface Case {
  readonly cluster: Cluster
  readonly member: Member
  readonly other: Member
  readonly kernel: SlowKernel
  readonly ino: number
  readonly handle: number
  writeBack(offset: number, text: string): Result<number>
  read(member?: Member): string
}

/** A leader and a follower, each with a file of 12 bytes that its kernel has read. */
function* eachCase(flags = 2): Generator<Case> {
  const cluster = new Cluster(3)
  const [leader, follower, third] = cluster.roles() as Three
  for (const [member, other] of [
    [leader, follower],
    [follower, leader],
    [follower, third],
  ] as const) {
    const program = new Program(cluster, member)
    const { ino, handle: made } = program.create(`f${member.slot}-${other.slot}`)
    program.write(ino, made, 0, 'aaaaaaaaaaaa')
    program.close(ino, made)
    cluster.settle()
    const handle = program.open(ino, flags)
    program.read(ino, handle)
    const kernel = new SlowKernel(member)
    yield {
      cluster,
      member,
      other,
      kernel,
      ino,
      handle,
      writeBack: (offset, text) =>
        call<number>(cluster, reply => member.frontend.writeBack(ino, handle, offset, Buffer.from(text), reply)),
      read: (of = member) => of.content(ino)!,
    }
    cluster.settle()
    kernel.takeAll()
  }
}

const getattr =
  (member: Member, ino: number) =>
  (reply: Reply<Shown>): void =>
    member.frontend.getattr(caller, ino, reply)

void t.test('what others wrote beside what a program stored in a mapping stays (mmap(2))', t => {
  for (const { cluster, other, ino, writeBack, read } of eachCase()) {
    cluster.answered(other.write(ino, 6, 'bbb'))
    cluster.settle()
    // the kernel writes its old page back because it is told to drop it
    t.equal(writeBack(0, 'XXaaaaYaaaaa').value, 12)
    cluster.settle()
    for (const member of cluster.alive) t.equal(read(member), 'XXaaaabbbaaa')
  }
  t.end()
})

void t.test('nor is it lost when it is ordered before, and not known here yet', t => {
  for (const { cluster, other, ino, writeBack, read } of eachCase()) {
    const written = other.write(ino, 6, 'bbb')
    t.equal(writeBack(0, 'XXaaaaaaaaaY').value, 12)
    t.equal(cluster.answered(written), 0)
    cluster.settle()
    for (const member of cluster.alive) t.equal(read(member), 'XXaaaabbbaaY')
  }
  t.end()
})

void t.test('a mapping makes no file longer, and removed content stays removed', t => {
  for (const { cluster, other, ino, writeBack, read } of eachCase()) {
    cluster.answered(other.change({ kind: 'setattr', ino, size: 3, killPrivileges: false }))
    cluster.settle()
    t.equal(writeBack(0, 'aXaaaaaaaaaX').value, 12)
    cluster.settle()
    for (const member of cluster.alive) t.equal(read(member), 'aXa')
    const cut = other.change({ kind: 'setattr', ino, size: 0, killPrivileges: false })
    t.equal(writeBack(0, 'aXY').value, 3)
    t.equal(cluster.answered(cut), 0)
    cluster.settle()
    const contents = cluster.alive.map(member => read(member))
    t.ok(
      contents.every(content => content === ''),
      'ordered in between',
    )
  }
  t.end()
})

void t.test('pages that the kernel read anew hold what others wrote: what is stored there counts', t => {
  for (const { cluster, member, other, ino, handle, writeBack, read } of eachCase()) {
    cluster.answered(other.write(ino, 6, 'bbb'))
    cluster.settle()
    new Program(cluster, member).read(ino, handle)
    t.equal(writeBack(0, 'aaaaaabXbaaa').value, 12)
    cluster.settle()
    t.equal(read(other), 'aaaaaabXbaaa')
  }
  t.end()
})

void t.test('a refused write-back is dropped by the kernel', t => {
  for (const { member, kernel, ino, writeBack } of eachCase()) {
    member.log.full = true
    t.equal(writeBack(0, 'XXaaaaaaaaaa').value, undefined)
    member.log.full = false
    t.match(kernel.items.at(-1), { kind: 'inode', ino, offset: 0, length: 12 })
  }
  t.end()
})

void t.test('no answer shows what is newer than the pages', t => {
  for (const { cluster, member, other, kernel, ino } of eachCase()) {
    cluster.answered(other.write(ino, 0, 'bbbbbbbbbbbbbbbb'))
    cluster.settle()
    const name = `f${member.slot}-${other.slot}`
    const found = call<Entry | NegativeEntry>(cluster, reply => member.frontend.lookup(caller, rootInode, name, reply))
    t.equal(found.value?.attributes?.size, 16)
    t.same(kernel.stale, [ino], 'and the kernel does not take it')
    let shown: Shown | undefined
    const answer = {
      ok: (value: Shown) => void (shown = value),
      fail: (errno: number) => t.fail(`errno ${errno}`),
      onInterrupt: () => {},
    }
    getattr(member, ino)(answer)
    t.equal(shown, undefined, 'fstat waits for the kernel')
    kernel.take()
    t.match(shown, { attributes: { size: 16 } })
    cluster.answered(other.write(ino, 0, 'cccccccccccccccccc'))
    cluster.settle()
    const linked = call<Entry>(cluster, reply => member.frontend.link(caller, ino, rootInode, `${name}-2`, reply))
    t.match(linked.value, { attributes: { size: 16 }, attributesTtlMs: 0 }, 'of an answer that it does not check')
    kernel.items.length = 0
    cluster.advance(50)
    t.match(
      kernel.items.filter(({ kind }) => kind !== 'entry'),
      [
        { kind: 'inode', ino },
        { kind: 'size', size: 18 },
      ],
      'and is told again',
    )
    getattr(member, ino)(answer)
    shown = undefined
    cluster.advance(200)
    t.match(shown, { attributes: { size: 16 }, ttlMs: 0 }, 'as of before, when it takes too long')
  }
  t.end()
})

void t.test('a file that has grown is as long in a mapping, if there can be one', t => {
  for (const [flags, count] of [
    [2, 1],
    [O_WRONLY, 0],
  ] as const) {
    for (const { cluster, other, kernel, ino } of eachCase(flags)) {
      cluster.answered(other.write(ino, 12, 'bcd'))
      cluster.answered(other.write(ino, 0, 'bcd'))
      cluster.settle()
      const sizes = kernel.items.filter(({ kind }) => kind === 'size')
      t.match(sizes, count === 0 ? [] : [{ ino, size: 15, last: 'd'.charCodeAt(0) }])
      t.equal(sizes.length, count)
    }
  }
  t.end()
})

void t.test('so is one whose growth is ordered before an own change that is shown already', t => {
  for (const { cluster, member, other, kernel, ino } of eachCase()) {
    const grown = other.write(ino, 12, 'bcd')
    const own = member.write(ino, 0, 'X')
    cluster.answered(grown)
    cluster.answered(own)
    cluster.settle()
    t.match(
      kernel.items.filter(({ kind }) => kind === 'size'),
      [{ ino, size: 15, last: 'd'.charCodeAt(0) }],
    )
  }
  t.end()
})

void t.test('so is one that grew before it was opened, once', t => {
  for (const { cluster, member, other, kernel, ino } of eachCase(O_WRONLY)) {
    const sizes = (): Invalidation[] => kernel.items.filter(({ kind }) => kind === 'size')
    cluster.answered(other.write(ino, 12, 'bcd'))
    cluster.settle()
    kernel.takeAll()
    t.same(sizes(), [])
    new Program(cluster, member).open(ino)
    t.match(sizes(), [{ ino, size: 15 }], 'open(2) does not ask for it')
    new Program(cluster, member).open(ino)
    t.equal(sizes().length, 1)
  }
  t.end()
})

void t.test('so is one to which a program appends behind what others did, which its kernel does not know', t => {
  for (const { cluster, member, other, kernel, ino, handle } of eachCase()) {
    cluster.answered(other.write(ino, 12, 'bcd'))
    cluster.settle()
    const O_APPEND = 0o2000
    new Program(cluster, member).write(ino, handle, 12, 'e', O_APPEND)
    t.match(kernel.items.filter(({ kind }) => kind === 'size').at(-1), { ino, size: 16, last: 'e'.charCodeAt(0) })
  }
  t.end()
})

void t.test('set-user-ID that a write took away is gone for the kernel of this mount, too (write(2))', t => {
  for (const { cluster, member, kernel, ino, handle } of eachCase()) {
    const data = Buffer.from('x')
    cluster.answered(member.change({ kind: 'setattr', ino, mode: 0o4755, killPrivileges: false }))
    cluster.settle()
    const write = (): Result<number> =>
      call<number>(cluster, reply =>
        member.frontend.write({ uid: 7, gid: 7, pid: 7 }, ino, handle, 0, data, 2, true, reply),
      )
    t.equal(write().value, 1)
    t.same(kernel.stale, [ino])
    t.equal(write().value, 1)
    t.same(kernel.stale, [ino], 'once')
  }
  t.end()
})

void t.test(
  'what was stored in a page from before a snapshot is told as lost, where nobody knows what was stored',
  t => {
    for (const { cluster, member, kernel, ino, handle, writeBack, read } of eachCase()) {
      // another state takes the place of what is shown
      member.frontend.invalidateAll()
      t.equal(writeBack(0, 'aaaaaaaaaaaa').value, 12, 'nothing was stored')
      kernel.items.length = 0
      t.equal(writeBack(0, 'aaaSTOREaaaa').errno, EIO)
      t.match(kernel.items, [{ kind: 'inode', ino }], 'and is not shown on')
      kernel.takeAll()
      new Program(cluster, member).read(ino, handle)
      t.equal(writeBack(0, 'aaaSTOREaaaa').value, 12, 'of a page from after it, it counts')
      cluster.settle()
      t.equal(read(), 'aaaSTOREaaaa')
    }
    t.end()
  },
)

void t.test('a file that a kernel knew before a snapshot, and that is opened after it, is as long in a mapping', t => {
  for (const { cluster, member, kernel, ino, handle } of eachCase()) {
    const program = new Program(cluster, member)
    program.close(ino, handle)
    kernel.takeAll()
    member.frontend.invalidateAll()
    kernel.takeAll()
    kernel.items.length = 0
    const again = program.open(ino)
    t.match(kernel.items, [{ kind: 'size', ino, size: 12 }])
    program.close(ino, again)
    kernel.items.length = 0
    program.open(ino)
    t.same(kernel.items, [], 'once')
  }
  t.end()
})

void t.test('a write behind the end is answered when the kernel knows what others wrote before that', t => {
  for (const { cluster, member, other, kernel, ino, handle } of eachCase()) {
    /** How long the call takes. */
    const written = (offset: number): number => {
      const begun = cluster.clock.now
      const data = Buffer.from('end')
      call(cluster, reply => member.frontend.write(caller, ino, handle, offset, data, 0, false, reply))
      return cluster.clock.now - begun
    }
    cluster.answered(other.write(ino, 12, 'bbbb', { durable: true }))
    cluster.until('it is shown', () => member.content(ino) === 'aaaaaaaaaaaabbbb')
    t.ok(written(20) < 30, 'it holds that page locked')
    cluster.clock.after(50, () => kernel.takeAll())
    const ms = written(5000)
    t.ok(ms >= 50 && ms < 90, `${ms} ms`)
    cluster.answered(other.write(ino, 14, 'c', { durable: true }))
    cluster.advance(50)
    t.ok(written(5000) < 30, 'within the file there is nothing to wait for')
  }
  t.end()
})
