import type { MemberId } from '../base/ids.js'
import { KiB, MiB } from '../base/limits.js'
import type { Operation } from '../fs/operation.js'
import { takesSpace } from '../fs/takes-space.js'
import type { Core } from './core.js'
import type { BlobId } from './log-port.js'
import type { ChannelPorts } from './ports.js'
import {
  isShort,
  keepOf,
  minFreeOf,
  orderVerdict,
  reserveOf,
  writableBytes,
  type OwnDisk,
  type Keep,
  type SpaceSettings,
  type ToldSpace,
  type Verdict,
  type VoterSpace,
} from './space-policy.js'
import { payloadLength } from '../fs/extents.js'

const spareTicks = 10
/** Of more blobs it is estimated from so many. */
const pinnedLookedAtMax = 1024
/** Who was short may have given up at once what it kept for others: they follow all the same. */
const shortMs = 3000
/** What a change takes beside its payload: the entry's header, records of the state. */
const changeBytes = 4 * KiB
/** A member with more room than this is not asked how much of the log it has not got. */
const plentyBytes = 1024 * MiB
/** What the order takes of others' changes may go so far into what is kept free: they were told of success. */
const orderedPart = 1 / 2
/** Changes of a member on their way take at most this part of what is left, so that several members do not exceed it. */
const pendingPart = 1 / 4
const pendingBytesLeast = 256 * KiB

/** What a member said of its disk, and what was ordered since. */
interface Heard {
  readonly told: ToldSpace
  /** Bytes of log that it had not got then. */
  readonly lacked: number
  /** `StagedLog.appendedBytes` then. */
  readonly at: number
}

/**
 * The disks of the members: this one's as it was measured last, the others' as they told of them. Who may order content is
 * decided by that.
 *
 * INVARIANT: what frees space is never refused for want of it (`takesSpace`).
 */
export class Space {
  readonly #self: MemberId
  readonly #ports: ChannelPorts
  readonly #core: Pick<Core, 'log' | 'raft' | 'views' | 'pending' | 'roster'>
  readonly #pinned: ReadonlyMap<BlobId, number>
  readonly #settings: SpaceSettings
  readonly #heard = new Map<MemberId, Heard>()
  #own: Heard | undefined
  /** Until then somebody counts as short. */
  #shortUntil = 0
  #totalBytes = 0
  #spareBytes = 0
  /** Of that, what blobs have that files use in part, or no more. */
  #looseBytes = 0
  /** All that may go is gone: what is free now is all that there is. */
  exhausted = false

  /** `pinned`: blobs that an open file without a name still shows. */
  constructor(
    { self, ports, log, raft, views, pending, roster }: Core,
    pinned: ReadonlyMap<BlobId, number>,
    settings: SpaceSettings,
  ) {
    this.#pinned = pinned
    this.#self = self
    this.#ports = ports
    this.#core = { log, raft, views, pending, roster }
    this.#settings = settings
    this.measure()
  }

  /** Looks at this member's disk; how much of it is spared, now and then. */
  measure(ticks = 0): void {
    const space = this.#ports.disk.space()
    if (space === undefined) return void (this.#own = undefined)
    const { totalBytes, freeBytes: free } = space
    const minFree = minFreeOf(totalBytes, this.#settings)
    this.#totalBytes = totalBytes
    if (!isShort(free, minFree)) this.exhausted = false
    if (ticks % spareTicks === 0 || isShort(free, minFree)) this.#spareBytes = this.#spare()
    const told = { free, minFree, spare: this.#spareBytes, exhausted: this.exhausted }
    this.#own = { told, lacked: 0, at: this.#core.log.appendedBytes }
    this.#ports.disk.restock(reserveOf(totalBytes, this.#settings), minFree)
  }

  /** Of its files, what is neither live data nor free. Content that files share counts once for each: it may be more. */
  #spare(): number {
    this.#looseBytes = this.#loose()
    return this.#ports.log.bytes.dead + this.#looseBytes
  }

  #loose(): number {
    const { blobs } = this.#ports.log.bytes
    return Math.max(0, blobs - this.#core.views.table.dataBytes - this.#pinnedBytes())
  }

  /** What only programs with open files without a name still need. */
  #pinnedBytes(): number {
    const { table } = this.#core.views
    let bytes = 0
    let looked = 0
    for (const id of this.#pinned.keys()) {
      if (looked++ === pinnedLookedAtMax) return bytes * (this.#pinned.size / looked)
      if (table.liveBytes(id) === 0) bytes += this.#ports.log.blobBytes(id) ?? 0
    }
    return bytes
  }

  /** What this member tells the others; undefined: its disk does not say. */
  get told(): ToldSpace | undefined {
    return this.#own && { ...this.#own.told, exhausted: this.exhausted }
  }
  get totalBytes(): number {
    return this.#totalBytes
  }
  isShort(member: MemberId): boolean {
    const told = this.of(member)
    return told !== undefined && isShort(told.free, told.minFree)
  }
  of(member: MemberId): ToldSpace | undefined {
    return member === this.#self ? this.told : this.#heard.get(member)?.told
  }

  hear(from: MemberId, lastIndex: number, told: ToldSpace | undefined): void {
    if (told === undefined) return void this.#heard.delete(from)
    const { log } = this.#core
    const lacked = told.free > plentyBytes ? 0 : log.bytesAfter(lastIndex)
    this.#heard.set(from, { told, lacked, at: log.appendedBytes })
    if (isShort(told.free, told.minFree)) this.#shortUntil = this.#ports.monotonicMs() + shortMs
  }

  // ---- what is kept ----

  /** This member's disk has little left. */
  get short(): boolean {
    return this.#own !== undefined && isShort(this.#own.told.free, this.#own.told.minFree)
  }

  /**
   * Blobs are in use in part, and the leader may keep that part anew: as far as is known here, where it leads no more than
   * that it has not given all back.
   */
  mayLoosen(asLeader: boolean): boolean {
    if (this.#own === undefined || this.#looseBytes < this.#own.told.minFree / 2) return false
    const { raft, views } = this.#core
    if (views.leading || raft.leader === undefined) return asLeader
    return this.#heard.get(raft.leader)?.told.exhausted !== true
  }

  /** What can be written here at all, as it was measured last. */
  get room(): number {
    return this.#own?.told.free ?? Infinity
  }

  /** A member that is there has little left, or had a moment ago. */
  get anyShort(): boolean {
    return this.short || this.#ports.monotonicMs() < this.#shortUntil
  }

  /** A member is connected, and its disk takes what it is sent. */
  isPresent(member: MemberId): boolean {
    if (!this.#ports.transport.connected(member)) return false
    const told = this.#heard.get(member)?.told
    return told === undefined || told.free >= told.minFree / 4
  }

  get keep(): Keep {
    const { dataBytes: live } = this.#core.views.table
    const standing: OwnDisk =
      this.#own === undefined
        ? { totalBytes: Infinity, freeBytes: Infinity, minFree: 0, live, spare: 0 }
        : { totalBytes: this.#totalBytes, freeBytes: this.#own.told.free, live, ...this.#own.told }
    return keepOf(standing, this.#settings, this.anyShort)
  }

  // ---- what may be ordered ----

  #voterSpace({ told, lacked, at }: Heard): VoterSpace {
    return { told, taken: lacked + this.#core.log.appendedBytes - at }
  }

  /** The voters that are there, this member among them. */
  #voters(): { voters: VoterSpace[]; unknown: number; needed: number } {
    const { voters: ids } = this.#core.raft.configuration
    const there = ids.filter(id => id === this.#self || this.#ports.transport.connected(id))
    const heard = there
      .map(id => (id === this.#self ? this.#ownNow() : this.#heard.get(id)))
      .filter(one => one !== undefined)
    return {
      voters: heard.map(one => this.#voterSpace(one)),
      unknown: there.length - heard.length,
      needed: Math.floor(ids.length / 2) + 1,
    }
  }

  #ownNow(): Heard | undefined {
    return this.#own && { ...this.#own, told: { ...this.#own.told, exhausted: this.exhausted } }
  }

  /** Whether a change of this member's programs finds room, here and with those that order it. */
  verdict(operation: Operation): Verdict {
    if (!takesSpace(operation)) return 'room'
    const { pending, views } = this.#core
    const { voters, unknown, needed } = this.#voters()
    const bytes = bytesOf(operation)
    const own = this.#ownNow()
    // a leader that is short hands over: until then it takes what the others have room for
    const part = views.leading ? orderedPart : 1
    const here = own === undefined ? 'room' : orderVerdict([this.#voterSpace(own)], 0, 1, bytes, part)
    if (here !== 'room') return here
    // what it has on its way is not in the log yet, unless it leads
    const onTheirWay = views.leading ? 0 : pending.bytes
    // what is kept anew gives more back than it takes, and nothing else gives that back
    const left = operation.kind === 'relocate' ? orderedPart : 1
    const there = orderVerdict(voters, unknown, needed, bytes + onTheirWay, left)
    if (there !== 'room' || own === undefined || pending.bytes <= pendingBytesLeast) return there
    return pending.bytes > pendingPart * writableBytes(this.#voterSpace(own), voters, unknown, needed) ? 'wait' : 'room'
  }

  /** As leader: whether there is no room for what another member hands in. */
  refuses(operation: Operation): boolean {
    if (!takesSpace(operation)) return false
    const { voters, unknown, needed } = this.#voters()
    return orderVerdict(voters, unknown, needed, bytesOf(operation), orderedPart) === 'full'
  }

  /** What programs can really write, in bytes; undefined: the disk does not say. */
  get writable(): number | undefined {
    const own = this.#ownNow()
    if (own === undefined) return undefined
    const { voters, unknown, needed } = this.#voters()
    return writableBytes(this.#voterSpace(own), voters, unknown, needed)
  }

  /** Whether this member, or those that order, have no room for content; undefined: both have. */
  get lacksRoom(): 'here' | 'elsewhere' | undefined {
    const own = this.#ownNow()
    if (own !== undefined && own.told.free - changeBytes < own.told.minFree) return 'here'
    const { voters, unknown, needed } = this.#voters()
    return orderVerdict(voters, unknown, needed, changeBytes) === 'full' ? 'elsewhere' : undefined
  }

  /** As a leader without room: a voter that has it; undefined: there is none. */
  get roomier(): MemberId | undefined {
    const own = this.#own
    if (own === undefined || own.told.free >= own.told.minFree) return undefined
    const { voters } = this.#core.raft.configuration
    const fit = [...this.#heard].filter(
      ([id, { told }]) =>
        voters.includes(id) && this.#core.raft.progress(id)?.active === true && !isShort(told.free, told.minFree),
    )
    return fit.sort(([, a], [, b]) => b.told.free - b.told.minFree - (a.told.free - a.told.minFree))[0]?.[0]
  }
}

function bytesOf(operation: Operation): number {
  return payloadLength(operation) + changeBytes
}
