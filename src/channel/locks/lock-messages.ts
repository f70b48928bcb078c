import type { Lock, LockType, Range } from './lock.js'

/**
 * What a member asks of the leader, in one round (see `LockCalls`). Ids are the member's own, ascending.
 */
export type LockCall =
  /** At the start of a round: the member holds this. */
  | { readonly kind: 'claim'; readonly lock: Lock }
  /** All is claimed that is held, and what is waited for is in the list; everything else of this member is void. Renews the lease. */
  | { readonly kind: 'attach'; readonly waiting: readonly number[] }
  | { readonly kind: 'renew'; readonly stamp: number }
  | { readonly kind: 'acquire'; readonly id: number; readonly lock: Lock; readonly wait: boolean }
  | { readonly kind: 'cancel'; readonly id: number }
  /** `lock.type` means nothing. */
  | { readonly kind: 'release'; readonly id: number; readonly lock: Lock }
  | { readonly kind: 'test'; readonly id: number; readonly lock: Lock }

/** A lock in the way. `pid` 0: of another member's process. */
export interface FoundLock extends Range {
  readonly type: LockType
  readonly pid: number
}

export type LockAnswer =
  /** A claim that does not hold (any more). */
  | { readonly kind: 'lost'; readonly lock: Lock }
  | { readonly kind: 'attached' }
  | { readonly kind: 'renewed'; readonly stamp: number }
  /** Whoever held it before has committed its changes up to `index`. */
  | { readonly kind: 'granted'; readonly id: number; readonly index: number }
  | { readonly kind: 'denied'; readonly id: number; readonly errno: number }
  | { readonly kind: 'released'; readonly id: number }
  | { readonly kind: 'found'; readonly id: number; readonly lock: FoundLock | undefined }

/**
 * Calls of one member's process (`session`) to the leader of `term`. A round begins with number 1, and each time that the
 * member cannot know what arrived (another leader, a new connection, a gap, an expired lease) it begins the next one. Within
 * a round calls are numbered from `first` on: what comes twice is passed over, a gap ends the round.
 */
export interface LockCalls {
  readonly kind: 'lock-calls'
  readonly term: number
  readonly session: number
  readonly round: number
  readonly first: number
  readonly calls: readonly LockCall[]
}

/** Answers, numbered within the same round by the leader. */
export interface LockAnswers {
  readonly kind: 'lock-answers'
  readonly term: number
  readonly session: number
  readonly round: number
  readonly first: number
  readonly answers: readonly LockAnswer[]
}

/** The leader does not know this round, or misses a part of it: the member must begin the next. */
export interface LockAgain {
  readonly kind: 'lock-again'
  readonly term: number
  readonly session: number
  readonly round: number
}

export type LockMessage = LockCalls | LockAnswers | LockAgain

/** Calls or answers in one message. */
export const lockItemsPerMessageMax = 1024
/** Ranges that the programs of one member hold; beyond it ENOLCK. */
export const locksPerMemberMax = 16_384
/** Calls of one member without an answer, waits among them; beyond it ENOLCK. */
export const lockCallsPerMemberMax = 4096
/** Held and waited for at one leader, together; beyond it ENOLCK. */
export const locksPerChannelMax = 262_144
export const ownerCharsMax = 40
const ownerPattern = /^[pf]:[0-9]{1,15}:[0-9a-f]{1,16}$/

/** Whether a name can be an owner's: kind, mount, and the kernel's number in hexadecimal. */
export function isOwner(text: string): boolean {
  return ownerPattern.test(text)
}
