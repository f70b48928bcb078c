import { equalBytes, toHex } from '../../../src/base/bytes.js'
import { anchorOf } from '../../channel/support/sim-disk.js'
import type { MemberId } from '../../../src/base/ids.js'
import type { Member } from '../../channel/support/cluster.js'
import type { StoredEntry } from '../../../src/channel/stored-entry.js'
import { nodeHasher } from '../../../src/adapters/host/hasher.js'
import { apply } from '../../../src/fs/apply.js'
import { TableView } from '../../../src/fs/table-view.js'
import { rememberPlace } from '../../../src/channel/change-number.js'
import type { Configuration } from '../../../src/raft/types.js'
import { MemoryStateStore } from '../../support/memory-state-store.js'
import { check } from './violation.js'

interface Known {
  readonly term: number
  readonly hash: Uint8Array
  readonly digest: Uint8Array
  /** Not before the term in which it was committed. */
  readonly seenIn: number
}

interface Seen {
  committed: number
  applied: number
  configuration: Configuration
  /** Of these it knows, leading, that they lack what they acknowledged to it. */
  readonly lacking: Set<MemberId>
}

/** What was on stable storage of a log. */
interface Stable {
  readonly from: number
  /** Of each entry after `from`. */
  readonly terms: readonly (number | undefined)[]
}

/**
 * There is one history: what one member holds for committed, all others do (Raft §5.4.3), with the same state at each
 * index, which is also what a single machine makes of it; it stands on the stable storage of a majority; and who leads
 * has all of it (§5.4.3, leader completeness).
 */
export class History {
  /** The state after the last known entry, made without any channel. */
  readonly table: TableView
  readonly #first: number
  readonly #entries: Known[] = []
  readonly #seen = new Map<Member, { life: number; at: Seen }>()
  readonly #committed: (stored: StoredEntry) => void
  readonly #members: () => readonly Member[]
  readonly #lost = new Map<MemberId, Stable>()

  /** Begins with the state of a member that has just been made. `committed` hears of each entry, in order. */
  constructor(member: Member, members: () => readonly Member[], committed: (stored: StoredEntry) => void) {
    const { position } = member.state
    const store = new MemoryStateStore()
    store.write({ writes: [...member.state.all()], position: position!, liveBytes: new Map() })
    this.table = new TableView(store, nodeHasher)
    this.#first = position!.index
    const { term, hash } = anchorOf(position!)
    this.#entries.push({ term, hash, digest: this.table.digest(), seenIn: term })
    this.#members = members
    this.#committed = committed
  }

  get last(): number {
    return this.#first + this.#entries.length - 1
  }

  #known(index: number): Known | undefined {
    return this.#entries[index - this.#first]
  }

  /** All that members know to be committed; asked before a log gives entries up, too. */
  learn(): void {
    for (const member of this.#members()) if (member.alive) this.#learn(member)
    for (const id of this.#lost.keys()) {
      for (const leader of this.#members()) {
        if (leader.alive && leader.channel.progress(id)?.recovering) this.#seenOf(leader).lacking.add(id)
      }
    }
  }

  /** … and what they made of it. */
  observe(): void {
    this.learn()
    for (const member of this.#members()) if (member.alive) this.#compare(member)
  }

  #seenOf(member: Member): Seen {
    const seen = this.#seen.get(member)
    if (seen !== undefined && seen.life === member.lives) return seen.at
    const at = { committed: 0, applied: 0, configuration: member.channel.configuration, lacking: new Set<MemberId>() }
    this.#seen.set(member, { life: member.lives, at })
    return at
  }

  #learn(member: Member): void {
    const { channel } = member
    const seen = this.#seenOf(member)
    const { commitIndex } = channel
    if (commitIndex <= seen.committed) return
    for (let index = Math.max(seen.committed + 1, channel.firstIndex); index <= commitIndex; index++) {
      const stored = channel.describe(index)!
      if (index === this.last + 1) this.#add(channel.entry(index)!, channel.term)
      const known = this.#known(index)
      // what it learned of only by a snapshot, somebody else is asked for
      if (known === undefined) continue
      check('history', equalBytes(known.hash, stored.entry.hash), () => {
        return `${member.id} commits another entry ${index}: of term ${stored.entry.term}, not ${known.term}`
      })
    }
    if (channel.role === 'leader') this.#checkStable(member, Math.min(commitIndex, this.last), seen)
    seen.committed = commitIndex
    seen.configuration = channel.configuration
  }

  #add(stored: StoredEntry, seenIn: number): void {
    const { entry, operation } = stored
    const errno = apply(this.table, operation, { time: entry.time, number: entry.index })
    check('history', errno === 0, () => `entry ${entry.index} does not apply: errno ${errno}`)
    rememberPlace(this.table, entry, operation)
    this.#entries.push({ term: entry.term, hash: entry.hash, digest: this.table.digest(), seenIn })
    this.#committed(stored)
  }

  /** Before a member's disk is put back or lost: what it has acknowledged counts until who leads learns of that. */
  losesDisk({ id, log }: Member): void {
    const from = log.anchor.index
    const terms = Array.from({ length: Math.max(0, log.durableIndex - from) }, (_, n) => log.term(from + 1 + n))
    this.#lost.set(id, { from, terms })
    // it may lose its disk twice: since the first time it has caught up, and was counted again
    for (const { at } of this.#seen.values()) at.lacking.delete(id)
  }

  /** A majority has it on its disks, also where what a member says of its disk is not so. */
  #checkStable(leader: Member, index: number, { configuration, lacking }: Seen): void {
    const known = this.#known(index)
    if (known === undefined) return
    const held = (id: MemberId): boolean => {
      const lost = lacking.has(id) ? undefined : this.#lost.get(id)
      return lost !== undefined && lost.terms[index - lost.from - 1] === known.term
    }
    const holds = (id: MemberId): boolean => {
      const log = this.#members().find(member => member.id === id)?.log
      if (log === undefined) return false
      return log.anchor.index >= index || (log.durableIndex >= index && log.term(index) === known.term)
    }
    const stable = ({ voters }: Configuration): boolean =>
      voters.filter(id => holds(id) || held(id)).length * 2 > voters.length
    check('history', stable(leader.channel.configuration) || stable(configuration), () => {
      return `${leader.id} commits entry ${index}, which no majority has on stable storage`
    })
  }

  #compare(member: Member): void {
    const { channel } = member
    const seen = this.#seenOf(member)
    const { appliedIndex } = channel
    if (appliedIndex === seen.applied || channel.restoring || !channel.serving) return
    seen.applied = appliedIndex
    const known = this.#known(appliedIndex)
    check('history', known !== undefined, () => {
      return `${member.id} applied entry ${appliedIndex}, the history ends at ${this.last}`
    })
    const digest = channel.table.digest()
    check('history', equalBytes(known.digest, digest), () => {
      return `${member.id} has another state at entry ${appliedIndex}: ${toHex(digest)}, not ${toHex(known.digest)}`
    })
  }

  /** A member begins to lead: it has all that was committed in earlier terms. It may hear late that it was elected. */
  leads(member: Member): void {
    const { channel } = member
    let index = this.last
    while (index > this.#first && this.#known(index)!.seenIn >= channel.term) index--
    if (index < channel.firstIndex) return
    const stored = channel.describe(index)
    check('leader-completeness', stored?.entry.term === this.#known(index)!.term, () => {
      return `${member.id} leads term ${channel.term} without entry ${index}`
    })
  }
}
