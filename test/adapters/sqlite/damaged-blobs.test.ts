import { rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { segmentName } from '../../../src/adapters/sqlite/segment-reader.js'
import { blobsPerEntryMax, KiB } from '../../../src/base/limits.js'
import type { BlobId } from '../../../src/channel/log-port.js'
import { hasher, moreRecords, owner, quiet, syncOf, tempFolder, unbounded } from '../../contracts/entries.js'
import { damageBlob, placeOfBlob } from '../../support/damage-blob.js'

const segmentBytes = 64 * KiB

function setUp(): { store: SqliteLogStore; folder: string; payloads: Uint8Array[]; open: () => SqliteLogStore } {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const open = (): SqliteLogStore => SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet, segmentBytes)
  const store = open()
  const records = moreRecords(store, 40, 1, () => 10_000)
  for (const record of records) {
    store.append([record])
    store.commit()
  }
  store.settle()
  return { store, folder, payloads: records.map(({ payload }) => payload), open }
}

void t.test(
  'a damaged blob is left out when its segment is cleaned, told, and the segment goes when it is healed',
  async t => {
    const { store, folder, payloads } = setUp()
    // of each segment most is dead
    const isLive = (id: BlobId): boolean => Math.floor(id / blobsPerEntryMax) % 3 === 0
    while (store.compact(40, isLive));
    store.commit()
    const bad = 3 * blobsPerEntryMax + 1
    t.ok(damageBlob(folder, bad))
    const told: BlobId[] = []
    while (store.clean(id => told.push(id), unbounded));
    t.same([...new Set(told)], [bad])
    t.ok(Buffer.from(store.blob(6 * blobsPerEntryMax + 1)!).equals(payloads[5]!.subarray(777)))
    t.throws(() => store.blob(bad), { name: 'RkfsError', blob: bad })
    t.ok(store.heal(bad, payloads[2]!.subarray(777)))
    while (store.clean(() => t.fail('nothing is damaged any more'), unbounded));
    t.ok(Buffer.from(store.blob(bad)!).equals(payloads[2]!.subarray(777)))
    for (let round = 0; round < 3; round++) await syncOf(store)
    t.equal(
      statSync(join(folder, 'segments', segmentName(1)), { throwIfNoEntry: false }),
      undefined,
      'the segment is gone',
    )
    store.close()
    t.end()
  },
)

void t.test('blobs of a segment that is cut while the log is open are damaged, each by itself', t => {
  const { store, folder, payloads } = setUp()
  const lost = 2 * blobsPerEntryMax + 1
  const { segment, offset } = placeOfBlob(folder, lost)!
  truncateSync(segment, offset + 100)
  t.throws(() => store.blob(lost), { name: 'RkfsError', blob: lost })
  t.throws(() => store.read(2, 2), { name: 'RkfsError', blob: lost })
  t.ok(store.blob(blobsPerEntryMax + 1), 'what comes before is whole')
  t.ok(store.heal(lost, payloads[1]!.subarray(777)))
  t.ok(Buffer.from(store.read(2, 2)[0]!.payload).equals(payloads[1]!))
  store.close()
  t.end()
})
