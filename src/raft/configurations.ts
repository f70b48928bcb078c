import { assert } from '../base/assert.js'
import type { MemberId } from '../base/ids.js'
import type { Configuration } from './types.js'

interface Placed {
  readonly index: number
  readonly configuration: Configuration
}

/**
 * The configuration at the commit index and those appended after it. The latest is in force as soon as it is in the
 * log, committed or not (thesis §4.1); a truncation brings back the one before.
 *
 * INVARIANT: never empty; indexes rise; only the first may be at or below the commit index.
 */
export class Configurations {
  #placed: Placed[]

  constructor(commitIndex: number, configuration: Configuration, later: readonly Placed[]) {
    this.#placed = [{ index: commitIndex, configuration }, ...later]
  }

  get latest(): Configuration {
    return this.#placed.at(-1)!.configuration
  }

  /** The index of the entry that holds `latest`; the commit index at the start for what is older. */
  get latestIndex(): number {
    return this.#placed.at(-1)!.index
  }

  append(index: number, configuration: Configuration): void {
    assert(index > this.latestIndex || this.#placed.length === 1, 'configurations are appended in order')
    this.#placed.push({ index, configuration })
  }

  /** Undoes what stood at `index` and after it; whether that changed the latest. */
  truncateFrom(index: number): boolean {
    const before = this.#placed.length
    while (this.#placed.length > 1 && this.#placed.at(-1)!.index >= index) this.#placed.pop()
    return this.#placed.length !== before
  }

  /** Forgets what is older than the configuration at `commitIndex`. */
  commitTo(commitIndex: number): void {
    while (this.#placed.length > 1 && this.#placed[1]!.index <= commitIndex) this.#placed.shift()
  }

  /** The voters of each configuration that may still decide: the committed one, and those after it. */
  get voters(): readonly (readonly MemberId[])[] {
    return this.#placed.map(({ configuration }) => configuration.voters)
  }

  /** Whether the member votes in any configuration that may still decide: the committed one or one after it. */
  votesInAny(member: MemberId): boolean {
    return this.#placed.some(placed => placed.configuration.voters.includes(member))
  }

  /** Nothing is committed without this member: in each configuration that may decide it is one of two voters. */
  needs(member: MemberId): boolean {
    return this.#placed.every(({ configuration: { voters } }) => voters.length === 2 && voters.includes(member))
  }

  /** Nothing is committed without this member: in each configuration that may decide it votes, alone or with one other. */
  alwaysNeeds(member: MemberId): boolean {
    return this.#placed.every(({ configuration: { voters } }) => voters.length <= 2 && voters.includes(member))
  }

  /** All members of the committed configuration and those after it: one that is being removed is served until then. */
  members(): Set<MemberId> {
    const members = new Set<MemberId>()
    for (const { configuration } of this.#placed)
      for (const member of [...configuration.voters, ...configuration.learners]) members.add(member)
    return members
  }
}
