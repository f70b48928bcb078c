import { randomBytes, randomInt } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DiskReserve } from '../adapters/host/disk-reserve.js'
import { MemoryFile } from '../adapters/host/memory-file.js'
import type { ChannelTransport } from '../adapters/rpc/channel-transport.js'
import type { SnapshotSink } from '../adapters/rpc/snapshots.js'
import { SqliteLogStore } from '../adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../adapters/sqlite/state-store.js'
import { AssertionFailure } from '../base/assert.js'
import { messageOf, RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { MiB, tickMs } from '../base/limits.js'
import { Channel } from '../channel/channel.js'
import type { DamagedBlob, LogOwner } from '../channel/log-port.js'
import type { ChannelEvents, LogLevel } from '../channel/ports.js'
import { fileSizes, minFreeOf, type SpaceSettings } from '../channel/space-policy.js'
import type { TransportEvents } from '../channel/transport-port.js'
import { readDescriptor } from './channel-folder.js'
import { nodeHasher } from '../adapters/host/hasher.js'
import { FileReaders } from './file-readers.js'
import type { Log } from './log.js'
import { storeLogOf } from './log.js'
import { leaveRoomToOpen, makeRoomToOpen } from './room-to-open.js'
import {
  installSnapshot,
  beginSnapshot,
  receiveSnapshot,
  resumeInstall,
  sendSnapshot,
  type SnapshotPaths,
} from './snapshot-transfer.js'
import { copiedIndex, copyState, openState } from './state-copy.js'

/** For who reads all that is here: a snapshot, a verification. */
const mendMs = 60_000
const restorePauseSecondsMax = 60

/** Opens the channel's connections. `run`: tells this run of the home from all others. */
export type Connect = (
  events: TransportEvents,
  snapshot: (from: MemberId, sink: SnapshotSink) => Promise<void>,
  run: string,
) => ChannelTransport

export interface OpenChannelOptions {
  readonly folder: string
  readonly paths: SnapshotPaths
  readonly owner: LogOwner
  readonly log: Log
  readonly connect: Connect
  readonly now: () => bigint
  readonly events: Omit<ChannelEvents, 'snapshotNeeded' | 'entryAppended' | 'copyState'>
  /** Blobs that open files without a name show. */
  readonly pinned: Map<number, number>
  readonly space: SpaceSettings
}

/**
 * A channel's stores, its connections and its brain, opened and closed together. It is used once: after a fault of the disk
 * another one takes its place (`ChannelHost`).
 */
export class OpenChannel {
  readonly channel: Channel
  readonly logStore: SqliteLogStore
  readonly transport: ChannelTransport
  readonly readers: FileReaders
  readonly #memory: MemoryFile
  readonly #disk: DiskReserve
  readonly #walBytes: number
  readonly #options: OpenChannelOptions
  #stateStore: SqliteStateStore
  readonly #timer: NodeJS.Timeout
  readonly #abort = new AbortController()
  #restore: { bytes: number; total: number } | undefined
  #restoreProblem: string | undefined
  #restoreTries = 0
  #working: Promise<void> = Promise.resolve()

  /** Throws what stands in its way, and leaves nothing open then. */
  constructor(options: OpenChannelOptions) {
    this.#options = options
    const { folder, paths, owner, log, connect, events, pinned, space } = options
    this.#disk = new DiskReserve(folder)
    makeRoomToOpen(this.#disk, folder)
    const sizes = fileSizes(this.#disk.space()?.totalBytes ?? Infinity, space)
    this.#walBytes = sizes.wal
    const storeLog = storeLogOf(log)
    const opened: (() => void)[] = []
    this.#memory = new MemoryFile(join(folder, 'pledges.json'), error => {
      log.warn('what the other members told cannot be kept', { error: messageOf(error) })
    })
    try {
      const descriptor = readDescriptor(folder)
      this.logStore = SqliteLogStore.open(paths.log, owner, nodeHasher, storeLog, sizes.segment, sizes.wal)
      opened.push(() => this.logStore.close())
      resumeInstall(paths, this.logStore)
      this.#stateStore = openState(paths, owner, this.logStore, descriptor.members.length > 1, storeLog, sizes.wal)
      opened.push(() => this.#stateStore.close())
      let channel: Channel | undefined
      const mark = randomBytes(8).toString('hex')
      this.transport = connect(
        {
          message: (from, message) => channel?.message(from, message),
          heard: from => channel?.heard(from),
          connected: member => channel?.connected(member),
          disconnected: member => channel?.disconnected(member),
          secondRun: member => channel?.secondRun(member),
          refusedAsSecond: by => channel?.refusedAsSecond(by),
        },
        (to, sink) => this.#sendSnapshot(to, sink),
        mark,
      )
      opened.push(() => void this.transport.close())
      const ports = {
        log: this.logStore,
        state: this.#stateStore,
        disk: this.#disk,
        transport: this.transport,
        memory: this.#memory,
        hasher: nodeHasher,
        now: options.now,
        monotonicMs: () => performance.now(),
        schedule: (callback: () => void) => void setImmediate(callback),
        delay: (ms: number, callback: () => void) => void setTimeout(callback, ms),
        report: (level: LogLevel, message: string, fields?: Record<string, unknown>) => log[level](message, fields),
      }
      const seed = randomInt(2 ** 32)
      const copied = copiedIndex(paths)
      channel = new Channel({ self: owner.member, seed, mark, descriptor, pinned, copied, space }, ports, {
        ...events,
        // before it stands, its user cannot ask it anything
        descriptorChanged: changed => channel !== undefined && events.descriptorChanged(changed),
        failed: reason => channel !== undefined && events.failed(reason),
        snapshotNeeded: (from, index) => this.#fetchSnapshot(from, index),
        entryAppended: () => {},
        copyState: () => this.#copyState(),
      })
      this.channel = channel
      if (channel.failure !== undefined) throw new RkfsError('failed', channel.failure)
    } catch (error) {
      for (const close of opened.reverse()) attempt(log, close)
      throw error
    }
    this.readers = new FileReaders(this.channel, this.logStore)
    this.#timer = setInterval(() => {
      this.channel.tick()
      this.readers.tick(this.channel.spaceOf(owner.member))
    }, tickMs)
  }

  get restore(): { bytes: number; total: number } | undefined {
    return this.#restore
  }
  get restoreProblem(): string | undefined {
    return this.#restoreProblem
  }

  async #sendSnapshot(to: MemberId, sink: SnapshotSink): Promise<void> {
    if (!this.channel.gives(to)) {
      throw new RkfsError('refused', `${to} is not among the members here: others only say so`)
    }
    if (!this.channel.serving) throw new RkfsError('unavailable', 'this member cannot serve a snapshot now')
    await this.readers.read(false, moment => {
      return sendSnapshot(this.#options.paths, sink, moment, damage => this.mend(damage))
    })
  }

  /** A blob that cannot be read here, as another member has it, and healed; undefined when it cannot be had. */
  mend(damage: DamagedBlob): Promise<Uint8Array | undefined> {
    return new Promise(resolve => {
      this.channel.heal(damage, mendMs, left => {
        resolve(left === undefined ? undefined : this.logStore.blob(damage.blob))
      })
    })
  }

  #copyState(): void {
    const { paths, log } = this.#options
    const copy = async (): Promise<void> => {
      if (!this.#hasRoomForCopy()) return this.channel.stateCopied(undefined)
      this.channel.stateCopied(await this.readers.read(false, moment => copyState(paths, moment)))
    }
    // not within the step of compaction that asks for it
    this.#working = this.#working
      .then(() => new Promise(resolve => setImmediate(resolve)))
      .then(copy)
      .catch((error: unknown) => {
        this.channel.stateCopied(undefined)
        log.warn('the state could not be copied; it is tried again', { error: messageOf(error) })
      })
  }

  /** A copy that fails would first take all that is free. */
  #hasRoomForCopy(): boolean {
    const { paths, space } = this.#options
    const disk = this.#disk.space()
    if (disk === undefined) return true
    const bytes = statSync(paths.state, { throwIfNoEntry: false })?.size ?? 0
    return disk.freeBytes - bytes >= minFreeOf(disk.totalBytes, space) / 2
  }

  #fetchSnapshot(from: MemberId, index: number): void {
    if (this.#restore !== undefined) return
    this.#restore = { bytes: 0, total: 0 }
    this.#working = this.#restoreFrom(from, index).finally(() => (this.#restore = undefined))
  }

  async #restoreFrom(from: MemberId, index: number): Promise<void> {
    const { paths, owner, log } = this.#options
    const address = this.channel.peers.find(m => m.id === from)?.address
    if (address === undefined) return
    const fetched = this.transport.fetchSnapshot({ id: from, address }, { index, signal: this.#abort.signal })
    let installing = false
    try {
      const chunks = await beginSnapshot(this.logStore, this.channel, index, fetched)
      if (from !== this.channel.leader && !this.channel.stateMissing) {
        throw new RkfsError('unavailable', `${from} leads no more`)
      }
      // asked for again
      if (!this.channel.beginRestore()) return
      if (this.#restoreProblem === undefined) log.info('fetching a snapshot', { from, index })
      const anchor = await receiveSnapshot(
        paths,
        owner,
        this.logStore,
        this.channel,
        index,
        chunks,
        (bytes, total) => (this.#restore = { bytes, total }),
        storeLogOf(log),
      )
      this.#abort.signal.throwIfAborted()
      installing = true
      this.#stateStore.close()
      installSnapshot(paths, this.logStore, anchor)
      this.#stateStore = SqliteStateStore.open(paths.state, owner, nodeHasher, storeLogOf(log), this.#walBytes)
      this.channel.restored({ state: this.#stateStore, anchor })
      this.#restoreProblem = undefined
      this.#restoreTries = 0
      log.info('snapshot installed', { index: anchor.index })
    } catch (error) {
      if (error instanceof AssertionFailure) throw error
      // once the old state is closed only opening it all anew can finish the installation, as after a crash
      if (installing) return this.channel.fail(new RkfsError('failed', messageOf(error), { cause: error }))
      const problem = messageOf(error)
      if (problem !== this.#restoreProblem) {
        log.warn('the snapshot could not be fetched; it is tried again', { error: problem })
      }
      this.#restoreProblem = problem
      if (this.channel.restoring) this.channel.restored(undefined)
      await this.#pauseRestoring(error instanceof RkfsError && error.code === 'disk-full')
    } finally {
      await fetched.return()
    }
  }

  /** A second; where it found no room 1, 2, 4 … 60 seconds, unless there is more of it before. */
  async #pauseRestoring(isFull: boolean): Promise<void> {
    const { signal } = this.#abort
    const seconds = isFull ? Math.min(restorePauseSecondsMax, 2 ** this.#restoreTries++) : 1
    const free = this.#disk.space()?.freeBytes ?? 0
    for (let waited = 0; waited < seconds && !signal.aborted; waited++) {
      await sleep(1000, undefined, { signal }).catch(() => {})
      if ((this.#disk.space()?.freeBytes ?? 0) > free + MiB) return
    }
  }

  /** Closes all of it in order. After a fault of the disk as much of that as can be done. */
  async close(): Promise<void> {
    const { log } = this.#options
    this.#abort.abort(new RkfsError('unavailable', 'the channel is closed here'))
    await this.#working
    clearInterval(this.#timer)
    this.channel.stop()
    failpoint('stop-flushed')
    await this.#memory.close()
    await this.transport.close()
    if (this.channel.failure === undefined) {
      this.#stateStore.close()
      failpoint('stop-state-closed')
      this.logStore.close()
    } else {
      attempt(log, () => this.#stateStore.close())
      attempt(log, () => this.logStore.close())
    }
    leaveRoomToOpen(this.#disk)
  }
}

function attempt(log: Log, close: () => void): void {
  try {
    close()
  } catch (error) {
    log.warn('a part of a channel could not be closed in order', { error: messageOf(error) })
  }
}
