import type { MemberId } from '../base/ids.js'
import type { ChannelState } from './control-protocol.js'

/** What the first line of a channel's status is made of. */
export interface Redundancy {
  /** Members with all that is committed, as far as this one knows, this one included. */
  readonly complete: number
  /** Members that are to have a copy. */
  readonly copies: number
  /** How many more machines may fail before nothing can be changed; 0 where that is so already. */
  readonly mayFail: number
}

export interface Quorum {
  readonly voters: number
  readonly needed: number
  readonly reachable: number
  readonly ok: boolean
}

/** `indexOf`: how far a member's copy is known to reach; undefined: it is not there, or has not said. */
export function redundancyOf(
  members: readonly MemberId[],
  indexOf: (member: MemberId) => number | undefined,
  committed: number,
  quorum: Quorum,
): Redundancy {
  const complete = members.filter(member => (indexOf(member) ?? -1) >= committed).length
  return { complete, copies: members.length, mayFail: quorum.ok ? Math.max(0, quorum.reachable - quorum.needed) : 0 }
}

/** In words: how many copies are complete, and how many machines may fail. */
export function summaryWords(state: ChannelState, { complete, copies, mayFail }: Redundancy, quorum: Quorum): string {
  const { voters, needed, reachable, ok } = quorum
  if (state === 'quarantined' || state === 'failed') return 'this member does not serve it'
  if (copies === 1 && voters === 1) return 'One copy only: if this machine or its disk fails, the files are gone'
  const copied =
    complete === copies
      ? `all ${copies} copies are complete`
      : complete === 1
        ? `One copy only of ${copies} is complete`
        : `${complete} of ${copies} copies are complete`
  if (!ok && reachable >= needed) return `${copied}; no leader at the moment, so that changes wait`
  if (!ok) return `NO QUORUM: ${reachable} of ${voters} voters reachable, ${needed} needed: nothing can be changed`
  if (mayFail > 0) return `${copied}; ${mayFail === 1 ? '1 machine' : `${mayFail} machines`} may fail`
  const all =
    reachable === voters ? `${needed} of ${voters} needed` : `${needed} of the ${reachable} that are there are needed`
  return `${copied}; ${all}: no machine may fail`
}
