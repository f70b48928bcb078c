import type { LogStore } from '../../../src/channel/log-port.js'
import { toHex } from '../../../src/base/bytes.js'
import { blobsPerEntryMax } from '../../../src/base/limits.js'
import type { StateStore } from '../../../src/fs/store-port.js'
import { decodeEntry, payloadMatches } from '../../../src/oplog/codec.js'
import type { HardState } from '../../../src/raft/types.js'
import { hashAt, hasher } from '../../contracts/entries.js'
import type { DiskEvent } from './disk-event.js'

/** What `store-load.ts` says at the moment it holds, or, of a removal, at the moment it begins. */
export type PromiseMark =
  /** First: the log that the stores begin with, on stable storage. */
  | { readonly kind: 'found'; readonly index: number; readonly hash: string }
  /** The log is on stable storage up to here; lower than before: what is beyond is about to be cut off. */
  | { readonly kind: 'durable'; readonly index: number; readonly hash: string }
  | { readonly kind: 'hard-state'; readonly state: HardState }
  | { readonly kind: 'journalled'; readonly sequence: number; readonly bytes: number }
  | { readonly kind: 'unjournalling'; readonly sequence: number }
  /** The state is on stable storage up to here. */
  | { readonly kind: 'state'; readonly index: number }
  | { readonly kind: 'dropping'; readonly blobs: readonly number[] }
  | { readonly kind: 'setting'; readonly value: number }
  /** A snapshot comes: it or the log before is there. Entries after `kept` may go. */
  | { readonly kind: 'restoring'; readonly index: number; readonly kept: number }
  | { readonly kind: 'restored'; readonly index: number; readonly hash: string; readonly blob: number }

/** Small ones go into the database, large ones stay in the segments, and some are cut into several blobs. */
export function payloadBytes(index: number): number {
  return index % 12 === 0 ? 600_000 : [0, 10, 300, 5000, 60_000][index % 5]!
}

/** The blobs that compaction keeps. */
export function isKept(blob: number): boolean {
  return Math.floor(blob / blobsPerEntryMax) % 3 === 0
}

/** What a member's stores must hold after a power cut. */
export class StorePromises {
  #floor = { index: 0, hash: '' }
  #state = 0
  #setting = 0
  #hardState: HardState = { term: 0, vote: undefined }
  readonly #journal = new Map<number, number>()
  readonly #blobs = new Set<number>()
  /** Entries after this one were appended one by one. */
  #restored = 0

  /** What was promised before the event at `at` of a record. */
  constructor(record: readonly DiskEvent[], at: number) {
    for (let i = 0; i < at; i++) {
      const event = record[i]!
      if (event.kind === 'mark') this.#take(JSON.parse(event.text.slice(event.text.indexOf(' ') + 1)) as PromiseMark)
    }
  }

  #take(mark: PromiseMark): void {
    switch (mark.kind) {
      case 'found':
        this.#floor = mark
        this.#restored = mark.index
        break
      case 'durable':
        for (let index = Math.max(this.#floor.index, this.#restored) + 1; index <= mark.index; index++) {
          const blob = index * blobsPerEntryMax
          if (payloadBytes(index) > 0 && isKept(blob)) this.#blobs.add(blob)
        }
        this.#cut(mark.index)
        this.#floor = mark
        break
      case 'hard-state':
        this.#hardState = mark.state
        break
      case 'journalled':
        this.#journal.set(mark.sequence, mark.bytes)
        break
      case 'unjournalling':
        this.#journal.delete(mark.sequence)
        break
      case 'state':
        this.#state = mark.index
        break
      case 'dropping':
        for (const blob of mark.blobs) this.#blobs.delete(blob)
        break
      case 'setting':
        this.#setting = mark.value
        break
      case 'restoring':
        this.#cut(mark.kept)
        this.#floor = { index: 0, hash: '' }
        this.#restored = mark.index
        break
      case 'restored':
        this.#floor = mark
        this.#state = mark.index
        this.#blobs.add(mark.blob)
        break
    }
  }

  /** Entries after `index` are cut off, with their blobs. */
  #cut(index: number): void {
    for (const blob of this.#blobs) if (blob >= (index + 1) * blobsPerEntryMax) this.#blobs.delete(blob)
  }

  /** What of it does not hold. */
  broken(log: LogStore, state: StateStore): string[] {
    const wrong: string[] = []
    const { index, hash } = this.#floor
    if (log.lastIndex < index) wrong.push(`the log ends at ${log.lastIndex}, ${index} was durable`)
    else if (index > 0 && log.anchor.index <= index && toHex(hashAt(log, index)) !== hash) {
      wrong.push(`entry ${index} is another one`)
    }
    const { term, vote } = log.hardState
    const saved = this.#hardState
    if (term < saved.term || (term === saved.term && saved.vote !== undefined && vote !== saved.vote)) {
      wrong.push(`term ${term} vote ${vote}, saved were ${saved.term} ${saved.vote}`)
    }
    const journal = new Map(log.journal().map(({ sequence, payload }) => [sequence, payload.length]))
    for (const [sequence, bytes] of this.#journal) {
      if (journal.get(sequence) !== bytes) wrong.push(`journalled change ${sequence} is lost`)
    }
    if (Number(log.setting('inode-block') ?? 0) < this.#setting) wrong.push(`setting ${this.#setting} is lost`)
    for (const blob of this.#blobs) {
      if (blob < (log.anchor.index + 1) * blobsPerEntryMax && log.blob(blob) === undefined) {
        wrong.push(`blob ${blob} is lost`)
      }
    }
    const position = state.position ?? { index: 0, term: 0 }
    if (position.index < this.#state) wrong.push(`the state is at ${position.index}, ${this.#state} was synced`)
    if (position.index < log.anchor.index) {
      wrong.push(`the state is at ${position.index}, the log begins after ${log.anchor.index}`)
    }
    if (position.index > log.lastIndex)
      wrong.push(`the state is at ${position.index}, the log ends at ${log.lastIndex}`)
    else if (position.index >= log.anchor.index && log.term(position.index) !== position.term) {
      wrong.push(`the state is of another entry ${position.index} than the log`)
    }
    for (let at = log.anchor.index + 1; at <= log.lastIndex; at++) {
      const { header, payload } = log.read(at, at)[0]!
      if (!payloadMatches(decodeEntry(header, hasher), payload, hasher))
        wrong.push(`the payload of entry ${at} is another`)
    }
    return wrong
  }
}
