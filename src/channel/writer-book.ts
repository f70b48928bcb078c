import type { MemberId } from '../base/ids.js'
import { MiB } from '../base/limits.js'

const windowTicks = 50
const windowsNeeded = 2
const restTicks = 300
const operationsMin = 1000
const bytesMin = 64 * MiB
const share = 0.8

/**
 * Who makes the changes: leadership follows the writer (DESIGN §5). A member that made most of a substantial number of
 * changes in two windows of five seconds is proposed; then there is rest, so that leadership does not swing.
 */
export class WriterBook {
  #ticks = 0
  #rest = restTicks / 3
  #counts = new Map<MemberId, { operations: number; bytes: number }>()
  #streak: { member: MemberId; windows: number } | undefined

  count(member: MemberId, bytes: number): void {
    const at = this.#counts.get(member)
    if (at === undefined) this.#counts.set(member, { operations: 1, bytes })
    else {
      at.operations++
      at.bytes += bytes
    }
  }

  clear(): void {
    this.#counts.clear()
    this.#streak = undefined
    this.#ticks = 0
    this.#rest = restTicks / 3
  }

  /** The member that leadership should move to, once. */
  tick(): MemberId | undefined {
    if (this.#rest > 0) this.#rest--
    if (++this.#ticks % windowTicks !== 0) return undefined
    let operations = 0
    let bytes = 0
    for (const count of this.#counts.values()) {
      operations += count.operations
      bytes += count.bytes
    }
    let heavy: MemberId | undefined
    for (const [member, count] of this.#counts) {
      const many = operations >= operationsMin && count.operations >= share * operations
      const much = bytes >= bytesMin && count.bytes >= share * bytes
      if (many || much) heavy = member
    }
    this.#counts.clear()
    if (heavy === undefined) {
      this.#streak = undefined
      return undefined
    }
    const windows = this.#streak?.member === heavy ? this.#streak.windows + 1 : 1
    this.#streak = { member: heavy, windows }
    if (windows < windowsNeeded || this.#rest > 0) return undefined
    this.#rest = restTicks
    return heavy
  }
}
