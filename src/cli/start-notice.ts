import { hint, printable } from './output.js'

/** Redrawn so often on a terminal. */
const redrawMs = 1000
/** Elsewhere a line after so many seconds each. */
const linesAfter = [5, 15, 60]

/** Says that a node is being started, at once, and after a second how long it takes and what it does. */
export class StartNotice {
  readonly #stream: NodeJS.WriteStream
  readonly #doing: () => string | undefined
  readonly #begun = performance.now()
  readonly #timer: NodeJS.Timeout
  #drawn = false
  #lines = 0

  /** `doing`: what the node says that it does. */
  constructor(doing: () => string | undefined, stream: NodeJS.WriteStream = process.stderr) {
    this.#doing = doing
    this.#stream = stream
    if (stream.isTTY) stream.write('starting the node…')
    else hint('starting the node…')
    this.#timer = setInterval(() => this.#tell(), redrawMs)
  }

  #tell(): void {
    const seconds = Math.round((performance.now() - this.#begun) / 1000)
    const doing = this.#doing()
    const words = `starting the node… ${seconds} s${doing === undefined ? '' : `: ${printable(doing)}`}`
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[K${words.slice(0, (this.#stream.columns ?? 80) - 1)}`)
      this.#drawn = true
    } else if (seconds >= (linesAfter[this.#lines] ?? Infinity)) {
      this.#lines++
      hint(words)
    }
  }

  /** What follows begins on a line of its own. */
  end(): void {
    clearInterval(this.#timer)
    if (!this.#stream.isTTY) return
    if (this.#drawn) this.#tell()
    this.#stream.write('\n')
  }
}
