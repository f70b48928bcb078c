import { equalBytes, toHex } from '../base/bytes.js'
import type { MemberId } from '../base/ids.js'

const kept = 32

/** Digests of the applied state that members told each other, by index. */
export class DigestBook {
  readonly #self: MemberId
  readonly #heard = new Map<number, Map<MemberId, Uint8Array>>()

  constructor(self: MemberId) {
    this.#self = self
  }

  /** This member's own digest at an index is known. */
  has(index: number): boolean {
    return this.#heard.get(index)?.has(this.#self) ?? false
  }

  /** Somebody told its digest at an index. */
  heardOf(index: number): boolean {
    return this.#heard.has(index)
  }

  record(index: number, hash: Uint8Array): void {
    this.hear(this.#self, index, hash)
  }

  hear(member: MemberId, index: number, hash: Uint8Array): void {
    let at = this.#heard.get(index)
    if (at === undefined) {
      this.#heard.set(index, (at = new Map()))
      for (const oldest of this.#heard.keys()) {
        if (this.#heard.size <= kept) break
        this.#heard.delete(oldest)
      }
    }
    at.set(member, hash)
  }

  /** A member that told another digest at an index than this one's own. */
  differing(index: number): MemberId | undefined {
    const at = this.#heard.get(index)
    const own = at?.get(this.#self)
    if (at === undefined || own === undefined) return undefined
    for (const [member, hash] of at) if (!equalBytes(hash, own)) return member
    return undefined
  }

  /** A member told the same digest at an index as this one's own. */
  agrees(member: MemberId, index: number): boolean {
    const at = this.#heard.get(index)
    const [own, its] = [at?.get(this.#self), at?.get(member)]
    return own !== undefined && its !== undefined && equalBytes(own, its)
  }

  /** Who differs from a majority of the voters at an index: `'self'`, a member, or nobody that is known. */
  judge(index: number, voters: readonly MemberId[]): 'self' | MemberId | undefined {
    const at = this.#heard.get(index)
    const own = at?.get(this.#self)
    if (at === undefined || own === undefined) return undefined
    const counts = new Map<string, number>()
    for (const voter of voters) {
      const hash = at.get(voter)
      if (hash === undefined) continue
      const text = toHex(hash)
      counts.set(text, (counts.get(text) ?? 0) + 1)
    }
    const needed = Math.floor(voters.length / 2) + 1
    for (const [text, count] of counts) {
      if (count < needed) continue
      if (text !== toHex(own)) return 'self'
      return this.differing(index)
    }
    return undefined
  }
}
