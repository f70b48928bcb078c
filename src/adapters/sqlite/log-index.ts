import { assert } from '../../base/assert.js'

/**
 * Term and size of each retained entry, in memory: asked for entry by entry on hot paths. Terms are runs, since they
 * change seldom; sizes are eight bytes an entry.
 */
export class LogIndex {
  /** The entry before the first one. */
  anchorIndex: number
  /** Bytes of all headers, and of all payloads. */
  headerTotal = 0
  payloadTotal = 0
  #headers = new Uint32Array(1024)
  #payloads = new Uint32Array(1024)
  /** The place of entry `anchorIndex + 1` in the arrays. */
  #start = 0
  #count = 0
  #runs: { from: number; term: number }[] = []

  constructor(anchorIndex: number) {
    this.anchorIndex = anchorIndex
  }

  get last(): number {
    return this.anchorIndex + this.#count
  }

  has(index: number): boolean {
    return index > this.anchorIndex && index <= this.last
  }

  push(term: number, headerBytes: number, payloadBytes: number): void {
    if (this.#start + this.#count === this.#headers.length) this.#makeRoom()
    const at = this.#start + this.#count++
    this.#headers[at] = headerBytes
    this.#payloads[at] = payloadBytes
    this.headerTotal += headerBytes
    this.payloadTotal += payloadBytes
    if (this.#runs.at(-1)?.term !== term) this.#runs.push({ from: this.last, term })
  }

  #makeRoom(): void {
    const length = Math.max(1024, this.#count * 2)
    const move = (old: Uint32Array): Uint32Array<ArrayBuffer> => {
      const grown = new Uint32Array(length)
      grown.set(old.subarray(this.#start, this.#start + this.#count))
      return grown
    }
    this.#headers = move(this.#headers)
    this.#payloads = move(this.#payloads)
    this.#start = 0
  }

  term(index: number): number | undefined {
    if (!this.has(index)) return undefined
    let low = 0
    let high = this.#runs.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#runs[middle]!.from <= index) low = middle
      else high = middle - 1
    }
    return this.#runs[low]!.term
  }

  headerBytes(index: number): number {
    assert(this.has(index), `there is no entry ${index}`)
    return this.#headers[this.#start + index - this.anchorIndex - 1]!
  }

  payloadBytes(index: number): number {
    assert(this.has(index), `there is no entry ${index}`)
    return this.#payloads[this.#start + index - this.anchorIndex - 1]!
  }

  truncateFrom(index: number): void {
    while (this.last >= index && this.#count > 0) {
      this.headerTotal -= this.headerBytes(this.last)
      this.payloadTotal -= this.payloadBytes(this.last)
      this.#count--
    }
    while (this.#runs.length > 0 && this.#runs.at(-1)!.from > this.last) this.#runs.pop()
  }

  /** Forgets the entries up to `index`, which becomes the anchor. */
  dropThrough(index: number): void {
    assert(index <= this.last, `entries up to ${index} are dropped, but there are only ${this.last}`)
    while (this.anchorIndex < index) {
      this.headerTotal -= this.#headers[this.#start]!
      this.payloadTotal -= this.#payloads[this.#start]!
      this.anchorIndex++
      this.#start++
      this.#count--
    }
    while (this.#runs.length > 1 && this.#runs[1]!.from <= this.anchorIndex + 1) this.#runs.shift()
    if (this.#count === 0) this.#runs = []
  }
}
