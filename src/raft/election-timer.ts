import type { MemberId } from '../base/ids.js'
import { Rng } from '../base/rng.js'

/** How many election timeouts bytes of any kind may stand in for a word of the leader's own, or of a follower's. */
export const bytesHoldTimeouts = 3

/** Ticks until a member stands for election: uniformly between one and two election timeouts (Raft §5.2). */
export class ElectionTimer {
  readonly #leastTicks: number
  readonly #rng: Rng
  #elapsed = 0
  #timeout = 0
  /** Ticks since the leader's last message of this protocol. */
  #silence = 0

  /** The seed is mixed with the id, so that members started with one seed do not stand all at once. */
  constructor(electionTimeoutTicks: number, seed: number, id: MemberId) {
    this.#leastTicks = electionTimeoutTicks
    let mixed = seed
    for (const char of id) mixed = Math.imul(mixed ^ char.codePointAt(0)!, 0x01000193)
    this.#rng = new Rng(mixed)
    this.reset()
  }

  tick(): void {
    this.#elapsed++
    this.#silence++
  }

  /** A new term, leader, vote or election of one's own. */
  reset(): void {
    this.#elapsed = 0
    this.#silence = 0
    this.#timeout = this.#leastTicks + this.#rng.below(this.#leastTicks)
  }

  leaderSpoke(): void {
    this.#elapsed = 0
    this.#silence = 0
  }

  /** A leader busy with a long transfer is alive. One that became a follower is alive as well: hence the bound. */
  leaderSentBytes(): void {
    if (this.#silence < bytesHoldTimeouts * this.#leastTicks) this.#elapsed = 0
  }

  get silence(): number {
    return this.#silence
  }

  get expired(): boolean {
    return this.#elapsed >= this.#timeout
  }

  /** Less than the least election timeout has passed: a leader that was heard then is taken to be alive (thesis §4.2.3). */
  get inLease(): boolean {
    return this.#elapsed < this.#leastTicks
  }
}
