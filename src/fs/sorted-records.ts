/** Keys in one block: what an insertion moves at most. */
const blockKeysMax = 1024

/** A map by key that can be gone through in key order from any key on. What is never gone through costs no order. */
export class SortedRecords<V> {
  readonly #values = new Map<string, V>()
  /** All keys in order, in blocks that are not empty; made when somebody goes through them. */
  #blocks: string[][] | undefined

  get size(): number {
    return this.#values.size
  }
  get(key: string): V | undefined {
    return this.#values.get(key)
  }
  has(key: string): boolean {
    return this.#values.has(key)
  }
  values(): IterableIterator<V> {
    return this.#values.values()
  }

  set(key: string, value: V): void {
    if (this.#blocks !== undefined && !this.#values.has(key)) this.#insert(this.#blocks, key)
    this.#values.set(key, value)
  }

  delete(key: string): void {
    if (!this.#values.delete(key) || this.#blocks === undefined) return
    const at = blockOf(this.#blocks, key)
    const block = this.#blocks[at]!
    block.splice(placeIn(block, key), 1)
    if (block.length === 0) this.#blocks.splice(at, 1)
  }

  #insert(blocks: string[][], key: string): void {
    const at = blockOf(blocks, key)
    const block = blocks[at]
    if (block === undefined) return void blocks.push([key])
    block.splice(placeIn(block, key), 0, key)
    if (block.length > blockKeysMax) blocks.splice(at + 1, 0, block.splice(blockKeysMax / 2))
  }

  /** From the first key above `after` (undefined: of all) on. Nothing may be set or deleted meanwhile. */
  *after(after: string | undefined): Generator<[string, V], void, undefined> {
    const blocks = (this.#blocks ??= this.#sorted())
    const first = after === undefined ? 0 : blockOf(blocks, after)
    for (let at = first; at < blocks.length; at++) {
      const block = blocks[at]!
      let i = 0
      if (at === first && after !== undefined) {
        i = placeIn(block, after)
        if (block[i] === after) i++
      }
      for (; i < block.length; i++) yield [block[i]!, this.#values.get(block[i]!)!]
    }
  }

  #sorted(): string[][] {
    const keys = [...this.#values.keys()].sort()
    const blocks: string[][] = []
    for (let at = 0; at < keys.length; at += blockKeysMax / 2) blocks.push(keys.slice(at, at + blockKeysMax / 2))
    return blocks
  }
}

/** The last block that begins at a key or before it; the first one where there is none. */
function blockOf(blocks: readonly string[][], key: string): number {
  let low = 0
  let high = blocks.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (blocks[middle]![0]! <= key) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

/** The place of a key in a block, or where it would stand. */
function placeIn(block: readonly string[], key: string): number {
  let low = 0
  let high = block.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (block[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}
