import type { MemberId } from '../base/ids.js'
import { tally, type Tally } from './quorum.js'

/** One round of asking for votes. */
export class Election {
  readonly kind: 'pre-vote' | 'vote'
  readonly #votes = new Map<MemberId, boolean>()
  /** Who refused only because it lacks what it acknowledged. */
  readonly #recovering = new Set<MemberId>()
  readonly #asked = new Set<MemberId>()
  #isAskedAgain = false

  constructor(kind: 'pre-vote' | 'vote') {
    this.kind = kind
  }

  /** Whether a member is to be asked: once. */
  ask(member: MemberId): boolean {
    if (this.#asked.has(member)) return false
    this.#asked.add(member)
    return true
  }

  /** A voter's first answer counts: what comes again is a duplicate, but for that of one that was asked again. */
  record(from: MemberId, granted: boolean, recovering: boolean): void {
    if (this.#votes.has(from)) return
    if (!granted && recovering) this.#recovering.add(from)
    else this.#votes.set(from, granted)
  }

  result(voters: readonly MemberId[]): Tally {
    return tally(voters, this.#votes)
  }

  /** The only one that lacks what it acknowledged; undefined: none does, or several. */
  get recovering(): MemberId | undefined {
    const [one, other] = [...this.#recovering].filter(member => this.#votes.get(member) !== true)
    return other === undefined ? one : undefined
  }

  /** Whether the one that recovers is to be asked again, once: all of the others have chosen this candidate. */
  mayAskAgain(members: ReadonlySet<MemberId>): boolean {
    const { recovering } = this
    if (recovering === undefined || this.#isAskedAgain) return false
    for (const member of members) if (member !== recovering && this.#votes.get(member) !== true) return false
    return (this.#isAskedAgain = true)
  }
}
