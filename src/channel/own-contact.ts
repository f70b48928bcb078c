import type { Core } from './core.js'
import { inodesOf } from './invalidations.js'
import { LeaseClock } from './locks/lease-clock.js'
import type { PendingChange, PendingChanges } from './pending-changes.js'
import type { Resume } from './resumption.js'
import { inodesChangedBy } from './resumption.js'
import type { Views } from './views.js'

/** How this member is in touch with those who lead: what it says of that when it hands its changes to a leader anew. */
export class OwnContact {
  readonly #leaseMs: number
  readonly #views: Views
  readonly #pending: PendingChanges
  readonly #clock: LeaseClock
  #touchedAt: number
  /** What was applied at the last contact. */
  #touchedIndex: number
  /** After a silence, while changes from before it are on their way: what was applied when it began, and the newest of them. */
  #silent: { readonly since: number; readonly upTo: number } | undefined

  constructor({ ports, views, pending, leaseMs }: Core) {
    this.#leaseMs = leaseMs
    this.#views = views
    this.#pending = pending
    this.#clock = new LeaseClock(
      () => ports.monotonicMs(),
      () => Number(ports.now() / 1_000_000n),
    )
    this.#touchedAt = this.#clock.now()
    this.#touchedIndex = views.applied.index
  }

  /** The leader is heard, or this member leads and a majority hears it. */
  touch(): void {
    const now = this.#clock.now()
    if (now - this.#touchedAt > this.#leaseMs && this.#silent === undefined) {
      let upTo: number | undefined
      for (const { proposal } of this.#pending.values()) upTo = proposal.sequence
      if (upTo !== undefined) this.#silent = { since: this.#touchedIndex, upTo }
    }
    this.#touchedAt = now
    this.#touchedIndex = this.#views.applied.index
  }

  /** What goes before a new round of forwarding. Undefined: nothing is on its way. */
  resume(): Resume | undefined {
    const oldest = this.#pending.oldest
    if (oldest === undefined) return undefined
    this.touch()
    if (this.#silent !== undefined && oldest.proposal.sequence > this.#silent.upTo) this.#silent = undefined
    const inodes = new Set<number>()
    let since: number | undefined
    let last = 0
    for (const change of this.#pending.values()) {
      last = change.proposal.sequence
      // what nobody was told of takes its effect between its call and its answer, whenever that is
      if (!change.told) continue
      since ??= change.madeAt
      for (const ino of concernedBy(change)) inodes.add(ino)
    }
    return {
      kind: 'resume',
      session: oldest.proposal.session,
      last,
      since: this.#silent?.since ?? since ?? this.#views.applied.index,
      silent: this.#silent !== undefined,
      inodes: [...inodes],
    }
  }
}

function concernedBy({ operation, stale }: PendingChange): number[] {
  return [...inodesChangedBy(operation), ...inodesOf(operation, stale)]
}
