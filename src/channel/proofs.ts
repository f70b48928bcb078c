import type { MemberId } from '../base/ids.js'
import type { Raft } from '../raft/raft.js'
import type { Core } from './core.js'
import type { Findings } from './findings.js'
import type { Pledges } from './pledges.js'
import type { Roster } from './roster.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'

interface Lacking {
  readonly index: number
  readonly term: number
  readonly slot: number | undefined
}

/**
 * What the core has found that no sound disks bring about, said until it is proven to be over: a member that has committed
 * an entry which its leader lacks, and two leaders in one term.
 */
export class Proofs {
  readonly #raft: Raft<StoredEntry>
  readonly #log: StagedLog
  readonly #roster: Roster
  readonly #findings: Findings
  readonly #pledges: Pledges
  readonly #lacking = new Map<MemberId, Lacking>()
  readonly #twoLeaders = new Map<MemberId, number>()

  constructor({ raft, log, roster, findings, pledges }: Core) {
    this.#raft = raft
    this.#log = log
    this.#roster = roster
    this.#findings = findings
    this.#pledges = pledges
  }

  /** As leader: a member has committed an entry that is not here. `term`: the entry's. */
  lacks(index: number, term: number, member: MemberId): void {
    this.#lacking.set(member, { index, term, slot: this.#slot(member) })
    const words = `member ${member} has committed entry ${index}, which is missing here, where the leader is`
    this.#findings.add(member, 'contradiction', `${words}: what was acknowledged is lost, or that member is wrong`)
  }

  twoLeaders(one: MemberId, other: MemberId, term: number): void {
    this.#twoLeaders.set(other, term)
    const words = `members ${one} and ${other} both lead in term ${term}: a member voted twice, its disk went back in time`
    this.#findings.add(other, 'two-leaders', words)
  }

  /** Takes back what is over. */
  review(): void {
    for (const [member, lacking] of this.#lacking) {
      if (!this.#isHereNow(member, lacking)) continue
      this.#lacking.delete(member)
      this.#findings.clear(member, 'contradiction')
    }
    for (const [member, term] of this.#twoLeaders) {
      if (!this.#isPast(member, term)) continue
      this.#twoLeaders.delete(member)
      this.#findings.clear(member, 'two-leaders')
    }
  }

  #slot(member: MemberId): number | undefined {
    return this.#roster.descriptor.members.find(({ id }) => id === member)?.slot
  }

  /** The same entry is committed here by now; or the member was removed, or has joined anew, without what it had. */
  #isHereNow(member: MemberId, { index, term, slot }: Lacking): boolean {
    if (this.#slot(member) !== slot) return true
    return index <= this.#raft.commitIndex && this.#log.term(index) === term
  }

  /** A majority has committed something of a later term, in which the other leader is, too: it leads no more in that one. */
  #isPast(other: MemberId, term: number): boolean {
    const committed = this.#log.term(this.#raft.commitIndex) ?? 0
    const isKnown = (this.#pledges.of(other)?.pledge.term ?? 0) > term || this.#raft.leader === other
    return committed > term && this.#raft.term > term && (isKnown || this.#slot(other) === undefined)
  }
}
