import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ToldSpace } from '../../channel/space-policy.js'
import type { Space, SpaceSchema } from '../../gen/rkfs/v1/peer_pb.js'
import { numberOf, u64 } from './fields.js'

/** What a member says of its disk (`Position.space`). */
export function encodeSpace({ free, minFree, spare, exhausted }: ToldSpace): MessageInitShape<typeof SpaceSchema> {
  return { free: u64(free), minFree: u64(minFree), spare: u64(spare), exhausted }
}

/** Throws `corrupt` for a number out of range. */
export function decodeSpace({ free, minFree, spare, exhausted }: Space): ToldSpace {
  return { free: numberOf(free), minFree: numberOf(minFree), spare: numberOf(spare), exhausted }
}
