import t from 'tap'
import { EAGAIN, ENOENT, errnoName } from '../../src/base/errno.js'
import { readPieces } from '../../src/fs/extents.js'
import { getInode } from '../../src/fs/inodes.js'
import type { KeptRun } from '../../src/fs/operation.js'
import { S_IFREG } from '../../src/fs/records.js'
import type { TableView } from '../../src/fs/table-view.js'
import { Machine, newTable } from './support/machine.js'
import { relocation } from './support/relocation.js'

const ino = 2
const table = newTable()
const machine = new Machine(table)
const write = (offset: number, text: string): void => {
  const operation = { kind: 'write' as const, ino, offset, length: text.length, killPrivileges: false }
  t.equal(machine.apply(operation, Buffer.from(text)), 0)
}
const relocate = (...runs: KeptRun[]): number => {
  const { operation, payload } = relocation(machine.book, ino, runs)
  return machine.apply(operation, payload)
}
const run = (view: TableView, offset: number, length: number): KeptRun => {
  const [piece] = readPieces(view, ino, offset, length)
  return { offset, length, blob: piece!.blob!, blobOffset: piece!.offset }
}

t.equal(
  machine.apply({
    kind: 'make',
    parent: 1,
    name: 'f',
    ino,
    mode: S_IFREG | 0o4644,
    uid: 1,
    gid: 1,
    rdev: 0,
    target: '',
  }),
  0,
)
write(0, 'abcdefghij')
const first = run(table, 0, 10).blob
write(3, 'XY')
const before = getInode(table, ino)!
const left = run(table, 0, 3)
const right = run(table, 5, 5)

t.equal(relocate(left, right), 0)
t.equal(machine.book.content(table, ino).toString(), 'abcXYfghij')
t.same(getInode(table, ino), before, 'nothing that a program sees has changed')
t.equal(table.liveBytes(first), 0, 'the blob may go')

t.equal(errnoName(relocate(left, right)), errnoName(EAGAIN), 'nothing is where it was')
const moved = run(table, 5, 5)
write(6, 'Z')
t.equal(errnoName(relocate(moved)), errnoName(EAGAIN), 'a part of it was written over')
const part = { ...moved, offset: 7, length: 3, blobOffset: moved.blobOffset + 2 }
t.equal(relocate(moved, part), 0, 'what is left of it is kept anew')
t.equal(machine.book.content(table, ino).toString(), 'abcXYfZhij')
t.equal(table.liveBytes(moved.blob), 4)

t.equal(machine.apply({ kind: 'unlink', parent: 1, name: 'f' }), 0)
t.equal(errnoName(relocate(part)), errnoName(ENOENT))
