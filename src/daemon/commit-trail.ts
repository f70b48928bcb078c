/** How far the order was some seconds ago: who has that is not behind, however fast it grows. */
export class CommitTrail {
  readonly #delayMs: number
  #older: { at: number; index: number } | undefined
  #newer: { at: number; index: number } | undefined

  constructor(delayMs: number) {
    this.#delayMs = delayMs
  }

  /** `at`: a monotonic clock in milliseconds. */
  note(index: number, at: number): void {
    if (this.#newer !== undefined && at - this.#newer.at < this.#delayMs) return
    this.#older = this.#newer
    this.#newer = { at, index }
  }

  /** What was committed at least `delayMs` and at most about twice that ago; 0: not known yet. */
  get index(): number {
    return this.#older?.index ?? 0
  }
}
