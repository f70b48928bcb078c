import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Invitations } from '../adapters/pki/invitations.js'
import type { ChannelIdentity } from '../adapters/pki/csp-home.js'
import type { ChannelTransport } from '../adapters/rpc/channel-transport.js'
import type { EnrollHandler } from '../adapters/rpc/enrollment.js'
import type { RpcNode } from '../adapters/rpc/rpc-node.js'
import { SqliteLogStore } from '../adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../adapters/sqlite/state-store.js'
import { requireDescriptors } from '../adapters/host/descriptors.js'
import { diskSpace } from '../adapters/host/machine.js'
import { EAGAIN, EEXIST, EPERM, EROFS, errnoName } from '../base/errno.js'
import { AssertionFailure } from '../base/assert.js'
import { messageOf, RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { tickMs } from '../base/limits.js'
import { Channel } from '../channel/channel.js'
import { inodesPerSlot, type Descriptor } from '../channel/descriptor.js'
import type { FileSystemStatistics } from '../channel/mount-port.js'
import type { DamagedBlob, LogOwner } from '../channel/log-port.js'
import type { Spill } from '../channel/orphan-file.js'
import type { ChannelPorts } from '../channel/ports.js'
import { channelFolder, readDescriptor, writeDescriptor } from './channel-folder.js'
import { Conflicts } from './conflicts.js'
import { nodeHasher } from './hasher.js'
import type { Log } from './log.js'
import { installSnapshot, receiveSnapshot, resumeInstall, sendSnapshot, snapshotPaths } from './snapshot-transfer.js'
import { SpillFile } from './spill-file.js'
import { Verification } from './verification.js'

const inodesPerBlock = 2 ** 20
/** For who reads all that is here: a snapshot, a verification. */
const mendMs = 60_000

export interface ChannelHostOptions {
  readonly home: string
  readonly name: string
  readonly identity: ChannelIdentity
  readonly rpc: RpcNode
  readonly log: Log
  /** On the owner: admits new members. */
  readonly enroll?: EnrollHandler
  readonly invitations?: Invitations
}

/** One channel on this node: its stores, its connections and its brain, opened and closed together. */
export class ChannelHost {
  readonly name: string
  readonly folder: string
  /** Replaced when the certificate is renewed. */
  identity: ChannelIdentity
  readonly invitations: Invitations | undefined
  readonly conflicts: Conflicts
  readonly log: Log
  readonly verification: Verification
  readonly problems = new Map<MemberId, string>()
  /** Notes between the daemons that are not about a verification. */
  onNote: (from: MemberId, topic: string, body: string) => void = () => {}
  readonly #spillFile: SpillFile
  readonly #paths
  readonly #owner: LogOwner
  readonly #logStore: SqliteLogStore
  #stateStore: SqliteStateStore
  readonly #transport: ChannelTransport
  readonly #channel: Channel
  readonly #timer: NodeJS.Timeout
  /** What `descriptor.json` holds by this run's doing. */
  #written: Descriptor | undefined
  readonly #abort = new AbortController()
  #inodeBlock = 0
  #inodeNext = inodesPerBlock
  /** The first block of this run; undefined: it has given out no number yet. */
  #firstBlock: number | undefined
  #restore: { bytes: number; total: number } | undefined
  #restoreProblem: string | undefined
  #working: Promise<void> = Promise.resolve()
  #wall = { at: performance.now(), time: BigInt(Date.now()) * 1_000_000n }

  constructor(options: ChannelHostOptions) {
    const { home, name, identity, rpc, log } = options
    this.name = name
    this.identity = identity
    this.invitations = options.invitations
    this.log = log.child({ channel: name })
    requireDescriptors(`channel ${name} cannot be opened`)
    this.folder = channelFolder(home, name)
    this.#spillFile = new SpillFile(this.folder)
    this.#paths = snapshotPaths(this.folder)
    this.#owner = { channelId: identity.channelId, member: identity.memberId }
    this.conflicts = new Conflicts(this.folder)
    const descriptor = readDescriptor(this.folder)
    const storeLog = this.storeLog
    this.#logStore = SqliteLogStore.open(this.#paths.log, this.#owner, nodeHasher, storeLog)
    try {
      resumeInstall(this.#paths, this.#logStore)
      this.#stateStore = SqliteStateStore.open(this.#paths.state, this.#owner, nodeHasher, storeLog)
    } catch (error) {
      this.#logStore.close()
      throw error
    }
    const report = (
      level: 'debug' | 'info' | 'warn' | 'error',
      message: string,
      fields?: Record<string, unknown>,
    ): void => this.log[level](message, fields)
    let channel: Channel | undefined
    try {
      this.#transport = rpc.openChannel({
        ...identity,
        name,
        self: identity.memberId,
        authorize: member => this.#authorize(member),
        events: {
          message: (from, message) => channel?.message(from, message),
          connected: member => channel?.connected(member),
          disconnected: member => channel?.disconnected(member),
        },
        onPeerProblem: (member, reason) => {
          if (reason === undefined) this.problems.delete(member)
          else this.problems.set(member, reason)
        },
        snapshot: async (_from, _request, sink) => {
          if (!this.#channel.serving) throw new RkfsError('unavailable', 'this member cannot serve a snapshot now')
          const hold = this.#channel.holdFlush()
          const unpin = this.#logStore.pin()
          try {
            await sendSnapshot(this.#paths, sink, hold.release, damage => this.mend(damage))
          } finally {
            unpin()
            hold.release()
          }
        },
        ...(options.enroll === undefined ? {} : { enroll: options.enroll }),
      })
    } catch (error) {
      this.#stateStore.close()
      this.#logStore.close()
      throw error
    }
    const ports: ChannelPorts = {
      log: this.#logStore,
      state: this.#stateStore,
      transport: this.#transport,
      hasher: nodeHasher,
      now: () => this.now(),
      monotonicMs: () => performance.now(),
      schedule: callback => void setImmediate(callback),
      delay: (ms, callback) => void setTimeout(callback, ms),
      report,
    }
    this.verification = new Verification(this, this.#paths)
    try {
      this.#channel = new Channel({ self: identity.memberId, seed: randomInt(2 ** 32), descriptor }, ports, {
        roleChanged: (role, term, leader) => this.log.info('role', { role, term, leader }),
        descriptorChanged: changed => this.#membersChanged(changed),
        snapshotNeeded: (from, index) => this.#fetchSnapshot(from, index),
        entryAppended: () => {},
        marked: (id, index) => this.verification.marked(id, index),
        note: (from, topic, body) => {
          this.verification.note(from, topic, body)
          this.onNote(from, topic, body)
        },
        lostChanges: changes => {
          for (const { operation, payload, cause } of changes) {
            const path = 'ino' in operation ? `inode ${operation.ino}` : ''
            this.log.warn('a change was refused after it was accepted', { operation: operation.kind, cause, path })
            if (payload.length > 0)
              this.#keepConflict(
                path,
                cause.kind === 'refused' ? `refused with ${errnoName(cause.errno)}` : cause.kind,
                payload,
              )
          }
        },
        quarantined: reason => this.log.error('quarantined', { reason }),
      })
    } catch (error) {
      void this.#transport.close()
      this.#stateStore.close()
      this.#logStore.close()
      throw error
    }
    channel = this.#channel
    this.#membersChanged(this.#channel.descriptor)
    this.#timer = setInterval(() => this.#channel.tick(), tickMs)
  }

  get storeLog(): {
    info(f: object, m: string): void
    warn(f: object, m: string): void
    error(f: object, m: string): void
  } {
    return {
      info: (fields, message) => this.log.info(message, fields as Record<string, unknown>),
      warn: (fields, message) => this.log.warn(message, fields as Record<string, unknown>),
      error: (fields, message) => this.log.error(message, fields as Record<string, unknown>),
    }
  }

  get channel(): Channel {
    return this.#channel
  }
  get transport(): ChannelTransport {
    return this.#transport
  }
  get bytes(): { log: number; data: number } {
    const { entries, blobs } = this.#logStore.bytes
    return { log: entries + blobs, data: this.#channel.table.dataBytes }
  }
  get restore(): { bytes: number; total: number } | undefined {
    return this.#restore
  }
  get restoreProblem(): string | undefined {
    return this.#restoreProblem
  }
  get logStore(): SqliteLogStore {
    return this.#logStore
  }

  /** Wall clock in nanoseconds; finer than milliseconds between its readings of the system's clock. */
  now(): bigint {
    const at = performance.now()
    const clock = BigInt(Date.now()) * 1_000_000n
    const time = this.#wall.time + BigInt(Math.round((at - this.#wall.at) * 1e6))
    const drift = clock - time
    if (drift > 2_000_000n || drift < -2_000_000n) {
      this.#wall = { at, time: clock }
      return clock
    }
    return time
  }

  /** A number for a new inode, from this member's own range; blocks are reserved on stable storage before they are used. */
  nextInode(): number {
    if (this.#inodeNext === inodesPerBlock) {
      this.#inodeBlock = Number(this.#logStore.setting('inode-block') ?? '0') + 1
      this.#logStore.setSetting('inode-block', String(this.#inodeBlock))
      this.#logStore.commit()
      this.#logStore.syncNow()
      failpoint('inodes-reserved')
      this.#inodeNext = 0
      this.#firstBlock ??= this.#inodeBlock
    }
    const slot = this.#channel.slot
    if (slot === undefined) throw new RkfsError('not-member', `this node is not a member of ${this.name}`)
    return slot * inodesPerSlot + this.#inodeBlock * inodesPerBlock + this.#inodeNext++
  }

  /** Whether an inode number was given out by this member before this run. */
  isFromEarlierRun(ino: number): boolean {
    const slot = this.#channel.slot
    if (slot === undefined || Math.floor(ino / inodesPerSlot) !== slot) return false
    return Math.floor((ino % inodesPerSlot) / inodesPerBlock) < (this.#firstBlock ?? Infinity)
  }

  openSpill(): Spill {
    return this.#spillFile.open()
  }

  /** statfs(2): the disk that holds this member's copy. */
  statistics(): FileSystemStatistics {
    const space = diskSpace(this.folder)
    const blockSize = 4096
    const free = Math.floor(space.freeBytes / blockSize)
    return {
      blockSize,
      blocks: Math.floor(space.totalBytes / blockSize),
      blocksFree: free,
      blocksAvailable: free,
      files: this.#channel.table.inodes + 1_000_000_000,
      filesFree: 1_000_000_000,
      nameMax: 255,
    }
  }

  #keepConflict(path: string, reason: string, data: Uint8Array): void {
    try {
      this.conflicts.add(path, reason, data)
    } catch (error) {
      this.log.error('the data of a refused change could not be kept', { path, reason, bytes: data.length, error })
    }
  }

  #authorize(member: MemberId): string | undefined {
    if (this.#channel.peers.some(m => m.id === member)) return undefined
    return `${member} is not, or no longer, a member of channel ${this.name}`
  }

  #membersChanged(descriptor: Descriptor): void {
    if (this.#channel === undefined) return
    const { peers } = this.#channel
    const inside = peers.some(m => m.id === this.identity.memberId)
    this.#transport.setPeers(inside ? peers.map(({ id, address }) => ({ id, address })) : [])
    // whom others name changes the peers alone
    if (descriptor === this.#written) return
    try {
      writeDescriptor(this.folder, descriptor)
      this.#written = descriptor
    } catch (error) {
      // the state has it: the file only tells a start without a state whom to ask
      this.log.warn('the descriptor could not be written', { error })
    }
  }

  #fetchSnapshot(from: MemberId, index: number): void {
    if (this.#restore !== undefined) return
    this.#restore = { bytes: 0, total: 0 }
    this.#working = this.#restoreFrom(from, index).finally(() => (this.#restore = undefined))
  }

  async #restoreFrom(from: MemberId, index: number): Promise<void> {
    const address = this.#channel.peers.find(m => m.id === from)?.address
    if (address === undefined) return
    // asked for again
    if (!this.#channel.beginRestore()) return
    this.log.info('fetching a snapshot', { from, index })
    let installing = false
    try {
      const chunks = this.#transport.fetchSnapshot({ id: from, address }, { index, signal: this.#abort.signal })
      const anchor = await receiveSnapshot(
        this.#paths,
        this.#owner,
        this.#logStore,
        this.#channel,
        index,
        chunks,
        (bytes, total) => (this.#restore = { bytes, total }),
        this.storeLog,
      )
      this.#abort.signal.throwIfAborted()
      installing = true
      this.#stateStore.close()
      installSnapshot(this.#paths, this.#logStore, anchor)
      this.#stateStore = SqliteStateStore.open(this.#paths.state, this.#owner, nodeHasher, this.storeLog)
      this.#channel.restored({ state: this.#stateStore, anchor })
      this.#restoreProblem = undefined
      this.log.info('snapshot installed', { index: anchor.index })
    } catch (error) {
      // once the old state is closed only a start can finish the installation, as it does after a crash
      if (installing || error instanceof AssertionFailure) throw error
      this.#restoreProblem = messageOf(error)
      this.log.warn('the snapshot could not be fetched; it is tried again', { error: messageOf(error) })
      await sleep(1000, undefined, { signal: this.#abort.signal }).catch(() => {})
      this.#channel.restored(undefined)
    }
  }

  /** One change of the membership; tried again while another is under way. Throws what stands in its way. */
  async changeMembers(change: (descriptor: Descriptor) => Descriptor | undefined, timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs
    for (;;) {
      const next = change(this.#channel.descriptor)
      if (next === undefined) return
      const left = Math.max(100, end - performance.now())
      const errno = await new Promise<number>(resolve => this.#channel.changeMembers(next, left, resolve))
      if (errno === 0) return
      if (errno === EPERM) throw new RkfsError('refused', `only the owner of ${this.name} may change its members`)
      if ((errno !== EAGAIN && errno !== EEXIST) || performance.now() > end) {
        if (errno === EROFS || errno === EAGAIN) {
          throw new RkfsError('no-quorum', `no majority of ${this.name} answers: the members cannot be changed now`)
        }
        throw new RkfsError('failed', `the members of ${this.name} could not be changed: ${errnoName(errno)}`)
      }
      await sleep(100)
    }
  }

  /** A blob that cannot be read here, as another member has it, and healed; undefined when it cannot be had. */
  mend(damage: DamagedBlob): Promise<Uint8Array | undefined> {
    return new Promise(resolve => {
      this.#channel.heal(damage, mendMs, left => {
        resolve(left === undefined ? undefined : this.#logStore.blob(damage.blob))
      })
    })
  }

  /** Waits, for some seconds at most, until this member has applied what was committed: a mount begins with no older view. */
  caughtUp(timeoutMs: number): Promise<void> {
    return new Promise(resolve => this.#channel.readBarrier(timeoutMs, () => resolve()))
  }

  /** Waits for what this member changed; rejects with `timeout` or `no-quorum`. */
  drained(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const { channel } = this
      channel.whenDurable(channel.lastSequence, timeoutMs, errno => {
        if (errno === 0) resolve()
        else {
          const { operations } = channel.pending
          reject(
            new RkfsError(
              'no-quorum',
              `${operations} changes of ${this.name} are not on a majority of its members yet`,
            ),
          )
        }
      })
    })
  }

  /** A leader that leaves hands over first, so that the others need not wait for an election. */
  async handOver(): Promise<void> {
    if (this.#channel.role !== 'leader') return
    const { voters } = this.#channel.configuration
    const next = voters
      .filter(id => id !== this.identity.memberId && this.#transport.connected(id))
      .sort((a, b) => (this.#channel.progress(b)?.match ?? 0) - (this.#channel.progress(a)?.match ?? 0))[0]
    if (next === undefined || !this.#channel.transferLeadership(next)) return
    for (let i = 0; i < 30 && this.#channel.role === 'leader'; i++) await sleep(50)
  }

  async close(): Promise<void> {
    this.#abort.abort(new RkfsError('unavailable', 'the node stops'))
    await this.#working
    clearInterval(this.#timer)
    this.verification.close()
    this.#channel.stop()
    failpoint('stop-flushed')
    await this.#transport.close()
    this.#stateStore.close()
    failpoint('stop-state-closed')
    this.#logStore.close()
  }
}
