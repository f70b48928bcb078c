import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Invalidator } from '../../../src/adapters/fuse/invalidations.js'
import { Notify } from '../../../src/adapters/fuse/protocol.js'

t.test('sizes that were announced while too many notifications waited are told after all is dropped', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rkfs-notify.'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'device')
  const device = openSync(path, 'w')
  const warned: string[] = []
  // the thread alone keeps no process alive
  const alive = setInterval(() => undefined, 1000)
  t.teardown(() => clearInterval(alive))
  const invalidator = new Invalidator(device, 44, new Set([7]), (_, message) => warned.push(message))
  // all within one turn, so that the thread has written none
  const many = Array.from(
    { length: 250_001 },
    (_, i) => ({ kind: 'inode', ino: i + 10, offset: -1, length: 0 }) as const,
  )
  for (let i = 0; i < 2; i++) invalidator.invalidate(many)
  invalidator.invalidate([...many.slice(0, 10), { kind: 'size', ino: 7, size: 100, last: 1 }])
  invalidator.invalidate([{ kind: 'size', ino: 7, size: 200, last: 2 }])
  await new Promise<void>(done => invalidator.settled(done))
  await invalidator.close()
  closeSync(device)
  t.match(warned, [/too many cache notifications/])

  const bytes = readFileSync(path)
  const codes: number[] = []
  let stored: { ino: number; end: number } | undefined
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
    const code = bytes.readInt32LE(at + 4)
    codes.push(code)
    if (code === Notify.STORE) stored = { ino: bytes.readUInt32LE(at + 16), end: bytes.readUInt32LE(at + 24) + 1 }
  }
  t.same(stored, { ino: 7, end: 200 })
  t.same(codes.slice(-4), [Notify.INC_EPOCH, Notify.INVAL_INODE, Notify.STORE, Notify.INVAL_INODE])
})

t.test('who waits when a mount ends is told once, whatever was dropped', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rkfs-notify.'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const device = openSync(join(folder, 'device'), 'w')
  // the thread alone keeps no process alive
  const alive = setInterval(() => undefined, 1000)
  t.teardown(() => clearInterval(alive))
  const invalidator = new Invalidator(device, 44, new Set([7]), () => undefined)
  const many = Array.from(
    { length: 250_001 },
    (_, i) => ({ kind: 'inode', ino: i + 10, offset: -1, length: 0 }) as const,
  )
  for (let i = 0; i < 3; i++) invalidator.invalidate(many)
  const told = [0, 0]
  invalidator.settled(() => told[0]!++)
  const closed = invalidator.close()
  invalidator.settled(() => told[1]!++)
  await closed
  t.same(told, [1, 1])
  closeSync(device)
})
