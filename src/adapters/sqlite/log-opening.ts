import type Database from 'better-sqlite3'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Hasher } from '../../base/hash.js'
import type { LogOwner } from '../../channel/log-port.js'
import { zeroHash } from '../../oplog/codec.js'
import { corrupt, logRemedy, type Place } from './failures.js'
import * as format from './log-format.js'
import { checkMark, checkOwner, type LoadedLog, loadLog } from './log-load.js'
import { checkWal, LogMark, readWalHeader } from './log-mark.js'
import { LogReader } from './log-reader.js'
import { checkSegments, liveSegments, type Replayed, replaySegments } from './log-replay.js'
import { listSegments, streamStart } from './segment-files.js'
import { SegmentReader, segmentsName } from './segment-reader.js'
import { createDatabase, inspectDatabase } from './wal-database.js'

/** A log that was found sound: what is in its files. */
export interface OpenedLog {
  readonly place: Place
  readonly mark: LogMark
  readonly segments: SegmentReader
  readonly loaded: LoadedLog
  readonly replayed: Replayed
  /** Live bytes by segment. */
  readonly live: Map<number, number>
}

/**
 * Looks at `log.db` at `path` with `log.mark` and `segments` beside it, or makes them. Throws `corrupt`, `version`,
 * `refused` (another owner's), `disk-full` or `failed`, and then has changed nothing.
 */
export function openLog(path: string, owner: LogOwner, hasher: Hasher): OpenedLog {
  const place: Place = { path, remedy: logRemedy(path, owner) }
  const markPath = join(dirname(path), 'log.mark')
  const folder = join(dirname(path), segmentsName)
  const marked = LogMark.exists(markPath)
  if (!existsSync(path)) {
    if (marked) throw corrupt(place, 'it is missing, but its mark is there')
    if (listSegments(folder).length > 0) throw corrupt(place, 'it is missing, but its segments are there')
    createDatabase(place, format.logFormat, db => fill(db, owner, hasher))
  }
  const header = readWalHeader(path)
  const segments = new SegmentReader(folder)
  const found = inspectDatabase(place, format.logFormat, statSync(path).size, db => {
    const reader = new LogReader(db, place, hasher, segments)
    checkOwner(reader.ownSetting('owner'), owner, place)
    const mark = marked ? LogMark.read(markPath, place, hasher) : undefined
    if (mark !== undefined) {
      const [, frames] = db.prepare('PRAGMA wal_checkpoint(NOOP)').raw().get() as [number, number]
      checkWal(mark, header, frames, place)
    }
    const loaded = loadLog(reader, db, hasher, true)
    const replayed = replaySegments(folder, loaded, reader, hasher)
    if (mark !== undefined) checkMark(mark, loaded, replayed, reader)
    // The process died between making the log and its mark; or the mark was lost.
    else if (loaded.index.last > 0 || loaded.hardState.term > 0) {
      throw corrupt(place, `its mark ${markPath} is missing`)
    }
    const live = liveSegments(db)
    checkSegments(folder, live, place)
    return { loaded, replayed, live }
  })
  const mark = marked ? LogMark.open(markPath, place, hasher) : LogMark.create(markPath, hasher)
  return { place, mark, segments, ...found }
}

function fill(db: Database.Database, owner: LogOwner, hasher: Hasher): void {
  const put = db.prepare('INSERT INTO setting (name, value) VALUES (?, ?)')
  const set = (name: string, value: Uint8Array): void => void put.run(name, format.sealSetting(name, value, hasher))
  set(format.ownSettings.owner, format.encodeOwner(owner))
  set(format.ownSettings.anchor, format.encodeAnchor({ index: 0, term: 0, hash: zeroHash }))
  set(format.ownSettings.hardState, format.encodeHardState({ term: 0, vote: undefined }))
  set(format.ownSettings.keptBytes, new TextEncoder().encode('0'))
  set(format.ownSettings.settled, format.encodePosition(streamStart))
}
