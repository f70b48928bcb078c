import type { MemberId } from '../base/ids.js'
import { majority, quorumValue } from './quorum.js'
import type { State } from './state.js'

/** Terms by which words that no majority bears out may move a member, in an election timeout. */
export const termsPerTimeout = 1024

/** What a member said counts as what it would say now for so many election timeouts. */
const freshTimeouts = 2
/** So many election timeouts a member is in a later term than its leader before that one does something about it. */
const shutOutTimeouts = 2

interface Shown {
  readonly term: number
  /** Whom it follows, or has voted for, in that term, if it said so. */
  readonly leader: MemberId | undefined
  /** The tick when it said it. */
  at: number
  /** Since this tick it has been in later terms than this member; undefined: it is not. */
  readonly aheadSince: number | undefined
}

/**
 * The terms that the members say to be in, and what follows from that. One member's word is no proof: it may lie, or be
 * wrong since long ago. In what a majority of the voters says, at least one is honest.
 */
export class Terms<D> {
  readonly #state: State<D>
  readonly #shown = new Map<MemberId, Shown>()
  #allowance = termsPerTimeout

  constructor(state: State<D>) {
    this.#state = state
  }

  tick(): void {
    const { electionTimeoutTicks } = this.#state.options
    this.#allowance = Math.min(termsPerTimeout, this.#allowance + termsPerTimeout / electionTimeoutTicks)
  }

  /** Terms by which this member may rise now without a majority's word. */
  get allowance(): number {
    return Math.floor(this.#allowance)
  }

  /** Whether so many are left, which are then spent. */
  spend(terms: number): boolean {
    if (terms > this.#allowance) return false
    this.#allowance -= terms
    return true
  }

  /** A member says which term it is in, and perhaps who leads it. */
  show(member: MemberId, term: number, leader?: MemberId): void {
    const known = this.#shown.get(member)
    const members = known === undefined ? this.#state.configurations.members() : undefined
    if (members?.has(member) === false) return
    if (members !== undefined) for (const id of this.#shown.keys()) if (!members.has(id)) this.#shown.delete(id)
    const { now, term: own } = this.#state
    const told = leader ?? (known?.term === term ? known.leader : undefined)
    const before = known !== undefined && known.term > own ? known.aheadSince : undefined
    const aheadSince = term > own ? (before ?? now) : undefined
    // with each message: one that says the same again only says it later
    if (known !== undefined && known.term === term && known.leader === told && known.aheadSince === aheadSince)
      known.at = now
    else this.#shown.set(member, { term, leader: told, at: now, aheadSince })
  }

  /** Whether a member has said nothing for an election timeout but that it is in a later term. */
  isAhead(member: MemberId): boolean {
    const { term, now, options } = this.#state
    const shown = this.#shown.get(member)
    if (shown?.aheadSince === undefined || shown.term <= term) return false
    return now - shown.aheadSince >= options.electionTimeoutTicks
  }

  /** The term that a majority of the voters has reached, this member among them if it votes. */
  get ofMajority(): number {
    const { id, term, configurations } = this.#state
    const termOf = (voter: MemberId): number => (voter === id ? term : (this.#shown.get(voter)?.term ?? 0))
    return Math.max(...configurations.voters.map(voters => quorumValue(voters, termOf)))
  }

  /** Whether a majority of the voters says that the member leads the present term. */
  confirm(leader: MemberId): boolean {
    const { id, term, vote, configurations } = this.#state
    const says = (voter: MemberId): boolean => {
      if (voter === id) return vote === leader
      const shown = this.#shown.get(voter)
      return shown?.term === term && (voter === leader || shown.leader === leader)
    }
    return configurations.voters.some(voters => voters.filter(says).length >= majority(voters.length))
  }

  #isFresh({ at }: Shown): boolean {
    const { now, options } = this.#state
    return now - at <= freshTimeouts * options.electionTimeoutTicks
  }

  /** The latest term that a single member claims to be in. */
  get claimed(): number {
    let latest = 0
    for (const shown of this.#shown.values()) if (this.#isFresh(shown)) latest = Math.max(latest, shown.term)
    return latest
  }

  /** The latest term of a member that has long been in a later one than this, as far as may be gone to; else undefined. */
  get ofShutOut(): number | undefined {
    const { now, term, options } = this.#state
    let latest: number | undefined
    for (const shown of this.#shown.values()) {
      const { aheadSince } = shown
      if (shown.term <= term || !this.#isFresh(shown) || aheadSince === undefined) continue
      if (now - aheadSince < shutOutTimeouts * options.electionTimeoutTicks) continue
      if (shown.term + 1 - term <= this.#allowance) latest = Math.max(latest ?? 0, shown.term)
    }
    return latest
  }

  /**
   * The term that the other voters have not gone beyond: a majority of all, or every one of them, says so now. No leader was
   * ever chosen in a later one (Raft §5.2): that takes a majority whose terms are later since. Undefined: it is not known.
   */
  get ofOthers(): number | undefined {
    const { id, voters } = this.#state
    const others = voters.filter(voter => voter !== id)
    const needed = Math.min(majority(voters.length), others.length)
    const terms = others.flatMap(voter => {
      const shown = this.#shown.get(voter)
      return shown !== undefined && this.#isFresh(shown) ? [shown.term] : []
    })
    return terms.sort((a, b) => a - b)[needed - 1]
  }
}
