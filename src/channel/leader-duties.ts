import type { MemberId } from '../base/ids.js'
import { electionTimeoutTicks } from '../base/limits.js'
import type { Raft } from '../raft/raft.js'
import type { Core } from './core.js'
import type { Descriptor } from './descriptor.js'
import type { Health } from './health.js'
import type { LeaderOrder } from './leader-order.js'
import type { ChannelPorts } from './ports.js'
import type { Roster } from './roster.js'
import type { Space } from './space.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'
import type { WriterBook } from './writer-book.js'

/** A member that lacks no more than this can take over, or vote. */
const handOverLagMax = 4096
const promotionLagMax = 64
const promotionTicks = 3
const promotionMs = 5000

export type ChangeMembers = (descriptor: Descriptor, timeoutMs: number, done: (errno: number) => void) => void

/** What a leader sees to at each tick: who should lead, and who may vote. */
export class LeaderDuties {
  readonly #self: MemberId
  readonly #ports: ChannelPorts
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #roster: Roster
  readonly #health: Health
  readonly #space: Space
  readonly #order: LeaderOrder
  readonly #writers: WriterBook
  readonly #changeMembers: ChangeMembers

  constructor(
    { self, ports, log, raft, roster, health }: Core,
    order: LeaderOrder,
    writers: WriterBook,
    space: Space,
    changeMembers: ChangeMembers,
  ) {
    this.#space = space
    this.#self = self
    this.#ports = ports
    this.#log = log
    this.#raft = raft
    this.#roster = roster
    this.#health = health
    this.#order = order
    this.#writers = writers
    this.#changeMembers = changeMembers
  }

  tick(ticks: number): void {
    this.#maybeFollowWriter()
    if (ticks % electionTimeoutTicks === 0) this.#maybeLeaveFullDisk()
    this.#order.askLeftAside()
    if (ticks % promotionTicks === 0) this.#maybePromote()
  }

  /** Who has no room for what it orders leads no longer, if another has. */
  #maybeLeaveFullDisk(): void {
    const isFull = this.#health.diskFull !== undefined
    const other =
      this.#space.roomier ??
      (isFull
        ? this.#raft.configuration.voters.find(id => id !== this.#self && this.#raft.progress(id)?.active)
        : undefined)
    if (other === undefined) return
    this.#ports.report('info', `leadership moves to ${other}: this member's disk has no room`)
    this.#raft.transferLeadership(other)
  }

  #maybeFollowWriter(): void {
    const heavy = this.#writers.tick()
    if (heavy === undefined || heavy === this.#self || !this.#raft.configuration.voters.includes(heavy)) return
    const progress = this.#raft.progress(heavy)
    if (!progress?.active || progress.match + handOverLagMax < this.#log.lastIndex) return
    if (!this.#ports.transport.connected(heavy) || this.#space.isShort(heavy)) return
    this.#ports.report('info', `leadership moves to ${heavy}, which makes most of the changes`)
    this.#raft.transferLeadership(heavy)
  }

  /** A learner that the owner wants as a voter becomes one when it has nearly all of the log (thesis §4.2.1). */
  #maybePromote(): void {
    if (!this.#raft.mayChangeConfiguration() || this.#raft.transferring !== undefined) return
    // its vote has just been taken away, and that must end first
    if (this.#raft.lostVoter !== undefined) return
    const { descriptor } = this.#roster
    const learner = descriptor.members.find(m => {
      const progress = this.#raft.progress(m.id)
      return (
        m.role === 'voter' &&
        m.state === 'learner' &&
        progress !== undefined &&
        // who has just gone counts as active for a while: with its vote back nothing would be decided without it
        progress.active &&
        this.#ports.transport.connected(m.id) &&
        !progress.recovering &&
        // one that has never answered counts as active at first, and a short log as nearly nothing
        progress.match > 0 &&
        progress.match + promotionLagMax >= this.#raft.commitIndex
      )
    })
    if (learner === undefined) return
    const promoted: Descriptor = {
      ...descriptor,
      version: descriptor.version + 1,
      members: descriptor.members.map(m => (m.id === learner.id ? { ...m, state: 'voter' as const } : m)),
    }
    this.#changeMembers(promoted, promotionMs, errno => {
      if (errno === 0) this.#ports.report('info', `${learner.name} (${learner.id}) is a voter now`)
    })
  }
}
