/** Damaged files: what is read is what was written, or an RkfsError; nothing acknowledged is silently gone. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../../src/adapters/sqlite/state-store.js'
import { RkfsError } from '../../../src/base/errors.js'
import { chunkKey, type RecordWrite, tables } from '../../../src/fs/store-port.js'
import { hasher, moreRecords, owner, quiet, tempFolder } from '../../contracts/entries.js'
import { noChanges, positionAt } from '../../contracts/state-store.js'

// DAMAGES=all: some 400 bits of each file, one after another; by itself some 150.
const flips = process.env['DAMAGES'] === 'all' ? 400 : 150
const root = tempFolder()
t.teardown(() => rmSync(root, { recursive: true, force: true }))
const openLog = (folder: string): SqliteLogStore => SqliteLogStore.open(join(folder, 'log.db'), owner, hasher, quiet)
const openState = (folder: string): SqliteStateStore =>
  SqliteStateStore.open(join(folder, 'state.db'), owner, hasher, quiet)
const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('base64')

/** Everything that a log answers. */
function readLog(folder: string): string {
  const store = openLog(folder)
  try {
    const lines = [`${store.anchor.index} ${store.anchor.term} ${hex(store.anchor.hash)} ${store.lastIndex}`]
    lines.push(JSON.stringify(store.hardState), JSON.stringify(store.bytes), String(store.setting('session')))
    for (let index = store.anchor.index + 1; index <= store.lastIndex; index++) {
      const entry = store.read(index, index)[0]!
      lines.push(`${store.term(index)} ${store.size(index)} ${hex(entry.header)} ${hex(entry.payload)}`)
    }
    for (const id of store.blobIds(0, 10_000)) lines.push(`${id} ${hex(store.blob(id))}`)
    for (const one of store.journal())
      lines.push(`${one.session} ${one.sequence} ${hex(one.proposal)} ${hex(one.payload)}`)
    return lines.join('\n')
  } finally {
    store.close()
  }
}

function readState(folder: string): string {
  const store = openState(folder)
  try {
    const lines = [JSON.stringify(store.position)]
    for (const { table, ino, key, value } of store.all()) {
      lines.push(`${table} ${ino} ${key} ${hex(value)}`)
      if (hex(store.get(table, ino, key)) !== hex(value)) lines.push('get differs')
    }
    for (let blob = 0; blob < 40; blob++) lines.push(`${blob} ${store.liveBytes(blob)}`)
    return lines.join('\n')
  } finally {
    store.close()
  }
}

/** A copy of the folder as it would be found after the death of the process: with its WAL. */
function frozen(name: string, fill: (folder: string, freeze: () => void) => void): string {
  const live = join(root, `${name}-live`)
  const copy = join(root, name)
  mkdirSync(live)
  fill(live, () => {
    rmSync(copy, { recursive: true, force: true })
    cpSync(live, copy, { recursive: true, filter: path => !path.endsWith('-shm') })
  })
  return copy
}

/** Applies each damage to a copy of each file; `accepts` says which answers are right. */
function damageAll(
  t: Tap,
  source: string,
  read: (folder: string) => string,
  accepts: (answer: string, file: string) => boolean,
): void {
  const work = join(root, 'work')
  const tally = { same: 0, refused: 0 }
  const attempt = (file: string, what: string, damage: (path: string) => void): void => {
    rmSync(work, { recursive: true, force: true })
    cpSync(source, work, { recursive: true })
    damage(join(work, file))
    try {
      const answer = read(work)
      if (!accepts(answer, file)) t.fail(`${file} ${what}: a wrong answer`)
      tally.same++
    } catch (error) {
      if (!(error instanceof RkfsError)) t.fail(`${file} ${what}: ${String((error as Error).stack)}`)
      tally.refused++
    }
  }
  for (const file of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (statSync(join(source, file)).isDirectory()) continue
    const bytes = readFileSync(join(source, file))
    const stride = Math.max(1, Math.floor(bytes.length / flips)) | 1
    for (let at = 0; at < bytes.length; at += at < 128 ? 1 : stride) {
      attempt(file, `bit flipped in byte ${at}`, path => {
        const damaged = Buffer.from(bytes)
        damaged[at]! ^= 1 << (at % 8)
        writeFileSync(path, damaged)
      })
    }
    for (let n = 0; n < 40; n++) {
      const length = n < 4 ? n * 32 : Math.floor((bytes.length * n) / 40)
      attempt(file, `cut to ${length} bytes`, path => truncateSync(path, length))
    }
    attempt(file, 'removed', path => rmSync(path))
  }
  t.ok(tally.refused > 0 && tally.same > 0, JSON.stringify(tally))
}
interface Tap {
  fail(message: string): unknown
  ok(value: unknown, message: string): unknown
}

function fillLog(store: SqliteLogStore, count: number): void {
  store.append(moreRecords(store, count, 2, index => [0, 50, 1000, 40_000][index % 4]!))
  store.setSetting('session', '12')
  store.journalPut({
    session: 3,
    sequence: store.lastIndex,
    part: 0,
    proposal: new Uint8Array(50).fill(1),
    payload: new Uint8Array(500).fill(2),
  })
  store.saveHardState({ term: 2, vote: 'fedcba9876543210' })
}

void t.test('a log whose changes are in the WAL', t => {
  const folder = frozen('wal', (live, freeze) => {
    const store = openLog(live)
    fillLog(store, 8)
    fillLog(store, 4)
    freeze()
    store.close()
  })
  const truth = readLog(copyOf(folder))
  damageAll(t, folder, readLog, answer => answer === truth)
  t.end()
})

void t.test('a log that was closed, with a compacted part', t => {
  const folder = frozen('closed', (live, freeze) => {
    const store = openLog(live)
    fillLog(store, 12)
    store.compact(6, id => id % 16 === 0)
    store.close()
    freeze()
  })
  const truth = readLog(copyOf(folder))
  damageAll(t, folder, readLog, answer => answer === truth)
  t.end()
})

function records(count: number): RecordWrite[] {
  const writes: RecordWrite[] = []
  for (let n = 1; n <= count; n++) {
    const value = new Uint8Array(20 + ((n * 37) % 400)).fill(n)
    writes.push({ table: 'inode', ino: n, key: '', value }, { table: 'entry', ino: 1, key: `name ${n}`, value })
    writes.push({ table: 'chunk', ino: n, key: chunkKey(n), value }, { table: 'xattr', ino: n, key: 'user.a', value })
    writes.push({ table: 'session', ino: 0, key: `m${n}`, value }, { table: 'setting', ino: 0, key: `s${n}`, value })
  }
  return writes
}

void t.test('a state', t => {
  // What was true at some moment: damage at the end of the WAL gives an earlier one, which the log is replayed from.
  const truths = new Set<string>()
  const folder = frozen('state', (live, freeze) => {
    const note = (store: SqliteStateStore): void => {
      void store
      freeze()
      truths.add(readState(copyOf(join(root, 'state'))))
    }
    let store = openState(live)
    note(store)
    store.write({
      writes: records(30),
      position: positionAt(1),
      liveBytes: new Map([
        [8, 100],
        [16, 7],
      ]),
    })
    note(store)
    store.close()
    store = openState(live)
    store.write({
      writes: records(12).map(one => ({ ...one, value: new Uint8Array(33) })),
      position: positionAt(2),
      liveBytes: new Map([[8, -100]]),
    })
    note(store)
    store.write({
      writes: [{ table: tables[0], ino: 3, key: '', value: undefined }],
      position: positionAt(3),
      liveBytes: noChanges,
    })
    note(store)
    store.close()
    store = openState(live)
    store.write({ writes: records(2), position: positionAt(4), liveBytes: noChanges })
    note(store)
    store.close()
  })
  damageAll(t, folder, readState, answer => truths.has(answer))
  t.end()
})

function copyOf(folder: string): string {
  const copy = join(root, 'copy')
  rmSync(copy, { recursive: true, force: true })
  cpSync(folder, copy, { recursive: true })
  return copy
}

void t.test('another owner, another version, a damaged file left as it is', t => {
  const folder = join(root, 'owner')
  mkdirSync(folder)
  openLog(folder).close()
  openState(folder).close()
  const other = { ...owner, channelId: 'channel-b' }
  t.throws(() => SqliteLogStore.open(join(folder, 'log.db'), other, hasher, quiet), { code: 'refused' })
  t.throws(() => SqliteStateStore.open(join(folder, 'state.db'), other, hasher, quiet), { code: 'refused' })
  for (const file of ['log.db', 'state.db']) {
    const bytes = readFileSync(join(folder, file))
    bytes.writeUInt32BE(3, 60)
    writeFileSync(join(folder, file), bytes)
  }
  t.throws(() => openLog(folder), { code: 'version', message: /format version 3.*reads version 2/ })
  t.throws(() => openState(folder), { code: 'version' })

  const cut = join(root, 'wal')
  truncateSync(join(cut, 'log.db-wal'), 40_000)
  const before = readFileSync(join(cut, 'log.db'))
  t.throws(() => openLog(cut), {
    code: 'corrupt',
    message: /log\.db is damaged: .*Nothing was changed\. Rebuild this member/,
  })
  t.ok(before.equals(readFileSync(join(cut, 'log.db'))), 'nothing was changed')
  t.equal(readFileSync(join(cut, 'log.db-wal')).length, 40_000)
  t.end()
})
