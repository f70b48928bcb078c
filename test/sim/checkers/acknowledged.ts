import { EINTR, EIO, ENOSPC } from '../../../src/base/errno.js'
import type { LostChange } from '../../../src/channel/ports.js'
import type { StoredEntry } from '../../../src/channel/stored-entry.js'
import type { Member } from '../../channel/support/cluster.js'
import type { LateWrites } from './late-writes.js'
import { check } from './violation.js'

const name = 'acknowledged'

/**
 * Content that can be told from all other: `slot:number:xxx…;`. `file`: what it was written to. A file that keeps its name
 * for ever must keep each record that was accepted; one that may lose it need not, and the content of others is unknown.
 */
export interface Made {
  readonly member: Member
  readonly life: number
  readonly record: string
  readonly number: number
  readonly file: 'shared' | 'private' | 'other'
  readonly begunAt: number
  /** The program's answer, when it has come. */
  errno: number | undefined
  answeredAt: number | undefined
  /** How many records had been made by then, of all members. */
  madeBefore: number
  /** It was told that a majority holds it. */
  durable: boolean
  /** Power was lost after it was accepted, and before a majority was known to hold it; or it was refused and said so. */
  excused: boolean
  /** Where it stands in the history. */
  index: number | undefined
}

const records = /(\d+):(\d+):x*;/g

/** Records and their numbers in a text. */
export function recordsOf(text: string): string[] {
  return Array.from(text.matchAll(records), ([, slot, number]) => `${slot}:${number}`)
}

/**
 * What a program was told is so: what it was told is durable stands in the history when it is told (promise 1), what was
 * accepted gets there though leaders change (promise 5), what failed does not; each of it once, a member's in its order.
 */
export class Acknowledged {
  readonly #made = new Map<string, Made>()
  readonly #lastShared = new Map<Member, number>()
  readonly #now: () => number
  readonly #late: LateWrites
  #count = 0
  durable = 0

  constructor(now: () => number, late: LateWrites) {
    this.#now = now
    this.#late = late
  }

  get count(): number {
    return this.#count
  }

  /** A record of about so many bytes, to be written by a member. */
  make(member: Member, file: Made['file'], bytes: number): Made {
    const number = ++this.#count
    const head = `${member.slot}:${number}:`
    const record = `${head}${'x'.repeat(Math.max(0, bytes - head.length - 1))};`
    const made: Made = {
      member,
      life: member.lives,
      record,
      number,
      file,
      begunAt: this.#now(),
      errno: undefined,
      answeredAt: undefined,
      madeBefore: Infinity,
      durable: false,
      excused: false,
      index: undefined,
    }
    this.#made.set(`${member.slot}:${number}`, made)
    this.#late.began(made)
    return made
  }

  answered(made: Made, errno: number): void {
    made.errno = errno
    made.answeredAt = this.#now()
    made.madeBefore = this.#count
    this.#checkFailed(made)
  }

  /** What a durability wait that begins now has to cover. */
  accepted(member: Member): Made[] {
    const { lives } = member
    return this.all(member).filter(made => made.life === lives && made.errno === 0 && !made.durable)
  }

  all(member: Member): Made[] {
    return [...this.#made.values()].filter(made => made.member === member)
  }

  /** A program was told that a majority holds these; the history is up to date. */
  told(covered: readonly Made[]): void {
    for (const made of covered) {
      // what was reported as lost, with an ended session, is not what a later sync is about
      if (made.durable || made.excused || made.file === 'other') continue
      made.durable = true
      this.durable++
      check(name, made.index !== undefined, () => `said to be durable, but not ordered: ${brief(made)}`)
    }
  }

  /** A change has no place in the order though it was accepted, and its data was handed over to be kept. */
  lost({ payload, cause }: LostChange): void {
    for (const key of recordsOf(Buffer.from(payload).toString('latin1'))) {
      const made = this.#made.get(key)
      if (made === undefined) continue
      // a disk that was filled by others meanwhile has no room for it: fsync says so, as that of a disk does
      const isRefused = cause.kind === 'refused' && cause.errno !== ENOSPC && made.file !== 'other'
      check(name, !isRefused, () => `refused after it was accepted: ${brief(made)}`)
      check(name, !made.durable, () => `lost (${cause.kind}) after it was said to be durable: ${brief(made)}`)
      check(name, made.index === undefined, () => `said to be lost, and is entry ${made.index}: ${brief(made)}`)
      made.excused = true
    }
  }

  powerLost(member: Member): void {
    for (const made of this.all(member)) if (made.index === undefined && !made.durable) made.excused = true
  }

  committed(stored: StoredEntry): void {
    const { entry, operation, payload } = stored
    if (operation.kind !== 'write' && operation.kind !== 'append') return
    for (const key of recordsOf(Buffer.from(payload).toString('latin1'))) {
      const made = this.#made.get(key)
      check(name, made !== undefined, () => `entry ${entry.index} holds ${key}, which nobody wrote`)
      check(name, made.index === undefined, () => `twice, as entries ${made.index} and ${entry.index}: ${brief(made)}`)
      made.index = entry.index
      this.#late.placed(made, stored)
      this.#checkFailed(made)
      if (made.file !== 'shared') continue
      const last = this.#lastShared.get(made.member) ?? 0
      // one that waits for room may be passed by others; its program has no answer then
      const isInOrder = made.number > last || made.madeBefore >= last
      check(name, isInOrder, () => `out of order, after ${last}: ${brief(made)}`)
      this.#lastShared.set(made.member, Math.max(last, made.number))
    }
  }

  #checkFailed(made: Made): void {
    const { errno, index } = made
    const failed = errno !== undefined && errno !== 0 && errno !== EIO && errno !== EINTR
    check(name, !failed || index === undefined, () => `failed with errno ${errno}, and came about: ${brief(made)}`)
  }

  /** All rests. `lives`: who runs, and has nothing on its way. */
  final(rests: (member: Member) => boolean): void {
    for (const made of this.#made.values()) {
      if (made.index !== undefined || made.excused || made.file === 'other') continue
      check(name, !made.durable, () => `lost, though it was durable: ${brief(made)}`)
      check(name, made.errno !== 0 || !rests(made.member), () => `lost, though it was accepted: ${brief(made)}`)
    }
  }
}

function brief({ member, number, file, record }: Made): string {
  return `record ${number} of m${member.slot - 1} (${file}, ${record.length} bytes)`
}
