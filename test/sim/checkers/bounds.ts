import {
  inflightBytesMax,
  outboxBytesMax,
  payloadBytesMax,
  pendingBytesMax,
  pendingOperationsMax,
  uncommittedBytesMax,
} from '../../../src/base/limits.js'
import type { Member } from '../../channel/support/cluster.js'
import type { SimNetwork } from '../../channel/support/sim-network.js'
import { check } from './violation.js'

const name = 'bounds'

/** What one event may add to a queue that is just not full. */
const slackBytes = 2 * payloadBytesMax

/** No queue grows beyond what `base/limits.ts` says. `calls`: programs that wait at this member. */
export function checkBounds(member: Member, calls: number): void {
  const { channel, log } = member
  const { operations, bytes } = channel.pending
  const who = `m${member.slot - 1}`
  check(name, operations <= pendingOperationsMax + calls, () => `${who} has ${operations} changes on their way`)
  check(name, bytes <= pendingBytesMax + slackBytes, () => `${who} has ${bytes} bytes on their way`)
  // what is decided and not written: a full disk, or the end of this turn
  const staged = log.lastIndex < channel.lastIndex ? channel.lagBytes(log.lastIndex) : 0
  const stagedMax = uncommittedBytesMax + inflightBytesMax + slackBytes
  check(name, staged <= stagedMax, () => `${who} has ${staged} bytes of log in memory alone`)
}

export function checkNetwork({ bytesMax }: SimNetwork): void {
  check(name, bytesMax <= outboxBytesMax, () => `${bytesMax} bytes were under way between two members`)
}
