import { acknowledgedBytesMin, acknowledgeMs } from './tuning.js'

/** What has come over a stream, told to the sender: much of it at the end of the turn, little after a moment. */
export class Receipts {
  readonly #tell: (bytes: number) => void
  #bytes = 0
  #told = 0
  #soon: NodeJS.Immediate | undefined
  #later: NodeJS.Timeout | undefined

  /** `tell`: all bytes that have come so far. */
  constructor(tell: (bytes: number) => void) {
    this.#tell = tell
  }

  add(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes - this.#told >= acknowledgedBytesMin) this.#soon ??= setImmediate(this.#now)
    else this.#later ??= setTimeout(this.#now, acknowledgeMs)
  }

  readonly #now = (): void => {
    this.close()
    if (this.#bytes === this.#told) return
    this.#told = this.#bytes
    this.#tell(this.#bytes)
  }

  /** Tells nothing more of what has come until now. */
  close(): void {
    clearImmediate(this.#soon)
    clearTimeout(this.#later)
    this.#soon = undefined
    this.#later = undefined
  }
}
