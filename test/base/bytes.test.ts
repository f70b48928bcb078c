import fc from 'fast-check'
import t from 'tap'
import { ByteReader, ByteWriter, equalBytes, fromHex, fromLatin1, latin1, toHex } from '../../src/base/bytes.js'
import { RkfsError } from '../../src/base/errors.js'

type Field =
  | { kind: 'u8' | 'u16' | 'u32' | 'u64'; value: number }
  | { kind: 'i64'; value: bigint }
  | { kind: 'bytes' | 'raw'; value: Uint8Array }
  | { kind: 'binary'; value: string }

const binary = fc.array(fc.integer({ min: 0, max: 255 })).map(codes => String.fromCharCode(...codes))
const field: fc.Arbitrary<Field> = fc.oneof(
  fc.record({ kind: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant('u16' as const), value: fc.integer({ min: 0, max: 65535 }) }),
  fc.record({ kind: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
  fc.record({ kind: fc.constant('u64' as const), value: fc.maxSafeNat() }),
  fc.record({ kind: fc.constant('i64' as const), value: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n) }),
  fc.record({ kind: fc.constantFrom('bytes' as const, 'raw' as const), value: fc.uint8Array() }),
  fc.record({ kind: fc.constant('binary' as const), value: binary }),
)

function encode(fields: readonly Field[]): Uint8Array {
  const writer = new ByteWriter(1)
  for (const { kind, value } of fields) (writer[kind] as (value: unknown) => ByteWriter)(value)
  return writer.done()
}

function decode(fields: readonly Field[], bytes: Uint8Array): unknown[] {
  const reader = new ByteReader(bytes, 'test')
  const values = fields.map(({ kind, value }) => (kind === 'raw' ? reader.raw(value.length) : reader[kind]()))
  reader.end()
  return values
}

void t.test('what is written is read, whatever the fields', t => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 20 }), fields => {
      t.same(
        decode(fields, encode(fields)),
        fields.map(({ value }) => value),
      )
    }),
    { numRuns: 300 },
  )
  t.end()
})

void t.test('reads past the end, and bytes left over, are refused; offsets of a subarray count', t => {
  fc.assert(
    fc.property(fc.array(field, { minLength: 1, maxLength: 10 }), fc.nat(), (fields, random) => {
      const bytes = encode(fields)
      if (bytes.length === 0) return
      const cut = bytes.subarray(0, random % bytes.length)
      t.throws(() => decode(fields, cut), { code: 'corrupt' })
      const around = Buffer.concat([Uint8Array.of(9, 9, 9), bytes, Uint8Array.of(9)])
      t.same(decode(fields, around.subarray(3, -1)), decode(fields, bytes))
      t.throws(() => decode(fields, around.subarray(3)), { code: 'corrupt' })
    }),
    { numRuns: 200 },
  )
  t.throws(() => new ByteReader(new Uint8Array(8).fill(255), 'test').u64(), {
    code: 'corrupt',
    message: /out of range/,
  })
  t.end()
})

void t.test('binary strings and hexadecimal', t => {
  fc.assert(
    fc.property(fc.uint8Array(), bytes => {
      t.ok(equalBytes(fromLatin1(latin1(bytes)), bytes))
      t.ok(equalBytes(fromHex(toHex(bytes)), bytes))
      t.equal(toHex(bytes), Buffer.from(bytes).toString('hex'))
      t.notOk(equalBytes(bytes, Buffer.concat([bytes, Uint8Array.of(0)])))
    }),
  )
  t.same([...fromHex('00FFab')], [0, 255, 171])
  for (const bad of ['0', 'gg', '0x00', ' 00']) {
    t.throws(() => fromHex(bad), RkfsError, bad)
  }
  t.end()
})
