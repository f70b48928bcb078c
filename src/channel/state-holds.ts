import { tickMs } from '../base/limits.js'
import type { Agenda } from './agenda.js'
import type { Health } from './health.js'

/** How long somebody waits until another has opened the state: that takes a fraction of a second, unless the disk hangs. */
const waitMsMax = 10_000

/** The state on disk as it was written out at `index`: it stays so until `release`, which may be called more than once. */
export interface HeldState {
  readonly index: number
  readonly release: () => void
}

interface Waiting {
  readonly exact: boolean
  readonly taken: (held: HeldState | undefined) => void
  ticks: number
}

/**
 * Who opens the state as it is on disk (a snapshot for a member, a copy, a verification) has it stand still for that
 * moment: one after the other. Whoever comes second waits: sharing would have the first one's release end the second
 * one's moment, too.
 */
export class StateHolds {
  readonly #agenda: Agenda
  readonly #health: Health
  /** Writes the state out; answers up to where it is. Undefined: that failed. */
  readonly #writeOut: () => number | undefined
  #current: object | undefined
  #waiting: Waiting[] = []

  constructor(agenda: Agenda, health: Health, writeOut: () => number | undefined) {
    this.#agenda = agenda
    this.#health = health
    this.#writeOut = writeOut
  }

  get held(): boolean {
    return this.#current !== undefined
  }

  /** Somebody waits for the state as it is at this entry: nothing more is applied until then. */
  get standsStill(): boolean {
    return this.#waiting.some(({ exact }) => exact)
  }

  /**
   * Calls `taken`, at once if nobody else holds the state; with undefined where it cannot be had in time, or the disk fails. `exact`: the
   * state as it is now, so that what is committed meanwhile has to wait as well.
   */
  take(exact: boolean, taken: (held: HeldState | undefined) => void): void {
    if (!this.held) return this.#give(taken)
    // no tick would end the wait
    if (!this.#health.serving || this.#agenda.closed) return taken(undefined)
    this.#waiting.push({ exact, taken, ticks: waitMsMax / tickMs })
  }

  #give(taken: Waiting['taken']): void {
    const hold = (this.#current = {})
    const release = (): void => {
      if (this.#current !== hold) return
      this.#current = undefined
      // who holds up what is committed goes first
      const [next] = this.#waiting.splice(
        Math.max(
          0,
          this.#waiting.findIndex(({ exact }) => exact),
        ),
        1,
      )
      if (next === undefined) return
      this.#give(next.taken)
      this.#agenda.turn()
    }
    const index = this.#writeOut()
    if (index === undefined) release()
    taken(index === undefined ? undefined : { index, release })
  }

  tick(): void {
    for (const one of this.#waiting) one.ticks--
    this.#giveUp(({ ticks }) => ticks <= 0)
  }

  failAll(): void {
    this.#giveUp(() => true)
  }

  #giveUp(which: (one: Waiting) => boolean): void {
    const over = this.#waiting.filter(which)
    if (over.length === 0) return
    this.#waiting = this.#waiting.filter(one => !over.includes(one))
    for (const { taken } of over) taken(undefined)
    this.#agenda.turn()
  }
}
