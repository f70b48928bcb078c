import type Database from 'better-sqlite3'
import { equalBytes } from '../../base/bytes.js'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { Hasher } from '../../base/hash.js'
import type { LogAnchor, LogOwner } from '../../channel/log-port.js'
import { decodeEntry, hashOfEncoded } from '../../oplog/codec.js'
import type { HardState } from '../../raft/types.js'
import { corrupt, type Place } from './failures.js'
import { decodeAnchor, decodeHardState, decodeOwner, decodePosition } from './log-format.js'
import { LogIndex } from './log-index.js'
import type { Mark } from './log-mark.js'
import type { LogReader } from './log-reader.js'
import type { Replayed } from './log-replay.js'
import { isBefore, type StreamPosition } from './segment-files.js'

/** What a log's user asks of it without touching the disk. */
export interface LoadedLog {
  readonly index: LogIndex
  readonly anchor: LogAnchor
  readonly hardState: HardState
  /** The hash of the last entry, or the anchor's. */
  readonly lastHash: Uint8Array
  /** Bytes of blobs of entries before the anchor. */
  readonly keptBytes: number
  /** All of the stream up to here is in the database. */
  readonly settled: StreamPosition
}

/** All entries are verified up to this many, beyond it the last ones. */
const verifiedEntriesMax = 100_000
const verifiedEntries = 4096

/** Reads a log's index and verifies the end of its chain; `corrupt` says what is wrong. */
export function loadLog(reader: LogReader, db: Database.Database, hasher: Hasher, verify: boolean): LoadedLog {
  const { place } = reader
  try {
    const anchor = decodeAnchor(reader.ownSetting('anchor'))
    const hardState = decodeHardState(reader.ownSetting('hardState'))
    const keptBytes = Number(new TextDecoder().decode(reader.ownSetting('keptBytes')))
    const settled = decodePosition(reader.ownSetting('settled'))
    const index = new LogIndex(anchor.index)
    const rows = db.prepare('SELECT idx, term, payload, length(header) FROM entry ORDER BY idx').raw()
    for (const row of rows.iterate()) {
      const [at, term, payload, header] = row as [number, number, number, number]
      if (at !== index.last + 1) throw corrupt(place, `entry ${index.last + 1} is missing, the next one is ${at}`)
      index.push(term, header, payload)
    }
    let lastHash = anchor.hash
    if (verify) lastHash = verifyChain(reader, index, anchor, place, hasher)
    else if (index.last > anchor.index) lastHash = Uint8Array.from(hashOfEncoded(reader.header(index.last)))
    return { index, anchor, hardState, lastHash, keptBytes, settled }
  } catch (error) {
    if (error instanceof RkfsError && error.code === 'corrupt' && !error.message.startsWith(place.path)) {
      throw corrupt(place, messageOf(error), error)
    }
    throw error
  }
}

function verifyChain(reader: LogReader, index: LogIndex, anchor: LogAnchor, place: Place, hasher: Hasher): Uint8Array {
  const count = index.last - anchor.index
  const all = count <= verifiedEntriesMax
  let previous = all ? anchor.hash : undefined
  for (let at = all ? anchor.index + 1 : index.last - verifiedEntries + 1; at <= index.last; at++) {
    const bytes = reader.header(at)
    reader.cuts(at)
    const entry = decodeEntry(bytes, hasher)
    if (previous !== undefined && !equalBytes(entry.previousHash, previous)) {
      throw corrupt(place, `entry ${at} does not follow entry ${at - 1}: the hash chain is broken`)
    }
    previous = entry.hash
  }
  return Uint8Array.from(previous ?? anchor.hash)
}

export function checkOwner(found: Uint8Array, owner: LogOwner, place: Place): void {
  let other: LogOwner
  try {
    other = decodeOwner(found)
  } catch (error) {
    throw corrupt(place, 'its owner cannot be read', error)
  }
  if (other.channelId !== owner.channelId || other.member !== owner.member) {
    throw new RkfsError(
      'refused',
      `${place.path} belongs to member ${other.member} of channel ${other.channelId}, not to member ${owner.member} of channel ${owner.channelId}`,
    )
  }
}

/** Refuses a log that has lost what its mark says was on stable storage. */
export function checkMark(mark: Mark, log: LoadedLog, replayed: Replayed, reader: LogReader): void {
  const { place } = reader
  const { hardState } = log
  if (isBefore(replayed.end, mark.stream)) {
    const { segment, offset } = replayed.end
    throw corrupt(place, `segment ${segment} has no sound record at byte ${offset}, but more was acknowledged`)
  }
  if (mark.index > log.index.last) {
    throw corrupt(place, `it ends at entry ${log.index.last}, but entries up to ${mark.index} were acknowledged`)
  }
  if (mark.index >= log.anchor.index) {
    const hash =
      mark.index === log.anchor.index
        ? log.anchor.hash
        : hashOfEncoded(replayed.hot.entry(mark.index)?.header ?? reader.header(mark.index))
    if (!equalBytes(hash, mark.hash)) throw corrupt(place, `entry ${mark.index} is not the one that was acknowledged`)
  }
  const older = hardState.term < mark.hardState.term
  const changed = hardState.term === mark.hardState.term && mark.hardState.vote !== undefined
  if (older || (changed && hardState.vote !== mark.hardState.vote)) {
    throw corrupt(place, `its vote in term ${mark.hardState.term} is lost`)
  }
}
