import type { Progress } from '../daemon/control-protocol.js'
import { bytes, printable } from './output.js'

const BAR_CHARS = 24
/** Redrawn no more often than this. */
const INTERVAL_MS = 100

/** A progress bar on a terminal; elsewhere it writes nothing. */
export class ProgressBar {
  readonly #stream: NodeJS.WriteStream
  #drawn = false
  #drawnAt = 0
  #latest: Progress | undefined

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream
  }

  readonly update = (progress: Progress): void => {
    if (!this.#stream.isTTY) return
    this.#latest = progress
    const now = performance.now()
    if (this.#drawn && now - this.#drawnAt < INTERVAL_MS) return
    this.#draw(progress)
    this.#drawnAt = now
  }

  /** Leaves the last state on its line, so that what follows starts on a new one. */
  end(): void {
    if (!this.#drawn) return
    if (this.#latest !== undefined) this.#draw(this.#latest)
    this.#stream.write('\n')
    this.#drawn = false
  }

  #draw(progress: Progress): void {
    const width = (this.#stream.columns ?? 80) - 1
    this.#stream.write(`\r\x1b[K${formatProgress(progress).slice(0, width)}`)
    this.#drawn = true
  }
}

export function formatProgress(progress: Progress): string {
  const amount = (n: number): string => (progress.unit === 'bytes' ? bytes(n) : String(n))
  const unit = progress.unit === 'bytes' ? '' : ` ${progress.unit}`
  const what = printable(progress.what)
  if (progress.total <= 0) return progress.done > 0 ? `${what}: ${amount(progress.done)}${unit}` : what
  const part = Math.min(1, Math.max(0, progress.done / progress.total))
  const filled = Math.round(part * BAR_CHARS)
  const bar = '#'.repeat(filled) + '-'.repeat(BAR_CHARS - filled)
  return `${what} [${bar}] ${Math.floor(part * 100)}%  ${amount(progress.done)} of ${amount(progress.total)}${unit}`
}
