import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SqliteLogStore } from '../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../src/adapters/sqlite/state-store.js'
import { RkfsError } from '../../src/base/errors.js'
import { KiB } from '../../src/base/limits.js'
import type { BlobId, LogOwner, LogStore } from '../../src/channel/log-port.js'
import { nodeHasher } from '../../src/adapters/host/hasher.js'
import {
  installSnapshot,
  resumeInstall,
  snapshotPaths,
  type RestoringChannel,
} from '../../src/daemon/snapshot-transfer.js'
import { anchorOf, keepBlobs, type Installed, type SimDisk, type Snapshot } from '../channel/support/sim-disk.js'
import { SimSpace } from '../channel/support/sim-space.js'
import { damageBlob } from '../support/damage-blob.js'
import { intercept } from './intercept.js'

/** Small, so that segments are begun, cleaned and removed all the time. */
const segmentBytesUsual = 32 * KiB
const owner: LogOwner = { channelId: 'simulated', member: '0000000000000000' }
const silent = { info() {}, warn() {}, error() {}, debug() {} }

/** The disks of one run: production stores in folders of their own, in memory where the machine has such a folder. */
export class SqliteDisks {
  #root: string | undefined
  #count = 0
  readonly #disks: SqliteDisk[] = []

  open(schedule: (task: () => void) => void, segmentBytes = segmentBytesUsual): SqliteDisk {
    this.#root ??= mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'rkfs-sim-'))
    const disk = new SqliteDisk(join(this.#root, String(this.#count++)), schedule, segmentBytes)
    this.#disks.push(disk)
    return disk
  }

  remove(): void {
    for (const disk of this.#disks) disk.close()
    if (this.#root !== undefined) rmSync(this.#root, { recursive: true, force: true })
  }
}

/** What a full disk refuses. */
const writes = [
  'append',
  'truncateFrom',
  'setSetting',
  'journalPut',
  'journalRemove',
  'compact',
  'dropBlobs',
  'putBlob',
  'heal',
  'reset',
] as const

/**
 * `log.db`, its segments and `state.db`. Syncs happen at the simulator's time and cover what they covered when they began,
 * or more. The death of a process is a copy of its files as they are; a loss of power is not simulated here
 * (`SimLogStore`).
 */
export class SqliteDisk implements SimDisk {
  log!: SimDisk['log']
  state!: SqliteStateStore
  readonly space = new SimSpace()
  readonly #root: string
  readonly #schedule: (task: () => void) => void
  readonly #segmentBytes: number
  #store!: SqliteLogStore
  #life = 0

  constructor(root: string, schedule: (task: () => void) => void, segmentBytes: number) {
    this.#root = root
    this.#schedule = schedule
    this.#segmentBytes = segmentBytes
    mkdirSync(this.#folder, { recursive: true })
    this.#open()
  }

  get #folder(): string {
    return join(this.#root, String(this.#life))
  }

  /** What its files take. */
  get bytes(): number {
    const names = readdirSync(this.#folder, { recursive: true, withFileTypes: true })
    const sizes = names.map(file => statSync(join(file.parentPath, file.name), { throwIfNoEntry: false })?.blocks ?? 0)
    return sizes.reduce((sum, blocks) => sum + 512 * blocks, 0)
  }

  #open(): void {
    const paths = snapshotPaths(this.#folder)
    const store = SqliteLogStore.open(paths.log, owner, nodeHasher, silent, this.#segmentBytes)
    resumeInstall(paths, store)
    this.#store = store
    this.state = SqliteStateStore.open(paths.state, owner, nodeHasher, silent)
    const flags = {
      full: false,
      failed: false,
      damage: (id: BlobId): boolean => damageBlob(this.#folder, id),
      fail: (kind: 'write' | 'sync' | undefined): void => {
        failing = kind
      },
    }
    let failing: 'write' | 'sync' | undefined
    let failure: RkfsError | undefined
    /** Once a call has failed, all do. */
    const check = (kind: 'write' | 'sync'): void => {
      if (failing === kind) failure ??= new RkfsError('failed', `EIO: i/o error, ${kind}`)
      if (failure !== undefined) throw failure
    }
    let waiting: { onDurable: (index: number) => void; failed: (error: unknown) => void }[] = []
    let isSyncing = false
    const startSync = (): void => {
      const callbacks = waiting
      waiting = []
      isSyncing = true
      this.#schedule(() => {
        if (this.#store !== store) return
        isSyncing = false
        try {
          check('sync')
        } catch (error) {
          for (const { failed } of [...callbacks, ...waiting]) failed(error)
          return
        }
        store.syncNow()
        if (waiting.length > 0) startSync()
        for (const { onDurable } of callbacks) onDurable(store.durableIndex)
      })
    }
    const refusing = Object.fromEntries(
      writes.map(name => [
        name,
        (...args: unknown[]): unknown => {
          check('write')
          if (flags.full) throw new RkfsError('disk-full', 'the disk of the log is full')
          return (store[name] as (...args: unknown[]) => unknown)(...args)
        },
      ]),
    ) as Partial<LogStore>
    const log = intercept<SimDisk['log']>(Object.assign(store as LogStore, flags), {
      ...refusing,
      get failed() {
        return failure !== undefined
      },
      commit: () => {
        check('write')
        store.commit()
      },
      syncNow: () => {
        check('sync')
        store.syncNow()
      },
      sync: (onDurable, failed) => {
        check('sync')
        waiting.push({ onDurable, failed })
        if (!isSyncing) startSync()
      },
    })
    this.log = new Proxy(log, {
      get: (target, key) => (key === 'full' ? flags.full : (Reflect.get(target, key, target) as unknown)),
      set: (target, key, value) => {
        if (key === 'full') flags.full = value as boolean
        return key === 'full' || Reflect.set(target, key, value, target)
      },
    })
  }

  processLost(): void {
    const before = this.#folder
    this.#life++
    cpSync(before, this.#folder, { recursive: true })
    this.close()
    rmSync(before, { recursive: true })
    this.#open()
  }

  powerLost(): void {
    this.processLost()
  }

  install(snapshot: Snapshot, channel: RestoringChannel): Installed {
    const paths = snapshotPaths(this.#folder)
    const { writes, position, liveBytes } = snapshot
    const incoming = SqliteStateStore.open(paths.incoming, owner, nodeHasher, silent)
    keepBlobs(this.#store, channel, snapshot)
    incoming.write({ writes, position, liveBytes })
    incoming.syncNow()
    incoming.close()
    this.state.close()
    const anchor = anchorOf(position)
    installSnapshot(paths, this.#store, anchor)
    this.state = SqliteStateStore.open(paths.state, owner, nodeHasher, silent)
    return { state: this.state, anchor }
  }

  close(): void {
    this.#store.close()
    this.state.close()
  }
}
