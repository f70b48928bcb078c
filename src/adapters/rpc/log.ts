import { Limiter } from '../../base/limiter.js'

/** Where this adapter's remarks go; the daemon passes its logger. */
export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void

/** A log that says the same thing about the same peer at most `times` in `everyMs`; what it left out is counted. */
export class QuietLog {
  readonly #log: Log
  readonly #limiter: Limiter

  constructor(log: Log, everyMs = 60_000, times = 1) {
    this.#log = log
    this.#limiter = new Limiter(everyMs, times)
  }

  say(level: 'info' | 'warn', key: string, message: string, fields: Record<string, unknown>): void {
    const leftOut = this.#limiter.pass(key, performance.now())
    if (leftOut !== undefined) this.#log(level, message, leftOut > 0 ? { ...fields, leftOut } : fields)
  }

  warn(key: string, message: string, fields: Record<string, unknown>): void {
    this.say('warn', key, message, fields)
  }
}
