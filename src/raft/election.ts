import type { MemberId } from '../base/ids.js'
import { tally, type Tally } from './quorum.js'

/** One round of asking for votes. */
export class Election {
  readonly kind: 'pre-vote' | 'vote'
  readonly #votes = new Map<MemberId, boolean>()

  constructor(kind: 'pre-vote' | 'vote') {
    this.kind = kind
  }

  /** A voter's first answer counts: what comes again is a duplicate. */
  record(from: MemberId, granted: boolean): void {
    if (!this.#votes.has(from)) this.#votes.set(from, granted)
  }

  result(voters: readonly MemberId[]): Tally {
    return tally(voters, this.#votes)
  }
}
