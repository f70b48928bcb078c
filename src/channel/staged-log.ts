import { assert, unreachable } from '../base/assert.js'
import { equalBytes } from '../base/bytes.js'
import { failpoint } from '../base/failpoint.js'
import type { Hasher } from '../base/hash.js'
import { MiB } from '../base/limits.js'
import { cutOf, payloadCuts, placeOfBlob } from '../fs/extents.js'
import { hashOfEncoded } from '../oplog/codec.js'
import type { EncodedEntry } from '../oplog/entry.js'
import type { Configuration, RaftEntry, RaftLog } from '../raft/types.js'
import { configurationOf, decodeDescriptor, type Descriptor } from './descriptor.js'
import type { BlobId, JournalRecord, LogStore } from './log-port.js'
import { type DescribedEntry, describeEntry, openEntry, type StoredEntry } from './stored-entry.js'

/** A write to the log that is decided but perhaps not in the store yet. */
type StagedWrite =
  | { readonly kind: 'append'; readonly entry: StoredEntry }
  | { readonly kind: 'truncate'; readonly index: number }
  | { readonly kind: 'journal'; readonly record: JournalRecord }
  | { readonly kind: 'unjournal'; readonly session: number; readonly sequence: number }

/** Entries that `bytesAfter` looks at. */
const lagEntriesMax = 100_000

/** Decoded entries kept in memory for sending and applying. */
const recentBytesMax = 16 * MiB
/** What a decoded entry takes besides its bytes: its objects, and a buffer each for header, hashes and operation. */
const entryOverheadBytes = 2048

const memoryOf = ({ header, payload }: StoredEntry): number => header.length + payload.length + entryOverheadBytes

/** The entry as the consensus core sees it. */
export function raftEntryOf(stored: StoredEntry): RaftEntry<StoredEntry> {
  const { operation, entry } = stored
  const size = stored.header.length + entry.payloadLength
  if (operation.kind !== 'members') return { index: entry.index, term: entry.term, size, data: stored }
  const configuration = configurationOf(decodeDescriptor(operation.descriptor))
  return { index: entry.index, term: entry.term, size, configuration, data: stored }
}

/**
 * The log with its newest part in memory. Writes are staged and reach the `LogStore` in `persist`, so that a disk that is
 * full holds up acknowledgements but never the consensus core: what is staged is tried again.
 *
 * INVARIANT: an entry is in `#recent` at least until `persist` has written it.
 */
export class StagedLog implements RaftLog<StoredEntry> {
  readonly #store: LogStore
  readonly #hasher: Hasher
  readonly #recent = new Map<number, StoredEntry>()
  #recentFirst: number
  #recentBytes = 0
  #lastIndex: number
  #staged: StagedWrite[] = []
  /** Highest index that `persist` has written; entries above must not leave memory. */
  #written: number
  /** All that was ever appended or journalled by this process, in bytes: what it makes the disk fuller by at most. */
  appendedBytes = 0
  /** Changes with every truncation: a sync that began before says nothing about what came after. */
  generation = 0
  /** Told before entries from an index on are removed. */
  onTruncate: ((index: number) => void) | undefined

  constructor(store: LogStore, hasher: Hasher) {
    this.#store = store
    this.#hasher = hasher
    this.#lastIndex = store.lastIndex
    this.#written = store.lastIndex
    this.#recentFirst = store.lastIndex + 1
  }

  get firstIndex(): number {
    return this.#store.anchor.index + 1
  }
  get lastIndex(): number {
    return this.#lastIndex
  }
  get dirty(): boolean {
    return this.#staged.length > 0
  }

  term(index: number): number | undefined {
    // memory may still hold what compaction has dropped
    if (index > this.#lastIndex || index < this.#store.anchor.index) return undefined
    return this.#recent.get(index)?.entry.term ?? this.#store.term(index)
  }

  /** The chain's hash at an index from `firstIndex - 1` to `lastIndex`. */
  hash(index: number): Uint8Array {
    const recent = this.#recent.get(index)
    if (recent !== undefined) return recent.entry.hash
    if (index === this.#store.anchor.index) return this.#store.anchor.hash
    const header = this.#store.header(index)
    assert(header !== undefined, `the log has no entry ${index}`)
    return hashOfEncoded(header)
  }

  size(index: number): number {
    const recent = this.#recent.get(index)
    return recent === undefined ? this.#store.size(index) : recent.header.length + recent.entry.payloadLength
  }

  /** Headers and payloads of all entries. */
  get bytes(): number {
    return this.#store.bytes.log
  }

  /** Bytes of the entries after an index, capped for the sake of its cost. */
  bytesAfter(index: number, bytesMax = Infinity): number {
    let bytes = 0
    for (let at = Math.max(index + 1, this.firstIndex); at <= this.#lastIndex; at++) {
      bytes += this.size(at)
      if (at - index > lagEntriesMax || bytes >= bytesMax) break
    }
    return bytes
  }

  sliceEnd(from: number, maxBytes: number): number {
    let end = from
    let bytes = this.size(from)
    while (end < this.#lastIndex) {
      bytes += this.size(end + 1)
      if (bytes > maxBytes) break
      end++
    }
    return end
  }

  /** What an entry says and does, without its payload. Fails with `corrupt` when the disk lost it. */
  described(index: number): DescribedEntry {
    const recent = this.#recent.get(index)
    if (recent !== undefined) return recent
    const header = this.#store.header(index)
    assert(header !== undefined, `the log has no entry ${index}`)
    return describeEntry(header, this.#hasher)
  }

  /** An entry with its payload. Fails with `corrupt` when the disk lost it, with `DamagedBlob` when it lost the payload. */
  entry(index: number): StoredEntry {
    const recent = this.#recent.get(index)
    if (recent !== undefined) return recent
    const encoded = this.#store.read(index, index)[0]
    assert(encoded !== undefined, `the log has no entry ${index}`)
    return openEntry(encoded, this.#hasher, false)
  }

  /** A blob of an entry that is still in memory. */
  recentBlob(id: BlobId): Uint8Array | undefined {
    const { number, part } = placeOfBlob(id)
    const recent = this.#recent.get(number)
    return recent === undefined ? undefined : cutOf(payloadCuts(recent.operation), recent.payload, part)
  }

  /** Entries `from..to` as they are sent. */
  encoded(from: number, to: number): EncodedEntry[] {
    const entries: EncodedEntry[] = []
    for (let index = from; index <= to; index++) {
      const recent = this.#recent.get(index)
      if (recent !== undefined) entries.push(recent)
      else entries.push(...this.#store.read(index, index))
    }
    return entries
  }

  /** INVARIANT: the entries continue the hash chain. Who takes them from others sees to it before (`RaftLink`). */
  append(entries: readonly RaftEntry<StoredEntry>[]): void {
    for (const { data } of entries) {
      assert(data.entry.index === this.#lastIndex + 1, 'entries are appended without a gap')
      assert(equalBytes(data.entry.previousHash, this.hash(this.#lastIndex)), 'entries continue the hash chain')
      this.#lastIndex = data.entry.index
      this.#recent.set(data.entry.index, data)
      this.#recentBytes += memoryOf(data)
      this.appendedBytes += data.header.length + data.payload.length
    }
    for (const { data } of entries) this.#staged.push({ kind: 'append', entry: data })
  }

  truncateFrom(index: number): void {
    this.onTruncate?.(index)
    // what is not written yet need not be, to be cut: there may be no room for it
    this.#staged = this.#staged.filter(write => write.kind !== 'append' || write.entry.entry.index < index)
    for (let i = index; i <= this.#lastIndex; i++) this.#forget(i)
    this.#lastIndex = index - 1
    this.#written = Math.min(this.#written, index - 1)
    this.#recentFirst = Math.min(this.#recentFirst, index)
    this.generation++
    this.#staged.push({ kind: 'truncate', index })
  }

  #forget(index: number): void {
    const recent = this.#recent.get(index)
    if (recent === undefined) return
    this.#recentBytes -= memoryOf(recent)
    this.#recent.delete(index)
  }

  journal(record: JournalRecord): void {
    this.appendedBytes += record.proposal.length + record.payload.length
    this.#staged.push({ kind: 'journal', record })
  }

  unjournal(session: number, sequence: number): void {
    this.#staged.push({ kind: 'unjournal', session, sequence })
  }

  /** Of what `persist` is to write: bytes of content, and of all else. */
  get stagedBytes(): { readonly content: number; readonly other: number } {
    let content = 0
    let other = 0
    for (const write of this.#staged) {
      if (write.kind === 'append') {
        content += write.entry.payload.length
        other += write.entry.header.length
      } else if (write.kind === 'journal') {
        content += write.record.payload.length
        other += write.record.proposal.length
      }
    }
    return { content, other }
  }

  /** Makes what is staged safe from the death of this process. On failure (`disk-full`) all of it stays staged and the error goes on. */
  persist(): void {
    if (this.#staged.length === 0) return
    for (const write of this.#staged) this.#perform(write)
    this.#store.commit()
    failpoint('turn-persisted')
    this.#staged = []
    this.#written = this.#lastIndex
    while (this.#recentBytes > recentBytesMax && this.#recentFirst <= this.#written) this.#forget(this.#recentFirst++)
  }

  /** As `persist`, of the journal alone: entries that find no room stay staged, and are acknowledged to nobody. */
  persistJournal(): void {
    const isJournal = ({ kind }: StagedWrite): boolean => kind === 'journal' || kind === 'unjournal'
    const staged = this.#staged.filter(isJournal)
    if (staged.length === 0) return
    for (const write of staged) this.#perform(write)
    this.#store.commit()
    this.#staged = this.#staged.filter(write => !isJournal(write))
  }

  #perform(write: StagedWrite): void {
    switch (write.kind) {
      case 'append': {
        const { entry, operation, header, payload } = write.entry
        const { index, term } = entry
        this.#store.append([{ index, term, header, payload, cuts: payloadCuts(operation) }])
        break
      }
      case 'truncate':
        this.#store.truncateFrom(write.index)
        break
      case 'journal':
        this.#store.journalPut(write.record)
        break
      case 'unjournal':
        this.#store.journalRemove(write.session, write.sequence)
        break
      default:
        unreachable(write)
    }
  }

  /** The membership changes among the entries with index > `after`, in order. */
  descriptorsAfter(after: number): { index: number; descriptor: Descriptor }[] {
    const found: { index: number; descriptor: Descriptor }[] = []
    for (let index = Math.max(after, this.#store.anchor.index) + 1; index <= this.#lastIndex; index++) {
      const { operation } = this.described(index)
      if (operation.kind === 'members') found.push({ index, descriptor: decodeDescriptor(operation.descriptor) })
    }
    return found
  }

  configurationsAfter(after: number): { index: number; configuration: Configuration }[] {
    return this.descriptorsAfter(after).map(({ index, descriptor }) => ({
      index,
      configuration: configurationOf(descriptor),
    }))
  }

  /** The store forgot its entries and begins anew (a snapshot was installed); its journal stays. */
  reopened(): void {
    this.#recent.clear()
    this.#recentBytes = 0
    this.#staged = this.#staged.filter(({ kind }) => kind === 'journal' || kind === 'unjournal')
    this.#lastIndex = this.#store.lastIndex
    this.#written = this.#lastIndex
    this.#recentFirst = this.#lastIndex + 1
    this.generation++
  }
}
