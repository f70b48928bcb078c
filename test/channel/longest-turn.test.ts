import t from 'tap'
import type { ChannelPorts } from '../../src/channel/ports.js'
import type { StateWriter } from '../../src/fs/store-port.js'
import { Program } from './support/calls.js'
import { Cluster } from './support/cluster.js'

/** What a turn may ask of the disk. Each costs some microseconds, so that this is a fraction of 50 ms. */
const writesMax = 1300
const readsMax = 300
const bytesInFile = 5000
const retention = { margin: 2, entriesMax: 100, copyBytes: 0 }

/**
 * Counts what each turn asks of the stores: records and counts that are written, and blobs that are read. Time is another
 * matter on each machine; `scripts/bench` has it.
 */
class Turns {
  writes = 0
  reads = 0
  dropped = 0
  mostWrites = 0
  mostReads = 0
  allWrites = 0
  allReads = 0

  next(): void {
    this.mostWrites = Math.max(this.mostWrites, this.writes)
    this.mostReads = Math.max(this.mostReads, this.reads)
    this.allWrites += this.writes
    this.allReads += this.reads
    this.writes = this.reads = 0
  }

  /** The turns from here on. */
  begin(): void {
    this.next()
    this.mostWrites = this.mostReads = this.allWrites = this.allReads = 0
  }

  watch(ports: ChannelPorts): ChannelPorts {
    const written = (writer: StateWriter): StateWriter => ({
      ...writer,
      put: write => {
        this.writes++
        writer.put(write)
      },
      count: (blob, change) => {
        this.writes++
        writer.count(blob, change)
      },
    })
    const state = calls(ports.state, {
      begin: begin => (this.next(), written((begin as () => StateWriter)())),
    })
    const log = calls(ports.log, {
      blob: (blob, id) => (this.reads++, blob(id)),
      dropBlobs: (drop, ids) => {
        this.writes += (ids as readonly number[]).length
        this.dropped += (ids as readonly number[]).length
        return drop(ids)
      },
    })
    return { ...ports, state, log }
  }

  /** A turn is what a timer, or the end of the events at hand, begins. */
  follow(clock: Cluster['clock']): void {
    const turn = (callback: () => void) => (): void => {
      this.next()
      callback()
    }
    const soon = clock.soon.bind(clock)
    const after = clock.after.bind(clock)
    clock.soon = task => soon(turn(task))
    clock.after = (ms, task) => after(ms, turn(task))
  }
}

type Call = (...args: unknown[]) => unknown

/** An object some of whose methods are called through others. */
function calls<T extends object>(target: T, instead: Record<string, (method: Call, ...args: unknown[]) => unknown>): T {
  return new Proxy(target, {
    get: (_, key) => {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      const method: Call = (...args) => (value as Call).apply(target, args)
      const other = instead[String(key)]
      return other === undefined ? method : (...args: unknown[]) => other(method, ...args)
    },
    set: (_, key, value) => Reflect.set(target, key, value, target),
  })
}

void t.test('no turn is long, whatever one program does to a file of very many small extents', t => {
  const turns = new Turns()
  const cluster = new Cluster(1, 1, { retention, hooks: { ports: (_, ports) => turns.watch(ports) } })
  turns.follow(cluster.clock)
  const member = cluster.members[0]!
  cluster.settle()
  let program = new Program(cluster, member)
  const scattered = (name: string): { ino: number; handle: number } => {
    const file = program.create(name)
    for (let i = 0; i < bytesInFile; i++) program.write(file.ino, file.handle, 2 * i, 'x')
    return file
  }
  const { ino } = scattered('read')
  const removed = scattered('removed').ino
  cluster.advance(5000)
  turns.next()
  t.ok(turns.mostWrites < writesMax, `${turns.mostWrites} of ${turns.allWrites} records were written in one turn`)

  member.stop()
  member.start()
  cluster.settle()
  program = new Program(cluster, member)
  member.channel.blobs.clear()
  turns.begin()
  t.equal(program.read(ino, program.open(ino)), 'x\0'.repeat(bytesInFile).slice(0, -1))
  turns.next()
  t.ok(turns.allReads >= bytesInFile, `${turns.allReads} blobs were read`)
  t.ok(turns.mostReads < readsMax, `${turns.mostReads} of them in one turn`)

  turns.begin()
  program.write(ino, program.open(ino), 0, 'y'.repeat(3 * bytesInFile))
  t.equal(program.unlink('removed'), 0)
  member.frontend.forget([{ ino: removed }])
  cluster.until('the content of both is gone', () => turns.dropped >= 2 * bytesInFile)
  turns.next()
  t.ok(turns.allWrites > 4 * bytesInFile, `${turns.allWrites} counts went to 0, and blobs were dropped`)
  t.ok(turns.mostWrites < writesMax, `${turns.mostWrites} of them in one turn`)
  t.equal(program.read(ino, program.open(ino)), 'y'.repeat(3 * bytesInFile))
  t.end()
})
