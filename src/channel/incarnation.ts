import { assert } from '../base/assert.js'
import type { LogStore } from './log-port.js'

/**
 * One run of one home. `start` counts the starts of the home; `mark` is random (16 hex digits), so that a home that was
 * put back or copied, and starts again, is told from what it was.
 */
export interface Incarnation {
  readonly start: number
  readonly mark: string
}

export function isSameIncarnation(a: Incarnation, b: Incarnation): boolean {
  return a.start === b.start && a.mark === b.mark
}

/** Earlier runs that a home knows of itself. */
const keptStarts = 512
const setting = 'incarnations'

/** This run of the home, and those before it. */
export class Incarnations {
  readonly own: Incarnation
  readonly #marks: readonly string[]

  private constructor(start: number, marks: readonly string[]) {
    this.own = { start, mark: marks.at(-1)! }
    this.#marks = marks
  }

  /** Begins a run: written and committed, and on stable storage with the next sync, which must come before it is told. */
  static open(log: LogStore, mark: string): Incarnations {
    const text = log.setting(setting)
    const before =
      text === undefined ? { start: 0, marks: [] } : (JSON.parse(text) as { start: number; marks: string[] })
    assert(Number.isSafeInteger(before.start) && Array.isArray(before.marks), 'the incarnations in the log are sound')
    const start = before.start + 1
    const marks = [...before.marks, mark].slice(-keptStarts)
    log.setSetting(setting, JSON.stringify({ start, marks }))
    log.commit()
    return new Incarnations(start, marks)
  }

  /** Whether this home can have been that run; those that are too long ago count as its own. */
  includes({ start, mark }: Incarnation): boolean {
    const first = this.own.start - this.#marks.length + 1
    if (start < first) return true
    return start <= this.own.start && this.#marks[start - first] === mark
  }
}
