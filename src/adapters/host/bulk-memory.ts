import { MiB } from '../../base/limits.js'
import { collectGarbage } from './garbage.js'

/** Garbage that may pile up before it is collected. */
const bytesBetweenCollections = 48 * MiB

let bytes = 0

/**
 * Memory for bulk: shared memory, which V8 does not count. It begins a full collection for every 64 MiB of the buffers
 * that it counts, dead or alive; at bulk writes a third of the processors' time went there. In exchange the collections
 * that free this memory are asked for here.
 */
export function bulkMemory(length: number): SharedArrayBuffer {
  bulkAllocated(length)
  return new SharedArrayBuffer(length)
}

/** Says that so much shared memory was allocated for this thread, by another one. */
export function bulkAllocated(length: number): void {
  bytes += length
  if (bytes < bytesBetweenCollections) return
  bytes = 0
  collectGarbage()
}
