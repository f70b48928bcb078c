/** Figures for DESIGN.md; not a test. `npx tsx test/adapters/sqlite/bench.ts [folder]` */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../../src/adapters/sqlite/state-store.js'
import { chunkKey } from '../../../src/fs/store-port.js'
import { hashOfEncoded } from '../../../src/oplog/codec.js'
import { hasher, makeRecord, owner, quiet, syncOf } from '../../contracts/entries.js'
import { positionAt } from '../../contracts/state-store.js'
import { encodeEntry } from '../../../src/oplog/codec.js'
import type { LogRecord } from '../../../src/channel/log-port.js'

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'rkfs-bench-'))
const say = (text: string): void => void process.stdout.write(`${text}\n`)
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

function percentiles(times: number[]): string {
  times.sort((a, b) => a - b)
  const at = (p: number): string => times[Math.min(times.length - 1, Math.floor(times.length * p))]!.toFixed(3)
  return `p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms`
}

const shared = new Uint8Array(1024 * 1024).fill(7)
const sharedHash = hasher.sha256(shared)
function big(index: number, previous: Uint8Array): LogRecord {
  const proposal = {
    kind: 'change' as const,
    origin: owner.member,
    session: 1,
    sequence: index,
    time: 1n,
    operation: new Uint8Array(40),
    payload: shared,
    payloadHash: sharedHash,
    signature: new Uint8Array(0),
  }
  return {
    index,
    term: 1,
    header: encodeEntry(proposal, index, 1, previous, hasher),
    payload: shared,
    cuts: [262144, 262144, 262144, 262144],
  }
}

const log = SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet)
let previous: Uint8Array = log.anchor.hash
const small: LogRecord[] = []
for (let index = 1; index <= 40_000; index++) {
  const record = makeRecord(index, 1, previous, 100)
  previous = hashOfEncoded(record.header)
  small.push(record)
}
let times: number[] = []
let start = performance.now()
for (const record of small.slice(0, 20_000)) {
  const before = performance.now()
  log.append([record])
  log.commit()
  times.push(performance.now() - before)
}
say(
  `append+commit, 300 B, one a transaction: ${((performance.now() - start) / 20).toFixed(1)} us mean, ${percentiles(times)}`,
)
start = performance.now()
for (let at = 20_000; at < 36_000; at += 256) {
  log.append(small.slice(at, at + 256))
  log.commit()
}
say(
  `append, 256 a transaction: ${((performance.now() - start) / 16).toFixed(1)} us an entry; longest checkpoint stall ${log.wal.longestStallMs.toFixed(1)} ms`,
)
times = []
const tail = small.slice(log.lastIndex, log.lastIndex + 2000)
for (const record of tail) {
  const before = performance.now()
  log.append([record])
  log.commit()
  await syncOf(log)
  times.push(performance.now() - before)
}
say(`append, commit, async sync: ${percentiles(times)}`)
previous = hashOfEncoded(log.header(log.lastIndex)!)
times = []
let wal = 0
const first = log.lastIndex + 1
start = performance.now()
for (let n = 0; n < 2000; n++) {
  const record = big(log.lastIndex + 1, previous)
  previous = hashOfEncoded(record.header)
  const before = performance.now()
  log.append([record])
  log.commit()
  times.push(performance.now() - before)
  if (n % 16 === 0) {
    log.sync(
      () => {},
      error => {
        throw error
      },
    )
    await turn()
    wal = Math.max(wal, statSync(join(folder, 'log.db-wal')).size)
  }
}
const seconds = (performance.now() - start) / 1000
say(
  `1 MiB entries: ${((2000 / seconds) * 1.048576).toFixed(0)} MB/s, ${percentiles(times)}; WAL ${(wal / 1e6).toFixed(0)} MB; longest checkpoint stall ${log.wal.longestStallMs.toFixed(1)} ms`,
)
times = []
for (let n = 0; n < 1000; n++) {
  const id = (first + ((n * 7919) % 2000)) * 8 + (n % 4)
  const before = performance.now()
  log.blob(id)
  times.push(performance.now() - before)
}
say(`blob of 256 KiB, warm page cache: ${percentiles(times)}`)
start = performance.now()
for (let i = 0; i < 1e6; i++) log.term(1 + (i % log.lastIndex))
say(`term(): ${(((performance.now() - start) * 1000) / 1e6).toFixed(3)} us`)
start = performance.now()
while (log.compact(first + 999, id => id % 2 === 0)) log.commit()
log.commit()
say(`compact to entry ${first + 999}, half of the blobs live: ${(performance.now() - start).toFixed(0)} ms`)
start = performance.now()
log.close()
say(`close: ${(performance.now() - start).toFixed(0)} ms`)
start = performance.now()
SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet).close()
say(`open and close with ${1000} entries: ${(performance.now() - start).toFixed(0)} ms`)

const state = SqliteStateStore.open(join(folder, 'state.db'), owner, hasher, quiet)
const value = new Uint8Array(150)
start = performance.now()
for (let n = 0; n < 1000; n++) {
  const writes = Array.from({ length: 100 }, (_, i) => ({
    table: 'entry' as const,
    ino: 1 + (n % 50),
    key: `file-${n * 100 + i}`,
    value,
  }))
  state.write({ writes, position: positionAt(n + 1), liveBytes: new Map([[n * 8, 1]]) })
}
say(`state: 100 records a batch: ${((performance.now() - start) / 100).toFixed(1)} us a record`)
start = performance.now()
for (let n = 0; n < 5000; n++) {
  state.write({
    writes: [
      { table: 'inode', ino: n, key: '', value },
      { table: 'chunk', ino: n, key: chunkKey(n), value },
    ],
    position: positionAt(2000 + n),
    liveBytes: new Map(),
  })
}
say(`state: batch of two records: ${((performance.now() - start) / 5).toFixed(1)} us`)
start = performance.now()
for (let n = 0; n < 100_000; n++) state.get('inode', (n * 7919) % 5000, '')
say(`state get inode: ${((performance.now() - start) / 100).toFixed(2)} us`)
start = performance.now()
for (let n = 0; n < 100_000; n++) {
  const k = (n * 7919) % 100_000
  state.get('entry', 1 + (Math.floor(k / 100) % 50), `file-${k}`)
}
say(`state get entry: ${((performance.now() - start) / 100).toFixed(2)} us`)
start = performance.now()
let count = 0
for (const _ of state.all()) count++
say(
  `state all(): ${count} records, ${(((performance.now() - start) * 1000) / count).toFixed(2)} us each; longest stall ${state.wal.longestStallMs.toFixed(1)} ms`,
)
state.close()
rmSync(folder, { recursive: true, force: true })
