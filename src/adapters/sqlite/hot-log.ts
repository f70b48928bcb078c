import { addToChange, changeKey, compareChanges } from '../../channel/change-number.js'
import type { LogRecord, JournalRecord } from '../../channel/log-port.js'
import { isBefore, type StreamPosition } from './segment-files.js'
import { payloadOf, type LogWrite } from './stream-records.js'

/** A write that is in the segments, or about to be, and not in the database. */
export interface HotWrite {
  readonly write: LogWrite
  /** Where its payload lies, and where its record ends; set when it is written. */
  payloadAt: StreamPosition
  end: StreamPosition
  /** The write that undid this one. */
  undoneBy: HotWrite | undefined
}

const nowhere: StreamPosition = { segment: 0, offset: 0 }

/** The part of the log that the database does not have yet. INVARIANT: `#writes` is in stream order; those from `#committed` on are not written. */
export class HotLog {
  #writes: HotWrite[] = []
  #committed = 0
  readonly #entries = new Map<number, HotWrite>()
  /** By change; its parts in order. */
  readonly #journal = new Map<string, HotWrite[]>()
  /** The database has entries up to here. */
  #settledLast: number
  /** Of those the ones up to here were not removed. */
  #soundLast: number
  bytes = 0

  constructor(settledLast: number) {
    this.#settledLast = this.#soundLast = settledLast
  }

  get size(): number {
    return this.#writes.length
  }
  /** What `push` took since the last `committed` or `rollback`. */
  get fresh(): readonly HotWrite[] {
    return this.#committed === this.#writes.length ? [] : this.#writes.slice(this.#committed)
  }
  get writes(): readonly HotWrite[] {
    return this.#writes
  }

  /** Whether the database's row of an entry, if there is one, is the entry. */
  isSettled(index: number): boolean {
    return index <= this.#soundLast
  }

  entry(index: number): LogRecord | undefined {
    const write = this.#entries.get(index)?.write
    return write?.kind === 'append' ? write.record : undefined
  }

  /** In ascending order. */
  *records(): Generator<LogRecord> {
    for (const { write } of this.#entries.values()) if (write.kind === 'append') yield write.record
  }

  push(write: LogWrite): void {
    const hot: HotWrite = { write, payloadAt: nowhere, end: nowhere, undoneBy: undefined }
    this.#writes.push(hot)
    this.#index(hot)
  }

  #index(hot: HotWrite): void {
    const { write } = hot
    this.bytes += payloadOf(write).length + 512
    switch (write.kind) {
      case 'append':
        this.#entries.set(write.record.index, hot)
        break
      case 'truncate':
        this.#soundLast = Math.min(this.#soundLast, write.index - 1)
        for (const [index, entry] of this.#entries) {
          if (index < write.index) continue
          entry.undoneBy = hot
          this.#entries.delete(index)
        }
        break
      case 'journal':
        this.#partsOf(write.record).push(hot)
        break
      case 'unjournal':
        this.#unjournal(changeKey(write), hot)
        break
    }
  }

  #partsOf(change: { session: number; sequence: number }): HotWrite[] {
    const key = changeKey(change)
    let parts = this.#journal.get(key)
    if (parts === undefined) this.#journal.set(key, (parts = []))
    return parts
  }

  #unjournal(key: string, by: HotWrite): void {
    for (const put of this.#journal.get(key) ?? []) put.undoneBy = by
    this.#journal.delete(key)
  }

  /** All that was pushed is written. */
  committed(): void {
    this.#committed = this.#writes.length
  }

  /** Forgets what was pushed since `committed`; the database has entries up to `settledLast`. */
  rollback(settledLast = this.#settledLast): void {
    this.#writes = this.#writes.slice(0, this.#committed)
    this.#settledLast = this.#soundLast = settledLast
    this.#entries.clear()
    this.#journal.clear()
    this.bytes = 0
    for (const hot of this.#writes) hot.undoneBy = undefined
    for (const hot of this.#writes) this.#index(hot)
  }

  /** The journal as the rows of the database and the writes here amount to. */
  journal(rows: readonly JournalRecord[]): JournalRecord[] {
    const changes = new Map<string, JournalRecord[]>()
    for (const record of rows) addToChange(changes, record)
    for (const { write } of this.#writes) {
      if (write.kind === 'journal') addToChange(changes, write.record)
      else if (write.kind === 'unjournal') changes.delete(changeKey(write))
    }
    return [...changes.values()].flat().sort((a, b) => compareChanges(a, b) || a.part - b.part)
  }

  /** The written ones up to a place in the stream, for the database. */
  through(limit: StreamPosition): readonly HotWrite[] {
    let count = 0
    while (count < this.#committed && !isBefore(limit, this.#writes[count]!.end)) count++
    return this.#writes.slice(0, count)
  }

  /** The database has the first `count` writes. */
  settled(count: number): void {
    const gone = this.#writes.slice(0, count)
    this.#writes = this.#writes.slice(count)
    this.#committed -= count
    for (const hot of gone) {
      const { write } = hot
      this.bytes -= payloadOf(write).length + 512
      if (write.kind === 'append') {
        if (!isUndone(hot, gone.at(-1)!.end)) this.#settledLast = write.record.index
        if (this.#entries.get(write.record.index) === hot) this.#entries.delete(write.record.index)
      } else if (write.kind === 'truncate') this.#settledLast = Math.min(this.#settledLast, write.index - 1)
      else if (write.kind === 'journal') {
        const parts = this.#partsOf(write.record).filter(part => part !== hot)
        if (parts.length === 0) this.#journal.delete(changeKey(write.record))
        else this.#journal.set(changeKey(write.record), parts)
      }
    }
    this.#soundLast = this.#settledLast
    for (const { write } of this.#writes) {
      if (write.kind === 'truncate') this.#soundLast = Math.min(this.#soundLast, write.index - 1)
    }
  }

  /** The database forgot all entries (the installation of a snapshot). */
  reset(last: number): void {
    this.#settledLast = this.#soundLast = last
  }
}

/** Whether a write was undone by one that is written, and ends by `limit`. */
export function isUndone({ undoneBy }: HotWrite, limit: StreamPosition): boolean {
  return undoneBy !== undefined && undoneBy.end !== nowhere && !isBefore(limit, undoneBy.end)
}
