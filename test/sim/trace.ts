import { createHash } from 'node:crypto'

/** What happened in a run: a digest of all of it, and the last events for people. */
export class Trace {
  readonly #now: () => number
  readonly #kept: number
  readonly #hash = createHash('sha256')
  readonly #recent: string[] = []
  #events = 0

  constructor(now: () => number, kept: number) {
    this.#now = now
    this.#kept = kept
  }

  /** An event that is worth to be shown. */
  note(text: string): void {
    const line = `${String(this.#now()).padStart(7)} ms  ${text}`
    this.count(text)
    this.#recent.push(line)
    if (this.#recent.length > this.#kept) this.#recent.shift()
  }

  /** One that only the digest holds. */
  count(text: string): void {
    this.#events++
    this.#hash.update(`${this.#now()} ${text}\n`)
  }

  get events(): number {
    return this.#events
  }
  get recent(): readonly string[] {
    return this.#recent
  }

  /** Hexadecimal; the trace ends with it. */
  digest(): string {
    return this.#hash.digest('hex').slice(0, 32)
  }
}
