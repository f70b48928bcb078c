import { KiB } from '../base/limits.js'

export const spillBlockBytes = 64 * KiB
/** So many blocks may be free without being given back. */
const slackBlocks = 64

/** Whose blocks: which slot of the file has each of its own. */
export interface SpillOwner {
  readonly slots: Map<number, number>
}

/** A part of a read or write: `at` in the caller's bytes, `place` in the file. */
export interface SpillRun {
  readonly at: number
  readonly place: number
  readonly length: number
}

/** A block that takes a free one's place; `done` says that its bytes are there. */
export interface SpillMove {
  readonly from: number
  readonly to: number
  done(): void
}

/**
 * Which block of a spill file belongs to whom.
 *
 * INVARIANT: `#slots[slot]` names the owner whose `slots` have `slot` for that block, and no other has it.
 */
export class SpillBlocks {
  #slots: ({ readonly owner: SpillOwner; readonly block: number } | undefined)[] = []
  /** Slots that were given back, the newest last; some may have been taken, or cut off, since. */
  #free: number[] = []
  #used = 0

  /** How long the file need be. */
  get bytes(): number {
    return this.#slots.length * spillBlockBytes
  }

  newOwner(): SpillOwner {
    return { slots: new Map() }
  }

  /** Where `length` bytes at an offset of the owner's go; room is made where there is none. */
  toWrite(owner: SpillOwner, offset: number, length: number): SpillRun[] {
    return this.#runs(offset, length, block => owner.slots.get(block) ?? this.#take(owner, block))
  }

  /** … and where those are that were written. */
  toRead(owner: SpillOwner, offset: number, length: number): SpillRun[] {
    return this.#runs(offset, length, block => owner.slots.get(block))
  }

  #runs(offset: number, length: number, slotOf: (block: number) => number | undefined): SpillRun[] {
    const runs: SpillRun[] = []
    for (let at = 0; at < length;) {
      const block = Math.floor((offset + at) / spillBlockBytes)
      const within = (offset + at) % spillBlockBytes
      const part = Math.min(length - at, spillBlockBytes - within)
      const slot = slotOf(block)
      const last = runs.at(-1)
      if (slot !== undefined) {
        const place = slot * spillBlockBytes + within
        if (last !== undefined && last.place + last.length === place && last.at + last.length === at) {
          runs[runs.length - 1] = { ...last, length: last.length + part }
        } else runs.push({ at, place, length: part })
      }
      at += part
    }
    return runs
  }

  #take(owner: SpillOwner, block: number): number {
    const slot = this.#takeFree() ?? this.#slots.length
    this.#slots[slot] = { owner, block }
    owner.slots.set(block, slot)
    this.#used++
    return slot
  }

  #takeFree(): number | undefined {
    for (let slot = this.#free.pop(); slot !== undefined; slot = this.#free.pop()) {
      if (slot < this.#slots.length && this.#slots[slot] === undefined) return slot
    }
    return undefined
  }

  /** All of an owner's blocks are free. */
  release(owner: SpillOwner): void {
    for (const slot of owner.slots.values()) {
      this.#slots[slot] = undefined
      this.#free.push(slot)
    }
    this.#used -= owner.slots.size
    owner.slots.clear()
    this.#cutEnd()
  }

  #cutEnd(): void {
    while (this.#slots.length > 0 && this.#slots.at(-1) === undefined) this.#slots.pop()
  }

  /** More than half of the file is free. */
  get isWasteful(): boolean {
    return this.#slots.length - this.#used > Math.max(slackBlocks, this.#used)
  }

  /** What is to be moved so that the file can be shorter. */
  nextMove(): SpillMove | undefined {
    if (!this.isWasteful) return undefined
    const to = this.#takeFree()
    if (to === undefined) return undefined
    // it stays free until the bytes are there
    this.#free.push(to)
    const from = this.#slots.length - 1
    return {
      from: from * spillBlockBytes,
      to: to * spillBlockBytes,
      done: () => {
        const moved = this.#slots[from]!
        this.#slots[to] = moved
        this.#slots[from] = undefined
        moved.owner.slots.set(moved.block, to)
        this.#cutEnd()
      },
    }
  }

  clear(): void {
    this.#slots = []
    this.#free = []
    this.#used = 0
  }
}
