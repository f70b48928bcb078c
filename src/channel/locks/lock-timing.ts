/** How long a lock outlives the last word of its holder, in milliseconds. */
export interface LockTiming {
  /** The leader drops the locks of a member whose last renewal came longer ago. */
  readonly leaderLeaseMs: number
  /**
   * A member takes its locks for lost when the last renewal that was answered was SENT longer ago. It was sent before it
   * came, so this runs out first as long as the two clocks run alike within the difference (a fifth, for a few seconds).
   */
  readonly holderLeaseMs: number
  readonly renewMs: number
  /** An unanswered renewal after which the member begins a new round. */
  readonly silenceMs: number
  /** A new leader grants nothing new for so long: a lease, and the time that an election may take. */
  readonly graceMs: number
}

export const lockTiming: LockTiming = {
  leaderLeaseMs: 10_000,
  holderLeaseMs: 8_000,
  renewMs: 2_000,
  silenceMs: 3_000,
  graceMs: 12_000,
}
