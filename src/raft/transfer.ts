import type { MemberId } from '../base/ids.js'

/** Leadership on its way to another voter (thesis §3.10): the target is told once it has the whole log. */
export class Transfer {
  readonly to: MemberId
  told = false
  #ticks = 0

  constructor(to: MemberId) {
    this.to = to
  }

  /** Whether it took longer than an election timeout: the target is then taken to be unable, and proposals go on. */
  tick(electionTimeoutTicks: number): boolean {
    return ++this.#ticks >= electionTimeoutTicks
  }
}
