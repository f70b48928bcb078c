/** What other systems did to their own files: failed syncs, snapshots put in place by halves, an index apart from its data. */
import fs, { renameSync, rmSync, statSync, truncateSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { SqliteLogStore } from '../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../src/adapters/sqlite/state-store.js'
import { toHex } from '../../src/base/bytes.js'
import type { LogAnchor } from '../../src/channel/log-port.js'
import { installSnapshot, receiveSnapshot, resumeInstall, snapshotPaths } from '../../src/daemon/snapshot-transfer.js'
import { cutting, hashAt, hasher, moreRecords, owner, quiet, tempFolder } from '../contracts/entries.js'
import { noChanges, positionAt } from '../contracts/state-store.js'

/** A member's folder with a log of so many entries, all durable. */
function member(t: Test, entries: number) {
  const folder = tempFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const paths = snapshotPaths(folder)
  const log = SqliteLogStore.open(paths.log, owner, hasher, quiet)
  log.append(moreRecords(log, entries, 1, () => 500))
  log.settle()
  t.teardown(() => log.close())
  return { paths, log }
}

function state(path: string): SqliteStateStore {
  return SqliteStateStore.open(path, owner, hasher, quiet)
}

/** A state that came from another member and waits beside the old one. */
function received(incoming: string, anchor: LogAnchor): void {
  const store = state(incoming)
  store.write({ writes: [], position: { ...positionAt(anchor.index), ...anchor }, liveBytes: noChanges })
  store.close()
}

/**
 * fsync(2) reports a failed write-back once; the pages count as clean from then on, and the next fsync succeeds. Databases
 * tried again, were told that all is well, and had lost what they acknowledged.
 */
void t.test(
  'PostgreSQL fsyncgate (2018), neondatabase/neon#8140: after a failed sync none that succeeds is believed',
  t => {
    const { paths, log } = member(t, 3)
    const segment = join(dirname(paths.log), 'segments', '00000001')
    const synced = statSync(segment).size
    const real = fs.fdatasync
    t.teardown(() => {
      fs.fdatasync = real
      syncBuiltinESMExports()
    })
    const syncs: ((error: NodeJS.ErrnoException | null) => void)[] = []
    fs.fdatasync = ((_file: number, done: (error: NodeJS.ErrnoException | null) => void) => {
      syncs.push(done)
    }) as typeof fs.fdatasync
    syncBuiltinESMExports()
    log.append(moreRecords(log, 2, 1, () => 500))
    log.commit()
    let told: number | undefined
    let failed: unknown
    log.sync(
      index => (told = index),
      error => (failed = error),
    )
    t.equal(syncs.length, 1)
    const failure = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
    syncs[0]!(failure)
    t.match(failed, { code: 'failed', message: /log\.db.*EIO/ })
    t.equal(told, undefined)
    t.equal(log.durableIndex, 3)
    t.throws(
      () => log.sync(t.fail as () => void, t.fail as () => void),
      { code: 'failed' },
      'the kernel would say yes now',
    )
    t.throws(() => log.syncNow(), { code: 'failed' })
    t.throws(() => log.append(moreRecords(log, 1, 1, () => 10)), { code: 'failed' })
    for (const done of syncs.slice(1)) done(null)
    t.same([told, log.durableIndex], [undefined, 3])
    log.close()
    // what was not written goes with the power: the log must not ask for it
    truncateSync(segment, synced)
    const found = SqliteLogStore.open(paths.log, owner, hasher, quiet)
    t.same([found.lastIndex, found.durableIndex], [3, 3])
    found.close()
    t.end()
  },
)

void t.test('the same: a sync of what a transaction refers to fails', t => {
  const { log } = member(t, 3)
  const real = fs.fdatasyncSync
  const restore = (): void => {
    fs.fdatasyncSync = real
    syncBuiltinESMExports()
  }
  t.teardown(restore)
  fs.fdatasyncSync = () => {
    throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
  }
  log.putBlob(4000, new Uint8Array(100_000).fill(1))
  syncBuiltinESMExports()
  t.throws(() => log.commit(), { code: 'failed', message: /log\.db.*EIO/ })
  restore()
  t.throws(() => log.append(moreRecords(log, 1, 1, () => 10)), { code: 'failed' }, 'the kernel would say yes now')
  t.throws(() => log.syncNow(), { code: 'failed' })
  t.end()
})

/** A snapshot that came late took the place of a log which went on beyond it: entries that counted for a majority were gone. */
void t.test('etcd-io/etcd#1763, #1837: a snapshot cuts off nothing that was acknowledged beyond it', t => {
  const { paths, log } = member(t, 20)
  const anchor = { index: 12, term: 1, hash: hashAt(log, 12) }
  received(paths.incoming, anchor)
  installSnapshot(paths, log, anchor)
  t.same([log.anchor.index, log.lastIndex, log.durableIndex], [12, 20, 20])
  t.equal(log.read(13, 20).length, 8)
  // one of another history takes the place of all
  const other = { index: 15, term: 3, hash: hasher.sha256(Buffer.from('another')) }
  received(paths.incoming, other)
  installSnapshot(paths, log, other)
  t.same([log.anchor.index, log.lastIndex], [15, 15])
  const found = state(paths.state)
  t.equal(found.position?.index, 15)
  found.close()
  t.end()
})

/** One that is older than all that the log still holds would leave a gap: it is refused, and asked for again. */
void t.test('etcd-io/etcd#1763: a snapshot from before the log’s beginning is refused', async t => {
  const { paths, log } = member(t, 600)
  while (log.compact(500, () => false)) log.commit()
  log.settle()
  t.equal(log.anchor.index, 500)
  const header = {
    version: 1,
    index: 400,
    term: 1,
    hash: toHex(hasher.sha256()),
    digest: '00'.repeat(32),
    inodes: 1,
    dataBytes: 0,
  }
  async function* chunks() {
    yield await Promise.resolve({ kind: 1, id: 0n, data: Buffer.from(JSON.stringify(header)) })
    yield { kind: 4, id: 0n, data: new Uint8Array(0) }
  }
  const taken = receiveSnapshot(paths, owner, log, cutting(log, 0), 0, chunks(), () => {}, quiet)
  await t.rejects(taken, { code: 'unavailable', message: /ends at entry 400, not at \d+ or later/ })
  t.same([log.anchor.index, log.lastIndex], [500, 600])
})

/** A crash between putting the snapshot in place and cutting the log: the node found a gap between the two and panicked. */
void t.test('RedisLabs/redisraft#43: a snapshot is in place wholly or not at all, wherever the crash comes', t => {
  const marker = (anchor: LogAnchor) =>
    JSON.stringify({ index: anchor.index, term: anchor.term, hash: toHex(anchor.hash) })
  const crashes = [
    'before the mark',
    'after the mark',
    'after the old state went',
    'after the new one came',
    'at the end',
  ]
  for (const [point, when] of crashes.entries()) {
    const { paths, log } = member(t, 5)
    const old = state(paths.state)
    old.write({ writes: [], position: positionAt(3), liveBytes: noChanges })
    old.close()
    const anchor = { index: 40, term: 2, hash: hasher.sha256(Buffer.from('40')) }
    received(paths.incoming, anchor)
    if (point >= 1) log.setSetting('restoring', marker(anchor))
    log.settle()
    if (point >= 2) rmSync(paths.state)
    if (point >= 3) renameSync(paths.incoming, paths.state)
    if (point >= 4) {
      log.reset(anchor)
      log.settle()
    }
    log.close()
    for (let start = 0; start < 2; start++) {
      const again = SqliteLogStore.open(paths.log, owner, hasher, quiet)
      resumeInstall(paths, again)
      const found = state(paths.state)
      const expected = point === 0 ? [3, 0, 5] : [40, 40, 40]
      t.same([found.position?.index, again.anchor.index, again.lastIndex], expected, `${when}, start ${start}`)
      t.notOk(fs.existsSync(paths.incoming))
      found.close()
      again.close()
    }
  }
  t.end()
})

/** The same as in `durability.test.ts`, for the real store: a batch that fails in the middle leaves nothing of it. */
void t.test('etcd-io/etcd#13766: records and applied index are one transaction', t => {
  const { paths } = member(t, 1)
  const store = state(paths.state)
  const value = Uint8Array.of(1)
  const write = (ino: number) => ({ table: 'inode' as const, ino, key: '', value })
  store.write({ writes: [write(1)], position: positionAt(1), liveBytes: noChanges })
  // the count of a blob's bytes falls below zero, after the records were written
  const bad = { writes: [write(2)], position: positionAt(2), liveBytes: new Map([[8, -1]]) }
  t.throws(() => store.write(bad), /blob 8/)
  t.equal(store.position?.index, 1)
  t.equal(store.get('inode', 2, ''), undefined)
  store.write({ writes: [write(3)], position: positionAt(3), liveBytes: noChanges })
  store.close()
  const again = state(paths.state)
  t.same([again.position?.index, again.get('inode', 2, ''), again.get('inode', 3, '')?.[0]], [3, undefined, 1])
  again.close()
  t.end()
})
