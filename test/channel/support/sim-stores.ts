import type { Rng } from '../../../src/base/rng.js'
import type {
  BlobId,
  CleanBounds,
  JournalRecord,
  LogAnchor,
  LogRecord,
  LogStore,
} from '../../../src/channel/log-port.js'
import type {
  AppliedPosition,
  RecordWrite,
  StateBatch,
  StateStore,
  StateWriter,
  Table,
} from '../../../src/fs/store-port.js'
import type { EncodedEntry } from '../../../src/oplog/entry.js'
import type { HardState } from '../../../src/raft/types.js'
import { MemoryLogStore } from '../../support/memory-log-store.js'
import { SimSpace } from './sim-space.js'
import { MemoryStateStore } from '../../support/memory-state-store.js'

type LogWrite = (store: MemoryLogStore) => void

/**
 * A log in memory that can lose power: every write is kept as a function, and a crash replays those that a sync covered
 * and, by chance, some transactions that followed. It can also be full.
 */
export class SimLogStore implements LogStore {
  readonly #space: SimSpace
  readonly #live: MemoryLogStore
  readonly #writes: LogWrite[] = []
  /** Counts of writes at which a transaction ended. */
  readonly #commits: number[] = [0]
  #durableWrites = 0
  readonly #schedule: (task: () => void) => void

  constructor(
    schedule: (task: () => void) => void,
    space = new SimSpace(),
    writes: readonly LogWrite[] = [],
    commits: readonly number[] = [],
  ) {
    this.#schedule = schedule
    this.#space = space
    this.#live = new MemoryLogStore(task => {
      // called when a sync begins: it covers what is committed now
      const covered = this.#commits.at(-1)!
      schedule(() => {
        task()
        if (!this.#live.failed) this.#durableWrites = Math.max(this.#durableWrites, covered)
      })
    })
    for (const write of writes) this.#writeAnyway(write)
    space.used = () => this.#live.bytes.entries + this.#live.bytes.blobs + this.#live.journalBytes
    this.#commits.push(...commits.filter(count => count > 0 && count < writes.length))
    this.commit()
    this.syncNow()
  }

  /** The store as the next process finds it when this one was killed: what it committed. */
  killed(): SimLogStore {
    this.#live.close()
    return this.#upTo(this.#commits.at(-1)!)
  }

  /** Transactions so far. */
  get commits(): number {
    return this.#commits.length
  }

  /** A new one. */
  empty(): SimLogStore {
    return new SimLogStore(this.#schedule, this.#space)
  }

  /** The store as it was after so many transactions. */
  earlier(commits: number): SimLogStore {
    return this.#upTo(this.#commits[commits - 1]!)
  }

  #upTo(writes: number): SimLogStore {
    return new SimLogStore(this.#schedule, this.#space, this.#writes.slice(0, writes), this.#commits)
  }

  /** The store as the next process finds it after the power went. */
  crashed(rng: Rng): SimLogStore {
    this.#live.close()
    const points = this.#commits.filter(count => count >= this.#durableWrites)
    const kept = Math.max(this.#durableWrites, points[rng.below(points.length)] ?? 0)
    return this.#upTo(kept)
  }

  fail(kind: 'write' | 'sync' | undefined): void {
    this.#live.failNext = kind
  }

  get failed(): boolean {
    return this.#live.failed
  }

  get full(): boolean {
    return this.#space.full
  }
  set full(full: boolean) {
    this.#space.full = full
  }

  /** `bytes`: what it takes. Throws `disk-full`. */
  #write(write: LogWrite, bytes = 0): void {
    try {
      this.#space.take(bytes)
    } catch (error) {
      // nothing of the transaction is kept
      this.#live.rollback()
      this.#writes.length = this.#commits.at(-1)!
      throw error
    }
    this.#writeAnyway(write)
  }

  #writeAnyway(write: LogWrite): void {
    write(this.#live)
    this.#writes.push(write)
  }

  get anchor(): LogAnchor {
    return this.#live.anchor
  }
  get lastIndex(): number {
    return this.#live.lastIndex
  }
  get durableIndex(): number {
    return this.#live.durableIndex
  }
  get hardState(): HardState {
    return this.#live.hardState
  }
  get bytes(): LogStore['bytes'] {
    return this.#live.bytes
  }

  append(records: readonly LogRecord[]): void {
    const bytes = records.reduce((sum, { header, payload }) => sum + header.length + payload.length, 0)
    this.#write(store => store.append(records), bytes)
  }
  truncateFrom(index: number): void {
    this.#write(store => store.truncateFrom(index))
  }
  term(index: number): number | undefined {
    return this.#live.term(index)
  }
  header(index: number): Uint8Array | undefined {
    return this.#live.header(index)
  }
  read(from: number, to: number): EncodedEntry[] {
    return this.#live.read(from, to)
  }
  size(index: number): number {
    return this.#live.size(index)
  }
  blob(id: BlobId): Uint8Array | undefined {
    return this.#live.blob(id)
  }
  /** Term and vote find room on a full disk. */
  saveHardState(state: HardState): void {
    this.#writeAnyway(store => store.saveHardState(state))
    this.commit()
    this.#durableWrites = this.#writes.length
  }
  setting(name: string): string | undefined {
    return this.#live.setting(name)
  }
  setSetting(name: string, value: string): void {
    this.#write(store => store.setSetting(name, value))
  }
  journalPut(record: JournalRecord): void {
    this.#write(store => store.journalPut(record), record.proposal.length + record.payload.length)
  }
  journalRemove(session: number, sequence: number): void {
    this.#write(store => store.journalRemove(session, sequence))
  }
  journal(): JournalRecord[] {
    return this.#live.journal()
  }
  commit(): void {
    this.#live.commit()
    if (this.#commits.at(-1) !== this.#writes.length) this.#commits.push(this.#writes.length)
  }
  sync(onDurable: (index: number) => void, failed: (error: unknown) => void): void {
    this.#live.sync(onDurable, failed)
  }
  syncNow(): void {
    this.#live.syncNow()
    this.#durableWrites = this.#commits.at(-1)!
  }
  settle(): void {
    this.commit()
    this.syncNow()
  }
  get awaitsSync(): boolean {
    return this.#live.awaitsSync
  }
  get pinnedBytes(): number {
    return this.#live.pinnedBytes
  }
  clean(damaged: (blob: BlobId) => void, bounds: CleanBounds): boolean {
    return this.#live.clean(damaged, bounds)
  }
  /** A fault: see `SimDisk`. Only between two processes. */
  damage(id: BlobId): boolean {
    this.#live.damage(id)
    this.#writes.push(store => store.damage(id))
    this.commit()
    this.syncNow()
    return true
  }
  heal(id: BlobId, data: Uint8Array): boolean {
    let healed = false
    this.#write(store => (healed = store.heal(id, data)))
    this.commit()
    return healed
  }
  compact(index: number, live: (blob: BlobId) => boolean): boolean {
    const verdicts = new Map<BlobId, boolean>()
    const remembered = (blob: BlobId): boolean => {
      const verdict = verdicts.get(blob) ?? live(blob)
      verdicts.set(blob, verdict)
      return verdict
    }
    let more = false
    this.#write(store => (more = store.compact(index, remembered)))
    return more
  }
  dropBlobs(ids: readonly BlobId[]): void {
    this.#write(store => store.dropBlobs(ids))
  }
  putBlob(id: BlobId, data: Uint8Array): void {
    this.#write(store => store.putBlob(id, data), data.length)
  }
  reset(anchor: LogAnchor): void {
    this.#write(store => store.reset(anchor))
  }
  blobIds(after: BlobId, limit: number): BlobId[] {
    return this.#live.blobIds(after, limit)
  }
  blobBytes(id: BlobId): number | undefined {
    return this.#live.blobBytes(id)
  }
  close(): void {
    this.#live.close()
  }
}

/** A state in memory that falls back to an earlier batch when the power goes. */
export class SimStateStore implements StateStore {
  readonly #live = new MemoryStateStore()
  readonly #batches: StateBatch[] = []
  #synced = 0

  constructor(batches: readonly StateBatch[] = []) {
    for (const batch of batches) this.write(batch)
    this.syncNow()
  }

  /** The newest state that goes with a log that ends, or begins, elsewhere; undefined: there is none. */
  fitting(log: LogStore): SimStateStore | undefined {
    for (let count = this.#batches.length; count > 0; count--) {
      const { index, term } = this.#batches[count - 1]!.position
      if (log.term(index) === term) return new SimStateStore(this.#batches.slice(0, count))
    }
    return undefined
  }

  crashed(rng: Rng): SimStateStore {
    const kept = this.#synced + rng.below(this.#batches.length - this.#synced + 1)
    return new SimStateStore(this.#batches.slice(0, kept))
  }

  get position(): AppliedPosition | undefined {
    return this.#live.position
  }
  get(table: Table, ino: number, key: string): Uint8Array | undefined {
    return this.#live.get(table, ino, key)
  }
  scan(
    table: Table,
    ino: number,
    after: string | undefined,
    limit: number,
    before?: string,
  ): { key: string; value: Uint8Array }[] {
    return this.#live.scan(table, ino, after, limit, before)
  }
  chunksAfter(ino: number, key: string | undefined, limit: number): { ino: number; key: string; value: Uint8Array }[] {
    return this.#live.chunksAfter(ino, key, limit)
  }
  write(batch: StateBatch): number[] {
    const copy = { writes: [...batch.writes], position: batch.position, liveBytes: new Map(batch.liveBytes) }
    this.#batches.push(copy)
    return this.#live.write(copy)
  }
  begin(): StateWriter {
    const writes: RecordWrite[] = []
    const liveBytes = new Map<number, number>()
    return {
      put: write => void writes.push(write),
      count: (blob, change) => void liveBytes.set(blob, change),
      commit: position => this.write({ writes, position, liveBytes }),
      rollback: () => {},
    }
  }
  liveBytes(blob: number): number {
    return this.#live.liveBytes(blob)
  }
  syncNow(): void {
    this.#synced = this.#batches.length
  }
  all(): Iterable<{ table: Table; ino: number; key: string; value: Uint8Array }> {
    return this.#live.all()
  }
  close(): void {}
}
