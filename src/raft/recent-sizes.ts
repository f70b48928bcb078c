interface Sized {
  readonly index: number
  readonly size: number
}

/**
 * Sizes of the entries a leader proposed last, as many as one append message can hold: the last message of a burst is
 * then accounted exactly. Earlier messages are full, so that their bytes are about the limit they were cut at.
 */
export class RecentSizes {
  readonly #bytesMax: number
  #entries: Sized[] = []
  #head = 0
  #bytes = 0

  /** `bytesMax`: what one append message holds at most. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  push(index: number, size: number): void {
    this.#entries.push({ index, size })
    this.#bytes += size
    while (this.#head < this.#entries.length - 1 && this.#bytes - this.#entries[this.#head]!.size >= this.#bytesMax)
      this.#bytes -= this.#entries[this.#head++]!.size
    if (this.#head > 64 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
  }

  /** Bytes of the entries `first..last`; undefined when not all are remembered. */
  bytes(first: number, last: number): number | undefined {
    const oldest = this.#entries[this.#head]
    if (oldest === undefined || first < oldest.index) return undefined
    let bytes = 0
    for (let index = first; index <= last; index++) {
      const entry = this.#entries[this.#head + index - oldest.index]
      if (entry === undefined) return undefined
      bytes += entry.size
    }
    return bytes
  }
}
