import { toHex } from '../../../src/base/bytes.js'
import type { MemberId } from '../../../src/base/ids.js'
import { tickMs } from '../../../src/base/limits.js'
import { Rng } from '../../../src/base/rng.js'
import { Channel } from '../../../src/channel/channel.js'
import { encodeDescriptor, inodesPerSlot, type Descriptor } from '../../../src/channel/descriptor.js'
import { Frontend, type FrontendOptions } from '../../../src/channel/frontend.js'
import type { Invalidation } from '../../../src/channel/mount-port.js'
import type { Spill } from '../../../src/channel/orphan-file.js'
import type { ChannelEvents, ChannelPorts, LogLevel } from '../../../src/channel/ports.js'
import { nodeHasher } from '../../../src/daemon/hasher.js'
import { goOnFrom, keepBlob } from '../../../src/daemon/snapshot-transfer.js'
import { getInode, membersRecord } from '../../../src/fs/apply.js'
import type { Operation } from '../../../src/fs/operation.js'
import { decodeRecord, rootDirectory, rootInode, S_IFDIR, S_IFREG } from '../../../src/fs/records.js'
import { TableView } from '../../../src/fs/table-view.js'
import { SimNetwork } from './sim-network.js'
import { SimLogStore, SimStateStore } from './sim-stores.js'

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
  readonly lost: { operation: Operation; payload: Uint8Array; errno: number }[] = []
  quarantined: string | undefined
  /** How long this member's disk takes for a sync, if it is not like the others'. */
  syncMsMax: number | undefined
  log: SimLogStore
  state: SimStateStore
  #channel: Channel | undefined
  #frontend: Frontend | undefined
  readonly #cluster: Cluster
  #inodes = 0
  #lives = 0

  constructor(cluster: Cluster, id: MemberId, slot: number, created: boolean) {
    this.#cluster = cluster
    this.id = id
    this.slot = slot
    this.log = new SimLogStore(task =>
      cluster.clock.after(1 + cluster.rng.below(this.syncMsMax ?? cluster.syncMsMax), task),
    )
    this.state = new SimStateStore()
    if (created) this.#bootstrap()
  }

  /** As `createChannelFolder`: the root directory and the members at index 1 of a log that goes on from there. */
  #bootstrap(): void {
    const { descriptor } = this.#cluster
    const table = new TableView(this.state, nodeHasher)
    table.set('inode', rootInode, '', rootDirectory())
    table.set('setting', 0, 'members', membersRecord(descriptor.version, encodeDescriptor(descriptor)))
    table.flush(anchor)
    this.state.syncNow()
    this.log.reset(anchor)
    this.log.commit()
    this.log.saveHardState({ term: 1, vote: undefined })
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

  start(): void {
    const { clock, network, rng, descriptor } = this.#cluster
    const life = ++this.#lives
    const ports: ChannelPorts = {
      log: this.log,
      state: this.state,
      hasher: nodeHasher,
      transport: {
        send: (to, message) => life === this.#lives && network.send(this.id, to, message),
        connected: member => network.isConnected(this.id, member),
        rttMs: () => undefined,
      },
      now: () => BigInt(Math.floor(clock.now)) * 1_000_000n,
      monotonicMs: () => clock.now,
      schedule: callback => clock.soon(() => life === this.#lives && callback()),
      delay: (ms, callback) => clock.after(ms, () => life === this.#lives && callback()),
      report: (level, message) => this.reports.push({ level, message }),
    }
    const events: ChannelEvents = {
      roleChanged: () => {},
      descriptorChanged: () => {},
      snapshotNeeded: (from, index) => this.#cluster.onSnapshotNeeded?.(this, from, index),
      entryAppended: () => {},
      marked: () => {},
      note: () => {},
      lostChange: (operation, payload, errno) => this.lost.push({ operation, payload, errno }),
      quarantined: reason => (this.quarantined = reason),
    }
    this.#channel = new Channel({ self: this.id, seed: rng.u32(), descriptor }, ports, events)
    network.attach(this.id, this.#channel)
    const tick = (): void => {
      if (life !== this.#lives) return
      this.#channel!.tick()
      clock.after(tickMs, tick)
    }
    clock.after(1 + rng.below(tickMs), tick)
  }

  /** The power goes: what no sync covered may be lost. */
  crash(): void {
    this.#lives++
    this.#channel = undefined
    this.#frontend = undefined
    this.#cluster.network.detach(this.id)
    this.log = this.log.crashed(this.#cluster.rng)
    this.state = this.state.crashed(this.#cluster.rng)
  }

  /** While it is down its `state.db` is moved away, as its remedy says, or replaced by an older copy; the log stays. */
  loseState(older = new SimStateStore()): void {
    this.state = older
  }

  /** The process ends in good order. */
  stop(): void {
    this.#channel?.stop()
    this.#lives++
    this.#channel = undefined
    this.#frontend = undefined
    this.#cluster.network.detach(this.id)
  }

  nextInode(): number {
    return this.slot * inodesPerSlot + 2 + this.#inodes++
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
      lost: errno => (answer.lost = errno),
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

  /** Waits as fsync does for all changes so far. */
  durable(timeoutMs = 30_000, whole = false): Answer {
    const answer: Answer = { errno: undefined, lost: undefined, cancel: () => {} }
    const { channel } = this
    answer.cancel = channel.whenDurable(channel.lastSequence, whole, timeoutMs, errno => (answer.errno = errno))
    return answer
  }

  /** A file's content as this member's programs see it; undefined when there is none. */
  content(ino: number): string | undefined {
    const { view, blobs } = this.channel
    const inode = getInode(view, ino)
    if (inode === undefined) return undefined
    return Buffer.concat(blobs.read(view, ino, 0, inode.size)).toString()
  }

  lookup(name: string, parent = rootInode): number | undefined {
    return this.channel.view.get('entry', parent, name)?.ino
  }

  names(parent = rootInode): string[] {
    return this.channel.view.scan('entry', parent, undefined, 100_000).map(([name]) => name)
  }

  readonly invalidations: Invalidation[] = []
  /** The mount of this member. */
  get frontend(): Frontend {
    if (this.#frontend === undefined) {
      const options: FrontendOptions = { mount: 1, sync: 'close', timeoutMs: 30_000, latest: false, channelLocks: true }
      this.#frontend = new Frontend(this.channel, options, {
        now: () => BigInt(this.#cluster.clock.now) * 1_000_000n,
        nextInode: () => this.nextInode(),
        openSpill: memorySpill,
        delay: (ms, callback) => this.#cluster.clock.after(ms, callback),
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
    }
    return this.#frontend
  }
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

/** N members of one channel, all voters, in one process, with a clock and a network that do as they are told. */
export class Cluster {
  readonly rng: Rng
  readonly clock = new Clock()
  readonly network: SimNetwork
  readonly descriptor: Descriptor
  readonly members: Member[]
  syncMsMax = 4
  onSnapshotNeeded: ((member: Member, from: MemberId, index: number) => void) | undefined

  constructor(count: number, seed = 1) {
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
        role: 'voter',
        state: 'voter',
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

  /** What `daemon/snapshot-transfer.ts` does, at once: records, the blobs that they refer to, and where the log goes on. */
  #copySnapshot(to: Member, from: Member): void {
    const { channel } = to
    if (channel.restoring || !from.alive) return
    channel.beginRestore()
    this.clock.after(20, () => {
      if (!to.alive || to.channel !== channel) return
      if (!from.alive) return channel.restored(undefined)
      const held = from.channel.holdFlush()
      const position = from.state.position!
      const writes = [...from.state.all()]
      const liveBytes = new Map<number, number>()
      for (const { table, value } of writes) {
        if (table !== 'chunk') continue
        for (const { blob, length } of decodeRecord('chunk', value)) {
          liveBytes.set(blob, (liveBytes.get(blob) ?? 0) + length)
        }
      }
      to.state = new SimStateStore([{ writes, position, liveBytes }])
      for (const id of liveBytes.keys()) keepBlob(to.log, channel.commitIndex, BigInt(id), from.log.blob(id)!)
      held.release()
      const { index, term, hash } = position
      goOnFrom(to.log, { index, term, hash })
      to.log.commit()
      to.log.syncNow()
      channel.restored({ state: to.state, anchor: { index, term, hash } })
    })
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
    return found()!
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
