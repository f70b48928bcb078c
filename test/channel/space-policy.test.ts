import t from 'tap'
import { MiB } from '../../src/base/limits.js'
import {
  dropTarget,
  fileSizes,
  isShort,
  keepOf,
  minFreeOf,
  orderVerdict,
  reserveOf,
  writableBytes,
  type Keep,
  type ToldSpace,
} from '../../src/channel/space-policy.js'

const GiB = 1024 * MiB

void t.test('what is kept free, and the reserve, follow the size of the disk', t => {
  const auto = {}
  t.same(
    [160 * MiB, 400 * MiB, GiB, 4 * GiB, 20 * GiB, 1024 * GiB].map(total => minFreeOf(total, auto) / MiB),
    [10, 25, 64, 64, 204.7999992370606, 1024].map(mib => Math.floor(mib * MiB) / MiB),
  )
  t.equal(minFreeOf(GiB, { minFreeBytes: 5 }), 5)
  t.equal(minFreeOf(GiB, { minFreePart: 0.5 }), GiB / 2)
  t.same(
    [16 * MiB, 160 * MiB, GiB].map(total => reserveOf(total, auto) / MiB),
    [1, 5, 16],
  )
  t.same(fileSizes(160 * MiB, auto), { segment: 2.5 * MiB, wal: 1.25 * MiB })
  t.same(fileSizes(Infinity, auto), { segment: 16 * MiB, wal: 16 * MiB })
  t.same(fileSizes(Infinity, { keepBytes: 16 * MiB }), { segment: 2 * MiB, wal: MiB })
  t.end()
})

void t.test(
  'log and dead bytes: the larger of 64 MiB and a quarter of the live data, as far as the disk can spare it',
  t => {
    const roomy = { totalBytes: 100 * GiB, freeBytes: 50 * GiB, minFree: GiB, spare: 0 }
    t.equal(keepOf({ ...roomy, live: 20 * MiB }, {}, false).usual, 64 * MiB)
    t.equal(keepOf({ ...roomy, live: GiB }, {}, false).usual, 256 * MiB)
    t.equal(keepOf({ ...roomy, live: GiB }, { keepBytes: 8 * MiB }, false).usual, 8 * MiB)
    t.equal(keepOf({ ...roomy, live: GiB }, {}, false).absent, GiB, 'for who is away: as much as the live data')
    t.equal(keepOf({ ...roomy, live: MiB }, {}, false).absent, 512 * MiB)
    t.equal(keepOf({ ...roomy, live: MiB }, {}, true).absent, 64 * MiB, 'nothing more where some disk is short')
    const small = { totalBytes: 160 * MiB, minFree: 10 * MiB, live: 20 * MiB }
    const keep = keepOf({ ...small, freeBytes: 60 * MiB, spare: 50 * MiB }, {}, false)
    t.equal(keep.usual, 20 * MiB, 'a quarter of what could be free')
    t.equal(keep.absent, 40 * MiB)
    t.same(
      keepOf({ ...small, freeBytes: 30 * MiB, spare: 80 * MiB }, {}, false),
      keep,
      'it does not matter what of it is free at the moment',
    )
    t.equal(keepOf({ ...small, freeBytes: 12 * MiB, spare: 0 }, {}, true).usual, 0, 'a full disk keeps nothing')
    t.end()
  },
)

/** Entries of one MiB from 11 on. */
const log = (count: number): { firstIndex: number; bytes: number; sizeOf: () => number } => ({
  firstIndex: 11,
  bytes: count * MiB,
  sizeOf: () => MiB,
})
const keep: Keep = { usual: 8 * MiB, present: 40 * MiB, absent: 20 * MiB }

void t.test('the oldest entries go, as many as are too many in bytes', t => {
  const needs = { ceiling: 110, heldByAll: 110, heldByPresent: 110, margin: 256, entriesMax: 500_000 }
  t.equal(dropTarget(log(100), needs, keep), 102, 'what all have: 8 MiB stay')
  t.equal(
    dropTarget(log(5), { ...needs, ceiling: 15, heldByAll: 15, heldByPresent: 15 }, keep),
    10,
    'none: it is little',
  )
  t.equal(dropTarget(log(100), { ...needs, margin: 2 }, keep), 108, 'no more than the margin')
  t.equal(dropTarget(log(100), { ...needs, heldByAll: 0 }, keep), 90, 'what one lacks that is away: 20 MiB stay')
  t.equal(dropTarget(log(100), { ...needs, heldByAll: 0, heldByPresent: 50 }, keep), 70, 'who is there is kept 40 MiB')
  t.equal(dropTarget(log(100), { ...needs, heldByAll: 95, heldByPresent: 110 }, keep), 95, 'what all have goes first')
  t.equal(
    dropTarget(log(100), { ...needs, ceiling: 60, heldByPresent: 60, heldByAll: 60 }, keep),
    60,
    'what is not flushed stays',
  )
  t.equal(
    dropTarget(log(100), { ...needs, heldByAll: 0, entriesMax: 5, margin: 1 }, keep),
    104,
    'so many entries, however small',
  )
  t.end()
})

const told = (free: number, exhausted = true): ToldSpace => ({
  free: free * MiB,
  minFree: 10 * MiB,
  spare: 0,
  exhausted,
})
const at = (free: number, exhausted?: boolean, taken = 0) => ({ told: told(free, exhausted), taken: taken * MiB })

void t.test('content is ordered while a majority has room for it', t => {
  t.equal(orderVerdict([at(50), at(50), at(0)], 0, 2, MiB), 'room', 'one full member matters to nobody')
  t.equal(orderVerdict([at(50), at(10), at(10)], 0, 2, MiB), 'full')
  t.equal(orderVerdict([at(50), at(10, false), at(10)], 0, 2, MiB), 'wait', 'it is making room')
  t.equal(orderVerdict([at(50), at(20, true, 15), at(10)], 0, 2, MiB), 'full', 'what is on its way there counts')
  t.equal(orderVerdict([at(50), at(10)], 1, 2, MiB), 'room', 'one that never told is taken to have room')
  t.equal(orderVerdict([at(50)], 0, 2, MiB), 'room', 'that nobody is there is no matter of space')
  t.equal(orderVerdict([at(50), at(10)], 0, 2, MiB), 'full', 'one full, one away')
  t.equal(orderVerdict([at(50), at(7), at(7)], 0, 2, MiB, 0.5), 'room', 'what was told of success goes further')
  t.equal(orderVerdict([at(50), at(5), at(5)], 0, 2, MiB, 0.5), 'full')
  t.end()
})

void t.test('statfs: the smallest that the order needs, and never more than is here', t => {
  const mib = (...[own, others, unknown, needed]: Parameters<typeof writableBytes>): number =>
    writableBytes(own, others, unknown, needed) / MiB
  t.equal(mib(at(110), [at(110), at(60), at(20)], 0, 2), 50)
  t.equal(mib(at(20), [at(110), at(60), at(20)], 0, 2), 10)
  t.equal(mib(at(110), [at(110), at(5), at(8)], 0, 2), 0)
  t.equal(mib(at(110), [at(110)], 1, 2), 100)
  t.equal(mib(at(110), [at(110), at(60, true, 30)], 0, 2), 20)
  t.ok(isShort(19 * MiB, 10 * MiB))
  t.notOk(isShort(20 * MiB, 10 * MiB))
  t.end()
})
