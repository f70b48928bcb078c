/** What every `StateStore` must do. */
import t from 'tap'
import {
  type AppliedPosition,
  chunkKey,
  type RecordWrite,
  type StateStore,
  type StateWriter,
  tables,
} from '../../src/fs/store-port.js'
import { bytesOf } from './entries.js'

export interface StateStoreSubject {
  open(): StateStore
  reopen?(store: StateStore): StateStore
}

export function positionAt(index: number): AppliedPosition {
  return {
    index,
    term: 2,
    hash: bytesOf(index, 32),
    digest: bytesOf(index + 1, 32),
    inodes: index * 3,
    dataBytes: 2 ** 50 + index,
  }
}

export const noChanges: ReadonlyMap<number, number> = new Map()

export function stateStoreContract(name: string, subject: StateStoreSubject): void {
  const again = (store: StateStore): StateStore => subject.reopen?.(store) ?? store
  const value = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))

  void t.test(`${name}: an empty state`, t => {
    const store = again(subject.open())
    t.equal(store.position, undefined)
    for (const table of tables) t.equal(store.get(table, 1, table === 'chunk' ? chunkKey(0) : ''), undefined)
    t.same([...store.all()], [])
    t.equal(store.liveBytes(8), 0)
    store.syncNow()
    store.close()
    store.close()
    t.end()
  })

  void t.test(`${name}: write, get, scan, delete`, t => {
    let store = subject.open()
    const names = ['a', 'B', '\xff\x00z', 'aa', '\x01', '0', 'a\x80', "'", 'é']
    const big = 2 ** 52 + 1
    const writes: RecordWrite[] = [
      { table: 'inode', ino: 1, key: '', value: value('root') },
      { table: 'inode', ino: big, key: '', value: value('big') },
      ...names.map(key => ({ table: 'entry' as const, ino: 1, key, value: value(`entry ${key}`) })),
      { table: 'entry', ino: 2, key: 'other', value: value('') },
      ...[0, 5, 1000, 2 ** 34].map(n => ({
        table: 'chunk' as const,
        ino: big,
        key: chunkKey(n),
        value: value(`chunk ${n}`),
      })),
      { table: 'chunk', ino: 7, key: chunkKey(3), value: value('chunk') },
      { table: 'xattr', ino: 1, key: 'user.x', value: bytesOf(1, 65536) },
      { table: 'session', ino: 0, key: '0123456789abcdef', value: value('s') },
      { table: 'setting', ino: 0, key: 'members', value: value('m') },
    ]
    t.same(store.write({ writes, position: positionAt(1), liveBytes: noChanges }), [])
    for (let round = 0; round < 2; round++) {
      t.strictSame(store.position, positionAt(1))
      for (const { table, ino, key, value } of writes) {
        t.ok(Buffer.from(store.get(table, ino, key)!).equals(value!), `${table} ${ino} ${JSON.stringify(key)}`)
      }
      t.equal(store.get('entry', 1, 'b'), undefined)
      t.equal(store.get('inode', 2, ''), undefined)
      const sorted = [...names].sort((a, b) => (a < b ? -1 : 1))
      const keys = (after: string | undefined, limit: number): string[] =>
        store.scan('entry', 1, after, limit).map(one => one.key)
      t.same(keys(undefined, 100), sorted)
      t.same(keys(undefined, 3), sorted.slice(0, 3))
      t.same(keys(sorted[2], 3), sorted.slice(3, 6))
      t.same(keys('a\x7f', 1), ['a\x80'], 'after a name that is not there')
      t.same(
        store.scan('chunk', big, chunkKey(5), 10).map(one => one.key),
        [chunkKey(1000), chunkKey(2 ** 34)],
      )
      const upTo = (after: string | undefined, limit: number, before: number): string[] =>
        store.scan('chunk', big, after, limit, chunkKey(before)).map(one => one.key)
      t.same(upTo(undefined, 10, 1000), [chunkKey(0), chunkKey(5)], 'before a key')
      t.same(upTo(undefined, 1, 2 ** 34), [chunkKey(0)])
      t.same(upTo(chunkKey(5), 10, 2 ** 34), [chunkKey(1000)])
      const chunks = (ino: number, after: string | undefined, limit: number): [number, string][] =>
        store.chunksAfter(ino, after, limit).map(one => [one.ino, one.key])
      t.same(chunks(0, undefined, 2), [
        [7, chunkKey(3)],
        [big, chunkKey(0)],
      ])
      t.same(chunks(7, undefined, 1), [[7, chunkKey(3)]])
      t.same(chunks(7, chunkKey(3), 1), [[big, chunkKey(0)]])
      t.same(chunks(big, chunkKey(5), 10), [
        [big, chunkKey(1000)],
        [big, chunkKey(2 ** 34)],
      ])
      t.same(
        store.scan('inode', 1, undefined, 10).map(one => one.key),
        [''],
      )
      t.same(store.scan('inode', 1, '', 10), [])
      const all = [...store.all()]
      t.equal(all.length, writes.length)
      const order = all.map(one => tables.indexOf(one.table))
      t.same(order, [...order].sort(), 'table by table')
      store = again(store)
    }
    for (const ends of [false, true]) {
      const writer = store.begin?.()
      if (writer === undefined) break
      writer.put({ table: 'entry', ino: 3, key: 'stepwise', value: value('step') })
      writer.count(77, 5)
      t.equal(store.liveBytes(77), 0, 'counts are as they were until the end')
      if (ends) t.same(writer.commit(positionAt(1)), [])
      else writer.rollback()
      writer.rollback()
      store = again(store)
      t.equal(store.get('entry', 3, 'stepwise') !== undefined, ends)
      t.equal(store.liveBytes(77), ends ? 5 : 0)
    }
    let torn: StateWriter | undefined
    if (store.begin !== undefined) {
      const writer = store.begin()
      writer.put({ table: 'entry', ino: 3, key: 'stepwise', value: undefined })
      writer.count(77, -5)
      t.equal(store.liveBytes(77), 5)
      t.same(writer.commit(positionAt(1)), [77])
      // it is closed meanwhile: nothing of it counts
      torn = store.begin()
      torn.put({ table: 'entry', ino: 3, key: 'stepwise', value: value('step') })
    }
    const reopened = again(store)
    if (reopened === store) torn?.rollback()
    store = reopened
    t.equal(store.get('entry', 3, 'stepwise'), undefined)
    store.write({
      writes: [
        { table: 'entry', ino: 1, key: 'a', value: undefined },
        { table: 'entry', ino: 1, key: 'not there', value: undefined },
        { table: 'inode', ino: 1, key: '', value: value('root2') },
        { table: 'inode', ino: big, key: '', value: undefined },
        { table: 'chunk', ino: big, key: chunkKey(5), value: undefined },
      ],
      position: positionAt(2),
      liveBytes: noChanges,
    })
    store = again(store)
    t.equal(store.get('entry', 1, 'a'), undefined)
    t.equal(store.get('inode', big, ''), undefined)
    t.equal(store.get('chunk', big, chunkKey(5)), undefined)
    t.equal(Buffer.from(store.get('inode', 1, '')!).toString(), 'root2')
    t.equal(store.position?.index, 2)
    t.equal([...store.all()].length, writes.length - 3)
    store.close()
    t.end()
  })

  void t.test(`${name}: all() is one moment`, t => {
    const store = subject.open()
    const writes = Array.from({ length: 100 }, (_, ino) => ({
      table: 'inode' as const,
      ino,
      key: '',
      value: value('1'),
    }))
    store.write({ writes, position: positionAt(1), liveBytes: noChanges })
    const values: string[] = []
    for (const record of store.all()) {
      if (values.length === 0) {
        const later = writes.map(one => ({ ...one, value: value('2') }))
        store.write({ writes: later, position: positionAt(2), liveBytes: noChanges })
      }
      values.push(Buffer.from(record.value).toString())
    }
    t.same(values, Array(100).fill('1'))
    store.close()
    t.end()
  })

  void t.test(`${name}: live bytes of blobs`, t => {
    let store = subject.open()
    const count = (index: number, changes: [number, number][]): number[] =>
      store.write({ writes: [], position: positionAt(index), liveBytes: new Map(changes) })
    t.same(
      count(1, [
        [8, 100],
        [2 ** 45, 5],
      ]),
      [],
    )
    t.same(count(2, [[8, -40]]), [])
    store = again(store)
    t.equal(store.liveBytes(8), 60)
    t.equal(store.liveBytes(2 ** 45), 5)
    t.same(
      count(3, [
        [8, -60],
        [2 ** 45, 1],
        [16, 0],
      ]),
      [8, 16],
    )
    t.equal(store.liveBytes(8), 0)
    t.throws(() => count(4, [[2 ** 45, -7]]))
    t.equal(store.position?.index, 3)
    t.same(count(4, [[2 ** 45, -6]]), [2 ** 45])
    store.close()
    t.end()
  })
}
