/**
 * A process that works on a channel's stores as the brain does, and marks what it was promised at the moment it was:
 * `store-load.ts FOLDER MARKS SEED STEPS END`. The marks are listed in `store-promises.ts`. END: `close`, or `kill`, without
 * a sync or anything else. It goes on with what it finds.
 */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { packRecords } from '../../../src/adapters/sqlite/snapshot-protocol.js'
import { SqliteStateStore } from '../../../src/adapters/sqlite/state-store.js'
import { toHex } from '../../../src/base/bytes.js'
import { blobsPerEntryMax, KiB, MiB } from '../../../src/base/limits.js'
import { Rng } from '../../../src/base/rng.js'
import {
  installSnapshot,
  receiveSnapshot,
  resumeInstall,
  snapshotPaths,
} from '../../../src/daemon/snapshot-transfer.js'
import { recordHash } from '../../../src/fs/table-view.js'
import type { HardState } from '../../../src/raft/types.js'
import {
  bytesOf,
  cutting,
  hashAt,
  hasher,
  moreRecords,
  owner,
  quiet,
  syncOf,
  unbounded,
} from '../../contracts/entries.js'
import { isKept, type PromiseMark, payloadBytes } from './store-promises.js'

const [folder, marks, seed, steps, end] = process.argv.slice(2) as [string, string, string, string, 'close' | 'kill']
/** Small, so that segments are begun, cleaned and removed all the time. */
const segmentBytes = MiB
const rng = new Rng(Number(seed))
const paths = snapshotPaths(folder)
let marked = readdirSync(marks).length
const mark = (promise: PromiseMark): void => mkdirSync(join(marks, `${marked++} ${JSON.stringify(promise)}`))

let log = openLog()
let state = SqliteStateStore.open(paths.state, owner, hasher, quiet)
/** The newest entry that the state covers. */
let applied = state.position?.index ?? 0
const journalled = log.journal().map(record => record.sequence)
/** Further on than any that an earlier process may have given out. */
let sequence = Math.max(0, Number(log.setting('inode-block') ?? 0), ...journalled) + 1000

function openLog(): SqliteLogStore {
  const opened = SqliteLogStore.open(paths.log, owner, hasher, quiet, segmentBytes)
  resumeInstall(paths, opened)
  return opened
}

/** Entries up to here may be believed to stay. */
const durable = (index: number): void => mark({ kind: 'durable', index, hash: toHex(hashAt(log, index)) })

function saveHardState(hardState: HardState): void {
  log.saveHardState(hardState)
  mark({ kind: 'hard-state', state: hardState })
}

function positionAt(index: number): Parameters<SqliteStateStore['write']>[0]['position'] {
  const hash = hashAt(log, index)
  return { index, term: log.term(index)!, hash, digest: new Uint8Array(32), inodes: index, dataBytes: 0 }
}

const operations: Record<string, () => void | Promise<void>> = {
  async append() {
    const count = 1 + rng.below(6)
    log.append(moreRecords(log, count, log.hardState.term, payloadBytes))
    log.commit()
    if (rng.below(3) === 0) return
    durable(await syncOf(log))
  },
  async truncate() {
    const first = Math.max(applied, log.anchor.index) + 1
    if (log.lastIndex < first) return
    const index = first + rng.below(log.lastIndex - first + 1)
    durable(Math.min(index - 1, log.durableIndex))
    log.truncateFrom(index)
    saveHardState({ term: log.hardState.term + 1, vote: undefined })
    if (rng.below(2) === 0) await operations['append']!()
  },
  vote() {
    const { term, vote } = log.hardState
    saveHardState(vote === undefined ? { term, vote: owner.member } : { term: term + 1, vote: undefined })
  },
  async journal() {
    const put = ++sequence
    const payload = bytesOf(put, rng.below(3) * 3000)
    log.journalPut({ session: 1, sequence: put, part: 0, proposal: bytesOf(put, 50), payload })
    log.commit()
    await syncOf(log)
    journalled.push(put)
    mark({ kind: 'journalled', sequence: put, bytes: payload.length })
  },
  unjournal() {
    const gone = journalled.shift()
    if (gone === undefined) return
    mark({ kind: 'unjournalling', sequence: gone })
    log.journalRemove(1, gone)
    log.commit()
  },
  apply() {
    if (log.durableIndex <= applied) return
    applied = log.durableIndex
    const writes = [{ table: 'inode' as const, ino: 1 + rng.below(50), key: '', value: bytesOf(applied, 80) }]
    state.write({ writes, position: positionAt(applied), liveBytes: new Map() })
    if (rng.below(3) > 0) return
    state.syncNow()
    mark({ kind: 'state', index: applied })
  },
  compact() {
    const target = applied - 10
    if (target <= log.anchor.index) return
    state.syncNow()
    mark({ kind: 'state', index: applied })
    while (log.compact(target, isKept));
    log.commit()
    log.clean(() => {}, unbounded)
  },
  drop() {
    const gone = log.blobIds(0, 1000).filter(id => id < log.anchor.index * blobsPerEntryMax && rng.below(3) === 0)
    if (gone.length === 0) return
    mark({ kind: 'dropping', blobs: gone.slice(0, 8) })
    log.dropBlobs(gone.slice(0, 8))
    log.commit()
  },
  setting() {
    const value = ++sequence
    log.setSetting('inode-block', String(value))
    log.commit()
    log.syncNow()
    mark({ kind: 'setting', value })
  },
  /**
   * As a member that was away for long: another state, and the log after it. Its blob is one of an entry that this log never
   * had; or it ends where this log has entries that nobody else has.
   */
  async restore() {
    const isWithin = log.lastIndex > applied && rng.below(2) === 0
    const index = isWithin ? applied + 1 + rng.below(log.lastIndex - applied) : log.lastIndex + 2 + rng.below(40)
    const term = log.hardState.term + 1
    const hash = hasher.sha256(bytesOf(index, 10))
    const value = bytesOf(index, 100)
    const digest = recordHash(hasher, 'inode', 1, '', value)
    const header = { version: 1, index, term, hash: toHex(hash), digest: toHex(digest), inodes: 1, dataBytes: 9 }
    const packed = packRecords([{ table: 'inode', ino: 1, key: '', value }])
    const blob = isWithin ? 0n : BigInt((index - 1) * blobsPerEntryMax)
    async function* chunks(): AsyncGenerator<{ kind: number; id: bigint; data: Uint8Array }> {
      yield { kind: 1, id: 0n, data: Buffer.from(JSON.stringify(header)) }
      yield { kind: 2, id: 1n, data: packed }
      yield { kind: 3, id: blob, data: bytesOf(index, 40 * KiB) }
      yield { kind: 4, id: 0n, data: new Uint8Array(0) }
    }
    mark({ kind: 'restoring', index, kept: isWithin ? applied : index - 2 })
    const anchor = await receiveSnapshot(paths, owner, log, cutting(log, applied), 0, chunks(), () => {}, quiet)
    state.close()
    installSnapshot(paths, log, anchor)
    state = SqliteStateStore.open(paths.state, owner, hasher, quiet)
    applied = index
    mark({ kind: 'restored', index, hash: toHex(hash), blob: Number(blob) })
  },
  reopen() {
    log.close()
    state.close()
    log = openLog()
    state = SqliteStateStore.open(paths.state, owner, hasher, quiet)
    durable(log.durableIndex)
  },
}

/** How often each is done, of the sum. */
const weights: Record<string, number> = {
  append: 40,
  truncate: 6,
  vote: 6,
  journal: 10,
  unjournal: 8,
  apply: 20,
  compact: 5,
  drop: 3,
  setting: 4,
  restore: 1,
  reopen: 1,
}
const bag = Object.entries(weights).flatMap(([name, weight]) => Array.from({ length: weight }, () => name))

if (marked > 0) durable(log.durableIndex)
else mark({ kind: 'found', index: log.durableIndex, hash: toHex(hashAt(log, log.durableIndex)) })
// no log has entries of a term before the member knows of it: else a snapshot of the next term could be of theirs
if (log.hardState.term === 0) saveHardState({ term: 1, vote: undefined })
for (let step = 0; step < Number(steps); step++) await operations[bag[rng.below(bag.length)]!]!()
if (end === 'kill') process.kill(process.pid, 'SIGKILL')
log.close()
state.close()
