import t from 'tap'
import { chunkBytes, chunkExtentsMax, chunkPageBytes } from '../../src/base/limits.js'
import { Rng } from '../../src/base/rng.js'
import { lengthOfExtents, placeExtent, seek, seekStep } from '../../src/fs/extents.js'
import { apply } from '../../src/fs/apply.js'
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, type Operation } from '../../src/fs/operation.js'
import { SortedRecords } from '../../src/fs/sorted-records.js'
import { chunkKey, pageKey, pagesPerChunk, placeOfChunk } from '../../src/fs/store-port.js'
import { TableView } from '../../src/fs/table-view.js'
import type { View } from '../../src/fs/view.js'
import { nodeHasher } from '../../src/adapters/host/hasher.js'
import { MemoryStateStore } from '../support/memory-state-store.js'
import { Machine, newTable } from './support/machine.js'

const ino = 10

function machineWithFile(view: View = newTable()): Machine {
  const machine = new Machine(view)
  make(machine, ino)
  return machine
}

function make(machine: Machine, at: number): void {
  const operation = { kind: 'make', parent: 1, name: `f${at}`, ino: at, mode: 0o100644, uid: 0, gid: 0 } as const
  if (machine.apply({ ...operation, rdev: 0, target: '' }) !== 0) throw new Error('make')
}

function write(machine: Machine, offset: number, length = 1): void {
  const operation: Operation = { kind: 'write', ino, offset, length, killPrivileges: false }
  if (machine.apply(operation, new Uint8Array(length).fill(machine.number)) !== 0) throw new Error('write')
}

function chunks(machine: Machine, at = ino): [string, number][] {
  return machine.view.scan('chunk', at, undefined, 10_000).map(([key, record]) => {
    const { chunk, page } = placeOfChunk(key)
    return [page === undefined ? `${chunk}` : `${chunk}.${page}`, record.length]
  })
}

/** A view that counts the extents of the records that are read and set through it: what the work of a change grows with. */
class CountingView implements View {
  readonly below: View
  extents = 0
  records = 0

  constructor(below: View) {
    this.below = below
  }
  #count<R>(record: R): R {
    this.records++
    if (Array.isArray(record)) this.extents += record.length
    return record
  }
  get: View['get'] = (table, at, key) => this.#count(this.below.get(table, at, key))
  set: View['set'] = (table, at, key, record) => this.below.set(table, at, key, this.#count(record))
  scan: View['scan'] = (table, at, after, limit, before) => {
    const found = this.below.scan(table, at, after, limit, before)
    for (const [, record] of found) this.#count(record)
    return found
  }
  refer: View['refer'] = (blob, bytes) => this.below.refer(blob, bytes)
}

void t.test('a byte in a chunk of 131,072 extents touches its page alone, and comes in a record of one page', t => {
  const counting = new CountingView(newTable())
  const machine = machineWithFile(counting)
  for (let at = 0; at < chunkBytes; at += 2) write(machine, at)
  const pages = chunkBytes / chunkPageBytes
  const own = Array.from({ length: pages }, (_, page) => [`0.${page}`, chunkPageBytes / 2])
  t.same(chunks(machine), [['0', 0], ...own])
  for (const at of [0, 100_000, chunkBytes - 1]) {
    counting.extents = counting.records = 0
    write(machine, at)
    t.ok(counting.extents < 3 * chunkPageBytes, `${counting.extents} extents are looked at for a byte at ${at}`)
    t.ok(counting.records < 16, `${counting.records} records are looked at for a byte at ${at}`)
  }
  write(machine, 0, chunkBytes)
  t.same(chunks(machine), [['0', 1]], 'one write over all of it makes a list of it again')
  t.end()
})

void t.test('a list becomes pages above a bound, and pages a list below it', t => {
  const machine = machineWithFile()
  const step = chunkBytes / 1024
  for (let i = 0; i < chunkExtentsMax; i++) write(machine, i * step)
  t.same(chunks(machine), [['0', chunkExtentsMax]])
  write(machine, chunkBytes - 1)
  t.equal(machine.view.get('chunk', ino, chunkKey(0))!.length, 0)
  t.equal(machine.view.get('chunk', ino, pageKey(0, 0))!.length, chunkPageBytes / step)
  t.equal(machine.view.get('chunk', ino, pageKey(0, 63))!.length, 1)
  t.equal(machine.view.get('chunk', ino, pageKey(0, 40)), undefined, 'a page without extents is no record')
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
  const punch = (i: number): number => machine.apply({ kind: 'allocate', ino, mode, offset: i * step, length: 1 })
  let i = 0
  for (; machine.view.get('chunk', ino, chunkKey(0))!.length === 0; i++) t.equal(punch(i), 0)
  t.same(chunks(machine), [['0', chunkExtentsMax]])
  t.equal(i, 1)
  t.end()
})

void t.test('an extent that is cut where pages meet is one again when they are a list again', t => {
  const machine = machineWithFile(newTable(undefined, 4))
  write(machine, 0, 3 * chunkPageBytes)
  for (const at of [20_000, 30_000, 40_000, 50_000]) write(machine, at)
  t.same(chunks(machine).slice(0, 4), [
    ['0', 0],
    ['0.0', 1],
    ['0.1', 1],
    ['0.2', 1],
  ])
  t.equal(machine.apply({ kind: 'setattr', ino, size: 30_001, killPrivileges: false }), 0)
  t.equal(machine.apply({ kind: 'setattr', ino, size: 20_001, killPrivileges: false }), 0)
  t.same(chunks(machine), [['0', 2]])
  t.same(machine.view.get('chunk', ino, chunkKey(0))![0]!.length, 3 * chunkPageBytes)
  t.equal(machine.apply({ kind: 'unlink', parent: 1, name: `f${ino}` }), 0)
  t.same(chunks(machine), [])
  t.end()
})

void t.test('a chunk that is a list again tells of each page that a change above it may have made', t => {
  const table = newTable(undefined, pagesPerChunk)
  const machine = machineWithFile(table)
  for (let i = 0; i <= pagesPerChunk; i++) write(machine, 10 * i)
  const touched = new Set<string>()
  table.onChange = (_, __, key) => touched.add(key)
  t.equal(table.get('chunk', ino, pageKey(0, 9)), undefined)
  write(machine, 0, chunkBytes)
  // a member that has laid a write to this page over the state has to lay it anew
  t.ok(touched.has(pageKey(0, 9)))
  t.same(chunks(machine), [['0', 1]])
  t.end()
})

void t.test('whether there are pages depends on what is there, not on the way there', t => {
  const [atOnce, inSteps] = [4, 4].map(max => machineWithFile(newTable(undefined, max))) as [Machine, Machine]
  for (const machine of [atOnce, inSteps]) for (const at of [0, 10, 20, 30]) write(machine, at)
  write(atOnce, 1, 25)
  // of one change, as small writes are that go on where one ends
  placeExtent(inSteps.view, ino, 1, 1, 100, 0, () => {})
  t.same(chunks(inSteps)[0], ['0', 0])
  placeExtent(inSteps.view, ino, 2, 24, 100, 1, () => {})
  t.same(chunks(inSteps), chunks(atOnce))
  t.same(chunks(inSteps), [['0', 3]])
  t.end()
})

void t.test('a channel from before there were pages has none until a session says so', t => {
  const table = new TableView(new MemoryStateStore(), nodeHasher)
  const machine = machineWithFile(table)
  for (let i = 0; i < 2000; i++) write(machine, i * 2)
  t.same(chunks(machine), [['0', 2000]], 'older entries come to the records that older members have')
  t.equal(machine.apply({ kind: 'open-session' }), 0)
  write(machine, 4000)
  t.same(chunks(machine), [['0', 2001]])
  t.equal(machine.apply({ kind: 'open-session', chunkExtents: 100 }), 0)
  t.equal(machine.apply({ kind: 'open-session', chunkExtents: 10_000 }), 0, 'what was said first stays')
  t.same(chunks(machine), [['0', 2001]])
  write(machine, 4002)
  t.same(chunks(machine), [
    ['0', 0],
    ['0.0', 2002],
  ])
  t.equal(seek(table, ino, 4003, 1, true), 2)
  t.end()
})

void t.test('a copy of many extents costs with their number', t => {
  const touched = [1000, 2000, 4000].map(extents => {
    const counting = new CountingView(newTable())
    const machine = machineWithFile(counting)
    make(machine, 11)
    for (let i = 0; i < extents; i++) write(machine, i * 32_768, 10)
    const clone = (offset: number): number =>
      machine.apply({
        kind: 'clone',
        source: ino,
        sourceOffset: 0,
        ino: 11,
        offset,
        length: (extents - 1) * 32_768 + 10,
      })
    counting.extents = counting.records = 0
    for (let copy = 0; copy < 3; copy++) if (clone(copy * extents * 32_768) !== 0) throw new Error('clone')
    return counting.extents + counting.records
  })
  t.ok(touched[2]! < 4.2 * touched[0]!, `records and extents looked at: ${touched.join(', ')}`)
  t.end()
})

void t.test('a copy within a range of extents tells how far they go', t => {
  const machine = machineWithFile()
  for (let i = 0; i < 100; i++) write(machine, i * 10_000, 10)
  const { view } = machine
  t.equal(lengthOfExtents(view, ino, 0, 1_000_000, 200), 1_000_000)
  t.equal(lengthOfExtents(view, ino, 0, 990_010, 100), 990_010)
  t.equal(lengthOfExtents(view, ino, 0, 990_010, 99), 990_000)
  t.equal(lengthOfExtents(view, ino, 5, 990_010, 1), 9_995)
  t.equal(lengthOfExtents(view, ino, 5, 2 ** 50, 100), 2 ** 50 - 5)
  t.end()
})

void t.test('lseek goes on where it stopped', t => {
  const machine = machineWithFile(newTable(undefined, 8))
  for (let i = 0; i < 300; i++) write(machine, i * 1000, 1000)
  write(machine, 3_000_000)
  const size = 3_000_001
  for (const [from, data] of [
    [0, false],
    [0, true],
    [299_999, false],
    [300_000, true],
    [400_000, true],
    [3_000_000, false],
  ] as const) {
    let at: number = from
    let steps = 0
    for (; ; steps++) {
      const sought = seekStep(machine.view, ino, size, at, data, 7)
      if ('found' in sought) {
        t.equal(sought.found, seek(machine.view, ino, size, from, data), `from ${from}`)
        break
      }
      t.ok(sought.from > at)
      at = sought.from
    }
    if (from === 0 && !data) t.ok(steps > 20, `${steps} steps`)
  }
  t.end()
})

void t.test('sorted records are what a sorted map is', t => {
  const rng = new Rng(1)
  const records = new SortedRecords<number>()
  const model = new Map<string, number>()
  for (let i = 0; i < 20_000; i++) {
    const key = rng.below(5000).toString(36)
    if (rng.below(3) === 0) {
      records.delete(key)
      model.delete(key)
    } else {
      records.set(key, i)
      model.set(key, i)
    }
    if (i % 2000 !== 0) continue
    const after = rng.below(2) === 0 ? undefined : rng.below(5000).toString(36)
    const wanted = [...model].filter(([each]) => after === undefined || each > after)
    t.same(
      [...records.after(after)],
      wanted.sort(([a], [b]) => (a < b ? -1 : 1)),
    )
    t.equal(records.size, model.size)
  }
  t.end()
})

void t.test('a scan over many records that are not flushed costs what it answers', t => {
  const table = newTable()
  for (let i = 0; i < 20_000; i++) table.set('entry', 1, `n${i}`, { ino: i, type: 0 })
  const began = process.cpuUsage()
  let after: string | undefined
  let names = 0
  for (let i = 0; ; i++) {
    const found = table.scan('entry', 1, after, 10)
    for (const [name] of found) table.set('entry', 1, (after = name), undefined)
    names += found.length
    if (found.length < 10) break
  }
  t.equal(names, 20_000)
  const { user, system } = process.cpuUsage(began)
  t.ok(user + system < 10e6, `${(user + system) / 1e3} ms; it was minutes when each scan sorted all`)
  t.end()
})

void t.test('what is refused or beyond the largest file touches no chunk', t => {
  const machine = machineWithFile()
  const place = { time: 1n, number: 99 }
  t.not(apply(machine.view, { kind: 'write', ino, offset: 2 ** 52, length: 1, killPrivileges: false }, place), 0)
  write(machine, 2 ** 52 - 1)
  t.same(chunks(machine), [[`${2 ** 34 - 1}`, 1]])
  t.equal(seek(machine.view, ino, 2 ** 52, 5, true), 2 ** 52 - 1)
  t.end()
})
