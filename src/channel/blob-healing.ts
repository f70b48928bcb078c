import type { MemberId } from '../base/ids.js'
import { blobsPerEntryMax, chunkBytes, healingBlobsMax } from '../base/limits.js'
import type { Raft } from '../raft/raft.js'
import type { Agenda } from './agenda.js'
import type { Core } from './core.js'
import type { Health } from './health.js'
import { type BlobId, DamagedBlob, type LogStore } from './log-port.js'
import type { ChannelPorts } from './ports.js'
import type { Roster } from './roster.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'

/** Blobs that are asked for at a time: they come whole, 256 KiB each at most. */
const askedMax = 16
/** Asked again after so long without an answer, twice as long each time, and of those that had nothing after so long. */
const answerTicks = 20
const doublingsMax = 4
const againTicks = 100
/** Where nobody can be reached that may have it. */
const lonelyTicks = 5
/** Blobs that one member is sent in a tick; it asks again for the others. */
const sentPerTickMax = 32

interface Reader {
  readonly deadline: number
  readonly done: (leftMs: number | undefined) => void
}

interface Wanted {
  readonly why: string
  readonly readers: Set<Reader>
  /** Those that said that they do not have it. */
  readonly without: Set<MemberId>
  /** Those that did not answer in time: all others come first. */
  readonly silent: Set<MemberId>
  /** Who was asked, and when it counts as silent. */
  asked: MemberId | undefined
  nextTick: number
  /** How often nobody answered in time. */
  unanswered: number
}

/** A blob as another member has it; without `data`: it does not have it. */
export interface BlobAnswer {
  readonly id: BlobId
  readonly data: Uint8Array | undefined
}

/**
 * Fetches blobs that this member's disk has lost from the other members, and puts them in their place.
 *
 * INVARIANT: what another member sends is taken only if it is what was here, as far as this log knows (`LogStore.heal`), and
 * only for an entry that is the same there: the same term at its index, or committed on both.
 */
export class BlobHealing {
  readonly #ports: ChannelPorts
  readonly #store: LogStore
  readonly #self: MemberId
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #roster: Roster
  readonly #agenda: Agenda
  readonly #health: Health
  /** Whether a file still needs a blob. */
  readonly #isNeeded: (id: BlobId) => boolean
  readonly #wanted = new Map<BlobId, Wanted>()
  readonly #sent = new Map<MemberId, number>()
  #ticks = 0
  #healed = 0

  constructor({ self, ports, log, raft, roster, agenda, health }: Core, isNeeded: (id: BlobId) => boolean) {
    this.#isNeeded = isNeeded
    this.#self = self
    this.#ports = ports
    this.#store = ports.log
    this.#log = log
    this.#raft = raft
    this.#roster = roster
    this.#agenda = agenda
    this.#health = health
  }

  /** Blobs that were fetched from others since this channel was opened. */
  get healed(): number {
    return this.#healed
  }

  /** How many are damaged here now. */
  get wanted(): number {
    return this.#wanted.size
  }

  /** Why a part of a file is lost: nobody has it. Undefined: nothing is. */
  get lost(): string | undefined {
    for (const [id, wanted] of this.#wanted) if (this.#isHopeless(wanted) && this.#isNeeded(id)) return wanted.why
    return undefined
  }

  /** Entries up to here cannot be sent any more: a payload is lost that no file needs. 0: there is no such entry. */
  get forsaken(): number {
    let last = 0
    for (const [id, wanted] of this.#wanted) {
      if (this.#isHopeless(wanted) && !this.#isNeeded(id)) last = Math.max(last, Math.floor(id / blobsPerEntryMax))
    }
    return last
  }

  /**
   * A blob could not be read. `done` is told when it is whole again, and how much is left of the time; or, by undefined,
   * that it will not be within `timeoutMs`: at once when all other members have said that they do not have it. Answers a
   * way to give up.
   */
  want(error: DamagedBlob, timeoutMs: number, done: (leftMs: number | undefined) => void): () => void {
    if (!this.#health.sound) {
      done(undefined)
      return () => {}
    }
    const wanted = this.#take(error)
    if (this.#isHopeless(wanted)) {
      done(undefined)
      return () => {}
    }
    const reader: Reader = { deadline: this.#ports.monotonicMs() + timeoutMs, done }
    wanted.readers.add(reader)
    return () => {
      if (wanted.readers.delete(reader)) done(undefined)
    }
  }

  /** A blob that nobody waits for could not be read. Of many, those that are left out are found again. */
  note(error: DamagedBlob): void {
    if (this.#wanted.size < healingBlobsMax && this.#health.sound) this.#take(error)
  }

  #take(error: DamagedBlob): Wanted {
    const id = error.blob
    const known = this.#wanted.get(id)
    if (known !== undefined) return known
    if (this.#wanted.size === 0) {
      const words = `a part of a file cannot be read here, and the other members are asked for it: ${error.message}`
      this.#ports.report('error', words)
    }
    const wanted: Wanted = {
      why: error.message,
      readers: new Set(),
      without: new Set(),
      silent: new Set(),
      asked: undefined,
      nextTick: 0,
      unanswered: 0,
    }
    this.#wanted.set(id, wanted)
    this.#ask()
    return wanted
  }

  get #others(): MemberId[] {
    return this.#roster.descriptor.members.map(({ id }) => id).filter(id => id !== this.#self)
  }

  /** Nobody has it, as all others have said. */
  #isHopeless(wanted: Wanted): boolean {
    return this.#others.every(id => wanted.without.has(id))
  }

  tick(): void {
    this.#ticks++
    this.#sent.clear()
    if (this.#wanted.size === 0) return
    const now = this.#ports.monotonicMs()
    for (const [id, wanted] of this.#wanted) {
      for (const reader of wanted.readers) {
        if (reader.deadline > now) continue
        wanted.readers.delete(reader)
        reader.done(undefined)
      }
      if (wanted.nextTick <= this.#ticks) this.#lookAgain(id, wanted)
    }
    this.#ask()
  }

  /** Before it is asked for again: the disk may answer by now, or nothing refer to the blob any more. */
  #lookAgain(id: BlobId, wanted: Wanted): void {
    if (wanted.asked !== undefined) {
      wanted.silent.add(wanted.asked)
      wanted.unanswered++
    }
    wanted.asked = undefined
    try {
      const isWhole = Math.floor(id / blobsPerEntryMax) <= this.#log.lastIndex && this.#store.blob(id) !== undefined
      this.#settle(id, wanted, isWhole)
    } catch (error) {
      if (!(error instanceof DamagedBlob)) this.#health.fail(error)
    }
  }

  #ask(): void {
    let free = askedMax
    const asked = new Map<MemberId, number>()
    for (const { asked: of } of this.#wanted.values()) {
      if (of === undefined) continue
      free--
      asked.set(of, (asked.get(of) ?? 0) + 1)
    }
    for (const [id, wanted] of this.#wanted) {
      if (free <= 0) return
      if (wanted.asked !== undefined || wanted.nextTick > this.#ticks) continue
      // who had nothing may have fetched it since
      if (this.#isHopeless(wanted)) wanted.without.clear()
      const to = this.#mayHave(wanted)
      if (to === undefined) {
        wanted.nextTick = this.#ticks + lonelyTicks
        continue
      }
      // over a thin link one at a time: what does not come in time is asked for twice
      const before = asked.get(to) ?? 0
      if (before > 0 && (before + 1) * chunkBytes > this.#ports.transport.windowBytes(to)) continue
      const index = Math.floor(id / blobsPerEntryMax)
      const term = this.#store.term(index) ?? 0
      if (!this.#ports.transport.send(to, { kind: 'blob-wanted', id, term })) continue
      wanted.asked = to
      wanted.nextTick = this.#ticks + answerTicks * 2 ** Math.min(wanted.unanswered, doublingsMax)
      asked.set(to, before + 1)
      free--
    }
  }

  /** Who is asked next, of those that can be reached. */
  #mayHave(wanted: Wanted): MemberId | undefined {
    const others = this.#others.filter(id => this.#ports.transport.connected(id) && !wanted.without.has(id))
    const spoken = others.find(id => !wanted.silent.has(id))
    if (spoken === undefined) wanted.silent.clear()
    return spoken ?? others[0]
  }

  /** Another member wants a blob of the entry that has `term` (0: it has forgotten which); undefined: it is given none. */
  serve(from: MemberId, id: BlobId, term: number | undefined): void {
    const sent = (this.#sent.get(from) ?? 0) + 1
    if (sent > sentPerTickMax) return
    this.#sent.set(from, sent)
    if (term === 0 && this.#mayBeCommitted(id)) return
    this.#ports.transport.send(from, { kind: 'blob', id, data: term === undefined ? undefined : this.#own(id, term) })
  }

  /** Of an entry in the log which another member knows to be committed: soon this one does, too, or cuts it. */
  #mayBeCommitted(id: BlobId): boolean {
    const index = Math.floor(id / blobsPerEntryMax)
    return this.#store.term(index) !== undefined && index > this.#raft.commitIndex
  }

  #own(id: BlobId, term: number): Uint8Array | undefined {
    const index = Math.floor(id / blobsPerEntryMax)
    // of what is not committed here, only the same entry's
    const known = this.#store.term(index)
    if (known === undefined ? index > this.#raft.commitIndex : term !== 0 && term !== known) return undefined
    try {
      return this.#log.recentBlob(id) ?? this.#store.blob(id)
    } catch (error) {
      if (error instanceof DamagedBlob) this.note(error)
      return undefined
    }
  }

  /** What a member that was asked has. */
  hear(from: MemberId, { id, data }: BlobAnswer): void {
    const wanted = this.#wanted.get(id)
    // one that has answered too late has it all the same
    if (wanted === undefined || (wanted.asked !== from && !wanted.silent.has(from))) return
    // compaction has dropped it meanwhile
    if (Math.floor(id / blobsPerEntryMax) < this.#log.firstIndex && !this.#isNeeded(id)) {
      return this.#settle(id, wanted, false)
    }
    if (wanted.asked === from) {
      wanted.asked = undefined
      wanted.nextTick = this.#ticks
    }
    const outcome = data === undefined ? 'wrong' : this.#heal(id, data)
    if (outcome === 'wrong') {
      wanted.without.add(from)
      if (this.#isHopeless(wanted)) this.#giveUp(id, wanted)
    } else if (outcome === 'healed') {
      this.#healed++
      this.#settle(id, wanted, true)
    } else wanted.nextTick += answerTicks
    this.#ask()
  }

  /** `later`: the disk has no room for it. */
  #heal(id: BlobId, data: Uint8Array): 'healed' | 'wrong' | 'later' {
    const index = Math.floor(id / blobsPerEntryMax)
    // without a term it was the blob of a committed entry that was asked for
    if (this.#store.term(index) === undefined && index > this.#raft.commitIndex) return 'wrong'
    try {
      return this.#store.heal(id, data) ? 'healed' : 'wrong'
    } catch (error) {
      this.#health.logWriteFailed(error)
      return 'later'
    }
  }

  #giveUp(id: BlobId, wanted: Wanted): void {
    this.#ports.report('error', `a part of a file is damaged here, and no other member has it: ${wanted.why}`, {
      blob: id,
    })
    wanted.nextTick = this.#ticks + againTicks
    this.#tell(wanted, false)
  }

  #settle(id: BlobId, wanted: Wanted, healed: boolean): void {
    this.#wanted.delete(id)
    if (this.#wanted.size === 0) {
      const words = 'what of the files was damaged here is whole again'
      this.#ports.report('info', words, { healed: this.#healed })
    }
    this.#tell(wanted, healed)
    this.#agenda.turn()
  }

  #tell({ readers }: Wanted, healed: boolean): void {
    const all = [...readers]
    readers.clear()
    const now = this.#ports.monotonicMs()
    for (const { done, deadline } of all) done(healed ? deadline - now : undefined)
  }

  failAll(): void {
    for (const wanted of this.#wanted.values()) this.#tell(wanted, false)
    this.#wanted.clear()
  }
}
