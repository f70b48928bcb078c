/**
 * The contract of the consensus core (Ongaro's thesis; in the manner of etcd-io/raft).
 *
 * The core never sees bytes: an entry is an index, a term, a size, perhaps a configuration, and an opaque `data` which
 * the host uses to carry the encoded entry. It owns no clock (`tick`), no randomness (a seeded `Rng` is passed in) and
 * no storage: it calls the synchronous ports below and queues messages which the host takes and sends.
 */
import type { MemberId } from '../base/ids.js'

/** Who votes and who only receives. A configuration takes effect when its entry is appended (thesis §4.1), and is undone when that entry is truncated. */
export interface Configuration {
  readonly voters: readonly MemberId[]
  readonly learners: readonly MemberId[]
}

export interface RaftEntry<D> {
  readonly index: number
  readonly term: number
  /** Bytes of the encoded entry with its payload, for flow control. */
  readonly size: number
  /** Set on the entries that change the membership: the whole new configuration. */
  readonly configuration?: Configuration
  readonly data: D
}

/** The log as the core sees it. Index 0 is the empty prefix with term 0. All calls are synchronous. */
export interface RaftLog<D> {
  /** First index that is still stored; `lastIndex + 1` when the log is empty. */
  readonly firstIndex: number
  readonly lastIndex: number
  /** The term at an index from `firstIndex - 1` to `lastIndex`; undefined outside. */
  term(index: number): number | undefined
  /** Written (not yet synced) when it returns. Entries follow `lastIndex` without a gap. */
  append(entries: readonly RaftEntry<D>[]): void
  /** Removes `index` and all after it. Never called for a committed index. */
  truncateFrom(index: number): void
  /** The largest `end` (inclusive, ≤ lastIndex) such that entries `from..end` are at most `maxBytes` together; at least `from`. */
  sliceEnd(from: number, maxBytes: number): number
  /** The configurations of entries with index > `after`, in order (used at start). */
  configurationsAfter(after: number): readonly { readonly index: number; readonly configuration: Configuration }[]
}

export interface HardState {
  readonly term: number
  readonly vote: MemberId | undefined
}

/**
 * What a member has said and must not forget: the newest term that it spoke in, and the furthest place in the log that it
 * acknowledged, as a leader of `heldTerm` heard it. A disk that holds less went back in time.
 */
export interface Pledge {
  readonly term: number
  readonly heldTerm: number
  readonly index: number
  /** The term of the entry at `index`. */
  readonly indexTerm: number
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader'

/** What crosses the network. Each carries the sender's term. */
export type RaftMessage<D> =
  | {
      readonly kind: 'pre-vote' | 'vote'
      /** For `pre-vote`: the term the candidate would start. */
      readonly term: number
      readonly lastIndex: number
      readonly lastTerm: number
      /** The leader has told the sender to stand: believed of whom that leader names (`timeout-now`), despite the lease. */
      readonly transfer: boolean
      /** Every other member that the sender knows of has chosen it, or would: who has lost what it acknowledged may, too. */
      readonly others?: boolean
    }
  | {
      readonly kind: 'pre-vote-reply' | 'vote-reply'
      readonly term: number
      readonly granted: boolean
      /** It refuses because it lacks what it acknowledged: it may choose whom all others choose. */
      readonly recovering?: boolean
    }
  | {
      /**
       * Outgoing: `entries` is empty and `first..last` names the range (last < first: none); the host reads those
       * entries from its log and fills them in, in order, before it sends. Incoming: `entries` is filled in.
       */
      readonly kind: 'append'
      readonly term: number
      readonly previousIndex: number
      readonly previousTerm: number
      readonly first: number
      readonly last: number
      readonly entries: readonly RaftEntry<D>[]
      readonly commit: number
    }
  | {
      readonly kind: 'append-reply'
      readonly term: number
      readonly success: boolean
      /** On success: the follower's log equals the leader's up to here and is on stable storage. */
      readonly match: number
      /** On refusal: the previousIndex refused, and where the leader should look next (the last index that may agree, and its term). */
      readonly rejectedIndex: number
      readonly hintIndex: number
      readonly hintTerm: number
      /** The sender lacks what it acknowledged before: it is brought up to date like a learner, and does not count. */
      readonly recovering: boolean
    }
  | {
      readonly kind: 'heartbeat'
      readonly term: number
      readonly commit: number
      readonly round: number
      /** Where the leader's log ends. */
      readonly last: number
      /** … and up to where it is on its stable storage. */
      readonly durable: number
      /** How many voters acknowledge what it sends, itself included. */
      readonly acknowledging: number
    }
  | {
      readonly kind: 'heartbeat-reply'
      readonly term: number
      readonly round: number
      readonly match: number
      readonly recovering: boolean
    }
  /** The receiver's next entry is no longer in the leader's log: it must fetch a snapshot at `index` or later. */
  | { readonly kind: 'snapshot'; readonly term: number; readonly index: number }
  /** From the leader to all voters: `target` stands for election at once (thesis §3.10), and its request is no disturbance. */
  | { readonly kind: 'timeout-now'; readonly term: number; readonly target: MemberId }
  /** Which term is the receiver in? Asked where one member alone claims a later one. */
  | { readonly kind: 'term-question'; readonly term: number }
  /** `leader`: whom the sender follows in its term, or has voted for. */
  | { readonly kind: 'term-answer'; readonly term: number; readonly leader: MemberId | undefined }
  /** A member asks the leader for an index that is safe to read at; the leader confirms its leadership first (thesis §6.4). */
  | { readonly kind: 'read-index'; readonly term: number; readonly context: number }
  | { readonly kind: 'read-index-reply'; readonly term: number; readonly context: number; readonly index: number }

export interface Outgoing<D> {
  readonly to: MemberId
  readonly message: RaftMessage<D>
}

/** What the core tells its host, synchronously. */
export interface RaftHost<D> {
  /** On stable storage when it returns: called before any message that depends on it is queued. */
  saveHardState(state: HardState): void
  /** The commit index moved forward. */
  committed(index: number): void
  /** Role, term or known leader changed. A new leader's host must append a no-op entry of its term at once and call `proposed`. */
  roleChanged(role: Role, term: number, leader: MemberId | undefined): void
  /** A read asked for with `readIndex(context)` may be served once `index` is applied. */
  readReady(context: number, index: number): void
  /** The latest configuration in the log changed (appended or undone). */
  configurationChanged(configuration: Configuration): void
  /** This member must fetch a snapshot from `from` (the leader), at `index` or later; then the host calls `restored`. */
  snapshotNeeded(from: MemberId, index: number): void
  /** Whether this member could do a leader's work. While not, it votes and acknowledges, but does not stand for election. */
  mayLead(): boolean
  /** Whether it has heard what others remember of it, or has waited long enough for that: before, it gives no vote. */
  mayVote(): boolean
  /** Leader: the log of a member ends before, or differs at, what it acknowledged to this leader: `acknowledged`. */
  rolledBack(member: MemberId, acknowledged: number): void
  /** Leader: a member has committed an entry (of `term`) that this log lacks: what was acknowledged is gone here. */
  lacks(index: number, term: number, member: MemberId): void
  /** Another member leads the present term, too: somebody voted twice. */
  twoLeaders(one: MemberId, other: MemberId, term: number): void
  /** This member holds again all that it had acknowledged (`owe`). */
  recovered(): void
  readonly log: RaftLog<D>
}

/** What a member lacks of what it pledged. `blind`: that is not known, its log was lost: it votes for nobody but whom all others choose. */
export interface Recovery {
  readonly pledge: Pledge
  readonly blind: boolean
}

export interface RaftOptions {
  readonly id: MemberId
  readonly hardState: HardState
  /** Committed at the start: what the applied state covers. */
  readonly commitIndex: number
  /** The configuration at `commitIndex` (later ones are read from the log). */
  readonly configuration: Configuration
  /** Election timeout: uniformly between this and twice this, in ticks. */
  readonly electionTimeoutTicks: number
  readonly heartbeatTicks: number
  /** What this member owes since an earlier start (`owe`). */
  readonly recovery?: Recovery
  /** Bytes of entries in one append message, at least one entry. */
  readonly appendBytesMax: number
  /** Bytes of entries sent to one member and not yet acknowledged. */
  readonly inflightBytesMax: number
  /** Less than these bounds for one member, where its link is thin. */
  readonly link?: (member: MemberId) => LinkBounds
  readonly seed: number
}

/** See `RaftOptions`. */
export interface LinkBounds {
  readonly appendBytes: number
  readonly inflightBytes: number
}

/** A leader's view of one member, for status and for choosing whom to hand leadership to. */
export interface ProgressView {
  readonly match: number
  readonly next: number
  readonly state: 'probe' | 'replicate' | 'snapshot'
  readonly inflightBytes: number
  /** Heard from within the last election timeout. */
  readonly active: boolean
  /** It lacks what it acknowledged, and does not count. */
  readonly recovering: boolean
  /** What was sent to it comes back acknowledged. */
  readonly acknowledges: boolean
}

/** The public face of the core, implemented by `raft.ts`. */
export interface RaftCore<D> {
  readonly id: MemberId
  readonly role: Role
  readonly term: number
  readonly leader: MemberId | undefined
  readonly commitIndex: number
  readonly configuration: Configuration
  /** The index of the entry that holds `configuration`; a change may be proposed when it is committed (one at a time) and the leader has committed an entry of its own term. */
  mayChangeConfiguration(): boolean
  tick(): void
  /** An incoming message. Nonsense (an index out of range, a message from a non-member) is ignored or answered as the protocol demands, never thrown. */
  step(from: MemberId, message: RaftMessage<D>): void
  /** Leader: the host appended these at the end of the log, in the current term. */
  proposed(entries: readonly RaftEntry<D>[]): void
  /**
   * The log is on stable storage up to `index`, an index that was appended and not truncated since. `term`: the term the
   * entry had when the sync began; with it a notification overtaken by a truncation is told apart and ignored.
   */
  durable(index: number, term?: number): void
  /** A snapshot at `index` was installed in place of the log up to there. */
  restored(index: number, term: number, configuration: Configuration): void
  /**
   * Others remember that this member pledged more than it holds: it neither stands nor counts until it holds all of it
   * again and all that its leader has, and votes only for who holds it. What is owed is on stable storage before the call.
   */
  owe(recovery: Recovery): void
  /** A member says outside the messages of the protocol which term it is in: its word, as any other. */
  saw(from: MemberId, term: number): void
  readonly recovery: Recovery | undefined
  /** The latest configuration is known to be committed. */
  readonly isConfigurationCommitted: boolean
  /** In each configuration that may have decided, this member is the only voter or one of two: its log has all that was committed. */
  readonly isAlwaysNeeded: boolean
  /**
   * One of two voters is gone for good, as people say: the other one decides alone while these two are the configuration.
   * What is committed is all on it. Undefined: that is over.
   */
  loseVoter(member: MemberId | undefined): void
  readonly lostVoter: MemberId | undefined
  /** A member lost its log and was admitted anew: what it acknowledged before counts no more. */
  forget(member: MemberId): void
  /** Follower: entries from `index` on, none of which is committed, are known to contradict what is. */
  truncateFrom(index: number): void
  /** Any valid bytes from a member are a sign of life. */
  heard(from: MemberId): void
  /** The connection to a member was lost or made anew: what was in flight may be lost. */
  disconnected(member: MemberId): void
  /** Hands leadership to a voter; no new proposals while it is under way (`transferring`), given up after an election timeout. */
  transferLeadership(to: MemberId): boolean
  readonly transferring: MemberId | undefined
  /** Leader or member: asks for a read index; `host.readReady(context, …)` follows, or nothing (the host has a timeout). */
  readIndex(context: number): void
  /** Starts an election now, as if the timeout had passed (tests, single-member channels). */
  campaign(): void
  progress(member: MemberId): ProgressView | undefined
  /** Voters that acknowledge what the leader sends, it included: as it sees it, or last told; where nobody leads, 1. */
  reachableVoters(): number
  takeMessages(): Outgoing<D>[]
}
