import { assert } from '../../../src/base/assert.js'
import type { Configuration, RaftEntry, RaftLog } from '../../../src/raft/types.js'

export interface Base {
  readonly index: number
  readonly term: number
}

/** A log of unique numbers in memory. */
export class MemoryLog implements RaftLog<number> {
  base: Base
  entries: RaftEntry<number>[]

  constructor(base: Base = { index: 0, term: 0 }, entries: readonly RaftEntry<number>[] = []) {
    this.base = base
    this.entries = [...entries]
  }

  get firstIndex(): number {
    return this.base.index + 1
  }
  get lastIndex(): number {
    return this.base.index + this.entries.length
  }
  entry(index: number): RaftEntry<number> | undefined {
    return this.entries[index - this.firstIndex]
  }
  term(index: number): number | undefined {
    return index === this.base.index ? this.base.term : this.entry(index)?.term
  }
  append(entries: readonly RaftEntry<number>[]): void {
    for (const entry of entries) {
      assert(entry.index === this.lastIndex + 1, `entry ${entry.index} after ${this.lastIndex}`)
      this.entries.push(entry)
    }
  }
  truncateFrom(index: number): void {
    assert(index >= this.firstIndex && index <= this.lastIndex, `truncate from ${index}`)
    this.entries.length = index - this.firstIndex
  }
  sliceEnd(from: number, maxBytes: number): number {
    assert(from >= this.firstIndex && from <= this.lastIndex, `slice from ${from}`)
    let bytes = 0
    let end = from - 1
    while (end < this.lastIndex) {
      bytes += this.entry(end + 1)!.size
      if (bytes > maxBytes && end >= from) break
      end++
    }
    return end
  }
  configurationsAfter(after: number): { index: number; configuration: Configuration }[] {
    return this.entries
      .filter(entry => entry.index > after && entry.configuration)
      .map(entry => ({ index: entry.index, configuration: entry.configuration! }))
  }
  compact(index: number): void {
    if (index <= this.base.index) return
    const term = this.term(index)
    assert(term !== undefined, `compact at ${index}`)
    this.entries = this.entries.slice(index - this.base.index)
    this.base = { index, term }
  }
  /** Takes the place of the log up to the base; what follows stays if it is the same log. */
  install(base: Base): void {
    if (this.term(base.index) === base.term) this.compact(base.index)
    else {
      this.base = base
      this.entries = []
    }
  }
  copy(): MemoryLog {
    return new MemoryLog(this.base, this.entries)
  }
}
