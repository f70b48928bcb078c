import type { MemberId } from '../base/ids.js'

/** What an entry is, beside its operation. `noop`: a new leader's first entry; `members`: changes the membership. */
export type EntryKind = 'noop' | 'change' | 'members'

/** What the origin settles before the leader orders it (DESIGN §4): a change proposed by a member, once. */
export interface Proposal {
  readonly kind: EntryKind
  readonly origin: MemberId
  /** A member's session number and the change's number in it; together they are proposed, and applied, once. */
  readonly session: number
  readonly sequence: number
  /** The time of the change at its origin, in nanoseconds since 1970. */
  readonly time: bigint
  /** The encoded operation (`fs/operation-codec.ts`). */
  readonly operation: Uint8Array
  /** The bytes of a write; empty for all else. */
  readonly payload: Uint8Array
  /** SHA-256 of `payload`, made by the origin; 32 zero bytes when the payload is empty. */
  readonly payloadHash: Uint8Array
  /** The origin's signature; empty until entries are signed. */
  readonly signature: Uint8Array
}

/** An entry of the change log, without its payload. */
export interface EntryHeader {
  readonly index: number
  readonly term: number
  readonly kind: EntryKind
  readonly origin: MemberId
  readonly session: number
  readonly sequence: number
  readonly time: bigint
  readonly operation: Uint8Array
  readonly payloadLength: number
  readonly payloadHash: Uint8Array
  readonly previousHash: Uint8Array
  readonly hash: Uint8Array
  readonly signature: Uint8Array
}

/** An entry as it is stored and sent: the bytes its orderer made, and its payload. */
export interface EncodedEntry {
  readonly header: Uint8Array
  readonly payload: Uint8Array
}
