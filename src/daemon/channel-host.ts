import { setTimeout as sleep } from 'node:timers/promises'
import type { Invitations } from '../adapters/pki/invitations.js'
import type { ChannelIdentity } from '../adapters/pki/csp-home.js'
import type { ChannelTransport } from '../adapters/rpc/channel-transport.js'
import type { EnrollHandler } from '../adapters/rpc/enrollment.js'
import type { RpcNode } from '../adapters/rpc/rpc-node.js'
import type { SqliteLogStore } from '../adapters/sqlite/log-store.js'
import { requireDescriptors } from '../adapters/host/descriptors.js'
import { bytesOnDisk, diskSpace } from '../adapters/host/machine.js'
import { EAGAIN, EEXIST, EPERM, EROFS, errnoName } from '../base/errno.js'
import { messageOf, RkfsError } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import type { Channel } from '../channel/channel.js'
import type { Descriptor, Member } from '../channel/descriptor.js'
import { InodeNumbers } from '../channel/inode-numbers.js'
import type { Frontend } from '../channel/frontend.js'
import type { FileSystemStatistics } from '../channel/mount-port.js'
import type { DamagedBlob, LogOwner } from '../channel/log-port.js'
import { MemberLocks } from '../channel/locks/member-locks.js'
import type { Spill } from '../channel/orphan-file.js'
import type { LostChange } from '../channel/ports.js'
import type { SpaceSettings } from '../channel/space-policy.js'
import { channelFolder, writeDescriptor } from './channel-folder.js'
import { Conflicts, inodeOf } from './conflicts.js'
import type { Progress } from './control-protocol.js'
import { CommitTrail } from './commit-trail.js'
import { diskStandingOf, type DiskStanding } from './disk-standing.js'
import type { FileReaders } from './file-readers.js'
import { findPaths, readable } from './inode-paths.js'
import type { Log } from './log.js'
import { type Connect, OpenChannel } from './open-channel.js'
import { progressWords } from './progress-words.js'
import { Redirections, type Redirection } from './redirections.js'
import { Retry } from './retry.js'
import { snapshotPaths } from './snapshot-transfer.js'
import { SpillFile } from './spill-file.js'
import { Verification } from './verification.js'

/** Who has what was committed so long ago is not behind. */
const trailMs = 1000

/** A disk did not do what it was asked. */
export interface DiskFault {
  readonly reason: string
  readonly since: Date
  /** Everything up to here was known to be on a majority. */
  readonly commitIndex: number
  /** Why the channel could not be opened again. */
  readonly again: string | undefined
}

export interface ChannelHostOptions {
  readonly home: string
  readonly name: string
  readonly identity: ChannelIdentity
  readonly rpc: RpcNode
  readonly log: Log
  readonly space: SpaceSettings
  /** On the owner: admits new members. */
  readonly enroll?: EnrollHandler
  readonly invitations?: Invitations
}

/** How far the time of day may be from the system's clock. */
const wallDriftMsMax = 2

/** A reading of the system's clock, `at` by the monotonic one. */
function wallAt(at: number, ms: number): { readonly at: number; readonly ms: number; readonly time: bigint } {
  return { at, ms, time: BigInt(ms) * 1_000_000n }
}

/** One channel on this node. What is open of it (`OpenChannel`) is closed after a fault of the disk, and opened again. */
export class ChannelHost {
  readonly name: string
  readonly folder: string
  /** Replaced when the certificate is renewed. */
  identity: ChannelIdentity
  readonly home: string
  /** On the owner. */
  readonly invitations: Invitations | undefined
  readonly conflicts: Conflicts
  readonly log: Log
  readonly verification: Verification
  readonly problems = new Map<MemberId, string>()
  /** Notes between the daemons that are not about a verification. */
  onNote: (from: MemberId, topic: string, body: string) => void = () => {}
  readonly #spillFile: SpillFile
  /** Of all of its mounts; they outlive a channel that is opened anew. */
  readonly locks = new MemberLocks()
  readonly #options: ChannelHostOptions
  readonly #paths
  readonly #redirections: Redirections
  readonly #owner: LogOwner
  #open: OpenChannel
  /** What was found wrong with its disk; it is closed, and opened again when the disk answers. */
  #fault: DiskFault | undefined
  readonly #reopening = new Retry(
    () => this.#reopen(),
    reason => (this.#fault = { ...this.#fault!, again: reason }),
  )
  #closing: Promise<void> = Promise.resolve()
  readonly #frontends = new Map<Frontend, () => void>()
  /** What `descriptor.json` holds by this run's doing. */
  #written: Descriptor | undefined
  readonly #numbers = new InodeNumbers(Math.random)
  #keptOfEarlierRuns = 0
  #notKeptBecause: string | undefined
  /** What mounts were told of. */
  readonly #told = new WeakSet<LostChange>()
  readonly #trail = new CommitTrail(trailMs)
  readonly #trailTimer: NodeJS.Timeout
  #wall = wallAt(performance.now(), Date.now())

  /** Throws what stands in its way, and leaves nothing open then. */
  constructor(options: ChannelHostOptions) {
    const { home, name, identity, log } = options
    this.#options = options
    this.name = name
    this.identity = identity
    this.invitations = options.invitations
    this.log = log.child({ channel: name })
    requireDescriptors(`channel ${name} cannot be opened`)
    this.home = home
    this.folder = channelFolder(home, name)
    this.#spillFile = new SpillFile(this.folder)
    this.#paths = snapshotPaths(this.folder)
    this.#redirections = new Redirections(this.folder)
    this.#owner = { channelId: identity.channelId, member: identity.memberId }
    this.conflicts = new Conflicts(this.folder)
    this.verification = new Verification(this, this.#paths)
    this.#open = this.#opened(new Map())
    this.#membersChanged(this.channel.descriptor)
    // last: nothing runs on of a channel that could not be opened
    this.#trailTimer = setInterval(() => this.#noteTrail(), trailMs).unref()
  }

  #noteTrail(): void {
    this.#trail.note(this.channel.commitIndex, performance.now())
  }

  #opened(pinned: Map<number, number>): OpenChannel {
    const { log } = this
    return new OpenChannel({
      folder: this.folder,
      paths: this.#paths,
      owner: this.#owner,
      log,
      pinned,
      space: this.#options.space,
      now: () => this.now(),
      connect: (events, snapshot, run) => this.#connect(events, snapshot, run),
      events: {
        roleChanged: (role, term, leader) => log.info('role', { role, term, leader }),
        descriptorChanged: changed => this.#membersChanged(changed),
        marked: (id, index) => this.verification.marked(id, index),
        note: (from, topic, body) => {
          this.verification.note(from, topic, body)
          this.onNote(from, topic, body)
        },
        lostChanges: changes => this.#keepConflicts(changes),
        quarantined: reason => log.error('quarantined', { reason }),
        failed: reason => this.#failed(reason),
      },
    })
  }

  #connect: Connect = (events, snapshot, run) => {
    const { rpc, enroll } = this.#options
    return rpc.openChannel({
      ...this.identity,
      name: this.name,
      self: this.identity.memberId,
      authorize: member => this.#authorize(member),
      events,
      run,
      onPeerProblem: (member, reason) => {
        if (reason === undefined) this.problems.delete(member)
        else this.problems.set(member, reason)
      },
      snapshot: (from, _request, sink) => snapshot(from, sink),
      ...(enroll === undefined ? {} : { enroll }),
    })
  }

  get channel(): Channel {
    return this.#open.channel
  }
  get transport(): ChannelTransport {
    return this.#open.transport
  }
  get bytes(): { log: number; data: number; disk: number; free: number; writable: number } {
    const { entries, blobs } = this.logStore.bytes
    const { writableBytes, table } = this.channel
    const free = diskSpace(this.folder).freeBytes
    const disk = bytesOnDisk(this.folder)
    return { log: entries + blobs, data: table.dataBytes, disk, free, writable: writableBytes ?? free }
  }
  /** What was committed one to two seconds ago. */
  get committedLately(): number {
    return Math.min(this.#trail.index, this.channel.commitIndex)
  }
  /** How much room the disk of this member's copy has; undefined: it does not say. */
  get disk(): DiskStanding | undefined {
    const { channel } = this
    const isFull = channel.diskFull !== undefined || channel.lacksRoom === 'here'
    return diskStandingOf(this.folder, isFull, channel.spaceOf(this.identity.memberId)?.minFree)
  }
  get restore(): { bytes: number; total: number } | undefined {
    return this.#open.restore
  }
  /** What must come before programs may see the files; undefined: they are here, or the channel has failed. */
  get fetching(): Progress | undefined {
    const { usable, stateMissing, appliedIndex, commitIndex, failure, quarantine } = this.channel
    if (usable || failure !== undefined || quarantine !== undefined) return undefined
    if (this.restore !== undefined || stateMissing) {
      const { bytes, total } = this.restore ?? { bytes: 0, total: 0 }
      return { what: 'fetching the files', done: bytes, total, unit: 'bytes' }
    }
    return { what: 'catching up', done: appliedIndex, total: commitIndex, unit: 'entries' }
  }
  get restoreProblem(): string | undefined {
    return this.#open.restoreProblem
  }
  get logStore(): SqliteLogStore {
    return this.#open.logStore
  }
  get readers(): FileReaders {
    return this.#open.readers
  }
  mend(damage: DamagedBlob): Promise<Uint8Array | undefined> {
    return this.#open.mend(damage)
  }

  // ---- a disk that fails ----

  /** Why the channel stopped here, until it is open again. */
  get fault(): (DiskFault & { readonly next: Date | undefined }) | undefined {
    return this.#fault && { ...this.#fault, next: this.#reopening.next }
  }

  /** Lets a mount show the channel, now and whenever it is opened again. Answers how to end that. */
  attach(frontend: Frontend): () => void {
    this.#bind(frontend)
    return () => {
      this.#frontends.get(frontend)?.()
      this.#frontends.delete(frontend)
    }
  }

  /**
   * The channel stopped: what of its last writes is on the disk is not known. All of it is closed, so that the others go on
   * without this member, and opened again, which finds what is sound, writes it once more and syncs it.
   */
  #failed(reason: string): void {
    this.#fault = { reason, since: new Date(), commitIndex: this.channel.commitIndex, again: undefined }
    this.log.error('the channel stops here; it is opened again when the disk answers', { reason })
    const open = this.#open
    // not within the call that failed
    this.#closing = new Promise(resolve => setImmediate(resolve)).then(() => open.close())
    this.#closing.catch((error: unknown) => this.log.error('the channel could not be closed', { error }))
    this.#reopening.begin()
  }

  async #reopen(): Promise<void> {
    await this.#closing.catch(() => undefined)
    this.#open = this.#opened(this.channel.pinned)
    this.#fault = undefined
    this.#membersChanged(this.channel.descriptor)
    for (const [frontend, leave] of this.#frontends) {
      leave()
      this.#bind(frontend)
    }
    this.log.info('the channel is open again')
  }

  #bind(frontend: Frontend): void {
    frontend.bind(this.channel)
    this.#frontends.set(frontend, this.channel.observe(frontend))
  }

  /** Wall clock in nanoseconds; finer than milliseconds between its readings of the system's clock. */
  now(): bigint {
    const at = performance.now()
    const clock = Date.now()
    const passed = at - this.#wall.at
    if (Math.abs(clock - this.#wall.ms - passed) <= wallDriftMsMax) {
      return this.#wall.time + BigInt(Math.round(passed * 1e6))
    }
    this.#wall = wallAt(at, clock)
    return this.#wall.time
  }

  /** A number for a new inode, from this member's own range. */
  nextInode(): number {
    const { channel, logStore: log } = this
    const { slot, hasSession: isCurrent } = channel
    if (slot === undefined) throw new RkfsError('not-member', `this node is not a member of ${this.name}`)
    return this.#numbers.next({ slot, log, isCurrent, highest: () => channel.highestInode })
  }

  /** Whether an inode number was given out by this member before this run. */
  isFromEarlierRun(ino: number): boolean {
    const { slot } = this.channel
    return slot !== undefined && this.#numbers.isFromEarlierRun(slot, ino)
  }

  openSpill(): Spill {
    return this.#spillFile.open()
  }

  /** statfs(2): the disk that holds this member's copy, and what can really be written. */
  statistics(): FileSystemStatistics {
    const space = diskSpace(this.folder)
    const blockSize = 4096
    const writable = this.channel.writableBytes ?? space.freeBytes
    const free = Math.floor(writable / blockSize)
    return {
      blockSize,
      blocks: Math.max(free, Math.floor(space.totalBytes / blockSize)),
      blocksFree: free,
      blocksAvailable: free,
      files: this.channel.table.inodes + 1_000_000_000,
      filesFree: 1_000_000_000,
      nameMax: 255,
    }
  }

  /** How many of the changes that an earlier run had taken from programs are kept as copies since this one began. */
  get keptOfEarlierRuns(): number {
    return this.#keptOfEarlierRuns
  }

  /** Why what was given up could not be kept as copies when that was last tried. */
  get notKeptBecause(): string | undefined {
    return this.#notKeptBecause
  }

  /** Keeps what was given up as copies. False: it could not be done, and is to be tried again. */
  #keepConflicts(changes: readonly LostChange[]): boolean {
    this.#tellMounts(changes)
    const inodes = changes.map(({ operation }) => inodeOf(operation)).filter(ino => ino !== undefined)
    const paths = findPaths(this.channel.table, new Set(inodes))
    const pathOf = (ino: number): string => readable(paths.get(ino)?.path ?? `inode ${ino}`)
    try {
      for (const { id, path, what, reason, copy } of this.conflicts.add(changes, pathOf)) {
        this.log.warn('a change is not in the channel: it is kept as a conflict', { id, path, what, reason, copy })
      }
    } catch (error) {
      const reason = messageOf(error)
      const words = 'changes that are not in the channel could not be kept as copies; it is tried again'
      if (reason !== this.#notKeptBecause) this.log.error(words, { changes: changes.length, reason })
      this.#notKeptBecause = reason
      return false
    }
    this.#notKeptBecause = undefined
    const earlier = changes.filter(({ cause }) => cause.kind === 'earlier-run').length
    if (earlier === 0) return true
    this.#keptOfEarlierRuns += earlier
    const words = `${earlier} changes that programs made here before the node ended are not in the channel: nobody else had them`
    this.log.warn(`${words}; \`rkfs conflicts ${this.name}\` lists the copies`)
    return true
  }

  /** Mounts outlive a channel that is opened again after a failure of the disk: their programs are told, once. */
  #tellMounts(changes: readonly LostChange[]): void {
    for (const change of changes) {
      if (change.cause.kind !== 'earlier-run' || this.#told.has(change)) continue
      this.#told.add(change)
      for (const frontend of this.#frontends.keys()) frontend.lost(change.operation)
    }
  }

  /** Waits, for some seconds at most, until it is known what became of what an earlier run left. */
  async settledEarlierRuns(): Promise<void> {
    for (let i = 0; i < 60 && this.channel.leftByEarlierRuns > 0 && this.channel.serving; i++) await sleep(50)
  }

  /** Ends a member's session by an entry of the order. Throws `no-quorum`. */
  async fence(member: MemberId, timeoutMs: number): Promise<void> {
    const operation = { kind: 'end-session', member } as const
    const errno = await new Promise<number>(done => {
      this.channel.change(operation, new Uint8Array(0), { timeoutMs, durable: true, done })
    })
    if (errno !== 0)
      throw new RkfsError(
        'no-quorum',
        `no majority of ${this.name} answers: nobody can be fenced now: \`rkfs status ${this.name}\` says what to do`,
      )
  }

  #authorize(member: MemberId): string | undefined {
    if (this.channel.peers.some(m => m.id === member)) return undefined
    return `${member} is not, or no longer, a member of channel ${this.name}`
  }

  #membersChanged(descriptor: Descriptor): void {
    const { peers } = this.channel
    const inside = peers.some(m => m.id === this.identity.memberId)
    this.#pruneRedirections(peers)
    this.transport.setPeers(inside ? peers.map(({ id, address }) => ({ id, address })) : [])
    this.transport.redirect(this.#redirections.all)
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

  #pruneRedirections(peers: readonly Pick<Member, 'id' | 'address'>[]): void {
    try {
      this.#redirections.prune(peers)
    } catch (error) {
      this.log.warn('addresses that are agreed on by now could not be forgotten', { error })
    }
  }

  /** Where members are connected to by what was said here, and not by the descriptor. */
  get redirections(): ReadonlyMap<MemberId, Redirection> {
    return this.#redirections.all
  }

  /**
   * From now on a member is connected to there, until the members agree on another address than they have for it now. The one
   * that they have takes an earlier redirection back.
   */
  redirect(id: MemberId, address: string): void {
    const instead = this.channel.peers.find(m => m.id === id)?.address
    if (instead === undefined) throw new RkfsError('not-found', `${id} is no member of ${this.name}`)
    this.#redirections.set(id, { address, instead })
    this.transport.redirect(this.#redirections.all)
  }

  /** One change of the membership; tried again while another is under way. Throws what stands in its way. */
  async changeMembers(change: (descriptor: Descriptor) => Descriptor | undefined, timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs
    for (;;) {
      const next = change(this.channel.descriptor)
      if (next === undefined) return
      const left = Math.max(100, end - performance.now())
      const errno = await new Promise<number>(resolve => this.channel.changeMembers(next, left, resolve))
      if (errno === 0) return
      if (errno === EPERM) throw new RkfsError('refused', `only the owner of ${this.name} may change its members`)
      if ((errno !== EAGAIN && errno !== EEXIST) || performance.now() > end) {
        if (errno === EROFS || errno === EAGAIN) {
          throw new RkfsError(
            'no-quorum',
            `no majority of ${this.name} answers: the members cannot be changed now: \`rkfs status ${this.name}\` says what to do`,
          )
        }
        throw new RkfsError('failed', `the members of ${this.name} could not be changed: ${errnoName(errno)}`)
      }
      await sleep(100)
    }
  }

  /**
   * Waits until programs may see the files. Throws `failed` where they cannot, `unavailable` with what is still to come after
   * `limitMs`.
   */
  async usable(limitMs: number, progress: (p: Progress) => void, signal: AbortSignal): Promise<void> {
    const end = performance.now() + limitMs
    for (;;) {
      const { failure, quarantine } = this.channel
      const broken = failure ?? quarantine
      if (broken !== undefined) throw new RkfsError('failed', `${this.name} cannot be used here: ${broken}`)
      const { fetching } = this
      if (fetching === undefined) return
      progress(fetching)
      if (performance.now() > end) {
        const why = this.restoreProblem === undefined ? '' : ` (the last attempt failed: ${this.restoreProblem})`
        throw new RkfsError(
          'unavailable',
          `the files of ${this.name} are not here yet: ${progressWords(fetching)}${why}. Try again when they are, or wait for ` +
            'longer (--timeout); `rkfs status` shows how far it is',
        )
      }
      await sleep(100, undefined, { signal }).catch(() => undefined)
      signal.throwIfAborted()
    }
  }

  /** Waits, for some seconds at most, until this member has applied what was committed: a mount begins with no older view. */
  caughtUp(timeoutMs: number): Promise<void> {
    return new Promise(resolve => this.channel.readBarrier(timeoutMs, () => resolve()))
  }

  /** Waits for what this member changed; rejects with `timeout` or `no-quorum`. */
  drained(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const { channel } = this
      const told = (errno: number): void => {
        if (errno === 0) resolve()
        else {
          const { operations } = channel.pending
          reject(
            new RkfsError(
              'no-quorum',
              `${operations} changes of ${this.name} are not on a majority of its members yet: \`rkfs status ${this.name}\` says what to do`,
            ),
          )
        }
      }
      // the time that a command may take is all that counts
      channel.whenDurable(channel.lastSequence, timeoutMs, told, false)
    })
  }

  /** As `drained`, for as long as some of it gets there within each `stillMs`; `limitMs` in all. */
  async drainedWhileMoving(stillMs: number, limitMs: number): Promise<void> {
    const end = performance.now() + limitMs
    for (;;) {
      const { operations } = this.channel.pending
      try {
        return await this.drained(stillMs)
      } catch (error) {
        if (this.channel.pending.operations >= operations || performance.now() >= end) throw error
      }
    }
  }

  /** A leader that leaves hands over first, so that the others need not wait for an election. */
  async handOver(): Promise<void> {
    if (this.channel.role !== 'leader') return
    const { voters } = this.channel.configuration
    const next = voters
      .filter(id => id !== this.identity.memberId && this.transport.connected(id))
      .sort((a, b) => (this.channel.progress(b)?.match ?? 0) - (this.channel.progress(a)?.match ?? 0))[0]
    if (next === undefined || !this.channel.transferLeadership(next)) return
    for (let i = 0; i < 30 && this.channel.role === 'leader'; i++) await sleep(50)
  }

  async close(): Promise<void> {
    clearInterval(this.#trailTimer)
    await this.#reopening.close()
    this.verification.close()
    if (this.#fault === undefined) await this.#open.close()
    else await this.#closing.catch(() => undefined)
  }
}
