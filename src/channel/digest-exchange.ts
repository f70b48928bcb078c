import { equalBytes, toHex } from '../base/bytes.js'
import type { MemberId } from '../base/ids.js'
import type { Raft } from '../raft/raft.js'
import type { Complaints } from './complaints.js'
import type { Core } from './core.js'
import { DigestBook } from './digest-book.js'
import type { Health } from './health.js'
import type { Roster } from './roster.js'
import type { StoredEntry } from './stored-entry.js'
import type { Views } from './views.js'

/** Digests are compared at multiples of this, and where the channel rests. */
const digestInterval = 1024

/** Tells the others the digest of the applied state, and compares theirs (DESIGN, promise 2). */
export class DigestExchange {
  readonly #complaints: Complaints
  readonly #raft: Raft<StoredEntry>
  readonly #views: Views
  readonly #roster: Roster
  readonly #health: Health
  readonly #book: DigestBook
  #undecided: { readonly member: MemberId; readonly words: string } | undefined

  constructor({ self, complaints, raft, views, roster, health }: Core) {
    this.#complaints = complaints
    this.#raft = raft
    this.#views = views
    this.#roster = roster
    this.#health = health
    this.#book = new DigestBook(self)
  }

  get own(): { index: number; hash: string } {
    return { index: this.#views.applied.index, hash: toHex(this.#views.table.digest()) }
  }

  /** Whose state differs from this member's, where no majority says which is right. */
  get undecided(): string | undefined {
    const told = this.#undecided
    return told !== undefined && this.#raft.configuration.voters.includes(told.member) ? told.words : undefined
  }

  /** Whether the digest is what the state's records amount to. */
  check(records: Iterable<Uint8Array>): boolean {
    const sum = new Uint8Array(32)
    for (const hash of records) for (let i = 0; i < 32; i++) sum[i]! ^= hash[i]!
    return equalBytes(sum, this.#views.table.digest())
  }

  /** The state stands at an entry: of all those that pass, the others tell theirs at some only. */
  reached(index: number): void {
    if (index % digestInterval === 0) this.#publish()
  }

  /** The state stands still for now: another member may have told its digest here. */
  paused(): void {
    const { index } = this.#views.applied
    if (this.#book.heardOf(index) && !this.#book.has(index)) this.#publish()
  }

  /** Nothing happens in the channel: the leader begins, or everybody where there is none. */
  idle(): void {
    const { role, leader } = this.#raft
    const begins = role === 'leader' || leader === undefined
    if (begins && !this.#book.has(this.#views.applied.index)) this.#publish()
  }

  /** It may have missed what was told where the state stands; nobody says it again until there is a change. */
  connected(member: MemberId): void {
    const { index } = this.#views.applied
    if (this.#book.has(index)) this.#roster.tell(member, { kind: 'digest', index, hash: this.#views.table.digest() })
  }

  #publish(): void {
    // nothing stands for the entry that it is said to stand at
    if (this.#health.stateMissing) return
    const { index } = this.#views.applied
    const hash = this.#views.table.digest()
    this.#book.record(index, hash)
    this.#roster.tellOthers({ kind: 'digest', index, hash })
    this.#judge(index)
  }

  hear(from: MemberId, index: number, hash: Uint8Array): void {
    this.#book.hear(from, index, hash)
    if (index === this.#views.applied.index && !this.#book.has(index)) this.#publish()
    else this.#judge(index)
  }

  /** A member that differs from a majority stops serving and says so. */
  #judge(index: number): void {
    const verdict = this.#book.judge(index, this.#raft.configuration.voters)
    if (verdict === undefined) {
      const member = this.#book.differing(index)
      if (member === undefined) {
        if (this.#undecided && this.#book.agrees(this.#undecided.member, index)) this.#undecided = undefined
        return
      }
      const words = `the state of member ${member} differs from this member's at entry ${index}, and no majority says which is right`
      this.#undecided = { member, words }
      return this.#complaints.about(member, 'differs', 'error', words)
    }
    this.#undecided = undefined
    if (verdict === 'self') {
      this.#health.quarantineSelf(`its state at entry ${index} differs from that of a majority of the members`)
    } else {
      this.#complaints.about(verdict, 'differs', 'error', `the state of member ${verdict} differs at entry ${index}`)
    }
  }
}
