import { equalBytes } from '../base/bytes.js'
import { RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import type { EncodedEntry } from '../oplog/entry.js'
import type { Raft } from '../raft/raft.js'
import type { RaftEntry, RaftMessage } from '../raft/types.js'
import type { BlobHealing } from './blob-healing.js'
import type { Complaints } from './complaints.js'
import type { Core } from './core.js'
import type { Health } from './health.js'
import { DamagedBlob } from './log-port.js'
import { answersLeader, type OwnContact } from './own-contact.js'
import type { Pledges } from './pledges.js'
import type { ChannelPorts } from './ports.js'
import { raftEntryOf, type StagedLog } from './staged-log.js'
import { openEntry, type StoredEntry } from './stored-entry.js'
import type { PeerMessage } from './transport-port.js'

type Append = Extract<RaftMessage<EncodedEntry>, { kind: 'append' }>
type Opened = Extract<RaftMessage<StoredEntry>, { kind: 'append' }>

/** The consensus core's messages: entries are decoded and checked on their way in, and taken from the log on their way out. */
export class RaftLink {
  readonly #ports: ChannelPorts
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #health: Health
  readonly #complaints: Complaints
  readonly #pledges: Pledges
  readonly #healing: BlobHealing
  readonly #contact: OwnContact
  #contradiction: { readonly from: MemberId; readonly term: number; readonly words: string } | undefined

  constructor({ ports, log, raft, health, complaints, pledges }: Core, healing: BlobHealing, contact: OwnContact) {
    this.#contact = contact
    this.#healing = healing
    this.#ports = ports
    this.#log = log
    this.#raft = raft
    this.#health = health
    this.#complaints = complaints
    this.#pledges = pledges
  }

  /** Why this member takes nothing of the present leader's: one of them has lost what is committed. */
  get contradiction(): string | undefined {
    const { leader, term } = this.#raft
    const told = this.#contradiction
    return told !== undefined && told.from === leader && told.term === term ? told.words : undefined
  }

  step(from: MemberId, message: RaftMessage<EncodedEntry>): void {
    if (message.kind !== 'append') {
      this.#health.guardDisk(() => this.#raft.step(from, message))
      this.#pledges.note(from, message)
      return
    }
    let entries: RaftEntry<StoredEntry>[]
    try {
      entries = message.entries.map(({ data }) => raftEntryOf(openEntry(data, this.#ports.hasher, true)))
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#complaints.about(from, 'damaged-entry', 'warn', `member ${from} sent a damaged entry: ${error.message}`)
      return
    }
    const broken = this.#brokenLink(message, entries)
    if (broken !== undefined) return this.#refuse(from, message.term, broken)
    const opened = { ...message, entries }
    this.#health.guardDisk(() => this.#raft.step(from, opened))
    this.#watchForContradiction(from, opened)
    this.#pledges.note(from, message)
    if (entries.length > 0) failpoint('entries-received')
  }

  /**
   * The entry whose chain hash does not continue what is before it: in the message, or in this log, where that has the
   * entry before with the same term (Raft §5.3: then both are the same up to there). Undefined when all fits.
   */
  #brokenLink({ previousIndex, previousTerm }: Append, entries: readonly RaftEntry<StoredEntry>[]): number | undefined {
    const held = (index: number, term: number): Uint8Array | undefined =>
      this.#log.term(index) === term ? this.#log.hash(index) : undefined
    let hash = held(previousIndex, previousTerm)
    for (const { index, data } of entries) {
      if (hash !== undefined && !equalBytes(data.entry.previousHash, hash)) return index
      hash = data.entry.hash
    }
    // of those that are here already the core looks at the terms alone
    const here = entries.findLast(({ index, term }) => this.#log.term(index) === term)
    if (here === undefined || equalBytes(here.data.entry.hash, this.#log.hash(here.index))) return undefined
    return here.index
  }

  /**
   * One member alone is no proof that this log is wrong, whatever term it claims: nothing of the message is taken, and this
   * member goes on. If it is this log that is wrong, a majority's digest says so.
   */
  #refuse(from: MemberId, term: number, index: number): void {
    const words = `member ${from} sent entry ${index}, which does not continue the hash chain of what is here`
    this.#complaints.about(from, 'broken-chain', 'error', `${words}: refused`)
    if (term >= this.#raft.term) this.#contradiction = { from, term, words }
  }

  /** No honest leader's log is another than what is committed here: the core passes over it, and people are told. */
  #watchForContradiction(from: MemberId, { term, previousIndex, previousTerm, entries }: Opened): void {
    if (from !== this.#raft.leader || term !== this.#raft.term || previousIndex > this.#raft.commitIndex) return
    const differs = (index: number, its: number): boolean => {
      if (index > this.#raft.commitIndex || index < this.#log.firstIndex) return false
      return this.#log.term(index) !== its
    }
    const wrong = differs(previousIndex, previousTerm)
      ? previousIndex
      : entries.find(entry => differs(entry.index, entry.term))?.index
    if (wrong === undefined) return
    const words = `the log of member ${from}, which leads, differs from what is committed here at entry ${wrong}`
    this.#complaints.about(from, 'contradiction', 'error', words)
    this.#contradiction = { from, term, words }
  }

  /** Undefined when a payload cannot be read: it is fetched from a member that has it. */
  #encoded(first: number, last: number): EncodedEntry[] | undefined {
    try {
      return this.#log.encoded(first, last)
    } catch (error) {
      if (!(error instanceof DamagedBlob)) throw error
      this.#healing.note(error)
      return undefined
    }
  }

  /** Sends what the core has to say by now. */
  send(): void {
    const { transport } = this.#ports
    // the same entries for several members are one message, which the transport encodes once
    const shared = new Map<string, PeerMessage>()
    for (const { to, message } of this.#raft.takeMessages()) {
      if (message.kind !== 'append' || message.last < message.first) {
        const isSent = transport.send(to, { kind: 'raft', message: message as RaftMessage<EncodedEntry> })
        if (isSent && to === this.#raft.leader && answersLeader(message)) this.#contact.answers(to)
        continue
      }
      // the log may have been cut between the decision and now: what is gone is not sent
      if (message.last > this.#log.lastIndex || message.first < this.#log.firstIndex) continue
      const key = `${message.term}/${message.previousIndex}/${message.first}/${message.last}/${message.commit}`
      let outgoing = shared.get(key)
      if (outgoing === undefined) {
        const encoded = this.#encoded(message.first, message.last)
        if (encoded === undefined) {
          // it is sent what it lacks once this disk has it again
          this.#raft.disconnected(to)
          continue
        }
        let index = message.first
        const entries: RaftEntry<EncodedEntry>[] = encoded.map(data => ({
          index: index++,
          term: message.term,
          size: data.header.length + data.payload.length,
          data,
        }))
        outgoing = { kind: 'raft', message: { ...message, entries } }
        shared.set(key, outgoing)
      }
      if (!transport.send(to, outgoing)) this.#raft.disconnected(to)
    }
  }
}
