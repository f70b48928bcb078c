import t from 'tap'
import { reservedRangesMax } from '../../src/base/limits.js'
import { apply, getInode } from '../../src/fs/apply.js'
import { visitCovered } from '../../src/fs/extents.js'
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '../../src/fs/operation.js'
import { decodeReserved, joinNearest, reservedWithin } from '../../src/fs/reserved.js'
import { S_IFREG } from '../../src/fs/records.js'
import { MemoryStateStore } from '../support/memory-state-store.js'
import { newTable } from './support/machine.js'

void t.test('joinNearest joins over the narrowest gaps, the first of equal ones', t => {
  const ranges = [0, 10, 14, 30].map(from => ({ from, to: from + 2 }))
  t.same(joinNearest(ranges, 4), { reserved: ranges, filled: [] })
  t.same(joinNearest(ranges, 3), {
    reserved: [
      { from: 0, to: 2 },
      { from: 10, to: 16 },
      { from: 30, to: 32 },
    ],
    filled: [{ from: 12, to: 14 }],
  })
  t.same(joinNearest(ranges, 1).reserved, [{ from: 0, to: 32 }])
  const equal = [0, 4, 8].map(from => ({ from, to: from + 2 }))
  t.same(joinNearest(equal, 2).filled, [{ from: 2, to: 4 }])
  t.end()
})

void t.test('fallocate(2) of many separate ranges, with data in between and holes punched later', t => {
  const table = newTable(new MemoryStateStore())
  const place = { time: 1n, number: 3 }
  const make = { kind: 'make', parent: 1, name: 'f', ino: 2, uid: 0, gid: 0, rdev: 0, target: '' } as const
  t.equal(apply(table, { ...make, mode: S_IFREG | 0o644 }, place), 0)
  const check = (what: string): void => {
    const inode = getInode(table, 2)!
    const reserved = decodeReserved(inode.target)
    t.ok(reserved.length <= reservedRangesMax, `${what}: ${reserved.length} ranges`)
    let allocated = reserved.reduce((sum, { from, to }) => sum + to - from, 0)
    visitCovered(table, 2, 0, Infinity, (at, bytes) => {
      allocated += bytes - reservedWithin(reserved, at, at + bytes)
    })
    t.equal(inode.allocated, allocated, `${what}: allocated`)
  }
  for (let i = 0; i < 50; i++) {
    const write = { kind: 'write', ino: 2, offset: i * 40_000 + 1000, length: 5000, killPrivileges: false } as const
    t.equal(apply(table, write, { time: 1n, number: 10 + i }), 0)
  }
  for (let i = 0; i < 700; i++) {
    const offset = ((i * 7919) % 700) * 3000
    const mode = i % 2 === 0 ? 0 : FALLOC_FL_KEEP_SIZE
    t.equal(apply(table, { kind: 'allocate', ino: 2, mode, offset, length: 1 + (i % 900) }, place), 0)
  }
  check('allocated')
  for (let i = 0; i < 700; i++) {
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    t.equal(apply(table, { kind: 'allocate', ino: 2, mode, offset: i * 3000 + 100, length: 50 }, place), 0)
  }
  check('punched')
  t.end()
})
