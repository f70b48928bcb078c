import type { MemberId } from '../../../src/base/ids.js'
import type { HardState } from '../../../src/raft/types.js'
import { check } from './violation.js'

/** A member votes once a term (Raft §5.2), whatever happened to its process, and what it says stands on its disk by then. */
export class Votes {
  readonly #votes = new Map<string, MemberId>()

  get count(): number {
    return this.#votes.size
  }

  /** A vote leaves a member. `stored`: the disk's term and vote. */
  cast(voter: MemberId, term: number, candidate: MemberId, stored: HardState): void {
    const key = `${voter}/${term}`
    const before = this.#votes.get(key)
    check('votes', before === undefined || before === candidate, () => {
      return `${voter} votes for ${before} and for ${candidate} in term ${term}`
    })
    this.#votes.set(key, candidate)
    check('votes', stored.term > term || (stored.term === term && stored.vote === candidate), () => {
      return `${voter} votes for ${candidate} in term ${term}, its disk has ${stored.vote} in term ${stored.term}`
    })
  }

  /**
   * A member's disk is lost or put back, and with it a vote of which nobody may have heard: for itself, say. Only in a term
   * that somebody came to lead with it must it not vote again.
   */
  losesDisk(voter: MemberId, wasLed: (term: number) => boolean): void {
    for (const key of this.#votes.keys()) {
      const [id, term] = key.split('/')
      if (id === voter && !wasLed(Number(term))) this.#votes.delete(key)
    }
  }

  /** A message carries the sender's term: that is promised, too. */
  speaks(member: MemberId, term: number, stored: HardState): void {
    check('votes', term <= stored.term, () => `${member} speaks of term ${term}, its disk has term ${stored.term}`)
  }
}
