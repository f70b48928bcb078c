import type { Health } from './health.js'
import type { LogStore } from './log-port.js'
import type { Roster } from './roster.js'

const setting = 'slot'

/**
 * The slot that this home was admitted with. A member that joins anew gets another one, and an applied state that is still
 * on its way may name the one before.
 */
export class HomeSlot {
  readonly #log: LogStore
  readonly #roster: Roster
  readonly #health: Health
  #slot: number | undefined

  constructor(log: LogStore, roster: Roster, health: Health) {
    this.#log = log
    this.#roster = roster
    this.#health = health
    const text = log.setting(setting)
    if (text !== undefined) this.#slot = Number(text)
  }

  /** Undefined until this member is admitted. */
  get value(): number | undefined {
    const { slot } = this.#roster
    if (this.#slot !== undefined || slot === undefined) return this.#slot
    // whoever asks gets an answer, also of a member whose disk has failed
    if (this.#health.sound) {
      this.#health.guardDisk(() => {
        this.#log.setSetting(setting, String(slot))
        this.#log.commit()
      })
    }
    return (this.#slot = slot)
  }
}
