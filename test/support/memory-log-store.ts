import { assert } from '../../src/base/assert.js'
import { equalBytes } from '../../src/base/bytes.js'
import { RkfsError } from '../../src/base/errors.js'
import { blobsPerEntryMax } from '../../src/base/limits.js'
import {
  type BlobId,
  type CleanBounds,
  DamagedBlob,
  type JournalRecord,
  type LogAnchor,
  type LogRecord,
  type LogStore,
} from '../../src/channel/log-port.js'
import { zeroHash } from '../../src/oplog/codec.js'
import type { EncodedEntry } from '../../src/oplog/entry.js'
import type { HardState } from '../../src/raft/types.js'

interface Entry {
  readonly term: number
  readonly header: Uint8Array
  readonly payloadBytes: number
  readonly cuts: readonly number[]
}

/**
 * A log in memory. Writes count as committed with `commit` and as durable with a sync, which is called back through
 * `schedule` (the simulator gives its own).
 */
export class MemoryLogStore implements LogStore {
  anchor: LogAnchor = { index: 0, term: 0, hash: zeroHash }
  durableIndex = 0
  journalBytes = 0
  hardState: HardState = { term: 0, vote: undefined }
  #entries: Entry[] = []
  #headerBytes = 0
  #payloadBytes = 0
  #blobBytes = 0
  #blobs = new Map<BlobId, Uint8Array>()
  #damaged = new Set<BlobId>()
  /** A fault: the next call of this kind fails, once. */
  failNext: 'write' | 'sync' | undefined
  #failure: string | undefined
  #settings = new Map<string, string>()
  #journal = new Map<string, JournalRecord>()
  #committedIndex = 0
  /** Takes back, last first, what was not committed yet: for a full disk. */
  #undo: (() => void)[] = []
  #waiting: { onDurable: (index: number) => void; failed: (error: unknown) => void }[] = []
  #syncing: number | undefined
  #closed = false
  #schedule: (task: () => void) => void

  constructor(schedule: (task: () => void) => void = setImmediate) {
    this.#schedule = schedule
  }

  get lastIndex(): number {
    return this.anchor.index + this.#entries.length
  }

  get bytes(): LogStore['bytes'] {
    return { entries: this.#headerBytes, blobs: this.#blobBytes, log: this.#headerBytes + this.#payloadBytes, dead: 0 }
  }

  #entry(index: number): Entry | undefined {
    return index > this.anchor.index ? this.#entries[index - this.anchor.index - 1] : undefined
  }

  /** Whether a fault was met: nothing may be built on what is here. */
  get failed(): boolean {
    return this.#failure !== undefined
  }

  /** Throws once a call has failed; and fails when it is to. */
  #check(kind: 'write' | 'sync'): void {
    if (this.failNext === kind) {
      this.failNext = undefined
      this.#failure ??= `EIO: i/o error, ${kind}`
    }
    this.#checkSound()
  }

  #checkSound(): void {
    if (this.#failure !== undefined) throw new RkfsError('failed', this.#failure)
  }

  append(records: readonly LogRecord[]): void {
    this.#check('write')
    for (const { index, term, header, payload, cuts } of records) {
      assert(index === this.lastIndex + 1, `entry ${index} is appended after entry ${this.lastIndex}`)
      assert(cuts.length <= blobsPerEntryMax, `entry ${index} has too many blobs`)
      let at = 0
      cuts.forEach((cut, part) => this.#put(index * blobsPerEntryMax + part, payload.slice(at, (at += cut))))
      assert(at === payload.length, `the blobs of entry ${index} are not its payload`)
      const entry = { term, header: header.slice(), payloadBytes: payload.length, cuts: [...cuts] }
      this.#entries.push(entry)
      this.#countEntry(entry, 1)
      this.#undo.push(() => {
        this.#countEntry(this.#entries.pop()!, -1)
        entry.cuts.forEach((_, part) => this.#drop(index * blobsPerEntryMax + part))
      })
    }
  }

  #put(id: BlobId, data: Uint8Array): void {
    this.#drop(id)
    this.#blobs.set(id, data)
    this.#blobBytes += data.length
    this.#damaged.delete(id)
  }

  truncateFrom(index: number): void {
    if (index > this.lastIndex) return
    assert(index > this.anchor.index, `entry ${index} is removed, but the log starts after ${this.anchor.index}`)
    const gone = this.#entries.slice(index - this.anchor.index - 1)
    const blobs = new Map<BlobId, Uint8Array>()
    for (const [id, data] of this.#blobs) if (id >= index * blobsPerEntryMax) blobs.set(id, data)
    this.#undo.push(() => {
      for (const entry of gone) this.#countEntry(entry, 1)
      this.#entries.push(...gone)
      for (const [id, data] of blobs) this.#put(id, data)
    })
    for (let at = index; at <= this.lastIndex; at++) {
      for (let part = 0; part < blobsPerEntryMax; part++) this.#drop(at * blobsPerEntryMax + part)
      this.#countEntry(this.#entry(at)!, -1)
    }
    this.#entries.length = index - this.anchor.index - 1
    this.#lower(index - 1)
  }

  #drop(id: BlobId): void {
    this.#blobBytes -= this.#blobs.get(id)?.length ?? 0
    this.#blobs.delete(id)
  }

  #countEntry({ header, payloadBytes }: Entry, sign: 1 | -1): void {
    this.#headerBytes += sign * header.length
    this.#payloadBytes += sign * payloadBytes
  }

  #lower(index: number): void {
    this.durableIndex = Math.min(this.durableIndex, index)
    this.#committedIndex = Math.min(this.#committedIndex, index)
    if (this.#syncing !== undefined) this.#syncing = Math.min(this.#syncing, index)
  }

  term(index: number): number | undefined {
    return index === this.anchor.index ? this.anchor.term : this.#entry(index)?.term
  }

  header(index: number): Uint8Array | undefined {
    return this.#entry(index)?.header
  }

  read(from: number, to: number): EncodedEntry[] {
    const entries: EncodedEntry[] = []
    for (let index = from; index <= to; index++) {
      const entry = this.#entry(index)
      if (!entry) throw new RkfsError('corrupt', `entry ${index} is missing`)
      const parts = entry.cuts.map((_, part) => this.blob(index * blobsPerEntryMax + part)!)
      const payload = new Uint8Array(entry.payloadBytes)
      let at = 0
      for (const part of parts) {
        payload.set(part, at)
        at += part.length
      }
      entries.push({ header: entry.header, payload })
    }
    return entries
  }

  size(index: number): number {
    const entry = this.#entry(index)
    assert(entry, `there is no entry ${index}`)
    return entry.header.length + entry.payloadBytes
  }

  blob(id: BlobId): Uint8Array | undefined {
    if (this.#damaged.has(id) && this.#blobs.has(id))
      throw new DamagedBlob(id, `blob ${id} cannot be read: its CRC does not match`)
    const data = this.#blobs.get(id)
    const entry = this.#entry(Math.floor(id / blobsPerEntryMax))
    if (data === undefined && entry !== undefined && id % blobsPerEntryMax < entry.cuts.length) {
      throw new DamagedBlob(id, `blob ${id} cannot be read: it is missing`)
    }
    return data
  }

  saveHardState(state: HardState): void {
    this.hardState = state
    this.commit()
    this.syncNow()
  }

  setting(name: string): string | undefined {
    return this.#settings.get(name)
  }
  setSetting(name: string, value: string): void {
    this.#settings.set(name, value)
  }

  journalPut(record: JournalRecord): void {
    this.#check('write')
    const { session, sequence, part, proposal, payload } = record
    const key = `${session}/${sequence}/${part}`
    const before = this.#journal.get(key)
    this.#undo.push(() => {
      this.journalBytes -= proposal.length + payload.length
      if (before === undefined) this.#journal.delete(key)
      else this.#journal.set(key, before)
    })
    this.journalBytes += proposal.length + payload.length
    this.#journal.set(key, {
      session,
      sequence,
      part,
      proposal: proposal.slice(),
      payload: payload.slice(),
    })
  }
  journalRemove(session: number, sequence: number): void {
    for (const [key, one] of this.#journal) {
      if (one.session !== session || one.sequence !== sequence) continue
      this.journalBytes -= one.proposal.length + one.payload.length
      this.#journal.delete(key)
      this.#undo.push(() => {
        this.#journal.set(key, one)
        this.journalBytes += one.proposal.length + one.payload.length
      })
    }
  }

  /** What was not committed was never written. */
  rollback(): void {
    const undo = this.#undo.reverse()
    this.#undo = []
    for (const one of undo) one()
    this.#undo = []
  }
  journal(): JournalRecord[] {
    return [...this.#journal.values()].sort(
      (a, b) => a.session - b.session || a.sequence - b.sequence || a.part - b.part,
    )
  }

  commit(): void {
    this.#checkSound()
    this.#undo = []
    this.#committedIndex = this.lastIndex
  }

  sync(onDurable: (index: number) => void, failed: (error: unknown) => void): void {
    this.#checkSound()
    this.#waiting.push({ onDurable, failed })
    if (this.#syncing === undefined) this.#startSync()
  }

  #startSync(): void {
    const told = this.#waiting
    this.#waiting = []
    this.#syncing = this.#committedIndex
    this.#schedule(() => {
      if (this.#closed) return
      try {
        this.#check('sync')
      } catch (error) {
        const all = [...told, ...this.#waiting]
        this.#waiting = []
        for (const { failed } of all) failed(error)
        return
      }
      this.durableIndex = Math.max(this.durableIndex, this.#syncing!)
      this.#syncing = undefined
      if (this.#waiting.length > 0) this.#startSync()
      for (const { onDurable } of told) onDurable(this.durableIndex)
    })
  }

  syncNow(): void {
    this.#check('sync')
    this.durableIndex = Math.max(this.durableIndex, this.#committedIndex)
  }

  settle(): void {
    this.commit()
    this.syncNow()
  }
  readonly awaitsSync = false
  readonly pinnedBytes = 0

  clean(_damaged: (blob: BlobId) => void, _bounds: CleanBounds): boolean {
    return false
  }

  /** A fault: a blob's bytes are others, which its CRC shows. */
  damage(id: BlobId): void {
    if (this.#blobs.has(id)) this.#damaged.add(id)
  }

  heal(id: BlobId, data: Uint8Array): boolean {
    const index = Math.floor(id / blobsPerEntryMax)
    if (index > this.lastIndex) return false
    const before = this.#blobs.get(id)
    if (before !== undefined && !equalBytes(before, data)) return false
    const entry = this.#entry(index)
    if (entry !== undefined && entry.cuts[id % blobsPerEntryMax] !== data.length) return false
    this.#put(id, data.slice())
    return true
  }

  compact(index: number, live: (blob: BlobId) => boolean): boolean {
    const end = Math.min(index, this.lastIndex, this.anchor.index + 256)
    while (this.anchor.index < end) {
      const at = this.anchor.index + 1
      const entry = this.#entries.shift()!
      this.#countEntry(entry, -1)
      entry.cuts.forEach((_, part) => {
        const id = at * blobsPerEntryMax + part
        if (!live(id)) this.#drop(id)
      })
      this.anchor = { index: at, term: entry.term, hash: entry.header.slice(-32) }
    }
    return this.anchor.index < Math.min(index, this.lastIndex)
  }

  #inLog(id: BlobId): boolean {
    return this.#entry(Math.floor(id / blobsPerEntryMax)) !== undefined
  }

  dropBlobs(ids: readonly BlobId[]): void {
    for (const id of ids) if (!this.#inLog(id)) this.#drop(id)
  }
  putBlob(id: BlobId, data: Uint8Array): void {
    assert(!this.#inLog(id), `blob ${id} belongs to an entry in the log`)
    this.#put(id, data.slice())
  }
  reset(anchor: LogAnchor): void {
    this.truncateFrom(anchor.index + 1)
    this.#entries = []
    this.#headerBytes = this.#payloadBytes = 0
    this.anchor = anchor
    this.#lower(anchor.index)
  }
  blobIds(after: BlobId, limit: number): BlobId[] {
    return [...this.#blobs.keys()]
      .filter(id => id > after)
      .sort((a, b) => a - b)
      .slice(0, limit)
  }

  blobBytes(id: BlobId): number | undefined {
    return this.#blobs.get(id)?.length
  }

  close(): void {
    this.#closed = true
  }
}
