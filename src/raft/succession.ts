import type { MemberId } from '../base/ids.js'
import type { RaftMessage } from './types.js'

type VoteRequest = Extract<RaftMessage<unknown>, { kind: 'vote' | 'pre-vote' }>

interface Held {
  readonly from: MemberId
  readonly request: VoteRequest
  readonly at: number
}

/**
 * Whom this member's leader has told to stand: the vote of that one alone comes before the lease (thesis §4.2.3). The
 * leader says so to all voters; the one's request may come first, and waits for that.
 */
export class Succession {
  readonly #ticks: number
  #named: { readonly member: MemberId; readonly at: number } | undefined
  #held: Held | undefined

  /** `ticks`: for so long what was said, and what came too early, stands. */
  constructor(ticks: number) {
    this.#ticks = ticks
  }

  /** A new term: nobody is named in it. */
  clear(): void {
    this.#named = undefined
    this.#held = undefined
  }

  /** Answers that one's request if it came too early. */
  name(member: MemberId, now: number): VoteRequest | undefined {
    this.#named = { member, at: now }
    const held = this.#held
    this.#held = undefined
    return held?.from === member && now - held.at < this.#ticks ? held.request : undefined
  }

  isNamed(member: MemberId, now: number): boolean {
    return this.#named?.member === member && now - this.#named.at < this.#ticks
  }

  hold(from: MemberId, request: VoteRequest, now: number): void {
    this.#held = { from, request, at: now }
  }
}
