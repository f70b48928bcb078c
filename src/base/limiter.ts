/** Keys come from the network: a bound, and no more than that. */
const keysMax = 1000

/** Lets the same be said so many times in a while, and counts what was left out. */
export class Limiter {
  readonly #everyMs: number
  readonly #times: number
  readonly #said = new Map<string, { since: number; count: number }>()

  constructor(everyMs: number, times: number) {
    this.#everyMs = everyMs
    this.#times = times
  }

  /** Undefined when it is not to be said now; else how often that was so in the while before. `nowMs`: any monotonic clock. */
  pass(key: string, nowMs: number): number | undefined {
    const known = this.#said.get(key)
    if (known !== undefined && nowMs - known.since < this.#everyMs) {
      return ++known.count <= this.#times ? 0 : undefined
    }
    if (this.#said.size >= keysMax) this.#said.clear()
    this.#said.set(key, { since: nowMs, count: 1 })
    return Math.max(0, (known?.count ?? 0) - this.#times)
  }
}
