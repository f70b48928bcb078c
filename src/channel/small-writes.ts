import { assert } from '../base/assert.js'
import { apply, getInode } from '../fs/apply.js'
import { extendWrite } from '../fs/content.js'
import { placeOfBlob } from '../fs/extents.js'
import type { AppendOperation, Operation, WriteOperation } from '../fs/operation.js'
import { rememberPlace } from './change-number.js'
import type { Agenda } from './agenda.js'
import type { Appender } from './appender.js'
import type { Core } from './core.js'
import type { BlobId } from './log-port.js'
import { isSmallWrite, OpenWrite } from './open-write.js'
import type { PendingChange, PendingChanges } from './pending-changes.js'
import type { ChangeOptions, ChannelPorts } from './ports.js'
import type { StagedLog } from './staged-log.js'
import type { Views } from './views.js'
import type { WriterBook } from './writer-book.js'

/**
 * Opens, continues and closes this member's open write (`OpenWrite`).
 *
 * INVARIANT: the open write is this member's newest change. On a leader it has the index that is next in the log, so
 * whatever is to be ordered closes it first.
 */
export class SmallWrites {
  readonly #ports: ChannelPorts
  readonly #log: StagedLog
  readonly #views: Views
  readonly #pending: PendingChanges
  readonly #agenda: Agenda
  readonly #appender: Appender
  readonly #writers: WriterBook
  #open: OpenWrite | undefined
  /** Where this leader's last small write ended: one that goes on there is the first of more, as a rule. */
  #written: { readonly ino: number; readonly kind: string; readonly end: number } | undefined

  constructor({ ports, log, views, pending, agenda }: Core, appender: Appender, writers: WriterBook) {
    this.#ports = ports
    this.#log = log
    this.#views = views
    this.#pending = pending
    this.#agenda = agenda
    this.#appender = appender
    this.#writers = writers
  }

  /** Whether a leader's small write follows on its last one. */
  goesOn({ operation }: PendingChange, options: ChangeOptions): boolean {
    const before = this.#written
    this.#written = undefined
    if (!isSmallWrite(operation) || options.durable) return false
    const { ino, kind } = operation
    const start = this.#startOf(operation)
    this.#written = { ino, kind, end: start + operation.length }
    return before?.ino === ino && before.kind === kind && before.end === start
  }

  #startOf(operation: WriteOperation | AppendOperation): number {
    return operation.kind === 'write' ? operation.offset : (getInode(this.#views.ordered, operation.ino)?.size ?? 0)
  }

  /** As leader: gives a write the place in the log that is next, and lets it grow before it is put there. It is shown if `joined`. */
  openAsLeader(change: PendingChange): number {
    const { operation, proposal } = change
    assert(isSmallWrite(operation), 'only small writes are left open')
    const { ordered, joined } = this.#views
    const index = this.#log.lastIndex + 1
    const start = this.#startOf(operation)
    ordered.tag = index
    const stale = joined ? this.#views.staleBy(operation) : []
    const errno = apply(ordered, operation, { time: proposal.time, number: index })
    if (errno !== 0) return errno
    rememberPlace(ordered, proposal, operation)
    this.#agenda.unsent(change.bytes)
    this.#open = new OpenWrite(change, start, index)
    if (joined) this.#views.shows(change, stale)
    return 0
  }

  /** Elsewhere: lets a change grow, if it is a small write that is shown already and nobody waits for. */
  maybeOpen(change: PendingChange, durable: boolean): void {
    const { operation, shownOffset } = change
    if (durable || !isSmallWrite(operation)) return
    const start = operation.kind === 'write' ? operation.offset : shownOffset!
    this.#open = new OpenWrite(change, start, undefined)
  }

  /** Makes a small write part of the open one if it goes on where that ends. */
  maybeContinue(operation: Operation, payload: Uint8Array, options: ChangeOptions): boolean {
    const open = this.#open
    if (open === undefined || options.durable || !isSmallWrite(operation)) return false
    if (!open.continues(operation, options.mount)) return false
    assert(open.change.journalled, 'an open write goes on that the journal does not have')
    const { ino, kind, length } = operation
    const { ordered, own, joined } = this.#views
    const { sequence } = open.change.proposal
    const shownEnd = kind === 'write' || joined ? open.end : open.change.shownOffset! + open.payload.length
    // another member's change may have moved the end of the file
    if (kind === 'append' && getInode(this.#views.view, ino)?.size !== shownEnd) return false
    const stale = this.#views.staleBy({ kind: 'write', ino, offset: shownEnd, length, killPrivileges: false })
    const time = this.#ports.now()
    if (open.place !== undefined) {
      ordered.tag = open.place
      const place = { time, number: open.place }
      if (extendWrite(ordered, ino, open.end, length, open.payload.length, place) !== 0) return false
    }
    if (!joined) {
      own.tag = sequence
      const errno = extendWrite(own, ino, shownEnd, length, open.payload.length, { time, number: -sequence })
      if (errno !== 0 && open.place === undefined) return false
      // it has its place: it is laid over the state as a whole
      if (errno !== 0) this.#views.makeStale()
    }
    this.#log.journal(open.take(payload, time))
    this.#pending.grow(open.change, length)
    this.#agenda.unsent(length)
    if (this.#views.leading) this.#written = { ino, kind, end: open.end }
    this.#views.invalidate(stale, options.mount)
    this.#agenda.answerChange(options.done, () => this.#views.invalidate(stale, undefined))
    return true
  }

  /** The open write grows no more; a leader gives it the place in the log at which it is shown already. */
  close(): void {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    const { change } = open
    const { proposal, operation } = open.proposal(this.#ports.hasher)
    change.proposal = proposal
    change.operation = operation
    // elsewhere, or when the lead was lost
    if (open.place === undefined || !this.#views.leading) return
    assert(open.place === this.#log.lastIndex + 1, 'an open write has lost its place in the log')
    this.#appender.append(proposal, operation)
    this.#writers.count(proposal.origin, change.bytes)
    change.ordered = open.place
  }

  /** A blob of the open write, by the number under which mounts are shown it. */
  blob(id: BlobId): Uint8Array | undefined {
    const open = this.#open
    if (open === undefined) return undefined
    const { number, part } = placeOfBlob(id)
    return number === open.place || number === -open.change.proposal.sequence ? open.blob(part) : undefined
  }
}
