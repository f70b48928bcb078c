import { equalBytes, toHex } from '../base/bytes.js'
import type { MemberId } from '../base/ids.js'

/** Of each member: one that tells many, and false ones, pushes out its own only. */
const kept = 32

/** Digests of the applied state that members told each other, by index. */
export class DigestBook {
  readonly #self: MemberId
  readonly #heard = new Map<MemberId, Map<number, Uint8Array>>()

  constructor(self: MemberId) {
    this.#self = self
  }

  #of(member: MemberId, index: number): Uint8Array | undefined {
    return this.#heard.get(member)?.get(index)
  }

  /** This member's own digest at an index is known. */
  has(index: number): boolean {
    return this.#of(this.#self, index) !== undefined
  }

  /** Somebody told its digest at an index. */
  heardOf(index: number): boolean {
    for (const digests of this.#heard.values()) if (digests.has(index)) return true
    return false
  }

  record(index: number, hash: Uint8Array): void {
    this.hear(this.#self, index, hash)
  }

  hear(member: MemberId, index: number, hash: Uint8Array): void {
    let digests = this.#heard.get(member)
    if (digests === undefined) this.#heard.set(member, (digests = new Map()))
    digests.set(index, hash)
    for (const oldest of digests.keys()) {
      if (digests.size <= kept) break
      digests.delete(oldest)
    }
  }

  /** A member that told another digest at an index than this one's own. */
  differing(index: number): MemberId | undefined {
    const own = this.#of(this.#self, index)
    if (own === undefined) return undefined
    for (const [member, digests] of this.#heard) {
      const hash = digests.get(index)
      if (hash !== undefined && !equalBytes(hash, own)) return member
    }
    return undefined
  }

  /** A member told the same digest at an index as this one's own. */
  agrees(member: MemberId, index: number): boolean {
    const [own, its] = [this.#of(this.#self, index), this.#of(member, index)]
    return own !== undefined && its !== undefined && equalBytes(own, its)
  }

  /** Whether a majority of the voters has this member's state at an index, or another one; undefined: that is not known. */
  judge(index: number, voters: readonly MemberId[]): 'agrees' | 'differs' | undefined {
    const own = this.#of(this.#self, index)
    if (own === undefined) return undefined
    const counts = new Map<string, number>()
    for (const voter of voters) {
      const hash = this.#of(voter, index)
      if (hash === undefined) continue
      const text = toHex(hash)
      counts.set(text, (counts.get(text) ?? 0) + 1)
    }
    const needed = Math.floor(voters.length / 2) + 1
    for (const [text, count] of counts) {
      if (count >= needed) return text === toHex(own) ? 'agrees' : 'differs'
    }
    return undefined
  }
}
