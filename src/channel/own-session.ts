import { assert } from '../base/assert.js'
import type { Session } from '../fs/records.js'
import type { Proposal } from '../oplog/entry.js'

/**
 * This member's session: its changes bear the session's number, and have their place in the order only while it is open.
 * Each run of the process opens one before it takes a change from a program, and another one when that has ended. So what
 * an earlier run left behind never has a place after the first change of a later one.
 *
 * INVARIANT: `open` only when the `open-session` entry of this very run is part of the applied state.
 */
export class OwnSession {
  /** The number with which this run began: no session of a run before it has a higher one, as far as is known here. */
  readonly run: number
  #number: number
  #state: 'none' | 'opening' | 'open' = 'none'
  #opening: Proposal | undefined

  constructor(run: number) {
    this.run = run
    this.#number = run
  }

  /** Of the session that is open, or will be opened. */
  get number(): number {
    return this.#number
  }
  get isOpen(): boolean {
    return this.#state === 'open'
  }
  get mayOpen(): boolean {
    return this.#state === 'none'
  }

  opening(proposal: Proposal): void {
    assert(this.#state === 'none', 'a session is opened twice')
    this.#state = 'opening'
    this.#opening = proposal
  }

  /** Whether an `open-session` entry is the one that this run asked for, and not one of another process of this name. */
  isMine({ session, sequence, time }: Pick<Proposal, 'session' | 'sequence' | 'time'>): boolean {
    const mine = this.#opening
    return mine !== undefined && session === mine.session && sequence === mine.sequence && time === mine.time
  }

  opened(): void {
    this.#state = 'open'
    this.#opening = undefined
  }

  /** A state from elsewhere may contain what this run has asked for. */
  maybeOpenedIn(last: Session | undefined): void {
    const mine = this.#opening
    if (mine === undefined || last === undefined || last.ended) return
    if (last.session === mine.session && last.sequence === mine.sequence) this.opened()
  }

  /** Whether the session that is open, or asked for, can be no more. `last`: what the applied state says of this member. */
  isOver(last: Session | undefined): boolean {
    if (last === undefined || this.#state === 'none') return false
    if (this.#state === 'opening') return last.session >= this.#number
    return last.session !== this.#number || last.ended === true
  }

  /** The next one gets a number above all that the applied state, or the log (`last`), knows of. */
  over(last: Session | undefined): void {
    this.#state = 'none'
    this.#opening = undefined
    this.#number = Math.max(this.#number, last?.session ?? 0) + 1
  }
}
