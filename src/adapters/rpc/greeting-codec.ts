import { fromHex, malformed, toHex } from '../../base/bytes.js'
import type { Incarnation } from '../../channel/incarnation.js'
import type { Remembered } from '../../channel/pledges.js'
import type { PeerMessage } from '../../channel/transport-port.js'
import type { Greeting as WireGreeting } from '../../gen/rkfs/v1/peer_pb.js'
import { kindOf, numberOf, u64, type Kind } from './fields.js'

type Greeting = Extract<PeerMessage, { kind: 'greeting' }>
type WireIncarnation = WireGreeting['incarnation']
type WireRemembered = NonNullable<WireGreeting['remembered']>

const markBytes = 8

/** Which run of a home a hello or a welcome comes from; empty: not told. */
export function encodeRun(run: string): Uint8Array<ArrayBuffer> {
  return fromHex(run) as Uint8Array<ArrayBuffer>
}

/** Throws `corrupt`. */
export function decodeRun(run: Uint8Array): string {
  if (run.length !== 0 && run.length !== markBytes) throw malformed(`a run of ${run.length} bytes`)
  return toHex(run)
}

export function encodeGreeting({ incarnation, slot, term, recovering, remembered }: Greeting): Kind {
  return kindOf('greeting', {
    incarnation: encodeIncarnation(incarnation),
    slot,
    term: u64(term),
    recovering,
    ...(remembered === undefined ? {} : { remembered: encodeRemembered(remembered) }),
  })
}

export function encodeIncarnation({ start, mark }: Incarnation): { start: bigint; mark: Uint8Array<ArrayBuffer> } {
  return { start: u64(start), mark: fromHex(mark) as Uint8Array<ArrayBuffer> }
}

function encodeRemembered({ incarnation, slot, pledge }: Remembered): object {
  const { term, index, indexTerm, heldTerm } = pledge
  return {
    incarnation: encodeIncarnation(incarnation),
    slot,
    term: u64(term),
    index: u64(index),
    indexTerm: u64(indexTerm),
    heldTerm: u64(heldTerm),
  }
}

/** Throws `corrupt`. */
export function decodeGreeting({ incarnation, slot, term, recovering, remembered }: WireGreeting): Greeting {
  return {
    kind: 'greeting',
    incarnation: decodeIncarnation(incarnation),
    slot,
    term: numberOf(term),
    recovering,
    ...(remembered === undefined ? {} : { remembered: decodeRemembered(remembered) }),
  }
}

/** Throws `corrupt`. */
export function decodeIncarnation(incarnation: WireIncarnation): Incarnation {
  if (incarnation === undefined) throw malformed('frame: a greeting without an incarnation')
  const { start, mark } = incarnation
  if (mark.length !== markBytes) throw malformed(`frame: a mark of ${mark.length} bytes`)
  return { start: numberOf(start), mark: toHex(mark) }
}

function decodeRemembered({ incarnation, slot, term, index, indexTerm, heldTerm }: WireRemembered): Remembered {
  return {
    incarnation: decodeIncarnation(incarnation),
    slot,
    pledge: {
      term: numberOf(term),
      index: numberOf(index),
      indexTerm: numberOf(indexTerm),
      heldTerm: numberOf(heldTerm),
    },
  }
}
