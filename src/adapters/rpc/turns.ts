import { RkfsError } from '../../base/errors.js'

/** One piece of work at a time, in the order in which they came, and so many that wait. */
export class Turns {
  readonly #waitingMax: number
  #last: Promise<unknown> = Promise.resolve()
  #count = 0

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax
  }

  /** Throws `busy` when too many wait. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#count > this.#waitingMax) throw new RkfsError('busy', 'too many nodes ask to be admitted: try again')
    this.#count++
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined)
    try {
      return await result
    } finally {
      this.#count--
    }
  }
}
