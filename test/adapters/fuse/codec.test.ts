import t from 'tap'
import { Call } from '../../../src/adapters/fuse/call.js'
import {
  decodeBatchForget,
  decodeCopyFileRange,
  decodeInit,
  decodeLock,
  decodeSetattr,
  Request,
} from '../../../src/adapters/fuse/decode.js'
import { DirectoryPacker, encodeAttributesOut, encodeEntry, encodeLock } from '../../../src/adapters/fuse/encode.js'
import { encodeInit, negotiate } from '../../../src/adapters/fuse/init.js'
import { encodeIncEpoch, encodeInvalidations } from '../../../src/adapters/fuse/invalidations.js'
import { Flag, Op } from '../../../src/adapters/fuse/protocol.js'

/** struct fuse_in_header before a body, extensions after it. */
function message(opcode: number, body: Buffer, extension: Buffer = Buffer.alloc(0)): ArrayBuffer {
  const bytes = new ArrayBuffer(40 + body.length + extension.length)
  const buffer = Buffer.from(bytes)
  buffer.writeUInt32LE(buffer.length, 0)
  buffer.writeUInt32LE(opcode, 4)
  buffer.writeBigUInt64LE(0x1_0000_0002n, 8)
  buffer.writeBigUInt64LE(7n, 16)
  buffer.writeUInt32LE(1000, 24)
  buffer.writeUInt32LE(1001, 28)
  buffer.writeUInt32LE(4242, 32)
  buffer.writeUInt16LE(extension.length / 8, 36)
  body.copy(buffer, 40)
  extension.copy(buffer, 40 + body.length)
  return bytes
}

const u32 = (...values: number[]): Buffer => Buffer.from(new Uint32Array(values).buffer)
const u64 = (...values: bigint[]): Buffer =>
  Buffer.from(new BigInt64Array(values.map(v => BigInt.asIntN(64, v))).buffer)

t.test('a header, a name of bytes and a supplementary group', async t => {
  const name = Buffer.from([0x61, 0xff, 0xc3, 0x28, 0])
  const r = new Request(message(Op.LOOKUP, name, u32(16, 32, 1, 77)))
  t.match(r, { opcode: Op.LOOKUP, unique: 4294967298, nodeid: 7, uid: 1000, gid: 1001, pid: 4242 })
  t.equal(r.supplementaryGroup, 77)
  t.equal(r.name(0), 'a\xff\xc3(')
  t.equal(r.bodyBytes, 5)
})

t.test('requests that are cut short are refused', async t => {
  t.throws(() => new Request(new ArrayBuffer(39)), { code: 'corrupt' })
  const whole = message(Op.SETATTR, Buffer.alloc(88))
  decodeSetattr(new Request(whole))
  for (const length of [40, 44, 100, 127]) {
    const cut = Buffer.from(whole.slice(0, length))
    t.throws(() => new Request(cut.buffer.slice(cut.byteOffset, cut.byteOffset + length)), { code: 'corrupt' })
    const shorter = whole.slice(0, length)
    new DataView(shorter).setUint32(0, length, true)
    t.throws(() => decodeSetattr(new Request(shorter)), { code: 'corrupt' }, `of ${length} bytes`)
  }
  t.throws(() => new Request(message(Op.LOOKUP, Buffer.from('no end'))).name(0), { code: 'corrupt' })
  t.throws(() => new Request(message(Op.WRITE, Buffer.alloc(40))).data(40, 1), { code: 'corrupt' })
  t.throws(() => decodeBatchForget(new Request(message(Op.BATCH_FORGET, u32(2, 0, 1, 0, 1, 0)))), { code: 'corrupt' })
  t.throws(() => new Request(message(Op.MKDIR, Buffer.alloc(16), u32(64, 32, 1, 0))), { code: 'corrupt' })
})

t.test('setattr: times before 1970, UTIME_NOW, absent fields', async t => {
  const body = Buffer.alloc(88)
  body.writeUInt32LE(0b1_0000_1000 | (1 << 4) | (1 << 6) | (1 << 11), 0)
  body.writeBigUInt64LE(99n, 8)
  body.writeBigUInt64LE(5_000_000_000n, 16)
  body.writeBigInt64LE(-2n, 32)
  body.writeUInt32LE(750_000_000, 56)
  t.strictSame(decodeSetattr(new Request(message(Op.SETATTR, body))), {
    mode: undefined,
    uid: undefined,
    gid: undefined,
    size: 5_000_000_000,
    atime: -1_250_000_000n,
    mtime: 'now',
    ctime: undefined,
    handle: 99,
    killPrivileges: true,
  })
})

t.test('times go out as floor and remainder', async t => {
  const view = new DataView(new ArrayBuffer(256))
  const attributes = {
    ino: 5,
    mode: 0o100644,
    nlink: 1,
    uid: 1,
    gid: 2,
    rdev: 0,
    size: 2 ** 40 + 1,
    blocks: 3,
    atime: -1_250_000_000n,
    mtime: 1_700_000_000_123_456_789n,
    ctime: 0n,
  }
  t.equal(encodeAttributesOut(view, 0, { attributes, ttlMs: 1500 }), 104)
  t.equal(view.getBigUint64(0, true), 1n)
  t.equal(view.getUint32(8, true), 500_000_000)
  t.equal(view.getBigUint64(16 + 8, true), 2n ** 40n + 1n)
  t.equal(view.getBigInt64(16 + 24, true), -2n)
  t.equal(view.getUint32(16 + 48, true), 750_000_000)
  t.equal(view.getBigInt64(16 + 32, true), 1_700_000_000n)
  t.equal(view.getUint32(16 + 52, true), 123_456_789)
  t.equal(encodeEntry(view, 0, { attributes, entryTtlMs: 1000, attributesTtlMs: 2000 }), 128)
  t.equal(view.getBigUint64(0, true), 5n)
  t.equal(encodeEntry(view, 0, { attributes: undefined, negativeTtlMs: 3000 }), 128)
  t.equal(view.getBigUint64(0, true), 0n)
  t.equal(view.getBigUint64(16, true), 3n)
})

t.test('locks to the end of the file', async t => {
  const body = Buffer.concat([u64(9n, 0xffff_ffff_ffff_fff0n, 10n, 0x7fff_ffff_ffff_ffffn), u32(1, 77, 1, 0)])
  const lock = decodeLock(new Request(message(Op.SETLK, body)))
  t.strictSame(lock, {
    handle: 9,
    owner: 0xffff_ffff_ffff_fff0n,
    lock: { start: 10, end: Number.MAX_SAFE_INTEGER, type: 'write', pid: 77 },
    flock: true,
  })
  const view = new DataView(new ArrayBuffer(24))
  encodeLock(view, 0, lock.lock)
  t.equal(view.getBigUint64(8, true), 0x7fff_ffff_ffff_ffffn)
  t.equal(view.getUint32(16, true), 1)
})

t.test('copy_file_range and batch forget', async t => {
  t.strictSame(decodeCopyFileRange(new Request(message(Op.COPY_FILE_RANGE, u64(1n, 2n, 3n, 4n, 5n, 6n, 0n)))), {
    from: { ino: 7, handle: 1, offset: 2 },
    to: { ino: 3, handle: 4, offset: 5 },
    length: 6,
  })
  const forgets = new Request(message(Op.BATCH_FORGET, Buffer.concat([u32(2, 0), u64(11n, 1n, 12n, 5n)])))
  t.strictSame(decodeBatchForget(forgets), [
    { ino: 11, count: 1 },
    { ino: 12, count: 5 },
  ])
})

t.test('listings: records of 8 bytes, none cut', async t => {
  const item = { name: 'abc', ino: 9, type: 0o100000, offset: 4n }
  const packer = new DirectoryPacker(70, false)
  t.equal(packer.add(item), true)
  t.equal(packer.length, 16 + 32)
  t.equal(packer.view.getUint32(16 + 16, true), 3)
  t.equal(packer.view.getUint32(16 + 20, true), 8, 'DT_REG')
  t.equal(packer.bytes.toString('latin1', 16 + 24, 16 + 32), 'abc\0\0\0\0\0')
  t.equal(packer.add({ ...item, name: 'x' }), true)
  t.equal(packer.add({ ...item, name: 'y' }), false, '6 bytes are left')
  const plus = new DirectoryPacker(160, true)
  t.equal(plus.add(item), true)
  t.equal(plus.view.getBigUint64(16, true), 0n, 'no entry: node id 0')
  t.equal(plus.add(item), false)
  t.throws(() => plus.add({ ...item, name: '' }))
})

t.test('INIT takes what both have and nothing dangerous', async t => {
  const kernel = decodeInit(new Request(message(Op.INIT, u32(7, 45, 131072, 0x73fffffb, 0x5fd))))
  const protocol = negotiate(kernel, false)!
  t.equal(protocol.minor, 45)
  t.equal(protocol.flags & (1 << 16), 0, 'WRITEBACK_CACHE')
  t.equal(protocol.flags & (Flag.POSIX_LOCKS | Flag.FLOCK_LOCKS), 0)
  t.equal(protocol.flags2 & (1 << 10), 0, 'REQUEST_TIMEOUT')
  t.ok(protocol.flags & Flag.POSIX_ACL && protocol.flags & Flag.DONT_MASK, 'a default ACL takes the place of the umask')
  t.equal(negotiate(kernel, true)!.flags & (Flag.POSIX_LOCKS | Flag.FLOCK_LOCKS), 0b100_0000_0010)
  const view = new DataView(new ArrayBuffer(64))
  t.equal(encodeInit(view, 0, protocol), 64)
  t.equal(view.getUint32(20, true), 1 << 20)
  t.equal(negotiate({ ...kernel, minor: 99 }, false)!.minor, 45)
  t.equal(negotiate({ ...kernel, minor: 30 }, false), undefined)
})

t.test('notifications', async t => {
  const batch = Buffer.from(
    encodeInvalidations([
      { kind: 'inode', ino: 5, offset: -1, length: 0 },
      { kind: 'entry', parent: 1, name: 'ab' },
      { kind: 'delete', parent: 1, child: 6, name: '\xff' },
    ]),
  )
  t.equal(batch.length, 40 + 35 + 42)
  t.equal(batch.readUInt32LE(0), 40)
  t.equal(batch.readInt32LE(4), 2)
  t.equal(batch.readBigInt64LE(24), -1n)
  t.equal(batch.readInt32LE(44), 3)
  t.equal(batch.toString('latin1', 40 + 32, 40 + 35), 'ab\0')
  t.equal(batch.readInt32LE(79), 6)
  t.equal(batch[75 + 40], 0xff)
  t.equal(Buffer.from(encodeIncEpoch()).readInt32LE(4), 8)
})

t.test('a request is answered once, and interrupted at most once', async t => {
  const log: string[] = []
  const owner = { settleOk: () => log.push('ok'), settleFail: (_: unknown, errno: number) => log.push(`fail ${errno}`) }
  const requestOf = (unique: number) => ({ unique, opcode: Op.MKDIR, uid: 0, gid: 0, pid: 0 })
  const call = new Call<void>(owner as never, requestOf(1), () => undefined)
  call.onInterrupt(() => log.push('interrupted'))
  call.interrupt()
  call.interrupt()
  call.fail(4)
  t.throws(() => call.ok(), { name: 'AssertionFailure' })
  t.strictSame(log, ['interrupted', 'fail 4'])
  const late = new Call<void>(owner as never, requestOf(2), () => undefined)
  late.interrupt()
  late.onInterrupt(() => log.push('late'))
  t.equal(log.length, 2, 'not from inside the handler')
  await Promise.resolve()
  t.equal(log[2], 'late')
})
