import { assert } from '../base/assert.js'
import { apply, getInode } from '../fs/apply.js'
import { extendWrite } from '../fs/content.js'
import { firstBlob } from '../fs/extents.js'
import type { AppendOperation, Operation, WriteOperation } from '../fs/operation.js'
import { rememberPlace } from './change-number.js'
import type { Agenda } from './agenda.js'
import type { Appender } from './appender.js'
import type { Core } from './core.js'
import type { BlobId } from './log-port.js'
import { isSmallWrite, OpenWrite } from './open-write.js'
import { journalRecord, type PendingChange, type PendingChanges } from './pending-changes.js'
import type { ChangeOptions, ChannelPorts } from './ports.js'
import type { StagedLog } from './staged-log.js'
import type { Views } from './views.js'
import type { WriterBook } from './writer-book.js'

/**
 * Opens, continues and closes this member's open write (`OpenWrite`).
 *
 * INVARIANT: the open write is this member's newest change. On a leader it is shown at the index that is next in the log,
 * so whatever is to be ordered closes it first.
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
    return operation.kind === 'write' ? operation.offset : (getInode(this.#views.overlay, operation.ino)?.size ?? 0)
  }

  /** As leader: shows a write where it will stand in the log, and lets it grow before it is put there. */
  openAsLeader(change: PendingChange): number {
    const { operation, proposal } = change
    assert(isSmallWrite(operation), 'only small writes are left open')
    const { overlay } = this.#views
    const index = this.#log.lastIndex + 1
    const start = this.#startOf(operation)
    overlay.tag = index
    const stale = this.#views.staleBy(operation)
    const errno = apply(overlay, operation, { time: proposal.time, number: index })
    if (errno !== 0) return errno
    rememberPlace(overlay, proposal)
    change.visible = true
    change.stale = stale
    this.#log.journal(journalRecord(change))
    change.journalled = true
    this.#agenda.unsent(change.bytes)
    this.#open = new OpenWrite(change, start, index, index)
    this.#views.invalidate(stale, change.mount)
    return 0
  }

  /** Elsewhere: lets a change grow, if it is a small write that is shown already and nobody waits for. */
  maybeOpen(change: PendingChange, durable: boolean): boolean {
    const { operation, proposal, shownOffset } = change
    if (durable || !isSmallWrite(operation)) return false
    const start = operation.kind === 'write' ? operation.offset : shownOffset!
    this.#open = new OpenWrite(change, start, -proposal.sequence, proposal.sequence)
    return true
  }

  /** Makes a small write part of the open one if it goes on where that ends. */
  maybeContinue(operation: Operation, payload: Uint8Array, options: ChangeOptions): boolean {
    const open = this.#open
    if (open === undefined || options.durable || !isSmallWrite(operation)) return false
    if (!open.continues(operation, options.mount)) return false
    const { ino, length } = operation
    const { overlay } = this.#views
    // another member's change may have moved the end of the file
    if (operation.kind === 'append' && getInode(overlay, ino)?.size !== open.end) return false
    const write = { kind: 'write', ino, offset: open.end, length, killPrivileges: false } as const
    overlay.tag = open.tag
    const stale = this.#views.staleBy(write)
    const time = this.#ports.now()
    const place = { time, number: open.number }
    if (extendWrite(overlay, ino, open.end, length, open.payload.length, place) !== 0) return false
    this.#log.journal(open.take(payload, time))
    this.#pending.grow(open.change, length)
    this.#agenda.unsent(length)
    if (this.#views.leading) this.#written = { ino, kind: operation.kind, end: open.end }
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
    if (!this.#views.leading) return
    assert(open.number === this.#log.lastIndex + 1, 'an open write has lost its place in the log')
    this.#appender.append(proposal, operation)
    this.#writers.count(proposal.origin, change.bytes)
    change.ordered = open.number
  }

  /** The blob of the open write. */
  blob(id: BlobId): Uint8Array | undefined {
    const open = this.#open
    return open !== undefined && id === firstBlob(open.number) ? open.payload : undefined
  }
}
