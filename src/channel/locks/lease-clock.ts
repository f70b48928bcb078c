/** How far the wall clock may run ahead of the monotonic one before the machine is taken to have stood still. */
const standstillMs = 1000

/**
 * The time by which a holder's lease runs out. A monotonic clock stands while a machine sleeps or is paused, and the other
 * members' do not: where the wall clock has gone on alone, this one follows it. A wall clock that is set ahead therefore
 * costs locks, and never does a member keep one too long.
 */
export class LeaseClock {
  readonly #monotonicMs: () => number
  readonly #wallMs: () => number
  #monotonic: number
  #wall: number
  #now = 0

  constructor(monotonicMs: () => number, wallMs: () => number) {
    this.#monotonicMs = monotonicMs
    this.#wallMs = wallMs
    this.#monotonic = monotonicMs()
    this.#wall = wallMs()
  }

  /** Milliseconds; never goes back. */
  now(): number {
    const monotonic = this.#monotonicMs()
    const wall = this.#wallMs()
    const ran = Math.max(0, monotonic - this.#monotonic)
    const passed = wall - this.#wall
    this.#now += passed > ran + standstillMs ? passed : ran
    this.#monotonic = monotonic
    this.#wall = wall
    return this.#now
  }
}
