/**
 * The port between one channel's brain and the network. Messages between two members are not duplicated while a connection
 * lasts, and ordered within their lane (`lanes.ts`): what is urgent passes what is long. When it breaks, any number of the
 * last ones of each lane are lost, and `connected` follows once a new one stands. Implemented by `adapters/rpc` and by the simulator.
 */
import type { MemberId } from '../base/ids.js'
import type { EncodedEntry, Proposal } from '../oplog/entry.js'
import type { RaftMessage } from '../raft/types.js'
import type { BlobId } from './log-port.js'
import type { Incarnation } from './incarnation.js'
import type { LockMessage } from './locks/lock-messages.js'
import type { Remembered } from './pledges.js'
import type { Resume } from './resumption.js'
import type { ToldSpace } from './space-policy.js'

export type PeerMessage =
  | { readonly kind: 'raft'; readonly message: RaftMessage<EncodedEntry> }
  /**
   * Changes forwarded to the leader, in the order of their sequence numbers, without a gap. `restart`: the first is the
   * oldest that the sender does not know to be committed; what the leader expected before is void.
   */
  | {
      readonly kind: 'propose'
      readonly restart: boolean
      readonly first: number
      readonly proposals: readonly Proposal[]
    }
  /** Comes before a `propose` with `restart`. */
  | Resume
  /** The leader refused these: they are not in the log and never will be. */
  | {
      readonly kind: 'propose-refused'
      readonly session: number
      /** The refusals follow from the log up to here: the sender answers its programs when it has applied that much. */
      readonly index: number
      readonly refusals: readonly { readonly sequence: number; readonly errno: number }[]
    }
  /** The receiver must send its proposals again from the oldest one (`restart`): it is the leader's, or a gap was seen. */
  | { readonly kind: 'propose-again' }
  /** The sender's digest of the applied state at `index` (32 bytes): the receiver compares its own. */
  | { readonly kind: 'digest'; readonly index: number; readonly hash: Uint8Array }
  /** The sender differs at `index` and stopped serving. */
  | { readonly kind: 'diverged'; readonly index: number; readonly reason: string }
  /** A message of the daemons (verification, requests to the owner): a topic and JSON. */
  | { readonly kind: 'note'; readonly topic: string; readonly body: string }
  /** What the sender holds and has applied, for `sync --all`, status and compaction. */
  | {
      readonly kind: 'position'
      readonly lastIndex: number
      readonly durableIndex: number
      readonly appliedIndex: number
      /** What it says of its disk; older members, and such as cannot tell, say nothing. */
      readonly space?: ToldSpace
    }
  /**
   * The sender's disk has lost a blob: the receiver sends it, if it has the same entry. `term`: the entry's; 0 when the
   * sender knows only that it is committed.
   */
  | { readonly kind: 'blob-wanted'; readonly id: BlobId; readonly term: number }
  /** The answer; without `data`: it is not here. At most `chunkBytes`. */
  | { readonly kind: 'blob'; readonly id: BlobId; readonly data: Uint8Array | undefined }
  /**
   * The first message of a connection, and again when it has changed: which run of its home the sender is, and what it
   * remembers of the receiver. `slot` 0: not admitted yet. `recovering`: it lacks what it acknowledged.
   */
  | {
      readonly kind: 'greeting'
      readonly incarnation: Incarnation
      readonly slot: number
      readonly term: number
      readonly recovering: boolean
      readonly remembered?: Remembered
    }
  /** The channel's locks: calls to the leader, and its answers. */
  | LockMessage

/** What the brain calls. */
export interface Transport {
  /** Queues a message. False when there is no connection or its queue is full: the message is dropped. */
  send(to: MemberId, message: PeerMessage): boolean
  connected(member: MemberId): boolean
  /** Round-trip time of the last ping in milliseconds; undefined when it is not known. */
  rttMs(member: MemberId): number | undefined
  /** How many bytes the link to a member carries within a moment (about a tenth of a second), as far as it has shown. */
  windowBytes(member: MemberId): number
  /** Whether it has shown that it carries little: not that nothing is known of it yet. */
  isThin(member: MemberId): boolean
}

/** What the network calls. */
export interface TransportEvents {
  message(from: MemberId, message: PeerMessage): void
  /** Bytes of a message have come that is still under way, or the member has taken some of one: it is alive. */
  heard(from: MemberId): void
  /** Messages to this member now go through (again). */
  connected(member: MemberId): void
  disconnected(member: MemberId, reason: string): void
  /** A second node with a member's identity was refused: its home was copied, and runs twice. */
  secondRun?(member: MemberId): void
  /** A member refuses this node: it is connected to another one of the same identity. */
  refusedAsSecond?(by: MemberId): void
}
