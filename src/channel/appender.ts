import { failpoint } from '../base/failpoint.js'
import type { Operation } from '../fs/operation.js'
import { encodeEntry } from '../oplog/codec.js'
import type { EntryHeader, Proposal } from '../oplog/entry.js'
import type { Raft } from '../raft/raft.js'
import type { Agenda } from './agenda.js'
import type { Core } from './core.js'
import type { ChannelEvents, ChannelPorts } from './ports.js'
import { raftEntryOf, type StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'

/**
 * Ends a leader's log with what was ordered.
 *
 * INVARIANT: what it is given was laid over the state already, at the index that is next: only what `apply` accepted is
 * logged.
 */
export class Appender {
  readonly #ports: ChannelPorts
  readonly #events: ChannelEvents
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #agenda: Agenda
  #uncommittedBytes = 0

  constructor({ ports, events, log, raft, agenda }: Core) {
    this.#ports = ports
    this.#events = events
    this.#log = log
    this.#raft = raft
    this.#agenda = agenda
  }

  /** Entries behind the applied index; beyond `uncommittedBytesMax` no more changes are taken. */
  get uncommittedBytes(): number {
    return this.#uncommittedBytes
  }
  set uncommittedBytes(bytes: number) {
    this.#uncommittedBytes = Math.max(0, bytes)
  }

  append(proposal: Proposal, operation: Operation): void {
    const index = this.#log.lastIndex + 1
    const previousHash = this.#log.hash(index - 1)
    const header = encodeEntry(proposal, index, this.#raft.term, previousHash, this.#ports.hasher)
    const entry: EntryHeader = {
      ...proposal,
      index,
      term: this.#raft.term,
      payloadLength: proposal.payload.length,
      previousHash,
      hash: header.subarray(header.length - 32),
    }
    const stored: StoredEntry = { header, payload: proposal.payload, entry, operation }
    const raftEntry = raftEntryOf(stored)
    this.#uncommittedBytes += raftEntry.size
    this.#agenda.unsent(raftEntry.size)
    this.#log.append([raftEntry])
    failpoint('change-ordered')
    this.#raft.proposed([raftEntry])
    this.#events.entryAppended(stored)
  }
}
