import { toHex } from '../../../src/base/bytes.js'
import { RkfsError } from '../../../src/base/errors.js'
import type { MemberId } from '../../../src/base/ids.js'
import { tickMs } from '../../../src/base/limits.js'
import { Rng } from '../../../src/base/rng.js'
import { Channel } from '../../../src/channel/channel.js'
import { encodeDescriptor, type Descriptor } from '../../../src/channel/descriptor.js'
import { InodeNumbers } from '../../../src/channel/inode-numbers.js'
import { assert } from '../../../src/base/assert.js'
import { Frontend, type FrontendOptions } from '../../../src/channel/frontend.js'
import type { Invalidation } from '../../../src/channel/mount-port.js'
import { MemberLocks } from '../../../src/channel/locks/member-locks.js'
import type { Spill } from '../../../src/channel/orphan-file.js'
import type { ChannelEvents, ChannelPorts, LogLevel, LostChange } from '../../../src/channel/ports.js'
import type { SpaceSettings } from '../../../src/channel/space-policy.js'
import type { PeerMessage } from '../../../src/channel/transport-port.js'
import type { Retention } from '../../../src/channel/upkeep.js'
import { nodeHasher } from '../../../src/adapters/host/hasher.js'
import { getInode, membersRecord } from '../../../src/fs/apply.js'
import type { Operation } from '../../../src/fs/operation.js'
import { rootDirectory, rootInode, S_IFDIR, S_IFREG } from '../../../src/fs/records.js'
import { TableView } from '../../../src/fs/table-view.js'
import type { Role } from '../../../src/raft/types.js'
import { MemoryDisk, trySnapshot, type SimDisk } from './sim-disk.js'
import { SimMemory } from './sim-memory.js'
import { SimStateStore } from './sim-stores.js'
import { SimNetwork } from './sim-network.js'

const noBytes = new Uint8Array(0)
const anchor = { index: 1, term: 1, hash: nodeHasher.sha256(Buffer.from('rkfs channel test')) }

/** The answer to a call, when it has come. */
export interface Answer {
  errno: number | undefined
  lost: number | undefined
  cancel: () => void
}

/** One member: its stores outlive its process. */
export class Member {
  readonly id: MemberId
  readonly slot: number
  readonly reports: { level: LogLevel; message: string }[] = []
  readonly lost: LostChange[] = []
  quarantined: string | undefined
  failed: string | undefined
  readonly disk: SimDisk
  readonly memory = new SimMemory()
  /** Copies of what was given up find no room. */
  copiesFull = false
  /** What the hook was told of. */
  readonly #told = new WeakSet<LostChange>()
  /** What its wall clock is ahead of the cluster's, in milliseconds. */
  wallSkewMs = 0
  /** The longest that a sync of its disk takes; undefined: as all the others'. */
  syncMsMax: number | undefined
  /** Syncs that wait for a disk that does not answer; undefined: it does. */
  #stalled: (() => void)[] | undefined
  /** What a process that gets no processor would do; undefined: it runs. */
  #frozen: (() => void)[] | undefined
  #frozenUntil = 0
  #channel: Channel | undefined
  #frontend: Frontend | undefined
  readonly #cluster: Cluster
  #numbers: InodeNumbers
  #lives = 0

  constructor(cluster: Cluster, id: MemberId, slot: number, created: boolean) {
    this.#cluster = cluster
    this.#numbers = newNumbers(cluster.rng)
    this.id = id
    this.slot = slot
    this.disk = cluster.openDisk(this, task => {
      cluster.clock.after(1 + cluster.rng.below(this.syncMsMax ?? cluster.syncMsMax), () => {
        if (this.#stalled !== undefined) this.#stalled.push(task)
        else if (this.#frozen !== undefined) this.#frozen.push(task)
        else task()
      })
    })
    if (created) this.#bootstrap()
  }

  get log(): SimDisk['log'] {
    return this.disk.log
  }
  get state(): SimDisk['state'] {
    return this.disk.state
  }

  /** As `createChannelFolder`: the root directory and the members at index 1 of a log that goes on from there. */
  #bootstrap(): void {
    const { descriptor } = this.#cluster
    const { log, state } = this.disk
    const table = new TableView(state, nodeHasher)
    table.set('inode', rootInode, '', rootDirectory())
    table.set('setting', 0, 'members', membersRecord(descriptor.version, encodeDescriptor(descriptor)))
    table.flush(anchor)
    state.syncNow()
    log.reset(anchor)
    log.commit()
    log.saveHardState({ term: 1, vote: undefined })
  }

  /** One more with each start and each end of the process. */
  get lives(): number {
    return this.#lives
  }

  // ---- a disk and a process that stand still ----

  get stalled(): boolean {
    return this.#stalled !== undefined
  }
  get frozen(): boolean {
    return this.#frozen !== undefined
  }
  /** When its process last got the processor back, in milliseconds of the cluster's clock; 0: it never lacked it. */
  get frozenUntil(): number {
    return this.#frozenUntil
  }

  /** No sync ends from now on. */
  stall(): void {
    this.#stalled ??= []
  }
  /** The disk answers again, and the process goes on that waited for it within a call. */
  unstall(): void {
    const syncs = this.#stalled ?? []
    this.#stalled = undefined
    for (const sync of syncs) sync()
    this.unfreeze()
  }

  /** The process gets no processor (SIGSTOP, or it waits for its disk within a call). */
  freeze(): void {
    if (this.alive) this.#frozen ??= []
  }
  /** All that came meanwhile is dealt with now. */
  unfreeze(): void {
    if (this.#frozen === undefined) return
    const tasks = this.#frozen
    this.#frozen = undefined
    this.#frozenUntil = this.#cluster.clock.now
    for (const task of tasks) task()
  }

  #run(life: number, task: () => void): void {
    if (life !== this.#lives) return
    if (this.#frozen === undefined) task()
    else this.#frozen.push(() => this.#run(life, task))
  }

  get alive(): boolean {
    return this.#channel !== undefined
  }
  get channel(): Channel {
    if (this.#channel === undefined) throw new Error(`member ${this.id} is down`)
    return this.#channel
  }
  get leads(): boolean {
    return this.#channel?.role === 'leader'
  }

  /** As `ChannelHost` after a fault of the disk: all is closed and opened again; the mount goes on. */
  reopen(): void {
    const before = this.channel
    const frontend = this.#frontend
    before.stop()
    this.#cluster.network.detach(this.id)
    // what a failed sync covered may be gone from the kernel's memory, too
    this.disk.powerLost(this.#cluster.rng)
    this.failed = undefined
    this.start(before.pinned)
    if (frontend === undefined) return
    frontend.bind(this.channel)
    this.channel.observe(frontend)
  }

  start(pinned = new Map<number, number>()): void {
    const { clock, network, rng, descriptor, hooks, limits } = this.#cluster
    this.disk.space.makeRoomToOpen()
    const life = ++this.#lives
    const plain: ChannelPorts = {
      log: this.log,
      state: this.state,
      disk: this.disk.space,
      hasher: nodeHasher,
      memory: this.memory,
      transport: {
        send: (to, message) => life === this.#lives && network.send(this.id, to, message),
        connected: member => network.isConnected(this.id, member),
        rttMs: () => undefined,
        windowBytes: member => network.windowBytes(this.id, member),
        isThin: member => network.isThin(this.id, member),
      },
      now: () => this.wallNs(),
      monotonicMs: () => clock.now,
      schedule: callback => clock.soon(() => this.#run(life, callback)),
      delay: (ms, callback) => clock.after(ms, () => this.#run(life, callback)),
      report: (level, message) => this.reports.push({ level, message }),
    }
    const ports = hooks?.ports?.(this, plain) ?? plain
    const events: ChannelEvents = {
      roleChanged: (role, term) => hooks?.roleChanged?.(this, role, term),
      descriptorChanged: () => {},
      snapshotNeeded: (from, index) => this.#cluster.onSnapshotNeeded?.(this, from, index),
      entryAppended: () => {},
      copyState: () => {
        const index = this.state.position?.index ?? 0
        clock.after(5, () => {
          if (life === this.#lives) this.channel.stateCopied({ index, bytes: 0 })
        })
      },
      marked: (id, index) => hooks?.marked?.(this, id, index),
      note: () => {},
      lostChanges: changes => {
        const untold = changes.filter(change => !this.#told.has(change))
        for (const change of untold) {
          this.#told.add(change)
          hooks?.lostChange?.(this, change)
        }
        // copies are on the same disk, as a rule
        if (this.log.full || this.copiesFull) return false
        this.lost.push(...changes)
        return true
      },
      quarantined: reason => (this.quarantined = reason),
      failed: reason => {
        this.failed = reason
        hooks?.failed?.(this)
      },
    }
    const channel = new Channel(
      { self: this.id, seed: rng.u32(), mark: this.#mark(), descriptor, pinned, ...limits },
      ports,
      events,
    )
    this.#channel = channel
    network.attach(this.id, {
      message: (from, message) =>
        this.#run(life, () => {
          channel.message(from, message)
          const sender = hooks?.heard && this.#cluster.members.find(({ id }) => id === from)
          if (sender !== undefined) hooks?.heard?.(sender, this, message)
        }),
      heard: from => this.#run(life, () => channel.heard(from)),
      connected: member => this.#run(life, () => channel.connected(member)),
      disconnected: member => this.#run(life, () => channel.disconnected(member)),
    })
    const tick = (): void => {
      if (life !== this.#lives) return
      // ticks that a process missed do not come later
      if (!this.frozen) channel.tick()
      clock.after(tickMs, tick)
    }
    clock.after(1 + rng.below(tickMs), tick)
  }

  /** No two lives of any home have the same, as if it were random. */
  #mark(): string {
    return toHex(nodeHasher.sha256(Buffer.from(`${this.id} ${this.#lives}`)).subarray(0, 8))
  }

  /** The power goes: what no sync covered may be lost. */
  crash(): void {
    this.#ended()
    this.failed = undefined
    this.memory.powerLost(this.#cluster.rng)
    this.disk.powerLost(this.#cluster.rng)
  }

  /** The process is killed: what it has written is there. */
  kill(): void {
    this.#ended()
    this.failed = undefined
    this.disk.processLost()
  }

  /** While it is down an older copy of its disk is put back; false: there is none. What it remembered goes, too. */
  putBack(transactions: number, isFit: (state: SimStateStore) => boolean = () => true): boolean {
    assert(this.disk instanceof MemoryDisk, 'only a disk in memory can be put back')
    if (!this.disk.putBack(transactions, isFit)) return false
    this.memory.forget()
    return true
  }

  /** While it is down: what puts its disk as it is now in its place again, also while it is down. */
  setAside(): () => void {
    assert(this.disk instanceof MemoryDisk, 'only a disk in memory can be set aside')
    const back = this.disk.aside()
    return () => {
      back()
      this.memory.forget()
    }
  }

  /** While it is down its disk is lost, and an empty one takes its place. */
  loseDisk(): void {
    assert(this.disk instanceof MemoryDisk, 'only a disk in memory can be lost')
    this.disk.emptied()
    this.memory.forget()
  }

  /** While it is down its `state.db` is moved away, as its remedy says, or replaced by an older copy; the log stays. */
  loseState(older = new SimStateStore()): void {
    assert(this.disk instanceof MemoryDisk, 'only a disk in memory can be given another state')
    this.disk.state = older
  }

  /** The process ends in good order. Answers whether its disk had failed: what no sync covered may be lost. */
  stop(): boolean {
    this.unfreeze()
    this.#channel?.stop()
    this.#ended()
    this.log.fail(undefined)
    // also while it ended, which its channel was not told any more
    const hasFailed = this.failed !== undefined || this.log.failed
    // the next process opens the files anew
    if (hasFailed) this.disk.powerLost(this.#cluster.rng)
    this.failed = undefined
    return hasFailed
  }

  #ended(): void {
    this.#cluster.hooks?.ended?.(this, this.#lives)
    this.#lives++
    this.#channel = undefined
    this.#frontend = undefined
    this.#numbers = newNumbers(this.#cluster.rng)
    this.#frozen = undefined
    this.#cluster.network.detach(this.id)
  }

  wallNs(): bigint {
    return BigInt(Math.floor(this.#cluster.clock.now + this.wallSkewMs)) * 1_000_000n
  }

  nextInode(): number {
    const { channel, slot, log } = this
    return this.#numbers.next({ slot, log, isCurrent: channel.hasSession, highest: () => channel.highestInode })
  }

  change(
    operation: Operation,
    payload: Uint8Array = noBytes,
    options: { durable?: boolean; timeoutMs?: number } = {},
  ): Answer {
    const answer: Answer = { errno: undefined, lost: undefined, cancel: () => {} }
    answer.cancel = this.channel.change(operation, payload, {
      timeoutMs: options.timeoutMs ?? 30_000,
      durable: options.durable ?? false,
      done: errno => {
        if (answer.errno !== undefined) throw new Error('a change was answered twice')
        answer.errno = errno
      },
      lost: errno => {
        answer.lost = errno
        return true
      },
    })
    return answer
  }

  create(name: string, parent = rootInode): { ino: number; answer: Answer } {
    const ino = this.nextInode()
    return { ino, answer: this.change(make(parent, name, ino, S_IFREG | 0o644)) }
  }
  mkdir(name: string, parent = rootInode): { ino: number; answer: Answer } {
    const ino = this.nextInode()
    return { ino, answer: this.change(make(parent, name, ino, S_IFDIR | 0o755)) }
  }
  write(ino: number, offset: number, text: string, options?: { durable?: boolean; timeoutMs?: number }): Answer {
    const data = Buffer.from(text)
    return this.change({ kind: 'write', ino, offset, length: data.length, killPrivileges: false }, data, options)
  }
  append(ino: number, text: string, options?: { durable?: boolean; timeoutMs?: number }): Answer {
    const data = Buffer.from(text)
    return this.change({ kind: 'append', ino, length: data.length, killPrivileges: false }, data, options)
  }

  /** Ends another member's session (`rkfs member fence`). */
  fence(member: Member): Answer {
    return this.change({ kind: 'end-session', member: member.id }, noBytes, { durable: true })
  }

  /** Waits as fsync does for all changes so far. */
  durable(timeoutMs = 30_000): Answer {
    const answer: Answer = { errno: undefined, lost: undefined, cancel: () => {} }
    const { channel } = this
    answer.cancel = channel.whenDurable(channel.lastSequence, timeoutMs, errno => (answer.errno = errno))
    return answer
  }

  /** A file's content as this member's programs see it; undefined when there is none. */
  content(ino: number): string | undefined {
    const { view, blobs } = this.channel
    const inode = getInode(view, ino)
    if (inode === undefined) return undefined
    return Buffer.concat(blobs.read(view, ino, 0, inode.size)).toString()
  }

  /** The data of what was given up, in its order. */
  lostText(): string {
    return this.lost.map(({ payload }) => Buffer.from(payload).toString()).join('')
  }

  lookup(name: string, parent = rootInode): number | undefined {
    return this.channel.view.get('entry', parent, name)?.ino
  }

  names(parent = rootInode): string[] {
    return this.channel.view.scan('entry', parent, undefined, 100_000).map(([name]) => name)
  }

  get isMounted(): boolean {
    return this.#frontend !== undefined
  }

  readonly invalidations: Invalidation[] = []
  /** The mount of this member. */
  get frontend(): Frontend {
    if (this.#frontend === undefined) {
      const options: FrontendOptions = {
        mount: 1,
        sync: 'close',
        timeoutMs: 30_000,
        latest: false,
        channelLocks: true,
        ...this.#cluster.mountOptions,
      }
      this.#frontend = new Frontend(this.channel, options, {
        now: () => this.wallNs(),
        nextInode: () => this.nextInode(),
        openSpill: memorySpill,
        locks: new MemberLocks(),
        // it outlives a channel that is opened anew
        delay: (ms, callback) => {
          const mount = this.#frontend
          const task = (): void => {
            if (this.#frontend === mount) callback()
          }
          this.#cluster.clock.after(ms, () => (this.#frozen === undefined ? task() : this.#frozen.push(task)))
        },
        statistics: () => ({
          blockSize: 4096,
          blocks: 1,
          blocksFree: 1,
          blocksAvailable: 1_000_000,
          files: 1,
          filesFree: 1,
          nameMax: 255,
        }),
      })
      this.channel.observe(this.#frontend)
      this.#cluster.hooks?.mounted?.(this, this.#frontend)
    }
    return this.#frontend
  }
}

function newNumbers(rng: Rng): InodeNumbers {
  return new InodeNumbers(() => rng.below(2 ** 30) / 2 ** 30)
}

export function make(parent: number, name: string, ino: number, mode: number): Operation {
  return { kind: 'make', parent, name, ino, mode, uid: 0, gid: 0, rdev: 0, target: '' }
}

function memorySpill(): Spill {
  let bytes = Buffer.alloc(0)
  return {
    write(offset, data) {
      if (offset + data.length > bytes.length) {
        bytes = Buffer.concat([bytes, Buffer.alloc(offset + data.length - bytes.length)])
      }
      bytes.set(data, offset)
    },
    read: (offset, length) => Uint8Array.from(bytes.subarray(offset, offset + length)),
    close() {},
  }
}

/** Time that passes when it is told to. Tasks due at the same millisecond run in the order they were given. */
class Clock {
  now = 0
  #due = new Map<number, (() => void)[]>()
  #soon: (() => void)[] = []

  soon(task: () => void): void {
    this.#soon.push(task)
  }

  after(ms: number, task: () => void): void {
    const at = this.now + Math.max(0, Math.ceil(ms))
    if (at === this.now) return this.soon(task)
    const due = this.#due.get(at)
    if (due === undefined) this.#due.set(at, [task])
    else due.push(task)
  }

  /** What is ready runs, and what that makes ready. */
  drain(): void {
    for (let rounds = 0; this.#soon.length > 0; rounds++) {
      if (rounds > 100_000) throw new Error('the schedule never becomes empty')
      const tasks = this.#soon
      this.#soon = []
      for (const task of tasks) task()
    }
  }

  advance(ms: number): void {
    this.drain()
    for (const end = this.now + ms; this.now < end;) {
      this.now++
      const tasks = this.#due.get(this.now)
      if (tasks === undefined) continue
      this.#due.delete(this.now)
      for (const task of tasks) {
        task()
        // events that come together share a turn, as they do in an event loop
        if (this.now % 3 !== 0) this.drain()
      }
      this.drain()
    }
  }
}

/** A leader and its followers (`Cluster.roles`). */
export type Three = [Member, Member, Member]

/** Where a simulator looks on, or puts something of its own in between. */
export interface ClusterHooks {
  ports?(member: Member, ports: ChannelPorts): ChannelPorts
  roleChanged?(member: Member, role: Role, term: number): void
  lostChange?(member: Member, lost: LostChange): void
  mounted?(member: Member, frontend: Frontend): void
  /** The process of a member is gone; `life`: which (`Member.lives`). */
  ended?(member: Member, life: number): void
  /** A message of a member's was taken by another. */
  heard?(from: Member, by: Member, message: PeerMessage): void
  failed?(member: Member): void
  /** A mark was applied. */
  marked?(member: Member, id: number, index: number): void
}

export interface ClusterOptions {
  /** How many of the members do not vote; the first, the owner, always does. */
  readonly learners?: number
  readonly hooks?: ClusterHooks
  readonly retention?: Retention
  readonly leaseMs?: number
  readonly chunkExtents?: number
  readonly space?: SpaceSettings
  readonly mountOptions?: Partial<FrontendOptions>
  readonly openDisk?: (member: Member, schedule: (task: () => void) => void) => SimDisk
}

/** N members of one channel in one process, with a clock and a network that do as they are told. */
export class Cluster {
  readonly rng: Rng
  readonly clock = new Clock()
  readonly network: SimNetwork
  readonly descriptor: Descriptor
  readonly members: Member[]
  syncMsMax = 4
  onSnapshotNeeded: ((member: Member, from: MemberId, index: number) => void) | undefined
  readonly hooks: ClusterHooks | undefined
  readonly limits: Pick<ClusterOptions, 'retention' | 'leaseMs' | 'chunkExtents' | 'space'>
  readonly mountOptions: Partial<FrontendOptions>
  readonly openDisk: NonNullable<ClusterOptions['openDisk']>

  constructor(count: number, seed = 1, options: ClusterOptions = {}) {
    const { learners = 0, hooks, retention, leaseMs, chunkExtents, space, mountOptions = {} } = options
    this.hooks = hooks
    this.limits = {
      ...(retention === undefined ? {} : { retention }),
      ...(leaseMs === undefined ? {} : { leaseMs }),
      ...(chunkExtents === undefined ? {} : { chunkExtents }),
      ...(space === undefined ? {} : { space }),
    }
    this.mountOptions = mountOptions
    this.openDisk = options.openDisk ?? ((_, schedule) => new MemoryDisk(schedule))
    this.rng = new Rng(seed)
    this.network = new SimNetwork(this.clock, this.rng)
    const ids = Array.from({ length: count }, (_, i) => toHex(nodeHasher.sha256(Uint8Array.of(i)).subarray(0, 8)))
    this.descriptor = {
      name: 'test',
      id: 'test',
      owner: ids[0]!,
      version: 1,
      nextSlot: count + 1,
      members: ids.map((id, i) => ({
        id,
        name: `m${i}`,
        address: '',
        role: i < count - learners ? 'voter' : 'learner',
        state: i < count - learners ? 'voter' : 'learner',
        slot: i + 1,
        certificate: '',
      })),
    }
    this.members = ids.map((id, i) => new Member(this, id, i + 1, true))
    for (const member of this.members) member.start()
    this.network.connectAll()
  }

  /** One more member, with nothing on its disk: the owner must admit it. */
  newcomer(): Member {
    const n = this.members.length
    const member = new Member(this, toHex(nodeHasher.sha256(Uint8Array.of(n)).subarray(0, 8)), n + 1, false)
    this.members.push(member)
    this.provideSnapshots()
    member.start()
    this.network.connectAll()
    return member
  }

  /** Who needs a snapshot gets one. */
  provideSnapshots(): void {
    this.onSnapshotNeeded ??= (to, from) =>
      this.#copySnapshot(
        to,
        this.members.find(m => m.id === from)!,
      )
  }

  /** A snapshot from another member, whole and soon. */
  #copySnapshot(to: Member, from: Member): void {
    const { channel } = to
    if (channel.restoring || !from.alive || !channel.beginRestore()) return
    this.clock.after(20, () => {
      if (!to.alive || to.channel !== channel) return
      if (!from.alive) return channel.restored(undefined)
      const snapshot = trySnapshot(from)
      try {
        channel.restored(snapshot && to.disk.install(snapshot, channel))
      } catch (error) {
        if (!(error instanceof RkfsError) || error.code !== 'disk-full') throw error
        channel.restored(undefined)
      }
    })
  }

  /** Whether one of two running members does not know the other, as `ChannelHost` has it. An invitation names whom it needs. */
  areStrangers(a: MemberId, b: MemberId): boolean {
    const knows = (self: MemberId, other: MemberId): boolean => {
      const member = this.members.find(({ id }) => id === self)
      return member?.state.position === undefined || member.channel.peers.some(({ id }) => id === other)
    }
    return !knows(a, b) || !knows(b, a)
  }

  get alive(): Member[] {
    return this.members.filter(member => member.alive)
  }

  advance(ms: number): void {
    this.clock.advance(ms)
  }

  /** Lets time pass until something holds. */
  until(what: string, condition: () => boolean, timeoutMs = 60_000): void {
    const end = this.clock.now + timeoutMs
    this.clock.drain()
    while (!condition()) {
      if (this.clock.now >= end) throw new Error(`not within ${timeoutMs} ms: ${what}\n${this.describe()}`)
      this.clock.advance(10)
    }
  }

  describe(): string {
    return this.members
      .map((member, i) => {
        if (!member.alive) return `m${i} is down`
        const { role, term, lastIndex, commitIndex, appliedIndex, pending, failure, quarantine } = member.channel
        const leader = this.members.findIndex(m => m.id === member.channel.leader)
        return `m${i} ${role} of term ${term} under m${leader}: last ${lastIndex} committed ${commitIndex} applied ${appliedIndex} pending ${pending.operations} ${failure ?? quarantine ?? ''}`
      })
      .join('\n')
  }

  /** The member that leads and whom a majority follows. */
  leader(): Member {
    const found = (): Member | undefined =>
      this.alive.find(
        member =>
          member.leads &&
          this.alive.filter(other => other.channel.leader === member.id).length * 2 > this.members.length,
      )
    this.until('a leader', () => found() !== undefined)
    this.#awaitSessions(found()!)
    return found()!
  }

  /** Members that can take changes at once do so from here on; those that cannot are not waited for long. */
  #awaitSessions(leader: Member): void {
    const lacks = ({ channel, frozen }: Member): boolean => {
      const follows = channel.leader === leader.id && channel.serving && channel.slot !== undefined && !frozen
      return follows && channel.diskFull === undefined && !channel.hasSession
    }
    for (const end = this.clock.now + 1000; this.clock.now < end && this.alive.some(lacks);) this.advance(10)
  }

  /** A leader, and two (or more) that are not. */
  roles(): [Member, ...Member[]] {
    const leader = this.leader()
    return [leader, ...this.members.filter(member => member !== leader)]
  }

  answered(answer: Answer, timeoutMs = 60_000): number {
    this.until('an answer', () => answer.errno !== undefined, timeoutMs)
    return answer.errno!
  }

  /** All that is alive agrees, and nothing is on its way. */
  settle(timeoutMs = 60_000): void {
    this.until('agreement', () => this.settled(), timeoutMs)
    this.advance(300)
    this.until('agreement', () => this.settled(), timeoutMs)
  }

  settled(): boolean {
    const { alive } = this
    const first = alive[0]!.channel
    return (
      alive.some(member => member.leads) &&
      alive.every(
        ({ channel }) =>
          channel.appliedIndex === first.appliedIndex &&
          channel.appliedIndex === channel.lastIndex &&
          channel.leader === first.leader &&
          channel.leader !== undefined &&
          channel.pending.operations === 0,
      )
    )
  }

  /** Throws unless all members alive have the same state at the same index. */
  checkDigests(): void {
    const digests = new Set(
      this.alive.map(({ channel }) => {
        const { index, hash } = channel.digest()
        return `${index}: ${hash}`
      }),
    )
    if (digests.size !== 1) throw new Error(`members differ:\n${[...digests].join('\n')}\n${this.describe()}`)
    for (const member of this.alive) {
      const { failure, quarantine } = member.channel
      if (failure !== undefined || quarantine !== undefined) throw new Error(failure ?? quarantine)
      const wrong = member.reports.find(({ message }) => message.includes('does not apply'))
      if (wrong !== undefined) throw new Error(wrong.message)
    }
  }
}
