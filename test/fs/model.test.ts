import fc from 'fast-check'
import t from 'tap'
import { equalBytes } from '../../src/base/bytes.js'
import { errnoName } from '../../src/base/errno.js'
import { blobsPerEntryMax, chunkBytes, chunkPageBytes } from '../../src/base/limits.js'
import { apply } from '../../src/fs/apply.js'
import { xattrNames } from '../../src/fs/attributes.js'
import { extentsMaxOf } from '../../src/fs/chunks.js'
import { payloadCuts, seek, visitCovered } from '../../src/fs/extents.js'
import { namelessKey, nowhere, type Operation } from '../../src/fs/operation.js'
import { decodeReserved, reservedWithin } from '../../src/fs/reserved.js'
import { OverlayView } from '../../src/fs/overlay-view.js'
import { isDirectory, isRegular, S_IFDIR, S_IFLNK, S_IFREG } from '../../src/fs/records.js'
import { chunkKey, pageKey, placeOfChunk } from '../../src/fs/store-port.js'
import type { TableView } from '../../src/fs/table-view.js'
import type { View } from '../../src/fs/view.js'
import { MemoryStateStore } from '../support/memory-state-store.js'
import { BlobBook, Machine, newTable, treeOf, walk } from './support/machine.js'
import { ModelFs } from './support/model.js'
import { type Relocation, relocationIn } from './support/relocation.js'

// SEED=n replays a failure; RUNS=n runs more of them.
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const runs = Number(process.env['RUNS'] ?? 250)
t.comment(`SEED=${seed}`)
t.setTimeout(120_000)

// A small world, so that operations meet: inodes 1 to 9 (10 never exists), three names, offsets near the borders of chunks and
// their pages.
const ino = fc.integer({ min: 1, max: 9 })
const anyIno = fc.oneof({ weight: 20, arbitrary: ino }, { weight: 1, arbitrary: fc.constant(10) })
const parent = fc.oneof({ weight: 1, arbitrary: fc.constant(1) }, { weight: 2, arbitrary: anyIno })
const name = fc.constantFrom('a', 'b', 'c')
const near = fc.tuple(fc.constantFrom(0, 0, 1, 2), fc.constantFrom(0, 0, 1, 2, 40), fc.integer({ min: -20, max: 20 }))
const offset = near.map(([chunk, page, delta]) => Math.max(0, chunk * chunkBytes + page * chunkPageBytes + delta))
const length = fc.oneof(
  fc.integer({ min: 1, max: 40 }),
  fc.constantFrom(1, chunkPageBytes, 2 * chunkPageBytes + 1, chunkBytes, chunkBytes + 1, 2 * chunkBytes),
)
const mode = fc.constantFrom(0o755, 0o6755, 0o2644)
const kill = fc.boolean()

/** Of more extents than these a chunk is kept as pages: most histories come to some. */
const extentsMax = fc.constantFrom(1, 3, 20, 65, 512)

const make = fc.record({
  kind: fc.constant('make' as const),
  parent,
  name,
  ino: fc.integer({ min: 2, max: 9 }),
  mode: fc
    .tuple(fc.constantFrom(S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK), mode)
    .map(([type, bits]) => type | bits),
  uid: fc.nat(3),
  gid: fc.nat(3),
  rdev: fc.constant(0),
  target: fc.constant(''),
  umask: fc.constantFrom(undefined, 0o022, 0o077),
})
const file = { kind: 'make' as const, mode: S_IFREG | 0o600, uid: 1, gid: 1, rdev: 0, target: '' }
/** O_TMPFILE. */
const makeNameless = fc
  .integer({ min: 2, max: 9 })
  .map(number => ({ ...file, parent: nowhere, name: namelessKey(number), ino: number }))
const removeNameless = fc
  .integer({ min: 2, max: 9 })
  .map(number => ({ kind: 'unlink' as const, parent: nowhere, name: namelessKey(number) }))
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })
const operation: fc.Arbitrary<Operation> = fc
  .oneof(
    { weight: 6, arbitrary: make },
    { weight: 2, arbitrary: makeNameless },
    { weight: 1, arbitrary: removeNameless },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('link' as const), ino: anyIno, parent, name }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('clone' as const),
        source: anyIno,
        sourceOffset: offset,
        ino: anyIno,
        offset,
        length: fc.oneof(length, fc.integer({ min: 0, max: 5 })),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('access' as const),
        times: fc.array(fc.record({ ino: anyIno, atime: fc.bigInt(0n, 100n) }), { maxLength: 4 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('unlink' as const, 'rmdir' as const), parent, name }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('rename' as const),
        parent,
        name,
        newParent: parent,
        newName: name,
        flags: fc.constantFrom(0, 0, 0, 1, 2, 2, 3, 4),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('rename' as const),
        parent,
        name,
        newParent: parent,
        newName: name,
        flags: fc.constantFrom(4, 5, 6, 0),
        whiteout: fc.integer({ min: 2, max: 9 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('setattr' as const),
        ino: anyIno,
        killPrivileges: kill,
        size: optional(offset),
        mode: optional(mode),
        uid: optional(fc.nat(3)),
        gid: optional(fc.nat(3)),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('write' as const), ino: anyIno, offset, length, killPrivileges: kill }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('append' as const), ino: anyIno, length, killPrivileges: kill }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('allocate' as const),
        ino: anyIno,
        mode: fc.constantFrom(0, 1, 2, 3, 3, 16, 17, 8),
        offset,
        length,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('setxattr' as const),
        ino: anyIno,
        name,
        flags: fc.nat(2),
        value: fc.uint8Array({ maxLength: 3 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('removexattr' as const), ino: anyIno, name }) },
  )
  .map(one => Object.fromEntries(Object.entries(one).filter(([, value]) => value !== undefined)) as never as Operation)

/** What a schedule does after an operation: flushes, reopens, commits. */
const step = fc.record({ operation, next: fc.nat(9) })
const history = fc.array(step, { minLength: 1, maxLength: 80, size: 'max' })

function payloadOf(one: Operation, number: number): Buffer {
  const bytes = Buffer.alloc(one.kind === 'write' || one.kind === 'append' ? one.length : 0)
  // each byte tells which write it came from, and where in it it stood
  for (let i = 0; i < bytes.length; i++) bytes[i] = 1 + ((number * 31 + i) % 255)
  return bytes
}

function position(index: number): { index: number; term: number; hash: Uint8Array } {
  return { index, term: 1, hash: new Uint8Array(32) }
}

function same(found: unknown, wanted: unknown, what: string): void {
  if (found !== wanted) throw new Error(`${what}: ${String(found)}, but the model has ${String(wanted)}`)
}

/** Compares a whole view with the model. */
function compare(view: View, book: BlobBook, model: ModelFs): void {
  const seen = new Set<number>()
  walk(view, (path, at, inode) => {
    seen.add(at)
    const wanted = model.inodes.get(at)
    if (wanted === undefined) throw new Error(`${path} is inode ${at}, which the model does not have`)
    same(inode.mode, wanted.mode, `mode of ${path}`)
    same(inode.uid, at === 1 && wanted.uid === 0 ? inode.uid : wanted.uid, `uid of ${path}`)
    same(inode.gid, wanted.gid, `gid of ${path}`)
    same(inode.nlink, model.links(at), `links of ${path}`)
    same(inode.children, wanted.names.size, `names in ${path}`)
    same(xattrNames(view, at).join(), [...wanted.xattrs.keys()].sort().join(), `attributes of ${path}`)
    for (const [key, value] of wanted.xattrs)
      same(equalBytes(view.get('xattr', at, key)!, value), true, `${path} ${key}`)
    if (isDirectory(inode)) {
      const names = view.scan('entry', at, undefined, 1000)
      same(
        names.map(([key, entry]) => `${key}=${entry.ino}`).join(),
        [...wanted.names]
          .sort()
          .map(([key, value]) => `${key}=${value}`)
          .join(),
        path,
      )
      for (const [key, entry] of names)
        same(entry.type, model.inodes.get(entry.ino)!.mode & 0o170000, `type of ${path}/${key}`)
    }
    if (!isRegular(inode)) return
    same(inode.size, wanted.content.length, `size of ${path}`)
    same(inode.allocated, model.allocated(at), `allocated bytes of ${path}`)
    same(book.content(view, at).equals(wanted.content), true, `content of ${path}`)
    for (const from of [0, 7, chunkBytes - 3, chunkBytes, 2 * chunkBytes - 1]) {
      if (from >= inode.size) continue
      const data = wanted.written.indexOf(1, from)
      same(seek(view, at, inode.size, from, true), data < 0 ? undefined : data, `SEEK_DATA from ${from} in ${path}`)
      const hole = wanted.written.indexOf(0, from)
      same(seek(view, at, inode.size, from, false), hole < 0 ? inode.size : hole, `SEEK_HOLE from ${from} in ${path}`)
    }
  })
  same([...seen].sort().join(), [...model.inodes.keys()].sort().join(), 'inodes')
}

/** What must hold of any state: extents in order and within their blobs, blobs counted, no inode without a name. */
function checkInvariants(table: TableView, store: MemoryStateStore, book: BlobBook): void {
  const live = new Map<number, number>()
  const reached = new Set<number>()
  walk(table, (path, at, inode) => {
    if (isDirectory(inode) && reached.has(at)) throw new Error(`directory ${path} has two names`)
    if (reached.has(at)) return
    reached.add(at)
    let allocated = 0
    const reserved = isRegular(inode) ? decodeReserved(inode.target) : []
    for (const { from, to } of reserved) allocated += to - from
    for (const [key, record] of table.scan('chunk', at, undefined, 10_000)) {
      const { chunk, page } = placeOfChunk(key)
      let end = page === undefined ? 0 : page * chunkPageBytes
      const limit = page === undefined ? chunkBytes : end + chunkPageBytes
      for (const extent of record) {
        if (extent.start < end || extent.length <= 0) throw new Error(`extents of ${path} overlap in chunk ${key}`)
        end = extent.start + extent.length
        if (end > limit) throw new Error(`an extent of ${path} leaves chunk ${key}`)
        const blob = book.blobs.get(extent.blob)
        if (blob === undefined || extent.offset + extent.length > blob.length) {
          throw new Error(`an extent of ${path} leaves blob ${extent.blob}`)
        }
        live.set(extent.blob, (live.get(extent.blob) ?? 0) + extent.length)
        const at = chunk * chunkBytes + extent.start
        allocated += extent.length - reservedWithin(reserved, at, at + extent.length)
      }
      const isMarked = table.get('chunk', at, chunkKey(chunk))!.length === 0
      if (isMarked !== (page !== undefined || record.length === 0)) throw new Error(`pages of ${path} without a mark`)
      if (page === undefined && isMarked !== inPages(table, at, chunk) > extentsMaxOf(table)) {
        throw new Error(`chunk ${chunk} of ${path} should ${isMarked ? 'be a list' : 'have pages'}`)
      }
      if (record.length === 0) {
        const [next] = table.scan('chunk', at, pageKey(chunk, -1), 1)
        if (next === undefined || placeOfChunk(next[0]).chunk !== chunk) {
          throw new Error(`an empty chunk of ${path} is kept`)
        }
        continue
      }
      if (page !== undefined && record.length === 0) throw new Error(`an empty page of ${path} is kept`)
      if (chunk * chunkBytes + end > inode.size) throw new Error(`an extent of ${path} lies after its end`)
    }
    if (allocated !== inode.allocated) throw new Error(`${path} says ${inode.allocated} bytes, extents ${allocated}`)
  })
  for (const { table: kind, ino: at, key } of store.all()) {
    // `nowhere` is a directory without an inode
    if (at !== nowhere && table.get(kind, at, key) !== undefined && !reached.has(at)) {
      throw new Error(`a ${kind} record of inode ${at} is left, and no name leads to it`)
    }
  }
  for (const blob of book.blobs.keys()) same(table.liveBytes(blob), live.get(blob) ?? 0, `live bytes of blob ${blob}`)
  same(
    table.dataBytes,
    [...live.values()].reduce((sum, bytes) => sum + bytes, 0),
    'data bytes',
  )
  same(table.inodes, reached.size - (getStored(table) ? 0 : 1), 'count of inodes')
}

/** How many extents a chunk has when they are cut where pages meet. */
function inPages(table: TableView, ino: number, chunk: number): number {
  let count = 0
  const from = chunk * chunkBytes
  for (let at = from; at < from + chunkBytes; at += chunkPageBytes)
    visitCovered(table, ino, at, at + chunkPageBytes, () => count++)
  return count
}

/** The root is a record only once something changed it. */
function getStored(table: TableView): boolean {
  return table.get('inode', 1, '') !== undefined
}

void t.test('apply does what the model does, over flushes and reopenings', t => {
  const property = fc.property(history, extentsMax, (steps, max) => {
    const store = new MemoryStateStore()
    const book = new BlobBook()
    const model = new ModelFs()
    let table = newTable(store, max)
    const dead = new Set<number>()
    const flush = (index: number): void => {
      for (const blob of table.flush(position(index))) dead.add(blob)
    }
    steps.forEach(({ operation, next }, i) => {
      const number = i + 1
      const payload = payloadOf(operation, number)
      book.put(number, operation, payload)
      const wanted = model.apply(operation, payload)
      const found = apply(table, operation, { time: BigInt(number), number })
      same(errnoName(found), errnoName(wanted), `step ${i}`)
      if (table.isFlushing) for (const blob of table.stepFlush(3) ?? []) dead.add(blob)
      else if (next > 6) table.beginFlush(position(number))
      if (next < 2) flush(number)
      if (next === 2 && table.isFlushing) failStep(table, store)
      if (next === 0) table = newTable(store, max)
      if (next > 4) relocate(table, book, i, steps.length + number)
    })
    compare(table, book, model)
    flush(steps.length)
    checkInvariants(table, store, book)
    const reopened = newTable(store, max)
    compare(reopened, book, model)
    checkInvariants(reopened, store, book)
    same(equalBytes(reopened.digest(), table.digest()), true, 'digest')
    for (const blob of dead) same(table.liveBytes(blob), 0, `blob ${blob} was called dead`)
  })
  fc.assert(property, { numRuns: runs, seed })
  t.pass(`${runs} histories`)
  t.end()
})

/** Keeps some bytes of a file anew, which the model does not know of. */
function relocate(view: View, book: BlobBook, i: number, number: number): Relocation | undefined {
  const found = relocationIn(view, book, 2 + (i % 6), i % 2)
  if (found === undefined) return undefined
  book.put(number, found.operation, found.payload)
  same(apply(view, found.operation, { time: BigInt(number), number }), 0, 'a relocation')
  return found
}

/** The disk gives up in the middle of a flush: all of it is tried again with the next one. */
function failStep(table: TableView, store: MemoryStateStore): void {
  store.failsNext = true
  let isFailed = false
  try {
    table.stepFlush(Infinity)
  } catch {
    isFailed = true
  }
  same(isFailed && !table.isFlushing, true, 'a flush that failed has ended')
}

void t.test('an overlay of what is not committed shows what the table will show (the leader)', t => {
  const property = fc.property(history, extentsMax, (steps, max) => {
    const book = new BlobBook()
    const model = new ModelFs()
    const store = new MemoryStateStore()
    const table = newTable(store, max)
    const overlay = new OverlayView(table)
    const all = newTable(undefined, max)
    let log: { index: number; operation: Operation }[] = []
    let index = 0
    const commit = (count: number): void => {
      for (const entry of log.slice(0, count)) {
        same(apply(table, entry.operation, { time: BigInt(entry.index), number: entry.index }), 0, 'a logged operation')
        // entries may be dropped one by one or several at once
        if (entry.index % 3 !== 0) overlay.drop(entry.index)
      }
      log = log.slice(count)
      overlay.drop(log.length === 0 ? index : log[0]!.index - 1)
    }
    for (const { operation, next } of steps) {
      const number = index + 1
      const place = { time: BigInt(number), number }
      const payload = payloadOf(operation, number)
      overlay.tag = number
      const found = apply(overlay, operation, place)
      same(errnoName(found), errnoName(model.apply(operation, payload)), operation.kind)
      if (found !== 0) continue
      book.put(number, operation, payload)
      index = number
      log.push({ index, operation })
      same(apply(all, operation, place), 0, 'the same on the whole')
      if (next > 6) {
        overlay.tag = number + 1
        const kept = relocate(overlay, book, index, number + 1)
        if (kept !== undefined) {
          log.push({ index: ++index, operation: kept.operation })
          same(apply(all, kept.operation, { time: BigInt(index), number: index }), 0, 'a relocation on the whole')
        }
      }
      if (next < 5) commit(next)
      if (next === 5) table.flush(position(index - log.length))
      if (next === 6) rebuild(overlay, log)
      same(treeOf(overlay).join('\n'), treeOf(all).join('\n'), `tree at ${index}`)
    }
    compare(overlay, book, model)
    commit(log.length)
    same(overlay.empty, true, 'the overlay is empty when all is committed')
    compare(table, book, model)
    same(equalBytes(table.digest(), all.digest()), true, 'digest')
    table.flush(position(index))
    checkInvariants(table, store, book)
  })
  fc.assert(property, { numRuns: runs, seed })
  t.pass(`${runs} histories`)
  t.end()
})

/** As after a change of leader: what remains is laid over the table anew. */
function rebuild(overlay: OverlayView, log: readonly { index: number; operation: Operation }[]): void {
  overlay.clear()
  for (const { index, operation } of log) {
    overlay.tag = index
    same(apply(overlay, operation, { time: BigInt(index), number: index }), 0, 'an operation laid over the table again')
  }
}

void t.test('the digest depends on the history alone, not on flushes, reopenings or when it is asked for', t => {
  const property = fc.property(
    history,
    extentsMax,
    fc.array(fc.nat(9), { minLength: 80, maxLength: 80 }),
    (steps, max, others) => {
      const stores = [new MemoryStateStore(), new MemoryStateStore()]
      const views = stores.map(store => newTable(store, max))
      steps.forEach(({ operation, next }, i) => {
        const number = i + 1
        const schedules = [next, others[i]!]
        const answers = views.map((view, which) => {
          const answer = apply(view, operation, { time: BigInt(number), number })
          const todo = schedules[which]!
          if (todo < 3) view.flush(position(number))
          if (todo < 2) views[which] = newTable(stores[which]!, max)
          if (todo === 3) view.digest()
          return answer
        })
        same(answers[0], answers[1], `step ${i}`)
        if (next === 4) same(equalBytes(views[0]!.digest(), views[1]!.digest()), true, `digest at ${number}`)
      })
      same(equalBytes(views[0]!.digest(), views[1]!.digest()), true, 'digest')
      // … and on nothing but the records: with all of them gone it is that of nothing
      for (const [which, view] of views.entries()) {
        view.flush(position(100))
        for (const { table, ino: at, key } of stores[which]!.all()) view.set(table, at, key, undefined)
        same(equalBytes(view.digest(), new Uint8Array(32)), true, 'digest of no records')
      }
    },
  )
  fc.assert(property, { numRuns: runs, seed })
  t.pass(`${runs} histories`)
  t.end()
})

void t.test('of what was made since the last flush nothing is looked for in the store', t => {
  const asked: string[] = []
  class Store extends MemoryStateStore {
    override get(...at: Parameters<MemoryStateStore['get']>): Uint8Array | undefined {
      asked.push(`${at[0]} of ${at[1]}`)
      return super.get(...at)
    }
    override scan(...at: Parameters<MemoryStateStore['scan']>): ReturnType<MemoryStateStore['scan']> {
      asked.push(`${at[0]} of ${at[1]}`)
      return super.scan(...at)
    }
  }
  const table = newTable(new Store())
  const machine = new Machine(table)
  const data = new Uint8Array(10)
  t.equal(machine.apply({ ...file, parent: 1, name: 'a', ino: 2 }), 0)
  asked.length = 0
  const write = { kind: 'write' as const, ino: 2, offset: 0, length: 10, killPrivileges: false }
  t.equal(machine.apply(write, data), 0)
  t.equal(table.get('xattr', 2, 'user.a'), undefined)
  t.strictSame(asked, [])
  table.flush(position(1))
  asked.length = 0
  t.equal(table.get('xattr', 2, 'user.b'), undefined)
  t.strictSame(asked, ['xattr of 2'], 'what is in the store is looked for there')
  t.end()
})

void t.test('a payload is never cut into more blobs than an entry may have', t => {
  fc.assert(
    fc.property(fc.nat(2 ** 40), fc.integer({ min: 0, max: 1 << 20 }), (offset, length) => {
      const cuts = payloadCuts({ kind: 'write', ino: 2, offset, length, killPrivileges: false })
      same(
        cuts.reduce((sum, cut) => sum + cut, 0),
        length,
        'cuts',
      )
      if (cuts.length > blobsPerEntryMax || cuts.some(cut => cut <= 0 || cut > chunkBytes))
        throw new Error(String(cuts))
    }),
  )
  t.pass()
  t.end()
})
