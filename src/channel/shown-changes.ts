import { apply, getInode } from '../fs/apply.js'
import { blobId, cutOf, payloadCuts, placeOfBlob } from '../fs/extents.js'
import { isContentOperation } from '../fs/operation.js'
import type { Core } from './core.js'
import { concernsSame, inodesOf, toldAgain } from './invalidations.js'
import type { BlobId } from './log-port.js'
import type { OwnSession } from './own-session.js'
import type { PendingChange, PendingChanges } from './pending-changes.js'
import type { ChannelPorts } from './ports.js'
import type { StagedLog } from './staged-log.js'
import type { Views } from './views.js'

/**
 * What this member's mounts are shown of its own changes before they are applied (DESIGN, "Views").
 *
 * INVARIANT: mounts are shown the applied state, this member's own changes, and nothing else.
 */
export class ShownChanges {
  readonly #session: OwnSession
  readonly #ports: ChannelPorts
  readonly #log: StagedLog
  readonly #views: Views
  readonly #pending: PendingChanges
  /** Refused or taken back, and shown until own changes are laid over the state anew: their bytes are needed as long. */
  readonly #stillShown = new Map<number, PendingChange>()

  constructor({ session, ports, log, views, pending }: Core) {
    this.#session = session
    this.#ports = ports
    this.#log = log
    this.#views = views
    this.#pending = pending
  }

  /** Lays a change over what is shown. Answers 0, or the errno with which it does not fit there. */
  show(change: PendingChange): number {
    const { operation, proposal } = change
    const { own } = this.#views
    own.tag = proposal.sequence
    const stale = this.#views.staleBy(operation)
    this.#views.announceLosses(operation)
    if (operation.kind === 'append') change.shownOffset = getInode(own, operation.ino)?.size
    const errno = apply(own, operation, { time: proposal.time, number: -proposal.sequence })
    if (errno === 0) this.#views.shows(change, stale)
    return errno
  }

  /** A change is shown no more, once there is time to lay the others over the state without it. */
  withdraw(change: PendingChange): void {
    this.#stillShown.set(change.proposal.sequence, change)
    this.#views.makeStale()
  }

  /** A change that is shown fails for its caller: its kernel knows nothing of it. */
  tellMounts(change: PendingChange): void {
    if (change.visible) this.#views.invalidate(change.stale, undefined)
  }

  /** What a leader ordered at `index` is not to be shown before it is applied. */
  conceal(index: number): void {
    this.part()
    this.#views.hideUpTo(index)
  }

  /** Mounts are shown own changes laid over the state, and not what a leader has ordered. */
  part(): void {
    if (this.#views.joined) this.layOver()
  }

  /**
   * Mounts are shown what is ordered, now that nothing in it is hidden from them. Answers the changes that come into sight
   * so: they waited for what was ordered before them.
   */
  maybeJoin(): ReadonlySet<PendingChange> {
    const appeared = new Set<PendingChange>()
    if (!this.#views.mayJoin) return appeared
    /** The sequence number of the first that concerns an inode. */
    const firsts = new Map<number, number>()
    for (const { visible, operation, stale } of this.#pending.values()) {
      if (visible) this.#views.rememberShown(operation, stale)
    }
    for (const change of this.#pending.values()) {
      if (change.visible) continue
      // where it does not fit there, a newer one that was shown at once is in its way
      if (this.show(change) !== 0) this.#views.shows(change, this.#views.staleBy(change.operation))
      for (const ino of inodesOf(change.operation, change.stale)) {
        if (!firsts.has(ino)) firsts.set(ino, change.proposal.sequence)
      }
      appeared.add(change)
    }
    this.#views.join()
    this.#stillShown.clear()
    for (const change of this.#pending.values()) {
      if (appeared.has(change) || !change.visible) continue
      const { operation, stale, proposal } = change
      // content that was shown before something that it rests on was
      const rests = isContentOperation(operation) && proposal.sequence > (firsts.get(operation.ino) ?? Infinity)
      if (rests || !isContentOperation(operation)) {
        this.#views.invalidate(toldAgain(operation, stale, this.#views.view), undefined)
      }
    }
    return appeared
  }

  /** Lays what is shown of own changes over the state anew: there is no undo. */
  layOver(): void {
    this.#views.clearOwn()
    this.#stillShown.clear()
    for (const change of this.#pending.values()) {
      if (change.visible) this.#layOne(change)
    }
  }

  #layOne(change: PendingChange): void {
    const { proposal, operation, shownOffset } = change
    const { own } = this.#views
    own.tag = proposal.sequence
    if (operation.kind === 'append') {
      const size = getInode(own, operation.ino)?.size
      if (size !== undefined && shownOffset !== undefined && size !== shownOffset) {
        this.#views.appendMoved(operation.ino, size, shownOffset)
      }
      change.shownOffset = size
    }
    const stale = this.#views.staleBy(operation)
    const wasLacking = change.lacking
    // what it builds on is perhaps not committed yet
    change.lacking = apply(own, operation, { time: proposal.time, number: -proposal.sequence }) !== 0
    if (change.lacking) this.#views.lacksOne()
    // kernels learn of it when it goes out of sight, and when it comes back
    if (change.lacking !== wasLacking || !concernsSame(change.stale, stale)) {
      this.#views.invalidate([...change.stale, ...stale], undefined)
    }
    if (!change.lacking) change.stale = stale
  }

  /** A blob of a change that has no index, or had none when it was shown (a negative id). */
  blob(id: BlobId): Uint8Array | undefined {
    const { number, part } = placeOfBlob(id)
    const sequence = -number
    const change = this.#pending.get(this.#session.number, sequence) ?? this.#stillShown.get(sequence)
    if (change !== undefined) return cutOf(payloadCuts(change.operation), change.proposal.payload, part)
    // committed, and still shown by an overlay record that newer changes share: its blobs are the entry's
    const index = this.#views.placeOf(sequence)
    if (index === undefined) return undefined
    const logged = blobId(index, part)
    return this.#log.recentBlob(logged) ?? this.#ports.log.blob(logged)
  }
}
