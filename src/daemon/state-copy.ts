import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fsyncDirectory } from '../adapters/host/atomic-file.js'
import type { StoreLog } from '../adapters/sqlite/failures.js'
import { packRecords, unpackRecords } from '../adapters/sqlite/snapshot-protocol.js'
import { openSnapshot } from '../adapters/sqlite/snapshot.js'
import { SqliteStateStore } from '../adapters/sqlite/state-store.js'
import { toHex } from '../base/bytes.js'
import { RkfsError } from '../base/errors.js'
import type { LogOwner, LogStore } from '../channel/log-port.js'
import { decodeRecord } from '../fs/records.js'
import { recordHash } from '../fs/table-view.js'
import { nodeHasher } from '../adapters/host/hasher.js'
import { decodePosition, encodePosition } from '../adapters/sqlite/state-format.js'
import type { FilesMoment } from './file-readers.js'
import type { SnapshotPaths } from './snapshot-transfer.js'

/*
 * `state.copy`: what `state.db` was at an entry that the log still reaches back to. Where a channel has one member, nobody
 * else could give it the state. u32 length and position, then u32 length and records (`packRecords`), to the end; the
 * digest in the position is that of all records.
 */

const lengthBytes = 4

/** The entry that a copy stands at; undefined when there is none, or it cannot be read. */
export function copiedIndex(paths: SnapshotPaths): number | undefined {
  try {
    return decodePosition(firstPart(paths.copy)).index
  } catch {
    return undefined
  }
}

function firstPart(path: string): Uint8Array {
  const file = openSync(path, 'r')
  try {
    const head = Buffer.alloc(4096)
    const read = readSync(file, head, 0, head.length, 0)
    const end = lengthBytes + head.readUInt32LE(0)
    if (end > read) throw new RkfsError('corrupt', `${path} is cut`)
    return head.subarray(lengthBytes, end)
  } finally {
    closeSync(file)
  }
}

/** Copies the state as it is on disk; `opened` when writing may go on. Answers where it stands, and its bytes. */
export async function copyState(
  paths: SnapshotPaths,
  { opened, signal }: Omit<FilesMoment, 'index'>,
): Promise<{ index: number; bytes: number }> {
  const draft = draftOf(paths)
  const snapshot = await openSnapshot(paths.state, paths.log)
  const file = openSync(draft, 'w', 0o600)
  try {
    opened()
    const { position } = snapshot
    if (position === undefined) throw new RkfsError('unavailable', 'there is no state yet')
    writePart(file, encodePosition(position))
    for await (const records of snapshot.records()) {
      signal.throwIfAborted()
      writePart(file, packRecords(records.map(record => ({ ...record, value: record.value! }))))
    }
    fsyncSync(file)
    const bytes = statSync(draft).size
    renameSync(draft, paths.copy)
    fsyncDirectory(dirname(paths.copy))
    return { index: position.index, bytes }
  } finally {
    closeSync(file)
    rmSync(draft, { force: true })
    await snapshot.close()
  }
}

function draftOf({ copy }: SnapshotPaths): string {
  return `${copy}.new`
}

function writePart(file: number, part: Uint8Array): void {
  const length = Buffer.alloc(lengthBytes)
  length.writeUInt32LE(part.length)
  for (const bytes of [length, part]) {
    for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done)
  }
}

/** What `state.db` is kept as when it was damaged. */
export function damagedStatePath(folder: string): string {
  return join(folder, 'state.db.damaged')
}

/**
 * Opens the state. One that is missing or damaged is made anew from its copy, if the log goes on from there; else, where
 * the channel has other members (`hasOthers`), it is left empty, and made from the log or fetched from one of them. A
 * damaged one is kept beside it. Throws `corrupt` when nobody else can give it.
 */
export function openState(
  paths: SnapshotPaths,
  owner: LogOwner,
  log: LogStore,
  hasOthers: boolean,
  report: StoreLog,
  walBytes?: number,
): SqliteStateStore {
  const open = (): SqliteStateStore => SqliteStateStore.open(paths.state, owner, nodeHasher, report, walBytes)
  rmSync(draftOf(paths), { force: true })
  const copied = copiedIndex(paths)
  // the log has gone on without it since the channel has other members
  if (copied !== undefined && copied < log.anchor.index) rmSync(paths.copy)
  const isUsable = copied !== undefined && log.term(copied) !== undefined
  if (!existsSync(paths.state) && isUsable) {
    restoreState(paths, owner, report)
    return open()
  }
  try {
    return open()
  } catch (error) {
    if (!(error instanceof RkfsError) || error.code !== 'corrupt' || !(isUsable || hasOthers)) throw error
    setAside(paths, error.message, report)
    if (isUsable) restoreState(paths, owner, report)
    return open()
  }
}

function setAside({ state }: SnapshotPaths, error: string, report: StoreLog): void {
  const kept = damagedStatePath(dirname(state))
  report.error({ error, kept }, 'state.db is damaged: it is made anew, from its copy, the log, or another member')
  for (const suffix of ['-wal', '-shm', '']) {
    rmSync(kept + suffix, { force: true })
    if (existsSync(state + suffix)) renameSync(state + suffix, kept + suffix)
  }
  fsyncDirectory(dirname(state))
}

/** Makes `state.db` anew from its copy; what the log has beyond it is applied after that. */
function restoreState(paths: SnapshotPaths, owner: LogOwner, report: StoreLog): void {
  const draft = paths.incoming
  for (const suffix of ['', '-wal', '-shm']) {
    rmSync(draft + suffix, { force: true })
    rmSync(paths.state + suffix, { force: true })
  }
  const bytes = readFileSync(paths.copy)
  let at = 0
  const next = (): Uint8Array => {
    const end = at + lengthBytes + bytes.readUInt32LE(at)
    if (end > bytes.length) throw new RkfsError('corrupt', `${paths.copy} is cut`)
    const part = bytes.subarray(at + lengthBytes, end)
    at = end
    return part
  }
  const position = decodePosition(next())
  const digest = new Uint8Array(32)
  const state = SqliteStateStore.open(draft, owner, nodeHasher, report)
  try {
    while (at < bytes.length) {
      const writes = unpackRecords(next())
      const liveBytes = new Map<number, number>()
      for (const { table, ino, key, value } of writes) {
        const hash = recordHash(nodeHasher, table, ino, key, value)
        for (let i = 0; i < 32; i++) digest[i]! ^= hash[i]!
        if (table !== 'chunk') continue
        for (const { blob, length } of decodeRecord('chunk', value)) {
          liveBytes.set(blob, (liveBytes.get(blob) ?? 0) + length)
        }
      }
      state.write({ writes, position, liveBytes })
    }
    if (toHex(digest) !== toHex(position.digest)) throw new RkfsError('corrupt', `${paths.copy} is damaged`)
    state.syncNow()
  } finally {
    state.close()
  }
  renameSync(draft, paths.state)
  fsyncDirectory(dirname(paths.state))
  report.warn({ index: position.index }, 'state.db was made anew from its copy; the log goes on from there')
}
