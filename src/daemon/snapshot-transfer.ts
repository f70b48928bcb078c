import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fsyncDirectory } from '../adapters/host/atomic-file.js'
import type { SnapshotSink } from '../adapters/rpc/snapshots.js'
import { packRecords, unpackRecords } from '../adapters/sqlite/snapshot-protocol.js'
import type { FilesMoment } from './file-readers.js'
import { type Mend, openSnapshot } from '../adapters/sqlite/snapshot.js'
import type { StoreLog } from '../adapters/sqlite/failures.js'
import { SqliteStateStore } from '../adapters/sqlite/state-store.js'
import { equalBytes, fromHex, toHex } from '../base/bytes.js'
import { RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import { blobsPerEntryMax } from '../base/limits.js'
import { DamagedBlob, type LogAnchor, type LogOwner, type LogStore } from '../channel/log-port.js'
import { decodeRecord } from '../fs/records.js'
import type { AppliedPosition } from '../fs/store-port.js'
import { recordHash } from '../fs/table-view.js'
import { termsPerTimeout } from '../raft/terms.js'
import { nodeHasher } from '../adapters/host/hasher.js'

/** Kinds of chunks, in the order they come: one header, records, blobs, one end. */
const kinds = { header: 1, records: 2, blob: 3, end: 4 }

interface Header {
  readonly version: 1
  readonly index: number
  readonly term: number
  readonly hash: string
  readonly digest: string
  readonly inodes: number
  readonly dataBytes: number
}

export interface SnapshotPaths {
  readonly state: string
  readonly log: string
  readonly incoming: string
  readonly copy: string
}

export function snapshotPaths(folder: string): SnapshotPaths {
  return {
    state: join(folder, 'state.db'),
    log: join(folder, 'log.db'),
    incoming: join(folder, 'state.db.incoming'),
    copy: join(folder, 'state.copy'),
  }
}

/**
 * Sends the state as it is on disk: all records, then all blobs that they refer to. `mend` has what cannot be read here.
 * Throws why the moment's `signal` was aborted.
 */
export async function sendSnapshot(
  paths: SnapshotPaths,
  sink: SnapshotSink,
  { opened, signal }: Omit<FilesMoment, 'index'>,
  mend: Mend,
): Promise<void> {
  const snapshot = await openSnapshot(paths.state, paths.log, mend)
  try {
    opened()
    failpoint('snapshot-opened')
    const { position } = snapshot
    if (position === undefined) throw new RkfsError('unavailable', 'this member has no state yet')
    const header: Header = {
      version: 1,
      index: position.index,
      term: position.term,
      hash: toHex(position.hash),
      digest: toHex(position.digest),
      inodes: position.inodes,
      dataBytes: position.dataBytes,
    }
    await sink.write({ kind: kinds.header, id: 0, data: Buffer.from(JSON.stringify(header)) })
    for await (const records of snapshot.records()) {
      signal.throwIfAborted()
      const packed = packRecords(records.map(record => ({ ...record, value: record.value! })))
      await sink.write({ kind: kinds.records, id: records.length, data: packed })
    }
    for await (const blobs of snapshot.blobs()) {
      for (const { id, data } of blobs) {
        signal.throwIfAborted()
        await sink.write({ kind: kinds.blob, id, data })
      }
      failpoint('snapshot-sending')
    }
    await sink.write({ kind: kinds.end, id: 0, data: new Uint8Array(0) })
  } finally {
    await snapshot.close()
  }
}

/** The channel that a snapshot is received for, and which stands still. */
export interface RestoringChannel {
  readonly commitIndex: number
  readonly term: number
  /** The log from `index` on is contradicted, and to be cut. Throws `disk-full`. */
  contradicted(index: number): void
  /** The members that the state names: with what is none of this channel, it could not go on. Throws `corrupt`. */
  checkMembers(descriptor: Uint8Array | undefined): void
}

interface Chunk {
  readonly kind: number
  readonly id: bigint
  readonly data: Uint8Array
}

/**
 * Takes the first chunk, so that a member that does not answer holds nobody up. What it says of the snapshot is checked;
 * throws as `receiveSnapshot`. Answers all chunks, this one among them.
 */
export async function beginSnapshot(
  log: LogStore,
  channel: RestoringChannel,
  least: number,
  chunks: AsyncIterator<Chunk>,
): Promise<AsyncIterable<Chunk>> {
  const first = await chunks.next()
  if (first.done === true) throw new RkfsError('unavailable', 'the snapshot broke off')
  if (first.value.kind !== kinds.header) throw new RkfsError('corrupt', 'a snapshot without a header')
  acceptable(first.value.data, log, channel, least)
  return (async function* () {
    for (let next: IteratorResult<Chunk> = first; next.done !== true; next = await chunks.next()) yield next.value
  })()
}

function acceptable(data: Uint8Array, log: LogStore, channel: RestoringChannel, least: number): AppliedPosition {
  const position = positionOf(data)
  // what this log has given up is known to be committed
  const first = Math.max(least, log.anchor.index)
  if (position.index < first) {
    throw new RkfsError('unavailable', `the snapshot ends at entry ${position.index}, not at ${first} or later`)
  }
  // its term becomes this member's: that of a leader that a majority has, or one soon after
  if (position.term > channel.term + termsPerTimeout) {
    throw new RkfsError(
      'unavailable',
      `the snapshot is of term ${position.term}, which nobody else has told of here yet`,
    )
  }
  return position
}

/**
 * Takes a snapshot in beside the old state: nothing that is there is touched before all of it has come and its digest
 * holds, but for entries of the log that it contradicts, once its records are here and amount to the digest. Answers where the log goes on; `installSnapshot` puts it in place. Throws
 * `corrupt` for one that is malformed or contradicts what is committed here, `unavailable` for one that reaches less far
 * than `least` or breaks off.
 */
export async function receiveSnapshot(
  paths: SnapshotPaths,
  owner: LogOwner,
  log: LogStore,
  channel: RestoringChannel,
  least: number,
  chunks: AsyncIterable<Chunk>,
  progress: (bytes: number, total: number) => void,
  report: StoreLog,
): Promise<LogAnchor> {
  removeDatabase(paths.incoming)
  const state = SqliteStateStore.open(paths.incoming, owner, nodeHasher, report)
  const digest = new Uint8Array(32)
  let position: AppliedPosition | undefined
  let bytes = 0
  let lastBlob = -1n
  let ended = false
  let members: Uint8Array | undefined
  let isWhole = false
  /** All records have come. */
  const verify = (whole: AppliedPosition): void => {
    if (toHex(digest) !== toHex(whole.digest)) {
      throw new RkfsError('corrupt', 'the snapshot does not amount to its digest')
    }
    channel.checkMembers(members?.subarray(8))
    isWhole = true
  }
  try {
    for await (const { kind, id, data } of chunks) {
      if (kind === kinds.header) {
        if (position !== undefined) throw new RkfsError('corrupt', 'a snapshot with two headers')
        position = acceptable(data, log, channel, least)
        continue
      }
      if (position === undefined) throw new RkfsError('corrupt', 'a snapshot without a header')
      if (kind === kinds.records) {
        if (isWhole) throw new RkfsError('corrupt', 'a snapshot with records after its blobs')
        const writes = unpackRecords(data)
        const liveBytes = new Map<number, number>()
        for (const { table, ino, key, value } of writes) {
          const hash = recordHash(nodeHasher, table, ino, key, value)
          for (let i = 0; i < 32; i++) digest[i]! ^= hash[i]!
          if (table === 'setting' && key === 'members') members = decodeRecord('setting', value)
          if (table !== 'chunk') continue
          for (const { blob, length } of decodeRecord('chunk', value)) {
            liveBytes.set(blob, (liveBytes.get(blob) ?? 0) + length)
          }
        }
        state.write({ writes, position, liveBytes })
      } else if (kind === kinds.blob) {
        // where a blob contradicts this log, that one is cut: what was found in it before must come before
        if (!isWhole) verify(position)
        if (id <= lastBlob) throw new RkfsError('corrupt', 'a snapshot with its blobs out of order')
        lastBlob = id
        keepBlob(log, channel, id, data)
        log.commit()
        failpoint('snapshot-receiving')
        bytes += data.length
        progress(bytes, position.dataBytes)
      } else if (kind === kinds.end) ended = true
    }
    if (!ended || position === undefined) throw new RkfsError('unavailable', 'the snapshot broke off')
    if (!isWhole) verify(position)
    state.write({ writes: [], position, liveBytes: new Map() })
    state.syncNow()
  } finally {
    state.close()
  }
  // what of it is in there only would stay behind when the file is put in place
  if (existsSync(`${paths.incoming}-wal`)) {
    throw new RkfsError('disk-full', `no space left on the disk of ${paths.incoming} to finish the snapshot`)
  }
  return { index: position.index, term: position.term, hash: position.hash }
}

/** Stores a blob unless the log has it, from its own entry. A snapshot's blobs are given in ascending order. */
export function keepBlob(log: LogStore, channel: RestoringChannel, wireId: bigint, data: Uint8Array): void {
  const id = Number(wireId)
  if (!Number.isSafeInteger(id)) throw new RkfsError('corrupt', 'a snapshot with a blob out of range')
  const index = Math.floor(id / blobsPerEntryMax)
  // also of what was dropped from the log: a disk that holds most of the files has no room for all of them once more
  if (index <= log.lastIndex && hasBlob(log, id, data)) return
  if (index > log.anchor.index && index <= log.lastIndex) {
    if (index > channel.commitIndex) {
      // a committed entry stands here in the snapshot: this log's own one, and all after it, never were (Raft §5.4)
      channel.contradicted(index)
    } else {
      throw new RkfsError('corrupt', `a snapshot that contradicts entry ${index}, which is committed here`)
    }
  }
  log.putBlob(id, data)
}

/** Whether the log has a blob; one that it cannot read any more is healed by the snapshot's. */
function hasBlob(log: LogStore, id: number, data: Uint8Array): boolean {
  try {
    const known = log.blob(id)
    return known !== undefined && equalBytes(known, data)
  } catch (error) {
    if (!(error instanceof DamagedBlob)) throw error
    return log.heal(id, data)
  }
}

function positionOf(data: Uint8Array): AppliedPosition {
  let header: Header
  try {
    header = JSON.parse(Buffer.from(data).toString()) as Header
    const { version, index, term, inodes, dataBytes } = header
    if (version !== 1) throw new RkfsError('version', 'a snapshot of a newer format: upgrade this rkfs')
    const [hash, digest] = [fromHex(header.hash), fromHex(header.digest)]
    const sound =
      [index, term, inodes, dataBytes].every(value => Number.isSafeInteger(value) && value >= 0) &&
      [hash, digest].every(({ length }) => length === 32)
    if (!sound) throw new RkfsError('corrupt', 'the header of a snapshot is malformed')
    return { index, term, hash, digest, inodes, dataBytes }
  } catch (cause) {
    if (cause instanceof RkfsError) throw cause
    throw new RkfsError('corrupt', 'the header of a snapshot is malformed', { cause })
  }
}

const marker = 'restoring'

/** Puts a received snapshot in place of the state and the log. Each step may be repeated after a crash (`resumeInstall`). */
export function installSnapshot(paths: SnapshotPaths, log: LogStore, anchor: LogAnchor): void {
  failpoint('snapshot-received')
  log.setSetting(marker, JSON.stringify({ index: anchor.index, term: anchor.term, hash: toHex(anchor.hash) }))
  log.commit()
  log.syncNow()
  failpoint('snapshot-marked')
  finishInstall(paths, log, anchor)
}

/** At the start: finishes an installation that a crash cut short, and clears away what was received in part. */
export function resumeInstall(paths: SnapshotPaths, log: LogStore): void {
  const pending = log.setting(marker)
  if (pending !== undefined && pending !== '') {
    const { index, term, hash } = JSON.parse(pending) as { index: number; term: number; hash: string }
    finishInstall(paths, log, { index, term, hash: fromHex(hash) })
  }
  removeDatabase(paths.incoming)
}

function finishInstall(paths: SnapshotPaths, log: LogStore, anchor: LogAnchor): void {
  if (existsSync(paths.incoming)) {
    removeDatabase(paths.state)
    // the old state's WAL is no part of the new one
    fsyncDirectory(dirname(paths.state))
    failpoint('snapshot-renaming')
    renameSync(paths.incoming, paths.state)
    failpoint('snapshot-renamed')
  }
  // also after a crash: what the log drops next is in that state alone
  fsyncDirectory(dirname(paths.state))
  goOnFrom(log, anchor)
  failpoint('snapshot-log-moved')
  log.setSetting(marker, '')
  log.commit()
  log.syncNow()
  failpoint('snapshot-installed')
}

/** Has the log begin where a snapshot ends. What it holds beyond that was acknowledged, and stays (Raft §7). */
export function goOnFrom(log: LogStore, anchor: LogAnchor): void {
  if (log.term(anchor.index) !== anchor.term) return log.reset(anchor)
  while (anchor.index > log.anchor.index && log.compact(anchor.index, () => true));
}

function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
}
