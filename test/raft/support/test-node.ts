import { Raft } from '../../../src/raft/raft.js'
import type { Configuration, HardState, Outgoing, RaftEntry, RaftHost } from '../../../src/raft/types.js'
import type { RaftMessage, RaftOptions, Role } from '../../../src/raft/types.js'
import { MemoryLog } from './memory-log.js'

type Write = { readonly append: readonly RaftEntry<number>[] } | { readonly truncateFrom: number }

/** What a test may watch. */
export interface Watcher {
  appended?(node: TestNode, entries: readonly RaftEntry<number>[]): void
  truncated?(node: TestNode, from: number): void
  committed?(node: TestNode, index: number, before: number): void
  roleChanged?(node: TestNode, role: Role, term: number, leader: string | undefined): void
  readReady?(node: TestNode, context: number, index: number): void
  hardStateSaved?(node: TestNode, state: HardState): void
  configurationChanged?(node: TestNode, configuration: Configuration): void
  rolledBack?(node: TestNode, member: string, acknowledged: number): void
  lacks?(node: TestNode, index: number, member: string): void
  twoLeaders?(node: TestNode, one: string, other: string, term: number): void
  recovered?(node: TestNode): void
  snapshotNeeded?(node: TestNode, from: string, index: number): void
}

export type Tuning = Pick<
  RaftOptions,
  'electionTimeoutTicks' | 'heartbeatTicks' | 'appendBytesMax' | 'inflightBytesMax' | 'seed'
>

/**
 * A member with a log whose writes reach the disk when a sync ends, in the order they were made: a crash keeps what was
 * synced and perhaps some of the writes after it.
 */
export class TestNode implements RaftHost<number> {
  readonly id: string
  readonly watcher: Watcher
  readonly tuning: Tuning
  log = new MemoryLog()
  raft!: Raft<number>
  hardState: HardState = { term: 0, vote: undefined }
  /** The log as it would be after a power cut. */
  disk = new MemoryLog()
  up = false
  /** Configurations of committed entries and of the start, by index, latest last. */
  configurations: { index: number; configuration: Configuration }[]
  #writes: Write[] = []
  #sync: { writes: number; target: number } | undefined
  #nextData: () => number
  /** A snapshot to fetch, from whom. */
  wanted: { from: string; index: number } | undefined

  constructor(id: string, configuration: Configuration, tuning: Tuning, nextData: () => number, watcher: Watcher) {
    this.id = id
    this.tuning = tuning
    this.watcher = watcher
    this.#nextData = nextData
    this.configurations = [{ index: 0, configuration }]
    const written = this.log
    this.#watchLog(written)
  }

  // The core's log is this one, with its writes recorded.
  #watchLog(log: MemoryLog): void {
    const append = log.append.bind(log)
    const truncateFrom = log.truncateFrom.bind(log)
    log.append = entries => {
      append(entries)
      this.#writes.push({ append: [...entries] })
      this.watcher.appended?.(this, entries)
    }
    log.truncateFrom = index => {
      this.watcher.truncated?.(this, index)
      truncateFrom(index)
      this.#writes.push({ truncateFrom: index })
      if (this.#sync) this.#sync.target = Math.min(this.#sync.target, index - 1)
    }
    this.log = log
  }

  configurationAt(index: number): Configuration {
    let found = this.configurations[0]!.configuration
    for (const placed of this.configurations) if (placed.index <= index) found = placed.configuration
    return found
  }

  start(commitIndex = this.log.base.index): void {
    this.up = true
    const { hardState, tuning, id } = this
    const configuration = this.configurationAt(commitIndex)
    this.raft = new Raft<number>({ id, hardState, commitIndex, configuration, ...tuning }, this)
  }

  /** The power goes: `keep` of the unsynced writes happen to have reached the disk. */
  crash(keep: (writes: number) => number): void {
    const kept = keep(this.#writes.length)
    this.#writeToDisk(kept)
    this.up = false
    this.#sync = undefined
    this.#writes = []
    this.wanted = undefined
    this.#watchLog(this.disk.copy())
  }

  /** A member that is down gets a copy of its disk back from when its log ended at `index`. */
  putBack(index: number, hardState = this.hardState): void {
    this.hardState = hardState
    if (index < this.disk.lastIndex) this.disk.truncateFrom(index + 1)
    this.#watchLog(this.disk.copy())
  }

  #writeToDisk(count: number): void {
    for (const write of this.#writes.splice(0, count))
      if ('append' in write) this.disk.append(write.append)
      else this.disk.truncateFrom(write.truncateFrom)
  }

  beginSync(): void {
    this.#sync ??= { writes: this.#writes.length, target: this.log.lastIndex }
  }

  endSync(): void {
    const sync = this.#sync
    if (!sync) return
    this.#sync = undefined
    this.#writeToDisk(sync.writes)
    this.raft.durable(sync.target)
  }

  sync(): void {
    this.endSync()
    this.beginSync()
    this.endSync()
  }

  propose(count: number, size = 10, configuration?: Configuration): void {
    const entries: RaftEntry<number>[] = []
    for (let i = 1; i <= count; i++)
      entries.push({
        index: this.log.lastIndex + i,
        term: this.raft.term,
        size,
        data: this.#nextData(),
        ...(configuration ? { configuration } : {}),
      })
    this.log.append(entries)
    this.raft.proposed(entries)
  }

  compact(index: number): void {
    if (this.disk.lastIndex < index || this.#sync || this.#writes.length > 0) return
    this.log.compact(index)
    this.disk.compact(index)
  }

  /** Installs what another member has applied; its state is on the disk before the core hears of it. */
  install(from: TestNode): void {
    const index = from.raft.commitIndex
    this.wanted = undefined
    if (index <= this.raft.commitIndex) return
    const term = from.log.term(index)!
    this.#writeToDisk(this.#writes.length)
    this.#sync = undefined
    this.log.install({ index, term })
    this.disk.install({ index, term })
    const configuration = from.configurationAt(index)
    this.configurations.push({ index, configuration })
    this.raft.restored(index, term, configuration)
  }

  take(): Outgoing<number>[] {
    return this.raft.takeMessages().map(({ to, message }) => ({ to, message: this.#fill(message) }))
  }

  #fill(message: RaftMessage<number>): RaftMessage<number> {
    if (message.kind !== 'append' || message.last < message.first) return message
    const entries = []
    for (let index = message.first; index <= message.last; index++) entries.push(this.log.entry(index)!)
    return { ...message, entries }
  }

  // RaftHost

  saveHardState(state: HardState): void {
    this.hardState = state
    this.watcher.hardStateSaved?.(this, state)
  }
  committed(index: number): void {
    const before = this.configurations.at(-1)!.index
    for (const placed of this.log.configurationsAfter(before))
      if (placed.index <= index) this.configurations.push(placed)
    this.watcher.committed?.(this, index, before)
  }
  roleChanged(role: Role, term: number, leader: string | undefined): void {
    this.watcher.roleChanged?.(this, role, term, leader)
    if (role === 'leader') this.propose(1, 1)
  }
  mayLead(): boolean {
    return true
  }
  mayVote(): boolean {
    return true
  }
  rolledBack(member: string, acknowledged: number): void {
    this.watcher.rolledBack?.(this, member, acknowledged)
  }
  lacks(index: number, _term: number, member: string): void {
    this.watcher.lacks?.(this, index, member)
  }
  twoLeaders(one: string, other: string, term: number): void {
    this.watcher.twoLeaders?.(this, one, other, term)
  }
  recovered(): void {
    this.watcher.recovered?.(this)
  }
  readReady(context: number, index: number): void {
    this.watcher.readReady?.(this, context, index)
  }
  configurationChanged(configuration: Configuration): void {
    this.watcher.configurationChanged?.(this, configuration)
  }
  snapshotNeeded(from: string, index: number): void {
    this.wanted = { from, index }
    this.watcher.snapshotNeeded?.(this, from, index)
  }
}
