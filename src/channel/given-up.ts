import { failpoint } from '../base/failpoint.js'
import { isHousekeeping, type Operation } from '../fs/operation.js'
import type { Proposal } from '../oplog/entry.js'
import { encodeProposal } from '../oplog/proposal-codec.js'
import type { ChangeNumber } from './change-number.js'
import type { Core } from './core.js'
import type { Durability } from './durability.js'
import type { ChannelEvents, LostChange } from './ports.js'
import type { StagedLog } from './staged-log.js'

interface GivenUp {
  readonly change: LostChange
  readonly proposal: Proposal
  /** Where it stands in the journal; undefined: it does not. */
  number: ChangeNumber | undefined
}

/** No session has this number: what the journal has under it is given up, and waits to be kept. */
export const givenUpSession = 0

/**
 * Own changes that programs believed done, and that will never have a place: their data is kept outside, as copies.
 *
 * INVARIANT: what stands in the journal stays there until its copy is kept. Between the two a death makes a second copy.
 */
export class GivenUpChanges {
  readonly #events: ChannelEvents
  readonly #log: StagedLog
  readonly #durability: Durability
  #left: GivenUp[] = []

  constructor({ events, log }: Core, durability: Durability) {
    this.#events = events
    this.#log = log
    this.#durability = durability
  }

  /** How many could not be kept yet. */
  get size(): number {
    return this.#left.length
  }

  /** To be reported with all that are given up now: of one file, they make one copy. `number`: see `GivenUp`. */
  add(proposal: Proposal, operation: Operation, cause: LostChange['cause'], number: ChangeNumber | undefined): void {
    if (isHousekeeping(operation)) return this.#unjournal(number)
    const { payload, time } = proposal
    this.#left.push({ change: { operation, payload, time, cause }, proposal, number })
  }

  /** Reports what was added; again what could not be kept before. */
  report(): void {
    if (this.#left.length === 0) return
    if (!this.#events.lostChanges(this.#left.map(({ change }) => change))) return this.#markRefused()
    failpoint('copies-kept')
    for (const { number } of this.#left) this.#unjournal(number)
    this.#left = []
    // synced out of the journal, or a loss of power would have them reported again
    this.#durability.demand()
  }

  /** `number` is undefined for what never was in the journal. */
  #unjournal(number: ChangeNumber | undefined): void {
    if (number !== undefined) this.#log.unjournal(number.session, number.sequence)
  }

  /** After the end of this process, one that was refused would be taken for placed: later ones of its session are. */
  #markRefused(): void {
    for (const each of this.#left) {
      const { proposal, number, change } = each
      if (change.cause.kind !== 'refused' || number === undefined || number.session === givenUpSession) continue
      this.#log.unjournal(number.session, number.sequence)
      each.number = { session: givenUpSession, sequence: (number.session % 2 ** 20) * 2 ** 32 + number.sequence }
      const { payload } = proposal
      this.#log.journal({ ...each.number, part: 0, proposal: encodeProposal(proposal), payload })
    }
  }
}
