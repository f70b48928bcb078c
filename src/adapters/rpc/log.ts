/** Where this adapter's remarks go; the daemon passes its logger. */
export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void

/** A log that says the same thing about the same peer at most `times` in `everyMs`; what it left out is counted. */
export class QuietLog {
  readonly #log: Log
  readonly #everyMs: number
  readonly #times: number
  readonly #said = new Map<string, { since: number; count: number }>()

  constructor(log: Log, everyMs = 60_000, times = 1) {
    this.#log = log
    this.#everyMs = everyMs
    this.#times = times
  }

  say(level: 'info' | 'warn', key: string, message: string, fields: Record<string, unknown>): void {
    const now = performance.now()
    const known = this.#said.get(key)
    if (known !== undefined && now - known.since < this.#everyMs) {
      if (++known.count <= this.#times) this.#log(level, message, fields)
      return
    }
    if (this.#said.size >= 1000) this.#said.clear() // keys come from the network: a bound, and no more than that
    this.#said.set(key, { since: now, count: 1 })
    const leftOut = Math.max(0, (known?.count ?? 0) - this.#times)
    this.#log(level, message, leftOut > 0 ? { ...fields, leftOut } : fields)
  }

  warn(key: string, message: string, fields: Record<string, unknown>): void {
    this.say('warn', key, message, fields)
  }
}
