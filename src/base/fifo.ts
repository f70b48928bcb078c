/** Emptied slots are given back when there are more of them than this, and than what is left. */
const emptySlotsMax = 1024

/** A queue whose both ends cost the same however long it is: `Array.shift` copies a long one each time. */
export class Fifo<T> {
  #items: (T | undefined)[] = []
  #head = 0

  get first(): T | undefined {
    return this.#items[this.#head]
  }
  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  pushFirst(item: T): void {
    if (this.#head > 0) this.#items[--this.#head] = item
    else this.#items.unshift(item)
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined
    const item = this.first
    // what was taken is let go, whatever comes after it
    this.#items[this.#head++] = undefined
    if (this.length === 0 || this.#head > Math.max(emptySlotsMax, this.length)) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  clear(): void {
    this.#items = []
    this.#head = 0
  }

  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let at = this.#head; at < this.#items.length; at++) yield this.#items[at]!
  }
}
