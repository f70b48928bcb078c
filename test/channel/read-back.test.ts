import fc from 'fast-check'
import t from 'tap'
import { EOPNOTSUPP } from '../../src/base/errno.js'
import { chunkBytes, KiB } from '../../src/base/limits.js'
import type { Reply } from '../../src/channel/mount-port.js'
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE } from '../../src/fs/operation.js'
import { call, caller, Program, type Result } from './support/calls.js'
import { Cluster, type Member } from './support/cluster.js'
import { bytesOfWrite, FileBytes } from './support/file-bytes.js'

// What a program writes it reads at once: from the open write, the log, the journal, its own spill, or the state, at all
// sizes and alignments. SEED=n replays a failure; RUNS=n runs more of them.
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const runs = Number(process.env['RUNS'] ?? 60)
t.comment(`SEED=${seed}`)

const O_APPEND = 0o2000
const fileBytesMax = 4 * chunkBytes

const near = fc.tuple(fc.constantFrom(0, 1, 2), fc.integer({ min: -40_000, max: 40_000 }))
const offset = fc.oneof(
  near.map(([chunk, delta]) => Math.max(0, chunk * chunkBytes + delta)),
  fc.constantFrom(0, chunkBytes - 1, chunkBytes, chunkBytes + 1),
)
/** Of one write: small ones grow together up to 32 KiB each. */
const size = fc.oneof(
  fc.integer({ min: 1, max: 60 }),
  fc.integer({ min: 1, max: 40_000 }),
  fc.constantFrom(4 * KiB, 30_000, 32 * KiB, 32 * KiB + 1),
  fc.constantFrom(chunkBytes, chunkBytes + 1),
)
const file = fc.constantFrom(0, 1)
const many = fc.integer({ min: 1, max: 12 })

const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('write' as const), file, offset, size, times: many }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('go on' as const), file, size, times: many }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), file, size, times: many }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('truncate' as const), file, size: offset }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('allocate' as const),
      file,
      mode: fc.constantFrom(0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE),
      offset,
      length: size,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('copy' as const), from: file, to: file, at: offset, offset, length: size }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fsync' as const), file }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pause' as const), ms: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('another changes' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unlink' as const), file, byAnother: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('hand over' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut off' as const), ms: fc.integer({ min: 50, max: 5000 }) }) },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** A program with two files that only it changes, and what they must hold. */
class Writer {
  readonly cluster: Cluster
  readonly member: Member
  readonly #program: Program
  readonly #files: FileBytes[] = []
  #names = 0
  #writes = 0

  constructor(cluster: Cluster, member: Member) {
    this.cluster = cluster
    this.member = member
    this.#program = new Program(cluster, member)
    this.#files = [this.#made(), this.#made()]
  }

  #made(): FileBytes {
    const name = `f${++this.#names}`
    return new FileBytes({ name, ...this.#program.create(name) })
  }

  #call<T>(make: (frontend: Member['frontend'], reply: Reply<T>) => void): Result<T> {
    return call<T>(this.cluster, reply => make(this.member.frontend, reply))
  }

  #ok<T>(what: string, make: (frontend: Member['frontend'], reply: Reply<T>) => void): T {
    const { value, errno } = this.#call(make)
    if (errno !== undefined) throw new Error(`${what}: errno ${errno}`)
    return value as T
  }

  #write(file: FileBytes, at: number | undefined, length: number): void {
    const data = bytesOfWrite(this.#writes++, length)
    const flags = 2 | (at === undefined ? O_APPEND : 0)
    const offset = at ?? file.size
    if (offset + length > fileBytesMax) return
    const { ino, handle } = file
    this.#ok<number>(`write of ${length} bytes at ${at}`, (f, reply) =>
      f.write(caller, ino, handle, offset, data, flags, false, reply),
    )
    file.write(offset, data)
    this.#readBack(file, offset, length)
  }

  /** Reads without letting time pass: what was written is where it was. */
  #readBack(file: FileBytes, offset = 0, length = fileBytesMax): void {
    const { ino, handle } = file
    const parts = this.#ok<Uint8Array[]>(`read of ${length} bytes at ${offset}`, (f, reply) =>
      f.read(caller, ino, handle, offset, length, reply),
    )
    const wrong = file.differs(offset, length, Buffer.concat(parts))
    if (wrong !== undefined) throw new Error(wrong)
  }

  do(step: Step): void {
    const file = this.#files['file' in step ? step.file : 0]!
    const { ino, handle } = file
    switch (step.do) {
      case 'write':
        for (let n = 0; n < step.times; n++) this.#write(file, step.offset + n * step.size, step.size)
        break
      case 'go on':
        for (let n = 0; n < step.times; n++) this.#write(file, file.written, step.size)
        break
      case 'append':
        for (let n = 0; n < step.times; n++) this.#write(file, undefined, step.size)
        break
      case 'truncate':
        this.#ok('truncate', (f, reply: Reply<never>) =>
          f.setattr(caller, ino, { size: step.size, handle, killPrivileges: false }, reply),
        )
        file.truncate(step.size)
        break
      case 'allocate':
        this.#ok<void>('fallocate', (f, reply) =>
          f.fallocate(caller, ino, handle, step.mode, step.offset, step.length, reply),
        )
        file.allocate(step.mode, step.offset, step.length)
        break
      case 'copy':
        this.#copy(this.#files[step.from]!, step.offset, this.#files[step.to]!, step.at, step.length)
        break
      case 'fsync':
        this.#ok<void>('fsync', (f, reply) => f.fsync(caller, ino, handle, false, reply))
        break
      case 'pause':
        this.cluster.advance(step.ms)
        break
      case 'another changes':
        this.#another()?.create(`x${++this.#names}`)
        break
      case 'unlink':
        this.#unlink(file, step.byAnother ? this.#another() : undefined)
        this.#readBack(file)
        this.#files[step.file] = this.#made()
        break
      case 'hand over':
        this.#handOver()
        break
      case 'cut off':
        this.#cutOff(step.ms)
        break
    }
    for (const each of this.#files) this.#readBack(each)
  }

  #another(): Member | undefined {
    return this.cluster.members.find(member => member !== this.member)
  }

  #copy(from: FileBytes, offset: number, to: FileBytes, at: number, length: number): void {
    if (at + length > fileBytesMax) return
    const end = (file: FileBytes, where: number) => ({ ino: file.ino, handle: file.handle, offset: where })
    // the kernel refuses ranges that overlap
    if (from === to && offset < at + length && at < offset + length) return
    const { value, errno } = this.#call<number>((f, reply) =>
      f.copyFileRange(caller, end(from, offset), end(to, at), length, reply),
    )
    if (errno === EOPNOTSUPP) return
    if (errno !== undefined) throw new Error(`copy: errno ${errno}`)
    to.write(at, from.slice(offset, value!))
  }

  /** The file loses its name, and stays open: what is done to it then stays here. */
  #unlink(file: FileBytes, by: Member | undefined): void {
    this.#readBack(file)
    const { name, ino, handle } = file
    // what is still on its way to the leader is refused by then, and the file says so
    if (by !== undefined && !this.member.leads) {
      this.#ok<void>('fsync', (f, reply) => f.fsync(caller, ino, handle, false, reply))
    }
    if (by === undefined) {
      if (this.#program.unlink(name) !== 0) throw new Error('unlink failed')
    } else {
      this.cluster.until('the name at the other member', () => by.lookup(name) !== undefined)
      by.change({ kind: 'unlink', parent: 1, name })
      this.cluster.until('the name gone', () => this.member.lookup(name) === undefined)
    }
    this.#write(file, file.written, 50)
    this.#write(file, undefined, 70_000)
  }

  #handOver(): void {
    const { members } = this.cluster
    const leader = members.find(member => member.leads)
    const next = members.find(member => member !== leader)
    if (leader === undefined || next === undefined) return
    leader.channel.transferLeadership(next.id)
    // it may come to nothing
    this.cluster.until('the hand-over at its end', () => leader.channel.transferring === undefined)
    this.cluster.leader()
  }

  /** The program's member hears nobody for a while, and may lose the lead; what it has written stays in sight. */
  #cutOff(ms: number): void {
    const { network, clock } = this.cluster
    if (this.cluster.members.length === 1) return
    network.isolate(this.member.id, 0)
    for (const end = clock.now + ms; clock.now < end;) {
      this.cluster.advance(50)
      for (const file of this.#files) this.#readBack(file)
    }
    network.connectAll()
    this.cluster.leader()
  }

  /** In the end all members show the same. */
  checkOthers(): void {
    this.cluster.settle()
    this.cluster.checkDigests()
    for (const member of this.cluster.members) {
      const { view, blobs } = member.channel
      for (const { ino, size, name, bytes } of this.#files) {
        const content = Buffer.concat(blobs.read(view, ino, 0, size))
        if (!content.equals(bytes)) throw new Error(`${name} differs on member ${member.slot}`)
      }
      if (member.channel.damage !== undefined) throw new Error(member.channel.damage)
    }
  }
}

for (const [who, count] of [
  ['the only member', 1],
  ['the leader', 3],
  ['a follower', 3],
] as const) {
  void t.test(`${who} reads at once what it has just written`, { timeout: 600_000 }, t => {
    const property = fc.property(fc.array(step, { minLength: 1, maxLength: 24 }), steps => {
      const cluster = new Cluster(count)
      const [leader, follower] = cluster.roles()
      const writer = new Writer(cluster, who === 'a follower' ? follower! : leader)
      for (const each of steps) writer.do(each)
      writer.checkOthers()
    })
    fc.assert(property, { seed, numRuns: runs })
    t.end()
  })
}

void t.test('small writes one after the other, across where two chunks meet', t => {
  for (const [who, count] of [
    ['leader', 1],
    ['leader', 3],
    ['follower', 3],
  ] as const) {
    for (const size of [1000, 4096, 30_000, 32 * KiB, 32 * KiB - 1]) {
      const cluster = new Cluster(count)
      const [leader, follower] = cluster.roles()
      const writer = new Writer(cluster, who === 'leader' ? leader : follower!)
      const times = Math.ceil(2.2 * (chunkBytes / size))
      const offset = 0
      t.doesNotThrow(
        () => writer.do({ do: 'write', file: 0, offset, size, times }),
        `${who} of ${count}, ${size} bytes`,
      )
      writer.checkOthers()
    }
  }
  t.end()
})
