import type { State } from './state.js'
import { termsPerTimeout } from './terms.js'

/** So many election timeouts on end the others must say that they are in earlier terms: what was begun before has ended. */
const descentTimeouts = 3

/**
 * A member in a term that no majority is anywhere near got there by a fault, or was led there by one that lies: no leader was
 * ever chosen in it, or in any after the majority's. It could not be followed up there; so it goes back. Votes that it gave
 * on its way have come to nothing: for all of the time it gives no other, and whoever asked for them has given up by then.
 * What others remember of it from there is as void.
 */
export class Descent<D> {
  readonly #state: State<D>
  /** Since which tick its own term has been denied, and the one that it is said to have spoken in. */
  #ownSince: number | undefined
  #pledgedSince: number | undefined

  constructor(state: State<D>) {
    this.#state = state
  }

  /** This member has no say: its term is far from all others. */
  get isUnderWay(): boolean {
    return this.#ownSince !== undefined
  }

  /** That it spoke in the term that it is said to have pledged is denied. */
  get isPledgeDenied(): boolean {
    return this.#hasLasted(this.#pledgedSince)
  }

  /** Whether a term is so far beyond another that a leader there cannot be elected anew after it (`Terms.ofShutOut`). */
  static isFar(term: number, from: number): boolean {
    return term + 1 - from > termsPerTimeout
  }

  #hasLasted(since: number | undefined): boolean {
    const { now, options } = this.#state
    return since !== undefined && now - since >= descentTimeouts * options.electionTimeoutTicks
  }

  /** Once a tick. Answers the term to go back to, when it is time. */
  tick(): number | undefined {
    const { now, terms, term, recovery, log, commitIndex } = this.#state
    const others = terms.ofOthers
    const isDenied = (claimed: number): boolean => others !== undefined && Descent.isFar(claimed, others)
    const pledged = recovery?.pledge.term ?? 0
    this.#pledgedSince = isDenied(pledged) ? (this.#pledgedSince ?? now) : undefined
    // what is committed was so by a leader of its term
    const isOwnDenied = isDenied(term) && (log.term(commitIndex) ?? 0) <= others!
    this.#ownSince = isOwnDenied ? (this.#ownSince ?? now) : undefined
    return this.#hasLasted(this.#ownSince) ? others : undefined
  }
}
