import type { MessageInitShape } from '@bufbuild/protobuf'

import { assert } from '../../base/assert.js'
import { malformed } from '../../base/bytes.js'
import { isMemberId, type MemberId } from '../../base/ids.js'
import type { MessageSchema } from '../../gen/rkfs/v1/peer_pb.js'

/** One message of a frame, as protobuf-es builds it. */
export type Kind = NonNullable<Exclude<MessageInitShape<typeof MessageSchema>, { $typeName: string }>['kind']>

/** Builds one case of the message's `oneof`. */
export function kindOf<C extends NonNullable<Kind['case']>>(
  which: C,
  value: Extract<Kind, { case: C }>['value'],
): Kind {
  return { case: which, value } as Kind
}

/** A number of ours, 0 to 2^53-1, as protobuf-es wants it. */
export function u64(value: number): bigint {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} is not an integer from 0 to 2^53-1`)
  return BigInt(value)
}

/** A number of a peer's. Throws `corrupt` beyond 2^53-1. */
export function numberOf(value: bigint): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw malformed('frame: a number out of range')
  return number
}

/** A member's id from a peer. Throws `corrupt` where it is none. */
export function memberOf(text: string): MemberId {
  if (!isMemberId(text)) throw malformed('frame: no id of a member')
  return text
}
