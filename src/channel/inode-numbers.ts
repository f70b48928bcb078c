import { failpoint } from '../base/failpoint.js'
import { earlyInodes, inodesPerSlot } from './descriptor.js'
import type { LogStore } from './log-port.js'

const inodesPerBlock = 2 ** 20
const setting = 'inode-block'

/** What is known when a number is asked for. */
export interface NumberSource {
  /** The range that the owner gave this member. */
  readonly slot: number
  readonly log: LogStore
  /** This run's session has been opened: the applied state shows whatever earlier runs have used. */
  readonly isCurrent: boolean
  /** The highest number that the applied state knows of this member's; 0: none. */
  readonly highest: () => number
}

/**
 * Numbers for new inodes, of this member's own range. Blocks of them are noted on stable storage before they are used, so
 * that no run gives out what one before it did. A home that was put back from an older copy has forgotten blocks: each one
 * begins above all that the order knows, too. What is needed before that can be known is drawn from the upper half of the
 * range, where each number is as likely as any other (2^39 of them).
 */
export class InodeNumbers {
  readonly #random: () => number
  readonly #early = new Set<number>()
  #isCurrent = false
  #block = 0
  #next = inodesPerBlock
  #firstBlock = Infinity

  /** `random`: 0 or more, below 1. */
  constructor(random: () => number) {
    this.#random = random
  }

  /** Throws what the log throws. */
  next({ slot, log, isCurrent, highest }: NumberSource): number {
    const start = slot * inodesPerSlot
    this.#isCurrent ||= isCurrent
    if (!this.#isCurrent) return start + this.#drawEarly()
    if (this.#next === inodesPerBlock) {
      const known = highest()
      const used = Math.floor(known / inodesPerSlot) === slot ? Math.floor((known - start) / inodesPerBlock) : 0
      this.#block = Math.max(Number(log.setting(setting) ?? '0'), this.#block, used) + 1
      log.setSetting(setting, String(this.#block))
      log.commit()
      log.syncNow()
      failpoint('inodes-reserved')
      this.#next = 0
      this.#firstBlock = Math.min(this.#firstBlock, this.#block)
    }
    return start + this.#block * inodesPerBlock + this.#next++
  }

  #drawEarly(): number {
    for (;;) {
      const number = earlyInodes + Math.floor(this.#random() * (inodesPerSlot - earlyInodes))
      if (this.#early.has(number)) continue
      this.#early.add(number)
      return number
    }
  }

  /** Whether this member gave out a number before this run. */
  isFromEarlierRun(slot: number, ino: number): boolean {
    if (Math.floor(ino / inodesPerSlot) !== slot) return false
    const number = ino % inodesPerSlot
    return number < earlyInodes ? Math.floor(number / inodesPerBlock) < this.#firstBlock : !this.#early.has(number)
  }
}
