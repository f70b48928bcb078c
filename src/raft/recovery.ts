import type { Pledge, Recovery } from './types.js'

export const noPledge: Pledge = { term: 0, heldTerm: 0, index: 0, indexTerm: 0 }

/** Whether a log that ends at (index, term) reaches what was pledged (Raft §5.4.1). */
export function reaches(pledge: Pledge, lastIndex: number, lastTerm: number): boolean {
  return lastTerm > pledge.indexTerm || (lastTerm === pledge.indexTerm && lastIndex >= pledge.index)
}

/** Both pledges in one. */
export function joinPledges(a: Pledge, b: Pledge): Pledge {
  const further = reaches(a, b.index, b.indexTerm) ? b : a
  return {
    term: Math.max(a.term, b.term),
    heldTerm: Math.max(a.heldTerm, b.heldTerm),
    index: further.index,
    indexTerm: further.indexTerm,
  }
}

/** Both in one: what is owed already, and what another member remembers. */
export function joinRecoveries(a: Recovery | undefined, b: Recovery): Recovery {
  if (a === undefined) return b
  return { pledge: joinPledges(a.pledge, b.pledge), blind: a.blind || b.blind }
}

/**
 * Whether a disk with this term, and a log that ends so, is older than what its member pledged. A member saves a term
 * before it speaks in it; and in the term of the leader to whom it acknowledged an entry its log never ends before that.
 * In a later term it may: entries that no majority had are replaced.
 */
export function isOlder(pledge: Pledge, term: number, lastIndex: number, lastTerm: number): boolean {
  if (term < pledge.term) return true
  return term <= pledge.heldTerm && !reaches(pledge, lastIndex, lastTerm)
}
