import fc from 'fast-check'
import t from 'tap'
import { ByteWriter } from '../../src/base/bytes.js'
import { RkfsError } from '../../src/base/errors.js'
import { accessTimesMax, fileSizeMax, payloadBytesMax } from '../../src/base/limits.js'
import { decodeOperation, encodeOperation } from '../../src/fs/operation-codec.js'
import { describeOperation, type Operation } from '../../src/fs/operation.js'
import { anyOperation, damaged } from './support/arbitrary.js'

/** The operation, or undefined for bytes that are refused as they should be. */
function decodeOrRefuse(bytes: Uint8Array): Operation | undefined {
  try {
    return decodeOperation(bytes)
  } catch (error) {
    if (error instanceof RkfsError && error.code === 'corrupt') return undefined
    throw error
  }
}

void t.test('what is encoded decodes to the same', t => {
  fc.assert(
    fc.property(anyOperation, operation => {
      t.same(decodeOperation(encodeOperation(operation)), operation)
      describeOperation(operation)
    }),
    { numRuns: 500 },
  )
  t.end()
})

void t.test('a truncated operation is refused; one with a flipped bit is refused or is another operation', t => {
  let truncated = 0
  for (const operation of fc.sample(anyOperation, { numRuns: 60, seed: 1 })) {
    const encoded = encodeOperation(operation)
    damaged(encoded, (bytes, what) => {
      const decoded = decodeOrRefuse(bytes)
      if (bytes.length < encoded.length) {
        if (decoded !== undefined) t.fail(`${operation.kind} ${what} was taken`)
        truncated++
      } else if (decoded !== undefined && Buffer.compare(encodeOperation(decoded), bytes) !== 0) {
        t.fail(`${operation.kind} ${what}: its encoding is not the only one`)
      }
    })
  }
  t.ok(truncated > 1000)
  t.end()
})

void t.test('any bytes are decoded or refused', t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 20 }), (bytes, kind) => {
      if (bytes.length > 0) bytes[0] = kind
      decodeOrRefuse(bytes)
    }),
    { numRuns: 2000 },
  )
  t.end()
})

void t.test('values that no mount sends are refused', t => {
  const refused: [string, Uint8Array][] = [
    ['nothing', new Uint8Array(0)],
    ['an unknown kind', Uint8Array.of(19)],
    [
      'more access times than one change has',
      new ByteWriter()
        .u8(14)
        .u32(accessTimesMax + 1)
        .done(),
    ],
    ['a byte too many', new ByteWriter().u8(0).u64(1).u8(0).done()],
    ['an empty name', new ByteWriter().u8(3).u64(1).binary('').done()],
    ['a name too long', new ByteWriter().u8(3).u64(1).binary('x'.repeat(256)).done()],
    ['a name with NUL', new ByteWriter().u8(3).u64(1).binary('a\0b').done()],
    ['attributes that do not exist', new ByteWriter().u8(6).u64(2).u8(64).u8(0).done()],
    ['a flag that is neither', new ByteWriter().u8(6).u64(2).u8(0).u8(2).done()],
    [
      'a write that is too long',
      new ByteWriter()
        .u8(7)
        .u64(2)
        .u64(0)
        .u32(payloadBytesMax + 1)
        .u8(0)
        .done(),
    ],
    [
      'a write beyond the largest file',
      new ByteWriter()
        .u8(7)
        .u64(2)
        .u64(fileSizeMax + 1)
        .u32(0)
        .u8(0)
        .done(),
    ],
    ['a number over 2^53', new ByteWriter().u8(0).u32(0).u32(0x200000).done()],
  ]
  for (const [what, bytes] of refused) t.throws(() => decodeOperation(bytes), { code: 'corrupt' }, what)
  t.end()
})
