import type { MemberId } from '../base/ids.js'
import { isMemberId } from '../base/ids.js'
import type { EncodedEntry } from '../oplog/entry.js'
import type { Raft } from '../raft/raft.js'
import { joinPledges, noPledge } from '../raft/recovery.js'
import type { Pledge, RaftMessage } from '../raft/types.js'
import { isSameIncarnation, type Incarnation } from './incarnation.js'
import type { MemoryPort } from './ports.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'

/** What a member is remembered for. `slot`: it gets another one when it joins anew, and owes nothing then. */
export interface Remembered {
  readonly incarnation: Incarnation
  readonly slot: number
  readonly pledge: Pledge
}

/** A place in the log that is known to be committed. */
export interface Committed {
  readonly index: number
  readonly term: number
}

/** Each acknowledgement changes it. */
type Known = { -readonly [K in keyof Remembered]: Remembered[K] }

const nobody: Incarnation = { start: 0, mark: '' }
const formatVersion = 1
/** What is remembered is written down so often, if it has changed. */
const saveTicks = 10

/**
 * What the other members told this one: their newest incarnation, the newest term that each spoke in and the furthest
 * entry that it acknowledged. Written down about once a second, apart from the log, so that no acknowledgement costs a
 * sync more: what stands there is true, and at most some two seconds old after a loss of power. Only entries that this
 * member holds itself are remembered, so that it can give them to who has lost them.
 */
export class Pledges {
  readonly #memory: MemoryPort
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #of: Map<MemberId, Known>
  #changed = false
  #savedCommit: number

  constructor(memory: MemoryPort, log: StagedLog, raft: Raft<StoredEntry>) {
    this.#memory = memory
    this.#log = log
    this.#raft = raft
    const { members, committed } = parseMemory(memory.load())
    this.#of = members
    this.#savedCommit = committed.index
  }

  of(member: MemberId): Remembered | undefined {
    const known = this.#of.get(member)
    return known && { ...known }
  }

  /** A member says which run of which home it is. What it pledged in an earlier home counts no more. */
  meet(member: MemberId, incarnation: Incarnation, slot: number): void {
    const known = this.#of.get(member)
    if (known !== undefined && known.slot === slot && isSameIncarnation(known.incarnation, incarnation)) return
    const isAnother = known !== undefined && known.slot !== 0 && slot > known.slot
    const pledge = known === undefined || isAnother ? noPledge : known.pledge
    this.#of.set(member, { incarnation, slot: Math.max(slot, known?.slot ?? 0), pledge })
    this.#changed = true
  }

  /** A message has been dealt with: what it pledges is remembered. */
  note(from: MemberId, message: RaftMessage<EncodedEntry>): void {
    const { kind, term } = message
    if (kind === 'pre-vote' || kind === 'pre-vote-reply' || term > this.#raft.term) return
    if (kind === 'heartbeat' && this.#raft.leader === from && term === this.#raft.term) {
      return this.#hold(from, term, Math.min(message.durable, this.#raft.acknowledged))
    }
    const acknowledges = (kind === 'append-reply' && message.success) || kind === 'heartbeat-reply'
    if (acknowledges && !message.recovering && this.#raft.role === 'leader' && term === this.#raft.term) {
      return this.#hold(from, term, message.match <= this.#log.lastIndex ? message.match : 0)
    }
    this.#hold(from, term, 0)
  }

  #hold(member: MemberId, term: number, index: number): void {
    const known = this.#of.get(member)
    const pledge = known?.pledge ?? noPledge
    if (term <= pledge.term && term <= pledge.heldTerm && index <= pledge.index) return
    if (term <= pledge.term && index === 0) return
    const indexTerm = this.#log.term(index) ?? 0
    const told = { term, heldTerm: indexTerm === 0 ? 0 : term, index: indexTerm === 0 ? 0 : index, indexTerm }
    const next = joinPledges(pledge, told)
    const isNews = next.term > pledge.term || next.heldTerm > pledge.heldTerm || next.index !== pledge.index
    if (!isNews) return
    if (known === undefined) this.#of.set(member, { incarnation: nobody, slot: 0, pledge: next })
    else known.pledge = next
    this.#changed = true
  }

  tick(ticks: number): void {
    if (ticks % saveTicks === 0) this.save()
  }

  /** Has what changed written down. */
  save(): void {
    const index = this.#raft.commitIndex
    const term = this.#log.term(index)
    if (!this.#changed && index === this.#savedCommit) return
    this.#changed = false
    this.#savedCommit = index
    const committed = term === undefined ? { index: 0, term: 0 } : { index, term }
    this.#memory.save(JSON.stringify({ version: formatVersion, committed, members: Object.fromEntries(this.#of) }))
  }
}

/** What was written down; nothing where that is damaged: it is worth something only if it is sound. */
export function parseMemory(text: string | undefined): { members: Map<MemberId, Remembered>; committed: Committed } {
  const members = new Map<MemberId, Remembered>()
  const nothing = { members, committed: { index: 0, term: 0 } }
  if (text === undefined) return nothing
  let file: { version?: unknown; committed?: Committed; members?: Record<string, Remembered> } | null
  try {
    file = JSON.parse(text) as typeof file
  } catch {
    return nothing
  }
  if (file === null || file.version !== formatVersion || typeof file.members !== 'object' || !file.members)
    return nothing
  for (const [id, remembered] of Object.entries(file.members)) {
    if (isMemberId(id) && isRemembered(remembered)) members.set(id, remembered)
  }
  const { committed } = file
  const isSound = isCount(committed?.index) && isCount(committed?.term)
  return { members, committed: isSound ? committed! : nothing.committed }
}

export function isRemembered(value: Remembered | undefined): boolean {
  const { incarnation, slot, pledge } = value ?? {}
  return (
    isCount(incarnation?.start) &&
    typeof incarnation?.mark === 'string' &&
    isCount(slot) &&
    [pledge?.term, pledge?.heldTerm, pledge?.index, pledge?.indexTerm].every(isCount)
  )
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
