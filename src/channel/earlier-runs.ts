import type { MemberId } from '../base/ids.js'
import type { Operation } from '../fs/operation.js'
import type { EntryHeader, Proposal } from '../oplog/entry.js'
import { encodeProposal } from '../oplog/proposal-codec.js'
import {
  addToChange,
  changeKey,
  type ChangeNumber,
  compareChanges,
  hasEnded,
  isPlaced,
  lastPlaced,
} from './change-number.js'
import type { Core } from './core.js'
import { givenUpSession } from './given-up.js'
import { DamagedBlob, type JournalRecord } from './log-port.js'
import { changeOfJournal } from './open-write.js'
import type { ChannelPorts } from './ports.js'
import type { StagedLog } from './staged-log.js'
import type { Views } from './views.js'

/** A change that an earlier run of this process told a program of, and that is not known to be committed. */
export interface Leftover {
  readonly proposal: Proposal
  readonly operation: Operation
  /** Under which the journal has it. */
  readonly number: ChangeNumber
  /** Where it stands in this member's own log; undefined: the journal has it. */
  ordered: number | undefined
}

/**
 * What earlier runs of this member's process left behind: in the journal, and at the end of the own log. None of it is
 * proposed again (DESIGN §2, promise 5). Where it stands in a log it may be committed all the same: then it has its place
 * before all that came later. What has none when its session has ended will never have one, and is given up.
 *
 * INVARIANT: each of them stands in the own log or in the journal until it is committed, or has been reported.
 */
export class EarlierRuns {
  readonly #self: MemberId
  readonly #ports: ChannelPorts
  readonly #log: StagedLog
  readonly #views: Views
  readonly #changes = new Map<string, Leftover>()

  constructor({ self, ports, log, views }: Core) {
    this.#self = self
    this.#ports = ports
    this.#log = log
    this.#views = views
  }

  /** Finds them, after a start. */
  recover(): void {
    const last = lastPlaced(this.#views.table, this.#self)
    const found: Leftover[] = []
    const inLog = new Set<string>()
    for (let index = this.#views.applied.index + 1; index <= this.#log.lastIndex; index++) {
      const { entry, operation } = this.#log.described(index)
      if (entry.origin !== this.#self || entry.session === 0) continue
      inLog.add(changeKey(entry))
      const payload = this.#payloadOf(index)
      if (payload !== undefined)
        found.push({ proposal: { ...entry, payload }, operation, number: entry, ordered: index })
    }
    const journalled = new Map<string, JournalRecord[]>()
    for (const record of this.#ports.log.journal()) addToChange(journalled, record)
    for (const [key, records] of journalled) {
      const { session, sequence } = records[0]!
      const number = { session, sequence }
      if (isPlaced(last, number) || inLog.has(key)) this.#log.unjournal(session, sequence)
      else found.push({ ...changeOfJournal(records, this.#ports.hasher), number, ordered: undefined })
    }
    found.sort((a, b) => compareChanges(a.proposal, b.proposal))
    for (const change of found) this.#changes.set(changeKey(change.number), change)
  }

  /** Undefined when the disk has lost it: the entry stays in its place in the log, but no copy of it can be kept. */
  #payloadOf(index: number): Uint8Array | undefined {
    try {
      return this.#log.entry(index).payload
    } catch (error) {
      if (!(error instanceof DamagedBlob)) throw error
      const words = `entry ${index}, of this member's own, cannot be kept if it has no place: ${error.message}`
      this.#ports.report('error', words)
      return undefined
    }
  }

  get size(): number {
    return this.#changes.size
  }

  /** A change of this member's is part of the applied state. */
  applied(entry: EntryHeader): void {
    const change = this.#changes.get(changeKey(entry))
    if (change !== undefined) this.#forget(change)
  }

  /** Entries of the own log from an index on are about to be cut off. */
  cutOff(index: number): void {
    for (const change of this.#changes.values()) {
      if (change.ordered !== undefined && change.ordered >= index) this.#journal(change)
    }
  }

  /** A snapshot may take the place of the log: what that alone holds must outlive it. */
  journalUncommitted(commitIndex: number): void {
    this.cutOff(commitIndex + 1)
  }

  #journal(change: Leftover): void {
    const { session, sequence, payload } = change.proposal
    change.ordered = undefined
    if (change.operation.kind === 'open-session') return this.#forget(change)
    this.#log.journal({ session, sequence, part: 0, proposal: encodeProposal(change.proposal), payload })
  }

  /**
   * In a channel that nobody else is in, nothing can have come in between: the journal is the end of the log, and goes there
   * before anything new. `order` answers 0 where a change has its place.
   */
  goOn(order: (change: Leftover) => number, lastIndex: () => number): void {
    for (const change of this.#changes.values()) {
      if (change.number.session === givenUpSession) continue
      if (change.ordered !== undefined || order(change) !== 0) continue
      change.ordered = lastIndex()
      this.#log.unjournal(change.proposal.session, change.proposal.sequence)
    }
  }

  /** Takes out those that will never have a place. They stay in the journal. */
  takeGivenUp(): Leftover[] {
    if (this.#changes.size === 0) return []
    const last = lastPlaced(this.#views.table, this.#self)
    const givenUp: Leftover[] = []
    for (const change of this.#changes.values()) {
      const { number, operation, ordered } = change
      const isDone = isPlaced(last, number)
      const opens = operation.kind === 'open-session'
      if (isDone || (opens && hasEnded(last, number.session))) this.#forget(change)
      // what still stands in the own log may have its place before the end of its session
      if (isDone || opens || ordered !== undefined || !hasEnded(last, number.session)) continue
      this.#changes.delete(changeKey(number))
      givenUp.push(change)
    }
    return givenUp
  }

  #forget({ number, ordered }: Leftover): void {
    this.#changes.delete(changeKey(number))
    if (ordered === undefined) this.#log.unjournal(number.session, number.sequence)
  }
}
