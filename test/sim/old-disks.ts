import type { Rng } from '../../src/base/rng.js'
import { decodeDescriptor } from '../../src/channel/descriptor.js'
import { nodeHasher } from '../../src/adapters/host/hasher.js'
import { membersDescriptor } from '../../src/fs/apply.js'
import { TableView } from '../../src/fs/table-view.js'
import type { Cluster, Member } from '../channel/support/cluster.js'
import type { SimStateStore } from '../channel/support/sim-stores.js'
import { allFollow } from './calm.js'
import { check } from './checkers/violation.js'

/** What came back must be whole again within so long. */
const recoverMsMax = 60_000
const awaitMsMax = 15_000
const lookMs = 100
/** For how long it is waited until others know what a leader has on its disk, and how often that is looked at. */
const toldMsMax = 5000
const toldLookMs = 5
/** What a clock is ahead after a disk was put back: time went on meanwhile. */
const clockMs = 7_200_000

export type DiskFault = 'old-disk' | 'no-disk' | 'copied-disk'

export interface OldDiskHost {
  readonly cluster: Cluster
  readonly rng: Rng
  note(text: string): void
  /** Ends a member's process; what it has not on a majority is lost with its disk. */
  end(member: Member, how: 'power' | 'kill' | 'stop'): void
  start(member: Member): void
  /** Before its disk is put back or lost. */
  losesDisk(member: Member): void
  /** Whether all members may reach each other. */
  isCalm(): boolean
  happened(kind: DiskFault): void
  isGone(member: Member): boolean
  /** These reach nobody, all others everybody. */
  cutOff(members: readonly Member[]): void
  /** Ends what else is wrong. */
  calm(): void
}

/**
 * A voter comes back with an older copy of its disk, down to a single transaction less, or with none; often when a minority
 * was away, so that it and they alone could choose a leader that lacks what was acknowledged. Once in a run, where the
 * members follow one leader and nothing else is wrong; until it has caught up nothing else goes wrong either: who
 * remembers what it said must be there to say so (README, the guarantees).
 *
 * A copied disk: an older copy runs in the place of the first, which comes back when the copy has caught up and its programs
 * have worked with it for a while. Of two that run at once the transport lets one in (`adapters/rpc/second-run`).
 *
 * Checked: it says that it is behind and does not count before it has all again; a leader says so, by name; then it
 * votes and counts like any other.
 */
export class OldDisks {
  readonly #host: OldDiskHost
  #isDone = false
  #isAwaited = false
  #back: Member | undefined

  constructor(host: OldDiskHost) {
    this.#host = host
  }

  get happened(): boolean {
    return this.#isDone
  }

  /** Something came back and has not caught up: nothing else may go wrong. */
  get busy(): boolean {
    return this.#back !== undefined || this.#isAwaited
  }

  /** Its process may end at any moment, or has ended. */
  get isReturning(): boolean {
    return this.#back !== undefined
  }

  /** As soon as the members follow one leader; not at all if that takes too long. */
  await(kind: DiskFault): void {
    if (this.#isDone || this.#isAwaited) return
    const { cluster, rng, isCalm, happened } = this.#host
    const end = cluster.clock.now + awaitMsMax
    this.#isAwaited = true
    const chosen = kind === 'old-disk' && rng.below(3) === 0 ? 'copied-disk' : kind
    this.#host.calm()
    const look = (): void => {
      if (isCalm() && this.#putBack(chosen)) happened(chosen)
      else if (cluster.clock.now < end) return cluster.clock.after(lookMs, look)
      this.#isAwaited = false
    }
    look()
  }

  #putBack(kind: DiskFault): boolean {
    const { cluster, rng } = this.#host
    const leader = cluster.alive.find(({ leads }) => leads)
    if (leader === undefined || !allFollow(cluster, leader, this.#host.isGone)) return false
    // who has not heard yet that it has a vote helps nobody
    const voters = cluster.alive.filter(({ id, channel }) =>
      [leader.channel, channel].every(({ configuration }) => configuration.voters.includes(id)),
    )
    const member = voters[rng.below(voters.length)]!
    if (voters.length < 2) return false
    // who came later is not named by what a home holds beside its log
    if (kind === 'no-disk' && !cluster.descriptor.members.some(({ id }) => id === member.id)) return false
    this.#isDone = true
    this.#back = member
    const others = voters.filter(voter => voter !== member)
    const isTogether = rng.below(3) > 0
    const behind: Member[] = []
    while (isTogether && behind.length < Math.floor((voters.length - 1) / 2)) {
      behind.push(...others.splice(rng.below(others.length), 1))
    }
    this.#host.cutOff(behind)
    cluster.clock.after(behind.length === 0 ? 0 : 300 + rng.below(1500), () => {
      this.#loseWhenTold(kind, member, isTogether ? others : [], cluster.clock.now + toldMsMax)
    })
    return true
  }

  /**
   * A leader commits as soon as its own disk has an entry, and the others hear only then that it has. Until they do, they
   * cannot tell its old disk from one that a loss of power cut short, and may follow it without the entry (README).
   */
  #loseWhenTold(kind: DiskFault, member: Member, others: readonly Member[], end: number): void {
    const { cluster, isGone, note } = this.#host
    if (!isGone(member) && kind !== 'no-disk' && member.leads && !this.#isTold(member)) {
      if (cluster.clock.now < end) {
        return cluster.clock.after(toldLookMs, () => this.#loseWhenTold(kind, member, others, end))
      }
      note(`* nobody knows what m${member.slot - 1} has, and it keeps its disk`)
      this.#host.cutOff([])
      this.#back = undefined
    } else if (isGone(member)) this.#back = undefined
    else this.#lose(kind, member, others)
  }

  #isTold(leader: Member): boolean {
    const { commitIndex } = leader.channel
    return this.#host.cluster.alive.some(({ channel }) => channel.pledgeOf(leader.id).index >= commitIndex)
  }

  /** `others`: who knows what it acknowledged; they start at the same time, in order, and have forgotten nothing. */
  #lose(kind: DiskFault, member: Member, others: readonly Member[]): void {
    const { cluster, rng, note, isGone } = this.#host
    const { commitIndex } = member.channel
    for (const other of others) if (other.alive) this.#host.end(other, 'stop')
    this.#host.losesDisk(member)
    this.#host.end(member, rng.below(2) === 0 ? 'power' : 'kill')
    let first = kind === 'copied-disk' ? member.setAside() : undefined
    if (kind === 'no-disk') member.loseDisk()
    else if (!member.putBack([1, 1, 2, 5, 20, 100, 1000][rng.below(7)]!, hasOtherVoter)) {
      note(`* m${member.slot - 1} has no older disk`)
      first = undefined
    }
    member.wallSkewMs += clockMs
    const ms = others.length > 0 ? 0 : [0, 200, 3000][rng.below(3)]!
    note(`* m${member.slot - 1} gets ${kind} and comes back in ${ms} ms`)
    cluster.clock.after(ms, () => {
      this.#host.cutOff([])
      for (const started of [...others, member]) this.#host.start(started)
      const comesBack = (): void => {
        if (first === undefined || isGone(member)) return void (this.#back = undefined)
        cluster.clock.after(rng.below(4000), () => this.#comeBack(member, first))
      }
      this.#watch(member, commitIndex, cluster.clock.now + recoverMsMax, comesBack)
    })
  }

  /** The first disk takes the place of its copy again. */
  #comeBack(member: Member, first: () => void): void {
    const { cluster, note, isGone } = this.#host
    if (isGone(member)) return void (this.#back = undefined)
    const leader = cluster.alive.find(({ leads }) => leads)
    const last = leader?.channel.commitIndex ?? 0
    if (member.alive) {
      this.#host.losesDisk(member)
      this.#host.end(member, 'kill')
    }
    first()
    note(`* the first disk of m${member.slot - 1} is back`)
    this.#host.start(member)
    this.#watch(member, last, cluster.clock.now + recoverMsMax, () => (this.#back = undefined))
  }

  #watch(member: Member, last: number, end: number, done: () => void): void {
    const { cluster, note, isGone } = this.#host
    if (isGone(member)) return void (this.#back = undefined)
    if (!member.alive) return cluster.clock.after(lookMs, () => this.#watch(member, last, end, done))
    const { channel } = member
    const { recovering } = channel
    if (recovering === undefined && channel.commitIndex >= last && cluster.alive.some(({ leads }) => leads)) {
      note(`* m${member.slot - 1} has caught up`)
      return done()
    }
    check('old-disk', cluster.clock.now < end, () => `m${member.slot - 1} does not catch up: ${recovering}`)
    cluster.clock.after(lookMs, () => this.#watch(member, last, end, done))
  }
}

/** From before another had a vote, a member decides alone at once: nothing on its disk tells it to ask anybody (README). */
function hasOtherVoter(state: SimStateStore): boolean {
  const { members } = decodeDescriptor(membersDescriptor(new TableView(state, nodeHasher))!)
  return members.filter(member => member.state === 'voter').length > 1
}
