import { electionTimeoutTicks, tickMs } from '../../../src/base/limits.js'
import type { Member } from '../../channel/support/cluster.js'
import { check } from './violation.js'

/** So far one member's word moves another in an election timeout (src/raft/DESIGN.md). */
const termsPerTimeout = 1024

/** Terms rise by little, whoever claims what: each member may be moved so far, and the others may follow. `ms`: since the start. */
export function checkTerms(member: Member, members: number, ms: number): void {
  const timeouts = ms / (electionTimeoutTicks * tickMs) + 1
  const bound = termsPerTimeout * members * timeouts
  const { term } = member.channel
  check('terms', term <= bound, () => `m${member.slot - 1} is in term ${term}, after ${timeouts} election timeouts`)
}
