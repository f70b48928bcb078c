import { MiB } from '../base/limits.js'

/** The longest line on the control socket, in bytes. */
export const controlLineBytesMax = MiB

/** Cuts a stream of bytes into lines. Answers `too-long` once a line exceeds its bound; the connection is then to be closed. */
export class LineReader {
  readonly #bytesMax: number
  #parts: Buffer[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The lines that these bytes complete, without their newline. */
  push(chunk: Buffer): string[] | 'too-long' {
    const lines: string[] = []
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#take(chunk.subarray(start, end))
      if (this.#bytes > this.#bytesMax) return 'too-long'
      lines.push(this.#bytes === 0 ? '' : Buffer.concat(this.#parts).toString('utf8'))
      this.#parts = []
      this.#bytes = 0
      start = end + 1
    }
    this.#take(chunk.subarray(start))
    return this.#bytes > this.#bytesMax ? 'too-long' : lines
  }

  #take(part: Buffer): void {
    if (part.length === 0) return
    this.#parts.push(part)
    this.#bytes += part.length
  }
}
