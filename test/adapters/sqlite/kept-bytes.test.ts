import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { blobsPerEntryMax } from '../../../src/base/limits.js'
import { hasher, moreRecords, owner, quiet, syncOf, tempFolder } from '../../contracts/entries.js'

for (const bytes of [100, 50_000]) {
  t.test(`blobs of ${bytes} bytes of a snapshot that broke off count no more when the log has its own`, async t => {
    const folder = tempFolder()
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const path = join(folder, 'log.db')
    let store = SqliteLogStore.open(path, owner, hasher, quiet)
    const append = async (count: number): Promise<void> => {
      store.append(moreRecords(store, count, 1, () => 1000))
      store.commit()
      await syncOf(store)
      store.settle()
    }
    await append(4)
    for (const index of [5, 6, 9]) store.putBlob(index * blobsPerEntryMax, new Uint8Array(bytes).fill(index))
    store.commit()
    t.equal(store.bytes.blobs, 4000 + 3 * bytes)
    await append(2)
    t.equal(store.bytes.blobs, 6000 + bytes, 'those of two entries are their own now')
    store.truncateFrom(6)
    store.commit()
    await syncOf(store)
    store.settle()
    t.equal(store.bytes.blobs, 5000, 'what came after is gone')
    store.close()
    store = SqliteLogStore.open(path, owner, hasher, quiet)
    t.equal(store.bytes.blobs, 5000)
    store.close()
  })
}
