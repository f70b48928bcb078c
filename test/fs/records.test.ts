import fc from 'fast-check'
import t from 'tap'
import { RkfsError } from '../../src/base/errors.js'
import {
  decodeRecord,
  earlierSessionsMax,
  refusedMax,
  encodeRecord,
  rootDirectory,
  type Records,
} from '../../src/fs/records.js'
import type { Table } from '../../src/fs/store-port.js'
import { binary, bytes, damaged, i64, u32, u53 } from './support/arbitrary.js'

const records: { readonly [T in Table]: fc.Arbitrary<Records[T]> } = {
  inode: fc.record({
    mode: u32,
    nlink: u32,
    uid: u32,
    gid: u32,
    rdev: u32,
    size: u53,
    allocated: u53,
    atime: i64,
    mtime: i64,
    ctime: i64,
    parent: u53,
    children: u32,
    target: binary(100),
  }),
  entry: fc.record({ ino: u53, type: u32 }),
  chunk: fc.array(fc.record({ start: u32, length: u32, blob: u53, offset: u32 }), { maxLength: 10 }),
  xattr: bytes(50),
  session: fc.oneof(
    fc.record({ session: u53, sequence: u53 }),
    fc.record({
      session: u53,
      sequence: u53,
      ended: fc.constant(true as const),
      earlier: fc.array(fc.record({ session: u53, sequence: u53 }), { minLength: 1, maxLength: earlierSessionsMax }),
    }),
    fc.record({ session: u53, sequence: u53, inode: u53 }),
    fc.record({
      session: u53,
      sequence: u53,
      refused: fc.array(fc.record({ session: u53, sequence: u53, errno: u32 }), {
        minLength: 1,
        maxLength: refusedMax,
      }),
    }),
  ),
  setting: bytes(50),
}

const tables = Object.keys(records) as Table[]

for (const table of tables) {
  void t.test(`${table}: what is encoded decodes to the same`, t => {
    fc.assert(
      fc.property(records[table] as fc.Arbitrary<Records[Table]>, record => {
        t.same(decodeRecord(table, encodeRecord(table, record)), record)
      }),
      { numRuns: 200 },
    )
    t.end()
  })

  void t.test(`${table}: damage is refused or yields a record, and nothing else`, t => {
    let refused = 0
    for (const record of fc.sample(records[table] as fc.Arbitrary<Records[Table]>, { numRuns: 20, seed: 2 })) {
      damaged(encodeRecord(table, record), damagedBytes => {
        try {
          decodeRecord(table, damagedBytes)
        } catch (error) {
          if (!(error instanceof RkfsError) || error.code !== 'corrupt') throw error
          refused++
        }
      })
    }
    // the bytes of these are their value
    t.equal(refused > 0, table !== 'xattr' && table !== 'setting')
    t.end()
  })
}

void t.test('the root directory of a new channel', t => {
  const root = rootDirectory()
  t.same(decodeRecord('inode', encodeRecord('inode', root)), root)
  t.equal(root.nlink, 2)
  t.end()
})
