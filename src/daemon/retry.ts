import { messageOf } from '../base/errors.js'

const delayMinMs = 1000
const delayMaxMs = 60_000
/** What has held so long begins again at the shortest delay. */
const stableMs = 60_000

/** Tries something again until it succeeds, after 1, 2, 4 … 60 seconds. */
export class Retry {
  readonly #attempt: () => Promise<void>
  readonly #failed: (reason: string) => void
  #tries = 0
  #timer: NodeJS.Timeout | undefined
  #next: Date | undefined
  #succeededAt: number | undefined
  #running: Promise<void> = Promise.resolve()
  #closed = false

  /** `failed` is told why an attempt came to nothing; another one follows. */
  constructor(attempt: () => Promise<void>, failed: (reason: string) => void) {
    this.#attempt = attempt
    this.#failed = failed
  }

  /** When it is tried next; undefined: it is being tried, or needs not be. */
  get next(): Date | undefined {
    return this.#next
  }

  /** From now on it is tried. Harmless when it is already. */
  begin(): void {
    if (this.#closed || this.#timer !== undefined) return
    if (this.#succeededAt !== undefined && performance.now() - this.#succeededAt > stableMs) this.#tries = 0
    this.#succeededAt = undefined
    const delayMs = Math.min(delayMaxMs, delayMinMs * 2 ** this.#tries++)
    this.#next = new Date(Date.now() + delayMs)
    this.#timer = setTimeout(() => (this.#running = this.#try()), delayMs)
  }

  async #try(): Promise<void> {
    this.#next = undefined
    try {
      await this.#attempt()
      this.#timer = undefined
      this.#succeededAt = performance.now()
    } catch (error) {
      this.#timer = undefined
      if (this.#closed) return
      this.#failed(messageOf(error))
      this.begin()
    }
  }

  /** Nothing is tried any more once this resolves. */
  async close(): Promise<void> {
    this.#closed = true
    this.#next = undefined
    clearTimeout(this.#timer)
    await this.#running
  }
}
