import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fsync,
  fsyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
  writevSync,
} from 'node:fs'
import { join } from 'node:path'
import { assert } from '../../base/assert.js'
import { failpoint } from '../../base/failpoint.js'
import { MiB } from '../../base/limits.js'
import { type Place, translate } from './failures.js'
import { rewrite } from './rewrite.js'
import { segmentName } from './segment-reader.js'

/** A segment that has reached this size gets no more records. */
const segmentBytesUsual = 32 * MiB
/** An empty segment, for the next one's file. */
export const spareName = 'spare'

/** A place in the stream of records that the segments make up. */
export interface StreamPosition {
  readonly segment: number
  readonly offset: number
}

/** Where a record stands. The first one of a segment is also bound to where the segment before it ends. */
export interface RecordPlace extends StreamPosition {
  /** Bytes of the segment before; 0 if there was none. */
  readonly follows: number
}

export const streamStart: StreamPosition = { segment: 1, offset: 0 }

export function isBefore(a: StreamPosition, b: StreamPosition): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset)
}

export function later(a: StreamPosition, b: StreamPosition): StreamPosition {
  return isBefore(a, b) ? b : a
}

/** The numbers of the segments in a folder, in order. */
export function listSegments(folder: string): number[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter(name => /^\d{8}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b)
}

/** A segment's size, or undefined when it does not exist. */
export function segmentSize(folder: string, segment: number): number | undefined {
  return statSync(join(folder, segmentName(segment)), { throwIfNoEntry: false })?.size
}

/**
 * The writing side of the segments: appended to one after the other, and synced. A segment that is removed is kept as a
 * spare for the next one: overwriting blocks that are there already makes a sync twice as fast as growing a file.
 */
export class SegmentFiles {
  readonly folder: string
  readonly #place: Place
  readonly segmentBytes: number
  /** Whether a segment that is removed is kept for the next one. */
  #keepsSpare = true
  readonly #folderFile: number
  #file: number
  #position: StreamPosition
  /** Bytes of the segments that are complete. */
  readonly #complete = new Map<number, number>()
  /** Descriptors of those that are not yet synced. */
  #sealed: number[] = []
  /** Descriptors that syncs are under way for in the thread pool, by how many: they stay open as long. */
  readonly #syncing = new Map<number, number>()
  /** Those of them that nothing more is written to, and all of it is synced. */
  readonly #finished = new Set<number>()
  #dirty = true
  #folderDirty = true
  #syncs = 0
  #closed = false

  /**
   * Goes on at `end`, the end of the sound records. Nothing beyond it stays: after the next loss of power it might follow
   * what is written now. What is there from `settled` on was perhaps never synced, or in vain: the process may have been
   * killed, and a failed write-back leaves the pages in memory, but clean. It is written again, and the next sync covers it.
   */
  constructor(
    folder: string,
    settled: StreamPosition,
    end: StreamPosition,
    place: Place,
    segmentBytes = segmentBytesUsual,
  ) {
    this.folder = folder
    this.#place = place
    this.segmentBytes = segmentBytes
    this.#position = end
    const opened: number[] = []
    const open = (path: string, flags: string): number => {
      const file = openSync(path, flags)
      opened.push(file)
      return file
    }
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      rmSync(join(folder, spareName), { force: true })
      for (const segment of listSegments(folder)) {
        if (segment > end.segment) rmSync(join(folder, segmentName(segment)))
        else if (segment < end.segment) this.#complete.set(segment, segmentSize(folder, segment)!)
      }
      this.#folderFile = open(folder, 'r')
      const path = join(folder, segmentName(end.segment))
      if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600))
      for (let { segment, offset } = settled; segment < end.segment; segment++, offset = 0) {
        const file = open(join(folder, segmentName(segment)), 'r+')
        this.#sealed.push(file)
        rewrite(file, offset)
      }
      this.#file = open(path, 'r+')
      ftruncateSync(this.#file, end.offset)
      rewrite(this.#file, settled.segment === end.segment ? settled.offset : 0)
    } catch (error) {
      for (const file of opened) closeSync(file)
      throw translate(place, error)
    }
  }

  /** Where the next record goes. */
  get position(): StreamPosition {
    return this.#position
  }
  get keepsSpare(): boolean {
    return this.#keepsSpare
  }
  set keepsSpare(keeps: boolean) {
    if (keeps === this.#keepsSpare) return
    this.#keepsSpare = keeps
    if (!keeps) rmSync(join(this.folder, spareName), { force: true })
  }
  /** Bytes of the segment that is kept for the next one. */
  get spareBytes(): number {
    return statSync(join(this.folder, spareName), { throwIfNoEntry: false })?.size ?? 0
  }
  /** Bytes of each segment that is complete. */
  get complete(): ReadonlyMap<number, number> {
    return this.#complete
  }
  /** Whether something was appended that no sync has begun to cover. */
  get dirty(): boolean {
    return this.#dirty
  }

  /** Where the next batch of records will begin: in a new segment when this one is full. */
  begin(): RecordPlace {
    if (this.#position.offset >= this.segmentBytes) this.#next()
    return { ...this.#position, follows: this.#complete.get(this.#position.segment - 1) ?? 0 }
  }

  #next(): void {
    try {
      const segment = this.#position.segment + 1
      const path = join(this.folder, segmentName(segment))
      const spare = join(this.folder, spareName)
      // one that is there already is of an attempt that failed
      if (existsSync(spare)) renameSync(spare, path)
      else if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600))
      failpoint('segment-opened')
      const file = openSync(path, 'r+')
      // a reused file may be longer: its end must tell where the records end
      if (fstatSync(this.#file).size > this.#position.offset) ftruncateSync(this.#file, this.#position.offset)
      this.#sealed.push(this.#file)
      this.#complete.set(this.#position.segment, this.#position.offset)
      this.#file = file
      this.#position = { segment, offset: 0 }
      this.#folderDirty = true
      this.#dirty = true
    } catch (error) {
      throw translate(this.#place, error)
    }
  }

  /** Writes at the position that `begin` told. On failure (`disk-full`) the position stays, and what is there counts for nothing. */
  append(parts: readonly Uint8Array[], bytes: number): void {
    const { segment, offset } = this.#position
    try {
      let done = writevSync(this.#file, parts, offset)
      if (done < bytes) {
        // a write is short when the disk is nearly full: the rest tells
        const all = Buffer.concat(parts)
        while (done < bytes) done += writeSync(this.#file, all, done, bytes - done, offset + done)
      }
    } catch (error) {
      throw translate(this.#place, error)
    }
    failpoint('segment-written')
    this.#dirty = true
    this.#position = { segment, offset: offset + bytes }
  }

  /**
   * Nothing refers to what was appended after `end`, and no sync was asked for it: gives the space of that back, and of what
   * an append that failed has left. What went to segments before the current one is dead with them.
   */
  cut(end: StreamPosition): void {
    const { segment } = this.#position
    const offset = end.segment === segment ? end.offset : 0
    try {
      ftruncateSync(this.#file, offset)
    } catch (error) {
      throw translate(this.#place, error)
    }
    this.#position = { segment, offset }
  }

  /** Puts all that was appended so far on stable storage; in the thread pool. Not called back once this is closed. */
  sync(done: (error: unknown) => void): void {
    const sealed = this.#sealed
    const folder = this.#folderDirty
    this.#sealed = []
    this.#folderDirty = false
    this.#dirty = false
    this.#syncs++
    const files = [...sealed, this.#file]
    for (const file of files) this.#syncing.set(file, (this.#syncing.get(file) ?? 0) + 1)
    let waiting = files.length + (folder ? 1 : 0)
    let failure: unknown
    const one = (error: unknown): void => {
      failure ??= error ?? undefined
      if (--waiting > 0) return
      for (const file of sealed) this.#finished.add(file)
      for (const file of files) this.#released(file)
      this.#syncs--
      if (!this.#closed) done(failure === undefined ? undefined : translate(this.#place, failure))
      else if (this.#syncs === 0) this.#closeFiles()
    }
    for (const file of files) fdatasync(file, one)
    if (folder) fsync(this.#folderFile, one)
  }

  /** A sync of a descriptor has ended. */
  #released(file: number): void {
    const others = this.#syncing.get(file)! - 1
    if (others > 0) this.#syncing.set(file, others)
    else {
      this.#syncing.delete(file)
      if (this.#finished.delete(file)) closeSync(file)
    }
  }

  /** Nothing more is written to a descriptor, and all of it is synced. */
  #finish(file: number): void {
    if (this.#syncing.has(file)) this.#finished.add(file)
    else closeSync(file)
  }

  syncNow(): void {
    try {
      for (const file of new Set([...this.#syncing.keys(), ...this.#sealed, this.#file])) fdatasyncSync(file)
      if (this.#folderDirty || this.#syncs > 0) fsyncSync(this.#folderFile)
    } catch (error) {
      throw translate(this.#place, error)
    }
    for (const file of this.#sealed) this.#finish(file)
    this.#sealed = []
    this.#folderDirty = false
    this.#dirty = false
  }

  /** Removes a complete segment that nothing refers to. */
  remove(segment: number): void {
    const bytes = this.#complete.get(segment)
    assert(bytes !== undefined, `segment ${segment} is removed, but it is not complete`)
    const path = join(this.folder, segmentName(segment))
    const spare = join(this.folder, spareName)
    failpoint('segment-removing')
    if (this.#keepsSpare && bytes >= this.segmentBytes && !existsSync(spare)) renameSync(path, spare)
    else rmSync(path)
    failpoint('segment-removed')
    this.#complete.delete(segment)
  }

  /** A descriptor that the pool still syncs is closed by its callback. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#syncs === 0) this.#closeFiles()
  }

  #closeFiles(): void {
    for (const file of this.#sealed) closeSync(file)
    closeSync(this.#file)
    closeSync(this.#folderFile)
  }
}
