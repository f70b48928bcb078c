import type { MemberId } from '../../../src/base/ids.js'
import { check } from './violation.js'

/** Election safety (Raft §5.2): one leader a term. */
export class Leaders {
  readonly #leaders = new Map<number, MemberId>()

  get terms(): number {
    return this.#leaders.size
  }

  wasLed(term: number): boolean {
    return this.#leaders.has(term)
  }

  /** A member leads, or speaks as the leader of a term. */
  leads(member: MemberId, term: number): void {
    const known = this.#leaders.get(term)
    check('leaders', known === undefined || known === member, () => `${known} and ${member} lead term ${term}`)
    this.#leaders.set(term, member)
  }
}
