import type { MemberId } from '../base/ids.js'
import type { Raft } from '../raft/raft.js'
import type { Core } from './core.js'
import { inodesOf } from './invalidations.js'
import { LeaseClock } from './locks/lease-clock.js'
import type { PendingChange, PendingChanges } from './pending-changes.js'
import type { Resume } from './resumption.js'
import { inodesChangedBy } from './resumption.js'
import type { StoredEntry } from './stored-entry.js'
import type { Views } from './views.js'

/**
 * How this member is in touch with those who lead: what it says of that when it hands its changes to a leader anew. It counts
 * by when it was heard, not by what it hears, since it is by that that the others go on without it: a follower is in touch
 * when it answers its leader, a leader when a majority answers.
 */
export class OwnContact {
  readonly #self: MemberId
  readonly #raft: Raft<StoredEntry>
  readonly #leaseMs: number
  readonly #views: Views
  readonly #pending: PendingChanges
  readonly #clock: LeaseClock
  /** Who was heard since this member answered it last. */
  readonly #heard = new Set<MemberId>()
  /** As leader: when each member answered last. */
  readonly #answers = new Map<MemberId, number>()
  #touchedAt: number
  /** What was applied at the last contact. */
  #touchedIndex: number
  /** After a silence, while changes from before it are on their way: what was applied when it began, and the newest of them. */
  #silent: { readonly since: number; readonly upTo: number } | undefined

  constructor({ self, raft, ports, views, pending, leaseMs }: Core) {
    this.#self = self
    this.#raft = raft
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

  /** Somebody is heard: one that leads, or makes itself known as the leader with this. */
  heard(from: MemberId): void {
    this.#heard.add(from)
  }

  /** The leader is answered. One that was not heard since the last time may be gone. */
  answers(leader: MemberId): void {
    if (!this.#heard.delete(leader)) return
    this.#touch(this.#clock.now())
  }

  /** A member answers this one, which leads. */
  answered(from: MemberId): void {
    this.#answers.set(from, this.#clock.now())
  }

  /** This member leads. */
  leads(): void {
    const { voters } = this.#raft.configuration
    const others = voters.filter(id => id !== this.#self)
    const needed = Math.floor(voters.length / 2) + 1 - (voters.length - others.length)
    if (needed <= 0) return this.#touch(this.#clock.now())
    const times = others.map(id => this.#answers.get(id) ?? 0).sort((a, b) => b - a)
    this.#touch(times[needed - 1]!)
  }

  #touch(at: number): void {
    if (at <= this.#touchedAt) return
    this.#judge(at)
    this.#touchedAt = at
    this.#touchedIndex = this.#views.applied.index
  }

  /** Whether it was silent up to now. */
  #judge(now: number): void {
    if (now - this.#touchedAt <= this.#leaseMs || this.#silent !== undefined) return
    let upTo: number | undefined
    for (const { proposal } of this.#pending.values()) upTo = proposal.sequence
    if (upTo !== undefined) this.#silent = { since: this.#touchedIndex, upTo }
  }

  /** What goes before a new round of forwarding. Undefined: nothing is on its way. */
  resume(): Resume | undefined {
    const oldest = this.#pending.oldest
    if (oldest === undefined) return undefined
    this.#judge(this.#clock.now())
    if (this.#silent !== undefined && oldest.proposal.sequence > this.#silent.upTo) this.#silent = undefined
    const inodes = new Set<number>()
    let since: number | undefined
    let last = 0
    for (const change of this.#pending.values()) {
      last = change.proposal.sequence
      // what nobody was told of takes its effect between its call and its answer, whenever that is; and what stands in the
      // log that this member leads with has its place
      if (!change.told || (this.#views.leading && change.ordered !== undefined)) continue
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

/** Whether a message is a follower's answer to its leader. */
export function answersLeader({ kind }: { readonly kind: string }): boolean {
  return kind === 'append-reply' || kind === 'heartbeat-reply'
}
