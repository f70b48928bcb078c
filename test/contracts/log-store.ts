/** What every `LogStore` must do. `open` makes a new one; `reopen`, if it can, closes one and opens it again. */
import t from 'tap'
import { blobsPerEntryMax, chunkBytes } from '../../src/base/limits.js'
import { type BlobId, DamagedBlob, type LogStore } from '../../src/channel/log-port.js'
import { hashAt, makeRecord, moreRecords, syncOf } from './entries.js'

export interface LogStoreSubject {
  open(): LogStore
  reopen?(store: LogStore, isSound?: boolean): LogStore
  /** Damages a blob on the store's disk. */
  damage(store: LogStore, id: BlobId): void
  /** The next sync fails, once. */
  failSync(store: LogStore): void
}

export function logStoreContract(name: string, subject: LogStoreSubject): void {
  const sizes = (index: number): number => [0, 10, 300, 5000, 300_000][index % 5]!
  const again = (store: LogStore): LogStore => subject.reopen?.(store) ?? store

  void t.test(`${name}: an empty log`, async t => {
    const store = again(subject.open())
    t.equal(store.lastIndex, 0)
    t.equal(store.anchor.index, 0)
    t.equal(store.term(0), 0)
    t.equal(store.term(1), undefined)
    t.equal(store.header(1), undefined)
    t.equal(store.header(0), undefined)
    t.same(store.hardState, { term: 0, vote: undefined })
    t.match(store.bytes, { entries: 0, blobs: 0, log: 0 })
    t.same(store.journal(), [])
    store.commit()
    t.equal(await syncOf(store), 0)
    store.close()
    store.close()
  })

  void t.test(`${name}: append, read, reopen`, async t => {
    let store = subject.open()
    const records = moreRecords(store, 50, 1, sizes)
    store.append(records.slice(0, 20))
    store.append(records.slice(20))
    t.equal(store.lastIndex, 50)
    t.equal(store.durableIndex, 0)
    store.commit()
    t.equal(await syncOf(store), 50)
    t.equal(store.durableIndex, 50)
    for (let round = 0; round < 2; round++) {
      const entries = store.read(1, 50)
      for (const [at, record] of records.entries()) {
        const index = at + 1
        t.ok(Buffer.from(entries[at]!.payload).equals(record.payload), `payload ${index}`)
        t.ok(Buffer.from(entries[at]!.header).equals(record.header), `header ${index}`)
        t.equal(store.term(index), 1)
        t.equal(store.size(index), record.header.length + record.payload.length)
        let from = 0
        for (const [part, cut] of record.cuts.entries()) {
          const blob = store.blob(index * blobsPerEntryMax + part)
          t.ok(blob && Buffer.from(blob).equals(record.payload.subarray(from, (from += cut))))
        }
        t.equal(store.blob(index * blobsPerEntryMax + record.cuts.length), undefined)
      }
      t.equal(
        store.bytes.blobs,
        records.reduce((sum, one) => sum + one.payload.length, 0),
      )
      t.equal(
        store.bytes.entries,
        records.reduce((sum, one) => sum + one.header.length, 0),
      )
      t.equal(store.bytes.log, store.bytes.blobs + store.bytes.entries)
      store = again(store)
    }
    t.throws(() => store.append([makeRecord(60, 1, hashAt(store, 50), 0)]))
    t.throws(() => store.read(50, 51), { code: 'corrupt' })
    store.close()
  })

  void t.test(`${name}: one sync under way, and one more for those that came meanwhile`, async t => {
    const store = subject.open()
    const covered: number[] = []
    store.append(moreRecords(store, 3, 1, sizes))
    store.commit()
    store.sync(
      index => covered.push(index),
      error => t.fail(String(error)),
    )
    store.append(moreRecords(store, 2, 1, sizes))
    store.commit()
    store.sync(
      index => covered.push(index),
      error => t.fail(String(error)),
    )
    store.append(moreRecords(store, 1, 1, sizes))
    t.equal(await syncOf(store), 5, 'the open transaction is not covered')
    t.same(covered, [3, 5])
    store.commit()
    store.syncNow()
    t.equal(store.durableIndex, 6)
    store.close()
  })

  void t.test(`${name}: a sync that is overtaken by truncation covers less`, async t => {
    const store = subject.open()
    store.append(moreRecords(store, 10, 1, sizes))
    store.commit()
    const sync = syncOf(store)
    store.truncateFrom(6)
    store.append(moreRecords(store, 5, 2, sizes))
    store.commit()
    t.equal(await sync, 5)
    t.equal(await syncOf(store), 10)
    store.close()
  })

  void t.test(`${name}: truncate`, t => {
    let store = subject.open()
    const first = moreRecords(store, 20, 1, sizes)
    store.append(first)
    store.commit()
    store.syncNow()
    store.truncateFrom(30)
    t.equal(store.lastIndex, 20)
    store.truncateFrom(11)
    t.equal(store.lastIndex, 10)
    t.equal(store.durableIndex, 10)
    t.equal(store.term(11), undefined)
    t.equal(store.blob(14 * blobsPerEntryMax), undefined)
    store = again(store)
    store.append(moreRecords(store, 3, 2, sizes))
    store = again(store)
    t.equal(store.lastIndex, 13)
    t.same([store.term(10), store.term(11), store.term(14)], [1, 2, undefined])
    t.equal(store.read(1, 13).length, 13)
    store.truncateFrom(1)
    t.equal(store.lastIndex, 0)
    t.match(store.bytes, { entries: 0, blobs: 0, log: 0 })
    t.same(store.blobIds(0, 10), [])
    store.close()
    t.end()
  })

  void t.test(`${name}: hard state, settings, journal`, t => {
    let store = subject.open()
    store.setSetting('session', '7')
    store.append(moreRecords(store, 2, 1, sizes))
    store.saveHardState({ term: 4, vote: '0011223344556677' })
    t.equal(store.durableIndex, 2, 'the open transaction ends with it')
    store.saveHardState({ term: 5, vote: undefined })
    store.setSetting('session', '8')
    const change = (session: number, sequence: number, length: number) => ({
      session,
      sequence,
      part: 0,
      proposal: new Uint8Array(30).fill(sequence),
      payload: new Uint8Array(length).fill(session),
    })
    for (let sequence = 1; sequence <= 5; sequence++) store.journalPut(change(2, sequence, sequence * 20_000))
    store.journalPut({ ...change(2, 5, 7), part: 1 })
    store.journalPut(change(1, 9, 0))
    store.journalPut(change(1, 10, 5))
    store = again(store)
    t.same(store.hardState, { term: 5, vote: undefined })
    t.equal(store.setting('session'), '8')
    t.equal(store.setting('other'), undefined)
    t.same(
      store.journal().map(one => [one.session, one.sequence, one.payload.length]),
      [
        [1, 9, 0],
        [1, 10, 5],
        [2, 1, 20_000],
        [2, 2, 40_000],
        [2, 3, 60_000],
        [2, 4, 80_000],
        [2, 5, 100_000],
        [2, 5, 7],
      ],
    )
    for (let sequence = 1; sequence <= 3; sequence++) store.journalRemove(2, sequence)
    store.journalRemove(1, 9)
    store = again(store)
    t.same(
      store.journal().map(one => [one.session, one.sequence]),
      [
        [1, 10],
        [2, 4],
        [2, 5],
        [2, 5],
      ],
    )
    store.journalRemove(2, 5)
    t.equal(store.journal().length, 2, 'all parts went')
    t.equal(store.journal()[1]!.proposal[0], 4)
    store.close()
    t.end()
  })

  void t.test(`${name}: compaction keeps live blobs, in bounded steps`, t => {
    let store = subject.open()
    store.append(moreRecords(store, 600, 1, sizes))
    store.append(moreRecords(store, 10, 3, sizes))
    store.commit()
    const hash = Buffer.from(hashAt(store, 600))
    const live = (id: number): boolean => Math.floor(id / blobsPerEntryMax) % 50 === 4
    let steps = 1
    while (store.compact(600, live)) {
      store.commit()
      steps++
    }
    t.ok(steps >= 2, 'more than one step')
    store.commit()
    for (let round = 0; round < 2; round++) {
      t.equal(store.anchor.index, 600)
      t.equal(store.anchor.term, 1)
      t.ok(hash.equals(store.anchor.hash))
      t.same([store.term(599), store.term(600), store.term(601)], [undefined, 1, 3])
      t.equal(store.header(600), undefined)
      t.equal(store.lastIndex, 610)
      t.equal(store.read(601, 610).length, 10)
      const kept = store.blobIds(0, 10_000)
      t.equal(kept.length, 12 * 3 + 2 + 2 * 2 + 2 * 3 + 2, 'live blobs, and those of the entries that stay')
      let bytes = 0
      for (const id of kept) bytes += store.blob(id)!.length
      t.equal(store.bytes.blobs, bytes)
      store = again(store)
    }
    t.equal(store.compact(600, live), false)
    const first = store.blobIds(0, 2)
    t.same(store.blobIds(first[0]!, 1), [first[1]])
    const before = store.bytes.blobs
    const length = store.blob(first[0]!)!.length
    t.equal(store.blobBytes(first[0]!), length)
    store.dropBlobs([first[0]!, 3, 604 * blobsPerEntryMax])
    t.equal(store.bytes.blobs, before - length)
    t.equal(store.blob(first[0]!), undefined)
    t.equal(store.blobBytes(first[0]!), undefined)
    t.ok(store.blob(604 * blobsPerEntryMax), 'a blob of an entry in the log stays')
    store = again(store)
    t.equal(store.bytes.blobs, before - length)
    t.equal(store.lastIndex, 610)
    store.append(moreRecords(store, 5, 3, sizes))
    store.commit()
    while (store.compact(615, () => false)) store.commit()
    store.commit()
    t.equal(store.lastIndex, 615)
    t.equal(store.anchor.index, 615)
    store = again(store)
    t.equal(store.lastIndex, 615)
    t.equal(store.term(615), 3)
    store.close()
    t.end()
  })

  void t.test(`${name}: installing a snapshot`, t => {
    let store = subject.open()
    store.append(moreRecords(store, 5, 1, sizes))
    store.commit()
    store.syncNow()
    const hash = new Uint8Array(32).fill(9)
    store.putBlob(400, new Uint8Array(1000).fill(1))
    store.putBlob(401, new Uint8Array(2000).fill(2))
    store.putBlob(400, new Uint8Array(1500).fill(3))
    store.reset({ index: 100, term: 7, hash })
    const blobs = 10 + 300 + 5000 + 300_000 + 3500
    for (let round = 0; round < 2; round++) {
      t.equal(store.lastIndex, 100)
      t.equal(store.anchor.index, 100)
      t.equal(store.term(100), 7)
      t.equal(store.term(5), undefined)
      t.match(store.bytes, { entries: 0, blobs, log: 0 })
      t.equal(store.blob(400)?.[0], 3)
      t.ok(store.blob(8), 'blobs stay')
      store = again(store)
    }
    store.append(moreRecords(store, 3, 8, sizes))
    store = again(store)
    t.equal(store.lastIndex, 103)
    t.equal(store.read(101, 103).length, 3)
    store.close()
    t.end()
  })

  void t.test(`${name}: installing a snapshot that ends where this log has other entries`, t => {
    for (const isSettled of [false, true]) {
      let store = subject.open()
      store.append(moreRecords(store, 8, 1, sizes))
      store.commit()
      store.syncNow()
      if (isSettled) store = again(store)
      const before = store.bytes.blobs
      const gone = [5, 6, 7, 8].map(index => store.read(index, index)[0]!.payload.length)
      store.reset({ index: 4, term: 2, hash: new Uint8Array(32).fill(9) })
      for (let round = 0; round < 2; round++) {
        t.equal(store.lastIndex, 4)
        t.equal(store.durableIndex, 4)
        t.equal(store.term(4), 2)
        t.equal(store.blob(8 * 8), undefined)
        t.match(store.bytes, { entries: 0, blobs: gone.reduce((left, bytes) => left - bytes, before) })
        store = again(store)
      }
      store.append(moreRecords(store, 6, 3, sizes))
      store = again(store)
      t.equal(store.lastIndex, 10)
      t.equal(store.read(5, 10).length, 6)
      t.equal(store.term(8), 3)
      store.close()
    }
    t.end()
  })

  void t.test(`${name}: a damaged blob is healed by its own bytes, and by no others`, t => {
    let store = subject.open()
    // the second part of 300,000 bytes is a whole chunk
    const records = moreRecords(store, 20, 1, index => (index % 2 === 0 ? 300_000 : 5000))
    store.append(records)
    store.settle()
    while (store.compact(10, () => true));
    store.commit()
    const { bytes } = store
    for (const index of [4, 14]) {
      const id = index * blobsPerEntryMax + 1
      const data = records[index - 1]!.payload.subarray(777, 777 + chunkBytes)
      subject.damage(store, id)
      const reads = [() => store.blob(id), ...(index > 10 ? [() => store.read(index, index)] : [])]
      for (const read of reads) {
        const failure = thrown(read)
        t.ok(failure instanceof DamagedBlob && failure.blob === id, String(failure))
      }
      t.ok(store.blob(id - 1), 'the other part is whole')
      const other = data.slice()
      other[5]! ^= 1
      t.equal(store.heal(id, other), false)
      t.equal(store.heal(id, data.subarray(1)), false)
      t.throws(() => store.blob(id))
      t.equal(store.heal(id, data), true)
      for (let round = 0; round < 2; round++) {
        t.ok(Buffer.from(store.blob(id)!).equals(data), `entry ${index}, round ${round}`)
        t.match(store.bytes, bytes)
        store = again(store)
      }
    }
    t.equal(store.read(14, 14)[0]!.payload.length, 300_000)
    t.equal(store.heal(21 * blobsPerEntryMax, new Uint8Array(10)), false, 'there is no such entry')
    t.equal(store.heal(15 * blobsPerEntryMax, new Uint8Array(777)), false, 'it is whole, and other bytes')
    store.close()
    t.end()
  })

  void t.test(`${name}: after a sync that failed nothing is believed or written`, async t => {
    for (const blocking of [false, true]) {
      let store = subject.open()
      store.append(moreRecords(store, 3, 1, sizes))
      store.commit()
      store.syncNow()
      store.append(moreRecords(store, 2, 1, sizes))
      store.commit()
      subject.failSync(store)
      if (blocking) t.throws(() => store.syncNow(), { code: 'failed' })
      else {
        await t.rejects(syncOf(store), { code: 'failed' })
        await t.rejects(syncOf(store), { code: 'failed' }, 'nor is one that would succeed')
      }
      t.equal(store.durableIndex, 3)
      t.throws(() => store.syncNow(), { code: 'failed' })
      t.throws(() => store.append(moreRecords(store, 1, 1, sizes)), { code: 'failed' })
      t.throws(() => store.saveHardState({ term: 9, vote: undefined }), { code: 'failed' })
      t.equal(store.read(1, 3).length, 3, 'it can be read')
      if (subject.reopen === undefined) return store.close()
      store = subject.reopen(store, false)
      t.ok(store.lastIndex >= 3)
      t.equal(store.durableIndex, store.lastIndex, 'what is found is written once more, and synced')
      store.append(moreRecords(store, 2, 1, sizes))
      store.commit()
      t.equal(await syncOf(store), store.lastIndex)
      store = again(store)
      store.close()
    }
  })
}

function thrown(run: () => unknown): unknown {
  try {
    run()
    return undefined
  } catch (error) {
    return error
  }
}
