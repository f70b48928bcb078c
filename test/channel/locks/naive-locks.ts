import type { Lock, LockPlace, Range } from '../../../src/channel/locks/lock.js'
import type { AcquireOutcome, LockTable } from '../../../src/channel/locks/lock-table.js'

type Cell = 'read' | 'write' | undefined

/** Locks byte by byte: what is held is a character for each byte and owner; every rule is asked anew, by looking at all. */
export class NaiveLocks {
  readonly #last: number
  readonly #held = new Map<string, Cell[]>()
  #waiting: { readonly id: string; readonly lock: Lock }[] = []

  constructor(last: number) {
    this.#last = last
  }

  #cells({ space, ino, owner }: LockPlace): Cell[] {
    const key = `${space} ${ino} ${owner}`
    let cells = this.#held.get(key)
    if (cells === undefined) this.#held.set(key, (cells = this.#free()))
    return cells
  }

  #free(): Cell[] {
    return Array.from({ length: this.#last + 1 }, () => undefined)
  }

  #fill(place: LockPlace, { start, end }: Range, cell: Cell): void {
    this.#cells(place).fill(cell, start, end + 1)
  }

  /** The owners that hold something that excludes it. */
  #holders(lock: Lock): Set<string> {
    const found = new Set<string>()
    for (const [key, cells] of this.#held) {
      const [space, ino, owner] = key.split(' ')
      if (space !== lock.space || Number(ino) !== lock.ino || owner === lock.owner) continue
      for (let at = lock.start; at <= lock.end; at++) {
        if (cells[at] === 'write' || (cells[at] === 'read' && lock.type === 'write')) found.add(owner!)
      }
    }
    return found
  }

  /** Those before it in the queue that exclude it. */
  #before(lock: Lock, id: string): Set<string> {
    const found = new Set<string>()
    for (const other of this.#waiting) {
      if (other.id === id) break
      const { space, ino, owner, type, start, end } = other.lock
      const meets =
        space === lock.space && ino === lock.ino && owner !== lock.owner && start <= lock.end && lock.start <= end
      if (meets && (type === 'write' || lock.type === 'write')) found.add(owner)
    }
    return found
  }

  /** Who waits for whom in the end: the closure of the relation, by repetition. */
  #closure(order: boolean): Set<string> {
    const pairs = new Set<string>()
    for (const { id, lock } of this.#waiting) {
      if (!order && lock.space === 'flock') continue
      for (const holder of this.#holders(lock)) pairs.add(`${lock.owner} ${holder}`)
      if (order) for (const owner of this.#before(lock, id)) pairs.add(`${lock.owner} ${owner}`)
    }
    for (let size = -1; size !== pairs.size;) {
      size = pairs.size
      const known = Array.from(pairs, pair => pair.split(' '))
      for (const [a, b] of known) for (const [c, d] of known) if (b === c) pairs.add(`${a} ${d}`)
    }
    return pairs
  }

  #isDeadlock(lock: Lock): boolean {
    if (lock.space === 'flock') return false
    const closure = this.#closure(false)
    return [...this.#holders(lock)].some(holder => closure.has(`${holder} ${lock.owner}`))
  }

  #mayPass(lock: Lock, id: string): boolean {
    const closure = this.#closure(true)
    return [...this.#before(lock, id)].every(owner => closure.has(`${owner} ${lock.owner}`))
  }

  /** Checks an outcome against the rules, and follows it. */
  acquired(lock: Lock, wait: boolean, id: string, outcome: AcquireOutcome): void {
    if (lock.space === 'flock' && this.#cells(lock)[0] !== lock.type) this.#fill(lock, lock, undefined)
    const held = this.#holders(lock).size > 0
    const expected: AcquireOutcome[] = []
    if (!held && (!wait || this.#mayPass(lock, id))) expected.push('granted')
    else if (!wait) expected.push('busy')
    else if (held && this.#isDeadlock(lock)) expected.push('deadlock')
    // a wait that closes a circle of the order may be granted at once by giving way; the invariants say whether rightly
    else expected.push('waiting', 'granted')
    if (!expected.includes(outcome)) throw new Error(`${id} is ${outcome}, not ${expected.join(' or ')}`)
    if (outcome === 'granted') {
      if (held) throw new Error(`${id} was granted over another's lock`)
      this.#fill(lock, lock, lock.type)
    } else if (outcome === 'waiting') this.#waiting.push({ id, lock })
  }

  release(lock: Lock): void {
    this.#fill(lock, lock, undefined)
  }

  drop(owner: string): void {
    for (const [key, cells] of this.#held) if (key.endsWith(` ${owner}`)) cells.fill(undefined)
    this.#waiting = this.#waiting.filter(({ lock }) => lock.owner !== owner)
  }

  cancel(id: string): boolean {
    const before = this.#waiting.length
    this.#waiting = this.#waiting.filter(waiting => waiting.id !== id)
    return this.#waiting.length < before
  }

  settled(id: string, outcome: 'granted' | 'deadlock'): void {
    const found = this.#waiting.find(waiting => waiting.id === id)
    if (found === undefined) throw new Error(`${id} does not wait`)
    const { lock } = found
    if (outcome === 'granted') {
      if (this.#holders(lock).size > 0) throw new Error(`${id} was granted over another's lock`)
      this.#fill(lock, lock, lock.type)
    } else if (!this.#isDeadlock(lock)) throw new Error(`${id} is no deadlock`)
    this.cancel(id)
  }

  /** Both hold the same, nothing waits in vain, and nobody waits in a circle. */
  check(table: LockTable): void {
    const real = new Map<string, Cell[]>()
    for (const { space, ino, owner, start, end, type } of table.held) {
      const key = `${space} ${ino} ${owner}`
      if (!real.has(key)) real.set(key, this.#free())
      real.get(key)!.fill(type, start, end + 1)
    }
    const text = (held: Map<string, Cell[]>): string =>
      [...held]
        .filter(([, cells]) => cells.some(cell => cell !== undefined))
        .map(([key, cells]) => `${key} ${cells.map(cell => cell?.[0] ?? '-').join('')}`)
        .sort()
        .join('\n')
    if (text(real) !== text(this.#held)) throw new Error(`held:\n${text(real)}\nnot\n${text(this.#held)}`)
    const ids = [...table.waiting].map(({ id }) => id).join()
    if (ids !== this.#waiting.map(({ id }) => id).join()) throw new Error(`${ids} wait`)
    const closure = this.#closure(false)
    for (const pair of closure) if (pair.split(' ')[0] === pair.split(' ')[1]) throw new Error(`a circle: ${pair}`)
    for (const { id, lock } of this.#waiting) {
      if (this.#holders(lock).size === 0 && this.#mayPass(lock, id)) throw new Error(`${id} waits in vain`)
    }
  }
}
