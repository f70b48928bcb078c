import type { MemberId } from '../base/ids.js'
import type { Findings } from './findings.js'
import type { Roster } from './roster.js'

/** A run that was refused for so long is no restart whose connection of before still looks alive. */
const sureTicks = 60
/** After so long without a refusal it is over. */
const overTicks = 150
/** While refused, this node gives no vote: others connect again at least every two seconds. */
const suspendedTicks = 40

interface Seen {
  first: number
  last: number
}

/**
 * Two nodes of one identity: a home was copied, and both run. The transport lets in one of them (`adapters/rpc/peer-run.ts`)
 * and tells of the other; here it is said, by name, on both sides, as long as it lasts.
 */
export class SecondRuns {
  readonly #self: MemberId
  readonly #roster: Roster
  readonly #findings: Findings
  /** Members of which a second node was refused here. */
  readonly #here = new Map<MemberId, Seen>()
  /** Members that refused this node. */
  readonly #there = new Map<MemberId, Seen>()
  readonly #isConnected: (member: MemberId) => boolean
  #ticks = 0

  constructor(self: MemberId, roster: Roster, findings: Findings, isConnected: (member: MemberId) => boolean) {
    this.#self = self
    this.#roster = roster
    this.#findings = findings
    this.#isConnected = isConnected
  }

  /** A second node of a member's was refused here. */
  refused(member: MemberId): void {
    see(this.#here, member, this.#ticks)
  }

  /** A member refused this node: it is connected to another one of the same identity. */
  refusedBy(member: MemberId): void {
    see(this.#there, member, this.#ticks)
  }

  /**
   * Most of the others talk to another node of this identity, which votes. One member alone that says so, and lies, keeps
   * nobody from voting.
   */
  get suspended(): boolean {
    let refusing = 0
    for (const { last } of this.#there.values()) if (this.#ticks - last < suspendedTicks) refusing++
    if (refusing === 0) return false
    return refusing > this.#roster.peers.filter(({ id }) => id !== this.#self && this.#isConnected(id)).length
  }

  tick(): void {
    this.#ticks++
    for (const member of this.#current(this.#here, gone => this.#findings.clear(gone, 'second-node'))) {
      const words = `a second node with the identity of member ${member} was refused: ${copied}`
      this.#findings.add(member, 'second-node', words)
    }
    const [by] = this.#current(this.#there, () => {})
    if (by === undefined) return this.#findings.clear(this.#self, 'second-node')
    const words = `this node is refused: member ${by} is connected to another one with the same identity: ${copied}`
    this.#findings.add(this.#self, 'second-node', words)
  }

  /** Those that last. */
  #current(seen: Map<MemberId, Seen>, gone: (member: MemberId) => void): MemberId[] {
    const current: MemberId[] = []
    for (const [member, { first, last }] of seen) {
      if (this.#ticks - last >= overTicks) {
        seen.delete(member)
        gone(member)
      } else if (last - first >= sureTicks) current.push(member)
    }
    return current
  }
}

function see(seen: Map<MemberId, Seen>, member: MemberId, ticks: number): void {
  const known = seen.get(member)
  if (known === undefined) seen.set(member, { first: ticks, last: ticks })
  else known.last = ticks
}

const copied = 'its home was copied, and runs twice. Stop the copy'
