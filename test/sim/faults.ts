import type { MemberId } from '../../src/base/ids.js'
import type { Rng } from '../../src/base/rng.js'
import { blobsPerEntryMax, KiB, MiB } from '../../src/base/limits.js'
import { withMember, withoutMember, type Descriptor } from '../../src/channel/descriptor.js'
import type { BlobId } from '../../src/channel/log-port.js'
import type { Cluster, Member } from '../channel/support/cluster.js'
import { copyOf } from '../channel/support/sim-disk.js'
import { Liars } from './liars.js'
import { OldDisks } from './old-disks.js'
import type { FaultKind, SimOptions } from './options.js'

/** For how long they last, members may not reach each other. */
const disturbing: readonly FaultKind[] = ['silence', 'mute', 'partition', 'stall', 'freeze', 'slow']

/** What disks hold in the end. */
const healedBytes = 256 * MiB

/** Without so much no process starts. */
const startBytes = 64 * KiB

/** Members of a run, those included that come and go. */
const membersMax = 7

export interface FaultHost {
  readonly cluster: Cluster
  readonly options: SimOptions
  readonly rng: Rng
  note(text: string): void
  /** The history takes in all that is committed. */
  observe(): void
  /** The members as all that is committed names them. */
  committed(): Descriptor
  /** Its session may be ended, whether it was silent or not. */
  sessionMayEnd(member: Member): void
  /** Before the power goes at a member. */
  powerLost(member: Member): void
  /** Before a member's disk is put back or lost. */
  losesDisk(member: Member): void
  /** A member's process runs (again). */
  started(member: Member): void
}

/**
 * What goes wrong. Connections keep to the contract of `channel/transport-port.ts`: ordered and without duplicates while
 * they last; what is lost is always the end of what was sent, and the connection breaks then, at once or later. Messages
 * overtake each other only between different pairs of members, and come twice only when the brain sends them again.
 */
export class Faults {
  readonly #host: FaultHost
  /** Pairs that cannot reach each other, each with the time until then. */
  readonly #partitions = new Map<string, number>()
  readonly #gone = new Set<MemberId>()
  /** Whose removal has begun: who is killed as removed must not become a voter by an admission that is tried again. */
  readonly #leaving = new Set<MemberId>()
  readonly #counts = new Map<FaultKind, number>()
  /** Blobs that a member's disk has lost: no other loses them, too. */
  readonly #rotten = new Set<BlobId>()
  readonly #oldDisks: OldDisks
  readonly #liars: Liars
  /** Until then members may not reach each other. */
  #calmAt = 0
  #healed = false

  constructor(host: FaultHost) {
    this.#host = host
    const { cluster, options, rng } = host
    this.#oldDisks = new OldDisks({
      cluster,
      rng,
      note: text => host.note(text),
      end: (member, how) => this.#end(member, how, how !== 'stop'),
      cutOff: members => {
        this.#partitions.clear()
        for (const a of members) {
          for (const b of cluster.members) if (a !== b) this.#partitions.set(pair(a.id, b.id), Infinity)
          cluster.network.isolate(a.id)
        }
      },
      start: member => this.#start(member),
      losesDisk: member => host.losesDisk(member),
      isCalm: () => this.#isCalm(),
      happened: kind => this.#note(kind, ''),
      isGone: member => this.isGone(member),
      calm: () => {
        this.#calm([])
        this.#connectAnew()
      },
    })
    this.#liars = new Liars({
      cluster,
      rng,
      note: text => host.note(text),
      after: (ms, task) => this.#after(ms, task),
      isRecovering: () => this.#oldDisks.busy,
      isGone: member => this.isGone(member),
      isCalm: () => this.#isCalm(),
      calm: () => {
        this.#calm([])
        this.#connectAnew()
      },
      happened: () => this.#note('lie', ''),
    })
    cluster.network.blocked = (a, b) => this.#isBlocked(a, b)
    if (options.lossOneIn > 0) {
      cluster.network.lose = () => !this.#healed && !this.#isBusy && rng.below(options.lossOneIn) === 0
    }
    if (options.faults.length > 0) this.#later()
    this.#reconnect()
  }

  /** A disk was lost or put back, and its member has not caught up: it comes back even when all else is healed. */
  get isReturning(): boolean {
    return this.#oldDisks.isReturning
  }

  /** Something is watched that nothing else may disturb. */
  get #isBusy(): boolean {
    return this.#oldDisks.busy || this.#liars.busy
  }

  /** A member's process sends its greeting. */
  greeted(member: Member, greeting: Parameters<Liars['greeted']>[1]): void {
    this.#liars.greeted(member, greeting)
  }

  /** A leader's process tells another to stand. */
  handedOver(): void {
    this.#liars.handedOver()
  }

  /** Who tells, or has told, others what is not so. */
  get liar(): Member | undefined {
    return this.#liars.liar
  }

  get counts(): ReadonlyMap<FaultKind, number> {
    return this.#counts
  }

  #isBlocked(a: MemberId, b: MemberId): boolean {
    if (this.#gone.has(a) || this.#gone.has(b)) return true
    if (this.#host.cluster.areStrangers(a, b)) return true
    return (this.#partitions.get(pair(a, b)) ?? 0) > this.#host.cluster.clock.now
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#host.rng.below(from.length)]!
  }

  #after(ms: number, task: () => void): void {
    this.#host.cluster.clock.after(ms, () => {
      if (!this.#healed) task()
    })
  }

  #later(): void {
    const { options, rng } = this.#host
    this.#after(1 + rng.below(2 * options.faultMs), () => {
      this.#make(this.#pick(options.faults))
      this.#later()
    })
  }

  /** Daemons connect again by themselves. */
  #reconnect(): void {
    const { cluster, rng } = this.#host
    cluster.clock.after(20 + rng.below(500), () => {
      cluster.network.connectAll()
      this.#reconnect()
    })
  }

  #note(kind: FaultKind, text: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
    this.#host.note(`* ${kind} ${text}`)
  }

  #make(kind: FaultKind): void {
    if (this.#isBusy) return
    const { cluster, rng, options } = this.#host
    const { network } = cluster
    const members = cluster.members.filter(({ id }) => !this.#gone.has(id))
    const leader = members.find(({ leads }) => leads)
    // who leads has told its programs most of what it alone knows
    const member = leader !== undefined && rng.below(4) === 0 ? leader : this.#pick(members)
    const other = this.#pick(members)
    const who = `m${member.slot - 1}`
    const whom = `m${other.slot - 1}`
    const ms = this.#pick([50, 300, 1500, 4000, 12_000])
    if (disturbing.includes(kind)) this.#calmAt = Math.max(this.#calmAt, cluster.clock.now + ms)
    switch (kind) {
      case 'break':
        network.break(member.id, other.id)
        return this.#note(kind, `${who} ${whom}`)
      case 'silence':
        if (member === other) network.isolate(member.id, ms)
        else network.silence(member.id, other.id, ms)
        return this.#note(kind, `${who} ${whom} for ${ms} ms`)
      case 'mute': {
        const isToAll = member === other || member === leader
        for (const to of isToAll ? members : [other]) if (to !== member) network.mute(member.id, to.id, ms)
        return this.#note(kind, `${who} to ${isToAll ? 'all' : whom} for ${ms} ms`)
      }
      case 'partition':
        return this.#partition(members, ms)
      case 'power':
      case 'kill':
      case 'stop':
      case 'bare':
        if (!member.alive || (kind === 'bare' && !this.#mayLoseState(member))) return
        this.#end(member, kind === 'stop' && member.stalled ? 'kill' : kind)
        this.#note(kind, who)
        // some come back soon, some late
        return this.#after(ms, () => this.#start(member))
      case 'rot':
        if (this.#oldDisks.happened) return
        return this.#rot(member, ms)
      case 'eio': {
        if (!member.alive || member.stalled || member.frozen) return
        const call = this.#pick(['write', 'sync'] as const)
        member.log.fail(call)
        return this.#note(kind, `${who} ${call}`)
      }
      case 'stall':
        member.stall()
        this.#note(kind, `${who} for ${ms} ms`)
        if (rng.below(6) > 0) this.#after(ms, () => member.unstall())
        return
      case 'slow':
        member.syncMsMax = this.#pick([200, 1000, 3000])
        this.#note(kind, `${who} takes up to ${member.syncMsMax} ms`)
        return this.#after(ms, () => (member.syncMsMax = undefined))
      case 'freeze':
        if (!member.alive) return
        member.freeze()
        this.#note(kind, `${who} for ${ms} ms`)
        return this.#after(ms, () => member.unfreeze())
      case 'full':
        if (!member.alive) return
        // copies of what is given up may be the first that find no room
        member.copiesFull = true
        if (this.#host.rng.below(2) === 0) member.log.full = true
        this.#note(kind, `${who} for ${ms} ms`)
        return this.#after(ms, () => (member.log.full = member.copiesFull = false))
      case 'short': {
        const { space } = member.disk
        // a second time the reserve may be gone
        if (space.capacity === undefined || space.ballast > 0 || space.reserveBytes === 0) return
        space.leave(this.#pick([0, 30 * KiB, 200 * KiB, 600 * KiB]))
        this.#note(kind, `${who} has ${space.free} bytes free for ${ms} ms`)
        return this.#after(ms, () => (space.ballast = 0))
      }
      case 'clock':
        member.wallSkewMs = this.#pick([-3_600_000, -5000, -100, 0, 100, 5000, 3_600_000])
        // a wall clock that runs ahead alone is taken for the time of a machine that stood still (LeaseClock)
        this.#host.sessionMayEnd(member)
        return this.#note(kind, `${who} by ${member.wallSkewMs} ms`)
      case 'transfer': {
        const leader = cluster.alive.find(one => one.leads && !one.frozen)
        if (leader === undefined) return
        this.#note(kind, `to ${whom}: ${leader.channel.transferLeadership(other.id)}`)
        return
      }
      case 'admit':
        return this.#admit()
      case 'remove':
        return this.#remove(members)
      case 'fence':
        if (!other.alive || other.frozen || !other.channel.serving || other.channel.slot === undefined) return
        this.#host.sessionMayEnd(member)
        other.fence(member)
        return this.#note(kind, `${who} by ${whom}`)
      case 'old-disk':
      case 'no-disk':
      case 'copied-disk':
        // what one disk has lost, another must have
        if (options.disk === 'memory' && !this.#counts.has('rot')) this.#oldDisks.await(kind)
        return
      case 'lie':
        if (this.#leaving.size > 0 || this.#mayHoldUp) return
        return this.#liars.lie(member, ms)
      case 'loss':
        // as often as `lossOneIn` says
        return
    }
  }

  /** A member's channel stopped because its disk failed: as the daemon, it is opened again, some time later. */
  failed(member: Member): void {
    this.#host.note(`* m${member.slot - 1} stops: ${member.failed}`)
    const { lives } = member
    const again = (): void => {
      if (member.lives !== lives || this.#gone.has(member.id)) return
      if (member.frozen || member.stalled) return this.#host.cluster.clock.after(500, again)
      this.#host.powerLost(member)
      member.log.full = false
      member.reopen()
      this.#host.note(`* m${member.slot - 1} is open again`)
      this.#host.started(member)
      this.#host.cluster.network.connectAll()
    }
    this.#host.cluster.clock.after(1000, again)
  }

  /** A process dies, and some of what it had on its disk is damaged when the next one looks: all of it others have, too. */
  #rot(member: Member, ms: number): void {
    const { cluster, rng } = this.#host
    if (!member.alive || member.stalled || member.frozen || !member.channel.serving) return
    // who is leaving may be the one that has it
    if (this.#leaving.size > 0) return
    const settled = (member.channel.appliedIndex + 1) * blobsPerEntryMax
    const ids = member.log
      .blobIds(0, 100_000)
      .filter(id => id < settled && !this.#rotten.has(id) && isWholeElsewhere(cluster, member, id))
    if (ids.length === 0) return
    this.#host.observe()
    this.#end(member, 'kill')
    const rotten = new Set(Array.from({ length: 1 + rng.below(8) }, () => this.#pick(ids)))
    for (const id of rotten) this.#rotten.add(id)
    const damaged = [...rotten].filter(id => member.log.damage(id))
    this.#note('rot', `m${member.slot - 1}: ${damaged.join(' ')}`)
    this.#after(ms, () => this.#start(member))
  }

  /** What one of these has damaged, another of them has whole. */
  canHeal(members: readonly Member[]): boolean {
    return [...this.#rotten].every(id => {
      const copies = members.map(({ log }) => copyOf(log, id))
      return copies.includes('whole') || !copies.includes('damaged')
    })
  }

  /**
   * Somebody puts a member's state away, once a run: that of another is needed to make it anew, where this one's log goes
   * on, and a majority with it.
   */
  #mayLoseState(member: Member): boolean {
    const { cluster, options } = this.#host
    const { disk, faults, leftOut } = options
    if (member.stalled || disk !== 'memory' || leftOut || this.#counts.has('bare')) return false
    const isMade = cluster.alive.some(
      other => other !== member && other.channel.appliedIndex >= member.log.anchor.index,
    )
    return isMade && cluster.members.length > 2 && !faults.includes('admit') && !faults.includes('remove')
  }

  #partition(members: readonly Member[], ms: number): void {
    const { cluster, rng } = this.#host
    const left = members.filter(() => rng.below(2) === 0)
    const until = cluster.clock.now + ms
    for (const a of left) {
      for (const b of members) {
        if (left.includes(b)) continue
        this.#partitions.set(pair(a.id, b.id), until)
        if (rng.below(2) === 0) cluster.network.break(a.id, b.id)
        else cluster.network.silence(a.id, b.id, Math.min(ms, 3000))
      }
    }
    this.#note('partition', `${left.map(({ slot }) => `m${slot - 1}`).join(' ')} for ${ms} ms`)
  }

  /** `losing`: what only its disk holds is lost. */
  #end(member: Member, how: 'power' | 'kill' | 'stop' | 'bare', losing = how === 'power'): void {
    member.log.full = false
    if (how === 'stop' || how === 'bare') {
      this.#host.observe()
      if (member.stop()) this.#host.powerLost(member)
    } else {
      if (losing) this.#host.powerLost(member)
      if (how === 'kill') member.kill()
      else member.crash()
    }
    if (how === 'bare') member.loseState()
    this.#host.note(`* m${member.slot - 1} is down`)
  }

  #start(member: Member): void {
    if (member.alive || this.#gone.has(member.id)) return
    // with a full disk, and no reserve, a member does not start
    member.log.full = false
    const { space } = member.disk
    if (space.free + space.reserveBytes < startBytes) {
      return this.#host.cluster.clock.after(500, () => this.#start(member))
    }
    member.start()
    this.#host.note(`* m${member.slot - 1} starts`)
    this.#host.started(member)
    this.#host.cluster.network.connectAll()
  }

  // ---- membership ----

  /** The members as the owner's applied state has them, if it can change them. */
  #owner(): { owner: Member; descriptor: Descriptor } | undefined {
    const [owner] = this.#host.cluster.members
    if (owner === undefined || !owner.alive || owner.frozen || !owner.channel.serving) return undefined
    return { owner, descriptor: owner.channel.descriptor }
  }

  #admit(): void {
    const { cluster, rng } = this.#host
    const at = this.#owner()
    if (at === undefined || cluster.members.length >= membersMax) return
    const member = cluster.newcomer()
    this.#host.started(member)
    const role = rng.below(3) === 0 ? 'learner' : 'voter'
    const name = `m${member.slot - 1}`
    this.#note('admit', `${name} as ${role}`)
    this.#change(descriptor => {
      if (this.#leaving.has(member.id) || descriptor.members.some(({ id }) => id === member.id)) return undefined
      return withMember(descriptor, { id: member.id, name, address: '', role, certificate: '' })
    })
  }

  #remove(members: readonly Member[]): void {
    // what one disk has lost, another must have; who must recover, for what a liar said, may need the word of who is gone
    if (this.#counts.has('rot') || this.liar !== undefined) return
    const at = this.#owner()
    if (at === undefined) return
    const { descriptor } = at
    const member = this.#pick(members)
    if (member.id === descriptor.owner || !descriptor.members.some(({ id }) => id === member.id)) return
    this.#note('remove', `m${member.slot - 1}`)
    this.#leaving.add(member.id)
    this.#change(current => {
      if (current.members.some(({ id }) => id === member.id)) return withoutMember(current, member.id)
      // a state may have fallen back behind its admission
      if (this.#host.committed().members.some(({ id }) => id === member.id)) return 'later'
      this.#leave(member)
      return undefined
    })
  }

  /** Nobody talks to a member that was removed. */
  #leave(member: Member): void {
    const { network } = this.#host.cluster
    this.#gone.add(member.id)
    network.isolate(member.id)
    if (member.alive) member.kill()
    this.#host.note(`* m${member.slot - 1} is a member no more`)
  }

  /** As `ChannelHost.changeMembers`: tried again until it is done, or another phase begins. */
  #change(next: (descriptor: Descriptor) => Descriptor | 'later' | undefined): void {
    const at = this.#owner()
    const again = (): void => this.#after(300, () => this.#change(next))
    if (at === undefined) return again()
    const wanted = next(at.descriptor)
    if (wanted === 'later') again()
    else if (wanted !== undefined) at.owner.channel.changeMembers(wanted, 5000, again)
  }

  /** Of two that must agree, one that lies may hold up the other while somebody is being admitted, whom both must ask. */
  get #mayHoldUp(): boolean {
    const { members, learners, faults } = this.#host.options
    return members - learners === 2 && faults.includes('admit')
  }

  /** All members may reach each other, and none is about to leave. */
  #isCalm(): boolean {
    const isNobodyLeaving = [...this.#leaving].every(id => this.#gone.has(id))
    return !this.#healed && isNobodyLeaving && this.#host.cluster.clock.now >= this.#calmAt
  }

  isGone(member: Member): boolean {
    return this.#gone.has(member.id)
  }

  // ---- healing ----

  /** Whatever was silent or mute speaks again. */
  #connectAnew(): void {
    const { network, members } = this.#host.cluster
    for (const a of members) for (const b of members) if (a.id < b.id) network.break(a.id, b.id)
    network.connectAll()
    this.#calmAt = this.#host.cluster.clock.now
  }

  /** Ends what lasts, but for `leftOut`. */
  #calm(leftOut: readonly Member[]): void {
    this.#partitions.clear()
    for (const member of this.#host.cluster.members) {
      if (this.isGone(member) || leftOut.includes(member)) continue
      member.log.full = member.copiesFull = false
      // there is room for what was done meanwhile, and for more
      const { space } = member.disk
      space.ballast = 0
      if (space.capacity !== undefined) space.capacity = healedBytes
      member.log.fail(undefined)
      member.syncMsMax = undefined
      member.unstall()
      this.#start(member)
    }
  }

  /** Ends all faults; `leftOut` stay out of reach, each in its way. */
  heal(leftOut: readonly Member[]): void {
    const { cluster, rng } = this.#host
    this.#healed = true
    this.#calm(leftOut)
    for (const member of leftOut) {
      const how = member.alive ? rng.below(4) : 0
      this.#host.note(`* m${member.slot - 1} is left out: ${['down', 'cut off', 'stalled', 'frozen'][how]}`)
      if (how === 0 && member.alive) this.#end(member, 'power')
      if (how === 1) {
        for (const other of cluster.members)
          if (other !== member) this.#partitions.set(pair(member.id, other.id), Infinity)
        cluster.network.isolate(member.id, 1000)
      }
      if (how === 2) member.stall()
      if (how === 3) {
        member.freeze()
        // connections to it stand until somebody notices
        cluster.network.isolate(member.id, 5000)
        for (const other of cluster.members)
          if (other !== member) this.#partitions.set(pair(member.id, other.id), Infinity)
      }
    }
    cluster.network.connectAll()
  }
}

function isWholeElsewhere(cluster: Cluster, member: Member, id: BlobId): boolean {
  const index = Math.floor(id / blobsPerEntryMax)
  return cluster.members.some(other => {
    const isThere = other !== member && other.alive && other.channel.appliedIndex >= index
    return isThere && copyOf(other.log, id) === 'whole'
  })
}

function pair(a: MemberId, b: MemberId): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`
}
