import t from 'tap'
import { chunkBytes } from '../../src/base/limits.js'
import { getInode } from '../../src/fs/apply.js'
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, type Operation } from '../../src/fs/operation.js'
import { S_IFREG } from '../../src/fs/records.js'
import { chunkKey } from '../../src/fs/store-port.js'
import { Machine } from './support/machine.js'

// What programs stored in pages of a shared mapping, and others' changes of the same file in between (mmap(2)).

const ino = 2

/** A file of so many bytes of `a`, written by entry 2. */
function fileOf(size: number): Machine {
  const machine = new Machine()
  const make = { kind: 'make', parent: 1, name: 'f', ino, uid: 0, gid: 0, rdev: 0, target: '' } as const
  machine.apply({ ...make, mode: S_IFREG | 0o644 })
  machine.apply({ kind: 'write', ino, offset: 0, length: size, killPrivileges: false }, Buffer.alloc(size, 'a'))
  return machine
}

const write = (machine: Machine, offset: number, text: string): number =>
  machine.apply({ kind: 'write', ino, offset, length: text.length, killPrivileges: false }, Buffer.from(text))

const truncate = (machine: Machine, size: number): number =>
  machine.apply({ kind: 'setattr', ino, size, killPrivileges: false })

/** Capitals are what was stored; the rest is the file's, as the kernel had it. */
function writeBack(machine: Machine, offset: number, text: string, base: number): number {
  const stored = [...text.matchAll(/[A-Z]+/g)].map(({ index, 0: run }) => ({ at: index, length: run.length }))
  const operation: Operation = { kind: 'write-back', ino, offset, length: text.length, base, stored }
  return machine.apply(operation, Buffer.from(text))
}

const content = (machine: Machine): string => machine.book.content(machine.view, ino).toString()
const extents = (machine: Machine): number => machine.view.get('chunk', ino, chunkKey(0))!.length

void t.test('where nothing came in between, it is one extent', t => {
  const machine = fileOf(10)
  t.equal(writeBack(machine, 2, 'XaaYaZ', 2), 0)
  t.equal(content(machine), 'aaXaaYaZaa')
  t.equal(extents(machine), 3)
  t.end()
})

void t.test('it never makes a file longer, and gives back nothing that was cut off', t => {
  const machine = fileOf(10)
  t.equal(truncate(machine, 4), 0)
  t.equal(writeBack(machine, 0, 'aXaXaaaaaX', 2), 0)
  t.equal(content(machine), 'aXaX')
  t.equal(truncate(machine, 0), 0)
  const { mtime } = getInode(machine.view, ino)!
  t.equal(writeBack(machine, 0, 'XXXX', 3), 0)
  t.equal(getInode(machine.view, ino)!.size, 0)
  t.equal(getInode(machine.view, ino)!.mtime, mtime, 'nothing came of it')
  t.equal(truncate(machine, 10), 0)
  t.equal(writeBack(machine, 0, 'aaaaXaaaaa', 2), 0)
  t.equal(content(machine), '\0\0\0\0X\0\0\0\0\0', 'cut off and grown again')
  t.equal(getInode(machine.view, ino)!.allocated, 1)
  t.end()
})

void t.test('what others wrote beside it since stays', t => {
  const machine = fileOf(10)
  t.equal(write(machine, 4, 'bb'), 0)
  t.equal(writeBack(machine, 2, 'XaaaaY', 2), 0)
  t.equal(content(machine), 'aaXabbaYaa')
  t.equal(writeBack(machine, 4, 'bbZ', 3), 0)
  t.equal(content(machine), 'aaXabbZYaa', 'another of the same mapping')
  t.end()
})

void t.test('so does a hole that others punched, and what they copied there', t => {
  const machine = fileOf(10)
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
  t.equal(machine.apply({ kind: 'allocate', ino, mode, offset: 3, length: 2 }), 0)
  t.equal(writeBack(machine, 2, 'XaaY', 2), 0)
  t.equal(content(machine), 'aaX\0\0Yaaaa')
  const copied = fileOf(10)
  t.equal(write(copied, 8, 'cc'), 0)
  t.equal(copied.apply({ kind: 'clone', source: ino, sourceOffset: 8, ino, offset: 4, length: 2 }), 0)
  t.equal(writeBack(copied, 2, 'XaaaaY', 3), 0)
  t.equal(content(copied), 'aaXaccaYcc')
  t.end()
})

void t.test('with base 0 only what was stored counts', t => {
  const machine = fileOf(10)
  t.equal(writeBack(machine, 2, 'XbbY', 0), 0)
  t.equal(content(machine), 'aaXaaYaaaa')
  t.end()
})

void t.test('it may lie in several chunks', t => {
  const machine = fileOf(2 * chunkBytes)
  const text = (byte: string): string => `X${byte.repeat(8)}Y${byte.repeat(chunkBytes - 20)}Z`
  for (const base of [2, 0]) {
    t.equal(writeBack(machine, chunkBytes - 5, text('a'), base), 0)
    const found = content(machine)
    t.equal(found.slice(chunkBytes - 5, chunkBytes + 6), 'XaaaaaaaaYa')
    t.equal(found.indexOf('Z'), 2 * chunkBytes - 15)
    t.equal(found.replaceAll(/[^a]/g, '').length, 2 * chunkBytes - 3)
  }
  t.end()
})

void t.test('a file that is gone, and what is none', t => {
  const machine = fileOf(1)
  t.equal(machine.apply({ kind: 'unlink', parent: 1, name: 'f' }), 0)
  t.not(writeBack(machine, 0, 'X', 0), 0)
  t.end()
})
