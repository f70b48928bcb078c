import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { apply, getInode } from '../fs/apply.js'
import { isContentOperation } from '../fs/operation.js'
import { rememberPlace } from './change-number.js'
import { decodeDescriptor } from './descriptor.js'
import type { Appender } from './appender.js'
import type { Core } from './core.js'
import type { DigestExchange } from './digest-exchange.js'
import type { Health } from './health.js'
import { toldAgain } from './invalidations.js'
import type { OwnChanges } from './own-changes.js'
import { awaitedBy, type PendingChange, type PendingChanges } from './pending-changes.js'
import type { ChannelEvents, ChannelPorts } from './ports.js'
import type { Resumptions } from './resumption.js'
import type { Roster } from './roster.js'
import type { StateHolds } from './state-holds.js'
import type { StagedLog } from './staged-log.js'
import type { DescribedEntry } from './stored-entry.js'
import type { Views } from './views.js'

/** The turn ends when records have changed whose sums take some ten milliseconds. */
const weightMax = 4096
/** Entries applied in one turn. */
const applyBudget = 512

/**
 * Takes the committed log into the state.
 *
 * INVARIANT: applied ≤ min(commit, durable here), which the caller sees to (`applyUpTo`).
 */
export class Applier {
  readonly #self: MemberId
  readonly #ports: ChannelPorts
  readonly #events: ChannelEvents
  readonly #log: StagedLog
  readonly #views: Views
  readonly #roster: Roster
  readonly #pending: PendingChanges
  readonly #health: Health
  readonly #appender: Appender
  readonly #own: OwnChanges
  readonly #digests: DigestExchange
  readonly #resumptions: Resumptions
  readonly #holds: StateHolds

  constructor(
    { self, ports, events, log, views, roster, pending, health }: Core,
    appender: Appender,
    own: OwnChanges,
    digests: DigestExchange,
    resumptions: Resumptions,
    holds: StateHolds,
  ) {
    this.#holds = holds
    this.#resumptions = resumptions
    this.#self = self
    this.#ports = ports
    this.#events = events
    this.#log = log
    this.#views = views
    this.#roster = roster
    this.#pending = pending
    this.#health = health
    this.#appender = appender
    this.#own = own
    this.#digests = digests
  }

  /** Applies the log up to an index, as much of it as one turn may take. */
  applyUpTo(index: number): void {
    if (this.#views.applied.index >= index) return
    failpoint('commit-advanced')
    let budget = applyBudget
    while (this.#views.applied.index < index && budget-- > 0 && !this.#holds.standsStill) {
      let stored: DescribedEntry
      try {
        stored = this.#log.described(this.#views.applied.index + 1)
      } catch (error) {
        return this.#health.fail(error)
      }
      this.#applyEntry(stored)
      // few changes of long records may be more work than many others
      if (this.#views.table.undigestedWeight > weightMax) {
        this.#views.table.digest()
        break
      }
    }
    if (this.#views.leading) this.#views.ordered.drop(this.#views.applied.index)
    this.#digests.paused()
  }

  #applyEntry(stored: DescribedEntry): void {
    const { entry, operation } = stored
    const own = entry.origin === this.#self ? this.#pending.get(entry.session, entry.sequence) : undefined
    if (this.#views.leading) this.#appender.uncommittedBytes -= stored.header.length + entry.payloadLength
    const errno = this.#applyChange(stored, own)
    this.#views.reached(entry)
    failpoint('change-applied')
    if (entry.session !== 0) this.#resumptions.placed(entry.origin)
    if (entry.origin === this.#self) this.#own.applied(entry, own, errno)
    if (concernsSessionOf(this.#self, stored)) this.#own.sessionsChanged()
    if (operation.kind === 'members' && errno === 0) {
      this.#roster.descriptor = decodeDescriptor(operation.descriptor)
    } else if (operation.kind === 'mark' && entry.kind === 'change') {
      this.#events.marked(operation.id, entry.index, entry.origin)
    }
    this.#digests.reached(entry.index)
  }

  #applyChange({ entry, operation }: DescribedEntry, own: PendingChange | undefined): number {
    const views = this.#views
    const laid = own?.visible === true && !own.lacking
    // what a change of names or a clone amounts to rests on more than the records that it makes
    const shown = views.joined || (laid && isContentOperation(operation))
    const stale = shown ? [] : [...(laid ? own.stale : []), ...views.staleBy(operation)]
    if (!shown) views.announceLosses(operation)
    else if (!views.joined && operation.kind === 'append' && own?.shownOffset !== undefined) {
      const size = getInode(views.table, operation.ino)?.size ?? 0
      if (size !== own.shownOffset) views.appendMoved(operation.ino, size, own.shownOffset)
    }
    if (laid) views.rememberShown(operation, stale)
    const errno = views.apply(entry, operation, shown)
    if (errno !== 0) this.#ports.report('error', `entry ${entry.index} does not apply`, { errno })
    const told = laid && errno === 0 ? toldAgain(operation, stale, views.view) : stale
    views.invalidate(told, awaitedBy(own, stale))
    return errno
  }

  /** As a new leader: what the whole log amounts to. Mounts are shown what is not their own in it as it is applied. */
  layLogOver(): void {
    this.#views.lead(this.#log.lastIndex)
    const { ordered } = this.#views
    let bytes = 0
    for (let index = this.#views.applied.index + 1; index <= this.#log.lastIndex; index++) {
      const { entry, operation } = this.#log.described(index)
      bytes += this.#log.size(index)
      ordered.tag = index
      apply(ordered, operation, { time: entry.time, number: index })
      rememberPlace(ordered, entry, operation)
    }
    this.#appender.uncommittedBytes = bytes
  }
}

/** Whether an entry opens or ends a session of a member. */
function concernsSessionOf(member: MemberId, { entry, operation }: DescribedEntry): boolean {
  if (operation.kind === 'end-session') return operation.member === member
  return operation.kind === 'open-session' && entry.origin === member
}
