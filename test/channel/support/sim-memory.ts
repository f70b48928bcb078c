import type { Rng } from '../../../src/base/rng.js'
import type { MemoryPort } from '../../../src/channel/ports.js'

/** What a member remembers of the others, which a loss of power may bring back to what was saved before. */
export class SimMemory implements MemoryPort {
  #text: string | undefined
  #before: string | undefined

  load(): string | undefined {
    return this.#text
  }

  save(text: string): void {
    this.#before = this.#text
    this.#text = text
  }

  powerLost(rng: Rng): void {
    if (rng.below(2) === 0) this.#text = this.#before
  }

  forget(): void {
    this.#text = this.#before = undefined
  }
}
