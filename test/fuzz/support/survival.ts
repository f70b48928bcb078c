import { getHeapStatistics } from 'node:v8'
import fc from 'fast-check'
import { RkfsError } from '../../../src/base/errors.js'
import { runs, seed } from './options.js'

/** Memory that an input may cost: a decoder's own, and so much for each byte that is really there. */
const fixedBytes = 4 << 20
const bytesPerByte = 400
/** Far beyond what any input here takes; a loop takes longer. */
const millisecondsMax = 2000

export interface Attempt<I> {
  readonly input: fc.Arbitrary<I>
  readonly lengthOf: (input: I) => number
  /** Reads the input, and throws an `Error` where what was read is not what it must be. */
  readonly read: (input: I) => unknown
  /** Failures that are documented besides `RkfsError`. */
  readonly refuses?: (error: unknown) => boolean
}

function occupied(): number {
  const { used_heap_size, external_memory, malloced_memory } = getHeapStatistics()
  return used_heap_size + external_memory + malloced_memory
}

/**
 * Every input is read or refused with the documented error: no other exception, no loop, no memory beyond what the input
 * itself accounts for, and no change to what all objects inherit. Answers how many were read.
 */
export function survives<I>({ input, lengthOf, read, refuses }: Attempt<I>, share: number): number {
  let accepted = 0
  fc.assert(
    fc.property(input, given => {
      const before = occupied()
      const begun = performance.now()
      try {
        read(given)
        accepted++
      } catch (error) {
        if (!(error instanceof RkfsError) && !(refuses?.(error) ?? false)) throw error
      }
      const took = performance.now() - begun
      if (took > millisecondsMax) throw new Error(`it took ${Math.round(took)} ms`)
      const cost = occupied() - before
      if (cost > fixedBytes + bytesPerByte * lengthOf(given)) throw new Error(`it took ${cost} bytes of memory`)
      if ('polluted' in {}) throw new Error('Object.prototype was changed')
    }),
    { seed, numRuns: runs(share), endOnFailure: true },
  )
  return accepted
}
