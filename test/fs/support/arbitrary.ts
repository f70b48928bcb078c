import fc from 'fast-check'
import { fileSizeMax, keptRunsMax, payloadBytesMax } from '../../../src/base/limits.js'
import type { Operation } from '../../../src/fs/operation.js'

/** Binary strings: one char a byte. */
export const binary = (max: number): fc.Arbitrary<string> =>
  fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: max }).map(codes => String.fromCharCode(...codes))
const name = fc
  .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 255 })
  .map(codes => String.fromCharCode(...codes))
export const u32 = fc.integer({ min: 0, max: 0xffffffff })
export const u53 = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER))
export const i64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)
export const bytes = (max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: max })
const length = fc.integer({ min: 0, max: payloadBytesMax })

/** Any operation that a mount may bring about. */
export const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constant('mark' as const), id: u53 }),
  fc.record(
    {
      kind: fc.constant('make' as const),
      parent: u53,
      name,
      ino: u53,
      mode: u32,
      uid: u32,
      gid: u32,
      rdev: u32,
      target: binary(100),
      umask: u32,
    },
    { requiredKeys: ['kind', 'parent', 'name', 'ino', 'mode', 'uid', 'gid', 'rdev', 'target'] },
  ),
  fc.record({ kind: fc.constant('link' as const), ino: u53, parent: u53, name }),
  fc.record({ kind: fc.constantFrom('unlink' as const, 'rmdir' as const), parent: u53, name }),
  fc.record(
    {
      kind: fc.constant('rename' as const),
      parent: u53,
      name,
      newParent: u53,
      newName: name,
      flags: u32,
      whiteout: u53,
    },
    { requiredKeys: ['kind', 'parent', 'name', 'newParent', 'newName', 'flags'] },
  ),
  fc.record(
    {
      kind: fc.constant('setattr' as const),
      ino: u53,
      killPrivileges: fc.boolean(),
      mode: u32,
      uid: u32,
      gid: u32,
      size: u53,
      atime: i64,
      mtime: i64,
    },
    { requiredKeys: ['kind', 'ino', 'killPrivileges'] },
  ),
  fc.record({
    kind: fc.constant('write' as const),
    ino: u53,
    offset: fc.integer({ min: 0, max: fileSizeMax }),
    length,
    killPrivileges: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('append' as const), ino: u53, length, killPrivileges: fc.boolean() }),
  fc
    .record({
      kind: fc.constant('write-back' as const),
      ino: u53,
      offset: fc.integer({ min: 0, max: fileSizeMax }),
      base: u53,
      gaps: fc.array(fc.tuple(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 700 })), { maxLength: 5 }),
    })
    .map(({ gaps, ...operation }) => {
      let end = 0
      const stored = gaps.map(([gap, length]) => {
        const at = end + gap - 1 + (end === 0 ? 0 : 1)
        end = at + length
        return { at, length }
      })
      return { ...operation, length: end, stored }
    }),
  fc.record({ kind: fc.constant('allocate' as const), ino: u53, mode: u32, offset: u53, length: u53 }),
  fc.record({
    kind: fc.constant('clone' as const),
    source: u53,
    sourceOffset: u53,
    ino: u53,
    offset: u53,
    length: u53,
  }),
  fc
    .record({
      kind: fc.constant('relocate' as const),
      ino: u53,
      runs: fc.array(
        fc.record({
          offset: fc.integer({ min: 0, max: fileSizeMax }),
          length: fc.integer({ min: 1, max: 2000 }),
          blob: u53,
          blobOffset: u32,
        }),
        { minLength: 1, maxLength: keptRunsMax },
      ),
    })
    .map(operation => ({ ...operation, length: operation.runs.reduce((sum, { length }) => sum + length, 0) })),
  fc.record({
    kind: fc.constant('access' as const),
    times: fc.array(fc.record({ ino: u53, atime: i64 }), { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('setxattr' as const), ino: u53, name, flags: u32, value: bytes(100) }),
  fc.record({ kind: fc.constant('removexattr' as const), ino: u53, name }),
  fc.record({ kind: fc.constant('members' as const), version: u53, descriptor: bytes(100) }),
  fc.record({ kind: fc.constant('open-session' as const) }),
  fc.record({ kind: fc.constant('open-session' as const), chunkExtents: fc.integer({ min: 1, max: 2 ** 32 - 1 }) }),
  fc.record({
    kind: fc.constant('refuse' as const),
    member: fc.constantFrom('0123456789abcdef', 'f'.repeat(16)),
    session: u53,
    sequence: u53,
    errno: u32,
  }),
  fc.record({ kind: fc.constant('end-session' as const), member: fc.constantFrom('0123456789abcdef', 'f'.repeat(16)) }),
)

/** Calls back with every proper prefix of `sample`, and with every single bit of it flipped. */
export function damaged(sample: Uint8Array, check: (bytes: Uint8Array, what: string) => void): void {
  for (let end = 0; end < sample.length; end++) check(sample.slice(0, end), `cut at ${end}`)
  for (let bit = 0; bit < sample.length * 8; bit++) {
    const copy = sample.slice()
    copy[bit >> 3]! ^= 1 << (bit & 7)
    check(copy, `bit ${bit} flipped`)
  }
}
