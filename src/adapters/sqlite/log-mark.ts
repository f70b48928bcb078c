import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, readSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { ByteReader, ByteWriter, equalBytes, fromHex, toHex } from '../../base/bytes.js'
import { failpoint } from '../../base/failpoint.js'
import type { Hasher } from '../../base/hash.js'
import { zeroHash } from '../../oplog/codec.js'
import type { HardState } from '../../raft/types.js'
import { corrupt, type Place, translate } from './failures.js'
import { type StreamPosition, streamStart } from './segment-files.js'
import { syncFolder, type WalPosition } from './wal-database.js'

/** What the log had on stable storage at its last sync: SQLite passes over the loss of a WAL's end, this does not. */
export interface Mark {
  readonly index: number
  readonly term: number
  readonly hash: Uint8Array
  readonly hardState: HardState
  readonly wal: WalPosition
  /** The segments, up to here. */
  readonly stream: StreamPosition
}

const magic = 0x4d4c4b52
const version = 2
const markBytes = 104
const noVote = '0000000000000000'

export const emptyMark: Mark = {
  index: 0,
  term: 0,
  hash: zeroHash,
  hardState: { term: 0, vote: undefined },
  wal: { salts: new Uint8Array(8), frames: 0 },
  stream: streamStart,
}

/**
 * `log.mark`: 104 bytes, overwritten in place after each sync and not synced itself. After a loss of power it is at worst
 * old, never ahead of the log; where it must go back (truncation, close) it is synced first.
 */
export class LogMark {
  #file: number
  #hasher: Hasher
  #value: Mark

  private constructor(file: number, value: Mark, hasher: Hasher) {
    this.#file = file
    this.#value = value
    this.#hasher = hasher
  }

  get value(): Mark {
    return this.#value
  }

  static exists(path: string): boolean {
    return existsSync(path)
  }

  static create(path: string, hasher: Hasher): LogMark {
    // a crash leaves none, or a whole one
    const draft = `${path}.new`
    const mark = new LogMark(openSync(draft, 'w+', 0o600), emptyMark, hasher)
    mark.write(emptyMark, true)
    renameSync(draft, path)
    syncFolder(dirname(path))
    return mark
  }

  /** Reads it without keeping it open. */
  static read(path: string, place: Place, hasher: Hasher): Mark {
    try {
      return decodeMark(readFileSync(path), hasher)
    } catch (error) {
      throw corrupt(place, `its mark ${path} cannot be read`, error)
    }
  }

  static open(path: string, place: Place, hasher: Hasher): LogMark {
    try {
      const file = openSync(path, 'r+')
      const bytes = new Uint8Array(markBytes + 1)
      return new LogMark(file, decodeMark(bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0)), hasher), hasher)
    } catch (error) {
      throw translate(place, error)
    }
  }

  write(value: Mark, sync = false): void {
    writeSync(this.#file, encodeMark(value, this.#hasher), 0, markBytes, 0)
    if (sync) fdatasyncSync(this.#file)
    failpoint('mark-written')
    this.#value = value
  }

  close(): void {
    closeSync(this.#file)
  }
}

function encodeMark(mark: Mark, hasher: Hasher): Uint8Array {
  const writer = new ByteWriter(markBytes)
  writer.u32(magic).u32(version).u64(mark.index).u64(mark.term).raw(mark.hash)
  writer.u64(mark.hardState.term).raw(fromHex(mark.hardState.vote ?? noVote))
  writer.raw(mark.wal.salts).u32(mark.wal.frames)
  writer.u64(mark.stream.segment).u64(mark.stream.offset)
  return writer.u32(hasher.crc32(writer.done())).done()
}

function decodeMark(bytes: Uint8Array, hasher: Hasher): Mark {
  const reader = new ByteReader(bytes, 'log.mark')
  const ok = reader.u32() === magic && reader.u32() === version
  const index = reader.u64()
  const term = reader.u64()
  const hash = reader.raw(32)
  const hardTerm = reader.u64()
  const vote = toHex(reader.raw(8))
  const salts = reader.raw(8)
  const frames = reader.u32()
  const stream = { segment: reader.u64(), offset: reader.u64() }
  const crc = reader.u32()
  reader.end()
  if (!ok || crc !== hasher.crc32(bytes.subarray(0, markBytes - 4))) throw new Error('its CRC does not match')
  return {
    index,
    term,
    hash,
    hardState: { term: hardTerm, vote: vote === noVote ? undefined : vote },
    wal: { salts, frames },
    stream,
  }
}

/** The first 32 bytes of a database's WAL, or what there is of them. */
export function readWalHeader(path: string): Uint8Array {
  const header = new Uint8Array(32)
  if (!existsSync(`${path}-wal`)) return header.subarray(0, 0)
  const file = openSync(`${path}-wal`, 'r')
  try {
    return header.subarray(0, readSync(file, header, 0, 32, 0))
  } finally {
    closeSync(file)
  }
}

/** Refuses a WAL file that is shorter, or older, than at the last sync. `frames`: how many SQLite recovered from it. */
export function checkWal(mark: Mark, header: Uint8Array, frames: number, place: Place): void {
  if (mark.wal.frames === 0) return
  const wal = `${place.path}-wal`
  if (!walHeaderIsSound(header)) throw corrupt(place, `${wal} is missing or its header is damaged`)
  // Another generation: the WAL was begun anew after all of the one in the mark had been copied and synced.
  if (!equalBytes(header.subarray(16, 24), mark.wal.salts)) return
  if (frames < mark.wal.frames) {
    throw corrupt(place, `of ${wal} only ${frames} of at least ${mark.wal.frames} synced pages are sound`)
  }
}

/** The checksum of a WAL header (sqlite.org/fileformat2.html §4.2). */
function walHeaderIsSound(header: Uint8Array): boolean {
  if (header.length < 32) return false
  const view = new DataView(header.buffer, header.byteOffset, 32)
  const magicNumber = view.getUint32(0)
  if (magicNumber !== 0x377f0682 && magicNumber !== 0x377f0683) return false
  const littleEndian = magicNumber === 0x377f0682
  let a = 0
  let b = 0
  for (let at = 0; at < 24; at += 8) {
    a = (a + view.getUint32(at, littleEndian) + b) >>> 0
    b = (b + view.getUint32(at + 4, littleEndian) + a) >>> 0
  }
  return a === view.getUint32(24) && b === view.getUint32(28)
}
