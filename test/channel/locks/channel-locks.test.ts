import t from 'tap'
import { EAGAIN, EDEADLK, EINTR, EIO, ENOLCK } from '../../../src/base/errno.js'
import type { FileLock, Reply } from '../../../src/channel/mount-port.js'
import { lockTiming } from '../../../src/channel/locks/lock-timing.js'
import { call, caller, Program } from '../support/calls.js'
import { Cluster, type Member, type Three } from '../support/cluster.js'

type Range = readonly [start: number, end: number]

const all: Range = [0, Number.MAX_SAFE_INTEGER]

/** A process on a member, with one file open. */
class Process {
  readonly program: Program
  readonly handle: number
  readonly ino: number
  readonly #member: Member
  readonly #cluster: Cluster
  readonly #owner: bigint

  constructor(cluster: Cluster, member: Member, ino: number, owner: number) {
    this.#cluster = cluster
    this.#member = member
    this.#owner = BigInt(owner)
    this.program = new Program(cluster, member)
    this.ino = ino
    this.handle = this.program.open(ino)
  }

  #ask(type: FileLock['type'], [start, end]: Range, flock: boolean, wait: boolean): Asked {
    const lock = { start, end, type, pid: Number(this.#owner) }
    const asked = new Asked()
    this.#member.frontend.setlk(caller, this.ino, this.handle, this.#owner, lock, flock, wait, asked)
    return asked
  }
  now(type: FileLock['type'], range = all, flock = false): number {
    const asked = this.#ask(type, range, flock, false)
    this.#cluster.until('a lock or a refusal', () => asked.errno !== undefined)
    return asked.errno!
  }
  wait(type: FileLock['type'], range = all, flock = false): Asked {
    return this.#ask(type, range, flock, true)
  }
  get(type: FileLock['type'], [start, end]: Range): FileLock {
    const lock = { start, end, type, pid: 0 }
    const found = call<FileLock>(this.#cluster, reply =>
      this.#member.frontend.getlk(caller, this.ino, this.handle, this.#owner, lock, reply),
    )
    return found.value!
  }
  read(): string {
    return this.program.read(this.ino, this.handle)
  }
  write(text: string): void {
    this.program.write(this.ino, this.handle, 0, text)
  }
  /** As the kernel does it when a process ends. */
  end(): void {
    call<void>(this.#cluster, reply => this.#member.frontend.flush(caller, this.ino, this.handle, this.#owner, reply))
    call<void>(this.#cluster, reply => this.#member.frontend.release(this.ino, this.handle, this.#owner, reply))
  }
  errnoOfRead(): number {
    return (
      call<Uint8Array[]>(this.#cluster, reply =>
        this.#member.frontend.read(caller, this.ino, this.handle, 0, 10, reply),
      ).errno ?? 0
    )
  }
}

class Asked implements Reply<void> {
  errno: number | undefined
  #listener: (() => void) | undefined
  ok(): void {
    this.fail(0)
  }
  fail(errno: number): void {
    if (this.errno !== undefined) throw new Error('a lock was answered twice')
    this.errno = errno
  }
  onInterrupt(listener: () => void): void {
    this.#listener = listener
  }
  signal(): void {
    this.#listener?.()
  }
}

function setUp(): { cluster: Cluster; leader: Member; others: [Member, Member]; ino: number } {
  const cluster = new Cluster(3)
  const [leader, one, two] = cluster.roles() as Three
  const { ino } = new Program(cluster, leader).create('f')
  cluster.settle()
  return { cluster, leader, others: [one, two], ino }
}

void t.test('members exclude each other, and see what was written under the lock before', t => {
  const { cluster, leader, others, ino } = setUp()
  for (const flock of [false, true]) {
    let count = flock ? 30 : 0
    const processes = [leader, ...others].map((member, i) => new Process(cluster, member, ino, i + 1))
    if (!flock) processes[0]!.write('00')
    for (let round = 0; round < 10; round++) {
      const asked = processes.map(process => process.wait('write', all, flock))
      for (let i = 0; i < 3; i++) {
        cluster.until('somebody gets it', () => asked.some(({ errno }) => errno === 0))
        const holders = asked.filter(({ errno }) => errno === 0)
        t.equal(holders.length, 1, 'one at a time')
        const at = asked.indexOf(holders[0]!)
        const process = processes[at]!
        t.equal(Number(process.read()), count, 'all that was written before is seen')
        t.equal(processes[(at + 1) % 3]!.now('read', all, flock) === 0, false)
        process.write(String(++count).padStart(2, '0'))
        holders[0]!.errno = -1
        t.equal(process.now('unlock', all, flock), 0)
      }
    }
    for (const process of processes) process.end()
  }
  t.equal(
    [leader, ...others].reduce((sum, member) => sum + member.channel.locks.heldCount, 0),
    0,
  )
  cluster.settle()
  cluster.checkDigests()
  t.end()
})

void t.test('ranges, F_GETLK, a signal, a deadlock, the end of a process', t => {
  const { cluster, leader, others, ino } = setUp()
  const a = new Process(cluster, others[0], ino, 1)
  const b = new Process(cluster, others[1], ino, 2)
  const c = new Process(cluster, leader, ino, 3)
  t.equal(a.now('write', [0, 9]), 0)
  t.equal(b.now('write', [10, 19]), 0)
  t.equal(c.now('read', [9, 10]), EAGAIN)
  t.same(c.get('write', [5, 50]), { type: 'write', start: 0, end: 9, pid: 0 }, 'of a process of another member')
  t.match(c.get('write', [20, 50]), { type: 'unlock' })
  const waiting = c.wait('write', [0, 5])
  cluster.advance(20_000)
  t.equal(waiting.errno, undefined, 'a wait has no end')
  waiting.signal()
  t.equal(waiting.errno, EINTR, 'at once')
  const first = a.wait('write', [10, 12])
  cluster.advance(100)
  const second = b.wait('write', [0, 3])
  cluster.until('a deadlock', () => second.errno !== undefined)
  t.equal(second.errno, EDEADLK)
  b.end()
  cluster.until('the lock of one that ended', () => first.errno === 0)
  // the grant and the signal meet: whoever is told EINTR holds nothing
  const late = c.wait('read', [10, 12])
  cluster.advance(50)
  const unlocked = a.wait('unlock')
  for (let i = 0; i < 3; i++) cluster.advance(1)
  late.signal()
  cluster.until('the unlock', () => unlocked.errno === 0)
  cluster.advance(1000)
  t.equal(a.now('write', [10, 12]), late.errno === EINTR ? 0 : EAGAIN, `the signal ended with ${late.errno}`)
  t.end()
})

void t.test('locks outlive their leader, and nothing new is granted before they are known again', t => {
  const { cluster, leader, others, ino } = setUp()
  const a = new Process(cluster, others[0], ino, 1)
  const b = new Process(cluster, others[1], ino, 2)
  t.equal(a.now('write'), 0)
  const waiting = b.wait('write')
  cluster.advance(500)
  leader.crash()
  cluster.leader()
  cluster.advance(25_000)
  t.equal(waiting.errno, undefined, 'after election, time of grace and lease it is still held')
  t.equal(a.errnoOfRead(), 0)
  t.equal(a.now('unlock'), 0)
  cluster.until('the wait goes on', () => waiting.errno === 0, 1000)
  leader.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.leader().channel.transferLeadership(leader.id)
  cluster.until('leadership moves', () => leader.leads)
  const begun = cluster.clock.now
  t.equal(a.now('read'), EAGAIN)
  t.ok(cluster.clock.now - begun < 3000, 'where all members are there, the time of grace is short')
  t.end()
})

void t.test('a member that is cut off loses its locks before another gets them', t => {
  const { cluster, leader, others, ino } = setUp()
  const a = new Process(cluster, others[0], ino, 1)
  const b = new Process(cluster, others[1], ino, 2)
  const again = new Process(cluster, others[0], ino, 4)
  a.write('old')
  t.equal(a.now('write', all, true), 0)
  const waiting = b.wait('write', all, true)
  cluster.advance(3000)
  cluster.network.isolate(others[0].id, 2000)
  const cutAt = cluster.clock.now
  let lostAt = 0
  cluster.until('the other gets it', () => {
    if (lostAt === 0 && a.errnoOfRead() === EIO) lostAt = cluster.clock.now
    return waiting.errno === 0
  })
  t.ok(lostAt > 0, 'the holder was told first')
  t.ok(cluster.clock.now - cutAt < lockTiming.leaderLeaseMs + 1000, 'after the lease')
  t.equal(a.now('write', all, true), EIO)
  t.equal(again.now('read', [0, 1]), ENOLCK, 'without a leader a lock fails in time')
  cluster.network.connectAll()
  cluster.settle()
  t.equal(a.errnoOfRead(), EIO, 'what was lost stays lost until the file is closed')
  t.equal(again.errnoOfRead(), 0, 'others are not concerned')
  t.equal(again.now('write', all, true), EAGAIN)
  b.end()
  // the leader hears of it when the word has come
  cluster.advance(100)
  t.equal(again.now('write', all, true), 0)
  t.equal(leader.channel.locks.heldCount, 0)
  t.end()
})

void t.test('a member that dies gives its locks up with its lease, or when it comes back', t => {
  const { cluster, others, ino } = setUp()
  for (const restart of [false, true]) {
    const a = new Process(cluster, others[0], ino, 1)
    const b = new Process(cluster, others[1], ino, 2)
    t.equal(a.now('write'), 0)
    const waiting = b.wait('write')
    cluster.advance(1000)
    others[0].crash()
    const begun = cluster.clock.now
    if (restart) {
      others[0].start()
      cluster.network.connectAll()
    }
    cluster.until('the other gets it', () => waiting.errno === 0)
    const tookMs = cluster.clock.now - begun
    if (restart) t.ok(tookMs < 3000, `${tookMs} ms`)
    else t.ok(tookMs > 5000 && tookMs < lockTiming.leaderLeaseMs + 1000, `${tookMs} ms`)
    b.end()
    if (restart) continue
    others[0].start()
    cluster.network.connectAll()
    cluster.settle()
  }
  t.end()
})

void t.test('leaders come and go while members count under the lock', t => {
  const { cluster, leader, others, ino } = setUp()
  const members = [leader, ...others]
  const processes = members.map((member, i) => new Process(cluster, member, ino, i + 1))
  processes[0]!.write('000')
  let count = 0
  for (let round = 0; round < 40; round++) {
    if (round % 8 === 3) cluster.leader().channel.transferLeadership(members[round % 3]!.id)
    if (round % 8 === 7) {
      const [x, y] = [members[round % 3]!, members[(round + 1) % 3]!]
      cluster.network.silence(x.id, y.id, 500)
      cluster.clock.after(1500, () => cluster.network.connectAll())
    }
    const process = processes[(round * 7) % 3]!
    const asked = process.wait('write', all, round % 2 === 0)
    cluster.until('the lock', () => asked.errno !== undefined, 60_000)
    if (asked.errno !== 0) return void t.fail(`errno ${asked.errno}`)
    if (Number(process.read()) !== count) return void t.fail(`${process.read()}, not ${count}`)
    process.write(String(++count).padStart(3, '0'))
    t.equal(process.now('unlock', all, round % 2 === 0), 0)
  }
  cluster.settle(120_000)
  cluster.checkDigests()
  t.equal(others[0].content(ino), '040')
  t.end()
})
