/** Where this adapter's remarks go; the daemon passes its logger. */
export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void

/** A log that says the same thing about the same peer at most once per `everyMs`. */
export class QuietLog {
  readonly #log: Log
  readonly #everyMs: number
  readonly #last = new Map<string, number>()

  constructor(log: Log, everyMs = 60_000) {
    this.#log = log
    this.#everyMs = everyMs
  }

  warn(key: string, message: string, fields: Record<string, unknown>): void {
    const now = performance.now()
    if (now - (this.#last.get(key) ?? -Infinity) < this.#everyMs) return
    if (this.#last.size >= 1000) this.#last.clear() // keys come from the network: a bound, and no more than that
    this.#last.set(key, now)
    this.#log('warn', message, fields)
  }
}
