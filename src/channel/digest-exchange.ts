import { equalBytes, toHex } from '../base/bytes.js'
import type { MemberId } from '../base/ids.js'
import type { Raft } from '../raft/raft.js'
import type { Complaints } from './complaints.js'
import type { Core } from './core.js'
import { DigestBook } from './digest-book.js'
import type { Health } from './health.js'
import type { ChannelPorts } from './ports.js'
import type { Roster } from './roster.js'
import type { StoredEntry } from './stored-entry.js'
import type { Views } from './views.js'

/** Digests are compared at multiples of this, and where the channel rests. */
const digestInterval = 1024
/** Where two differ, the others have so long to tell theirs before nobody counts as able to say which is right. */
const decideMs = 2000

/** Tells the others the digest of the applied state, and compares theirs (DESIGN, promise 2). */
export class DigestExchange {
  readonly #complaints: Complaints
  readonly #raft: Raft<StoredEntry>
  readonly #views: Views
  readonly #roster: Roster
  readonly #health: Health
  readonly #ports: ChannelPorts
  readonly #book: DigestBook
  /** The newest entry at which a majority is known to have this member's state: who differs there or before is wrong. */
  #agreed = 0
  #undecided:
    { readonly member: MemberId; readonly index: number; readonly words: string; readonly since: number } | undefined

  constructor({ self, complaints, raft, views, roster, health, ports }: Core) {
    this.#ports = ports
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
    if (told === undefined || this.#ports.monotonicMs() - told.since < decideMs) return undefined
    return this.#raft.configuration.voters.includes(told.member) ? told.words : undefined
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
    if (verdict === 'differs') {
      return this.#health.quarantineSelf(`its state at entry ${index} differs from that of a majority of the members`)
    }
    if (verdict === 'agrees') this.#agreed = Math.max(this.#agreed, index)
    const member = this.#book.differing(index)
    this.#settleUndecided(index)
    if (member === undefined) return
    if (index <= this.#agreed) {
      return this.#complaints.about(
        member,
        'differs',
        'error',
        `the state of member ${member} differs at entry ${index}`,
      )
    }
    const words = `the state of member ${member} differs from this member's at entry ${index}, and no majority says which is right`
    const since = this.#undecided?.member === member ? this.#undecided.since : this.#ports.monotonicMs()
    this.#undecided = { member, index, words, since }
    this.#complaints.about(member, 'differs', 'error', words)
  }

  /** A difference is none any more when a majority, or the member that differed, has this member's state at a later entry. */
  #settleUndecided(index: number): void {
    const told = this.#undecided
    if (told === undefined) return
    if (told.index <= this.#agreed || (told.index <= index && this.#book.agrees(told.member, index))) {
      this.#undecided = undefined
    }
  }
}
