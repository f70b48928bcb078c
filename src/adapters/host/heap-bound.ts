import { getHeapStatistics } from 'node:v8'
import { MiB } from '../../base/limits.js'
import { collectGarbage } from './garbage.js'

/** Beyond what lives, in bytes: for each byte of that, and for all. */
const garbageShareMax = 0.5
const garbageBytesMax = 48 * MiB
const lookMs = 1000

export interface Heap {
  usedBytes(): number
  collect(): void
}

/**
 * Keeps the heap of this thread near to what lives in it. V8 alone lets it grow to four times of that before it collects,
 * where a machine has much memory, and keeps what it has got while nothing happens.
 */
export class HeapBound {
  readonly #heap: Heap
  /** What was used after the last collection; less, if V8 itself made one since. */
  #livingBytes: number

  constructor(heap: Heap) {
    this.#heap = heap
    this.#livingBytes = heap.usedBytes()
  }

  /** Collects if there is reason to. */
  look(): void {
    const used = this.#heap.usedBytes()
    this.#livingBytes = Math.min(this.#livingBytes, used)
    if (used <= this.#livingBytes * (1 + garbageShareMax) + garbageBytesMax) return
    this.#heap.collect()
    this.#livingBytes = this.#heap.usedBytes()
  }
}

/** Looks each second, for as long as the process lives, and holds its end up by nothing. */
export function boundHeap(): void {
  const bound = new HeapBound({
    usedBytes: () => getHeapStatistics().used_heap_size,
    collect: collectGarbage,
  })
  setInterval(() => bound.look(), lookMs).unref()
}
