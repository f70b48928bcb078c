import type { StoredEntry } from '../../../src/channel/stored-entry.js'
import type { Member } from '../../channel/support/cluster.js'
import type { Made } from './acknowledged.js'
import { check } from './violation.js'

const name = 'late-writes'

/** Messages that a process had sent when it ended may still come in. */
const underWayMs = 100
/** A member counts from when it answered its leader last, which is up to a heartbeat and a delay before it is heard last. */
const answerMs = 500

/** A write that has its place, and whom nobody had heard for longer than the lease when it began. */
interface Placed {
  readonly made: Made
  readonly silent: ReadonlyMap<Member, number>
}

/**
 * Nothing comes late (promise 5): no write takes effect after another member's that began when its session had ended. A
 * write that has returned may vanish with its session. Sessions end with their process; and, where somebody else has changed
 * the same file meanwhile, with a silence longer than the lease.
 */
export class LateWrites {
  readonly #now: () => number
  readonly #leaseMs: number
  readonly #members: () => readonly Member[]
  readonly #ends = new Map<string, number>()
  readonly #heardAt = new Map<Member, number>()
  /** When each member last heard each other. */
  readonly #pairs = new Map<string, number>()
  /** When each member was last in touch with its leader, or with a majority that it led. */
  readonly #ledAt = new Map<Member, number>()
  /** When each leader last took each other's answer. */
  readonly #answers = new Map<string, number>()
  /** Members that were silent once, and that somebody fenced. */
  readonly #wasSilent = new Set<Member>()
  readonly #mayEnd = new Set<string>()
  readonly #silentAtBegin = new Map<Made, ReadonlyMap<Member, number>>()
  /** The latest that a placed write began, by member. */
  readonly #begun = new Map<Member, number>()
  readonly #byFile = new Map<number, Placed[]>()

  constructor(now: () => number, leaseMs: number, members: () => readonly Member[]) {
    this.#now = now
    this.#leaseMs = leaseMs
    this.#members = members
  }

  /** A member's process is gone. */
  ended(member: Member, life: number): void {
    this.#ends.set(`${member.slot}/${life}`, this.#now())
  }

  /** A member has taken a message of another's. */
  heard(member: Member, by: Member): void {
    const now = this.#now()
    const pair = `${member.slot} ${by.slot}`
    const last = this.#pairs.get(pair)
    // who is not heard may be the silent one, or who does not hear
    if (last !== undefined && this.#isSilence(now - last)) for (const each of [member, by]) this.#wasSilent.add(each)
    this.#pairs.set(pair, now)
    this.#heardAt.set(member, now)
  }

  /** A member answers the one that it follows: it is in touch from its own point of view. */
  answers(member: Member): void {
    this.#inTouch(member, this.#now())
  }

  /** A member that leads has taken another's answer: it is in touch while a majority answers. */
  answered(leader: Member, by: Member): void {
    if (!leader.alive || !leader.leads) return
    this.#answers.set(`${leader.slot} ${by.slot}`, this.#now())
    const { voters } = leader.channel.configuration
    const others = this.#members().filter(each => each !== leader && voters.includes(each.id))
    const times = others.map(each => this.#answers.get(`${leader.slot} ${each.slot}`) ?? 0).sort((a, b) => b - a)
    const needed = Math.floor(voters.length / 2) + (voters.includes(leader.id) ? 0 : 1)
    if (needed > 0) this.#inTouch(leader, times[needed - 1] ?? 0)
  }

  /** Whom it had heard, and when, it does not know any more: the next word of each may come after a silence. */
  losesDisk(lost: Member): void {
    for (const member of this.#members()) {
      if (member !== lost) this.#pairs.set(`${member.slot} ${lost.slot}`, -Infinity)
    }
  }

  #inTouch(member: Member, at: number): void {
    const last = this.#ledAt.get(member) ?? 0
    if (this.#isSilence(at - last)) this.#wasSilent.add(member)
    this.#ledAt.set(member, Math.max(last, at))
  }

  /** Somebody asks that a member's session be ended, or its clock was set: it may take that for a silence. */
  sessionMayEnd(member: Member): void {
    this.#mayEnd.add(member.id)
  }

  /** No session is ended without a silence as long as the lease, or somebody who asks for it. */
  committed({ entry, operation }: StoredEntry): void {
    if (operation.kind !== 'end-session') return
    const member = this.#members().find(({ id }) => id === operation.member)!
    const isRight =
      this.#mayEnd.has(member.id) ||
      this.#wasSilent.has(member) ||
      this.#isSilence(this.silenceOf(member)) ||
      this.#isSilence(this.#now() - (this.#ledAt.get(member) ?? 0))
    check(name, isRight, () => `entry ${entry.index} ends the session of m${member.slot - 1}, which was never silent`)
  }

  /** Whether a member may take it for a silence as long as the lease. */
  #isSilence(ms: number): boolean {
    return ms > this.#leaseMs - answerMs
  }

  /** For how long nobody has heard a member, in milliseconds. */
  silenceOf(member: Member): number {
    return this.#now() - (this.#heardAt.get(member) ?? 0)
  }

  began(made: Made): void {
    const silent = new Map<Member, number>()
    for (const member of this.#members()) {
      if (member !== made.member && this.silenceOf(member) > this.#leaseMs) {
        silent.set(member, this.#heardAt.get(member) ?? 0)
      }
    }
    if (silent.size > 0) this.#silentAtBegin.set(made, silent)
  }

  /** A write takes its place; they come in the order of the log. */
  placed(made: Made, { entry, operation }: StoredEntry): void {
    const { member, life } = made
    const end = this.#ends.get(`${member.slot}/${life}`)
    for (const [other, begun] of this.#begun) {
      check(name, other === member || end === undefined || begun <= end + underWayMs, () => {
        return `entry ${entry.index} is of a run of m${member.slot - 1} that ended at ${end}, after what m${other.slot - 1} began at ${begun}`
      })
    }
    this.#begun.set(member, Math.max(this.#begun.get(member) ?? 0, made.begunAt))
    if (!('ino' in operation)) return
    const before = this.#byFile.get(operation.ino) ?? []
    for (const { made: other, silent } of before) {
      const isLate = silent.has(member) && made.answeredAt !== undefined && made.answeredAt < other.begunAt
      check(name, !isLate, () => {
        return `entry ${entry.index} was written at ${made.answeredAt} by m${member.slot - 1}, which was heard last at ${silent.get(member)}, after what m${other.member.slot - 1} began at ${other.begunAt}`
      })
    }
    const silent = this.#silentAtBegin.get(made)
    if (silent === undefined) return
    before.push({ made, silent })
    this.#byFile.set(operation.ino, before)
  }
}
