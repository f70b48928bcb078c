import type { MemberId } from '../base/ids.js'

/** How many of `voters` members make a strict majority; 1 for an empty configuration, so that nobody can win there. */
export function majority(voters: number): number {
  return Math.floor(voters / 2) + 1
}

/**
 * The largest value that a strict majority of the voters has reached (Raft §5.3, thesis fig. 3.1); -1 for no voters.
 * Used for match indexes and for confirmed heartbeat rounds.
 */
export function quorumValue(voters: readonly MemberId[], valueOf: (voter: MemberId) => number): number {
  if (voters.length === 0) return -1
  // asked after every message: no sort with a callback, for a handful of values
  const descending: number[] = []
  for (const voter of voters) {
    const value = valueOf(voter)
    let at = descending.length
    for (; at > 0 && descending[at - 1]! < value; at--) descending[at] = descending[at - 1]!
    descending[at] = value
  }
  return descending[majority(voters.length) - 1]!
}

export type Tally = 'won' | 'lost' | 'open'

/** The state of an election: what a voter did not answer yet may still go either way. */
export function tally(voters: readonly MemberId[], votes: ReadonlyMap<MemberId, boolean>): Tally {
  const needed = majority(voters.length)
  let granted = 0
  let refused = 0
  for (const voter of voters) {
    const vote = votes.get(voter)
    if (vote === true) granted++
    else if (vote === false) refused++
  }
  if (granted >= needed) return 'won'
  return voters.length - refused < needed ? 'lost' : 'open'
}

/** Whether two configurations differ by at most one voter, so that any two majorities of them overlap (thesis §4.1). */
export function majoritiesOverlap(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  const added = b.filter(voter => !a.includes(voter)).length
  const removed = a.filter(voter => !b.includes(voter)).length
  return added + removed <= 1
}
