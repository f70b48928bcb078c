import { RkfsError } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import type { Raft } from '../raft/raft.js'
import type { Core } from './core.js'
import { withoutVote } from './descriptor.js'
import type { Health } from './health.js'
import type { ChangeMembers } from './leader-duties.js'
import type { ChannelPorts } from './ports.js'
import type { Roster } from './roster.js'
import type { StoredEntry } from './stored-entry.js'

const setting = 'lost-voter'
const demotionMs = 5000

/**
 * Of two voters one is gone for good: somebody says so, and the other one decides alone. Nothing that was acknowledged is lost
 * by that, since nothing was committed without it. It first takes the other one's vote away by an entry of the order, which
 * ends this; when that member comes back after all it is a learner, and gets its vote again when it has caught up.
 */
export class LostVoter {
  readonly #self: MemberId
  readonly #ports: ChannelPorts
  readonly #raft: Raft<StoredEntry>
  readonly #roster: Roster
  readonly #health: Health
  readonly #changeMembers: ChangeMembers
  #member: MemberId | undefined

  constructor({ self, ports, raft, roster, health }: Core, changeMembers: ChangeMembers) {
    this.#self = self
    this.#ports = ports
    this.#raft = raft
    this.#roster = roster
    this.#health = health
    this.#changeMembers = changeMembers
    this.#member = ports.log.setting(setting) || undefined
    raft.loseVoter(this.#member)
  }

  /** Throws `refused` with the reason, or what the disk throws. */
  giveUp(member: MemberId): void {
    const reason = this.#refusal(member)
    if (reason !== undefined) throw new RkfsError('refused', reason)
    const { log } = this.#ports
    this.#member = member
    log.setSetting(setting, member)
    log.commit()
    log.syncNow()
    this.#ports.report('warn', `member ${member} is given up for lost, by command: this one decides without it`)
    this.#raft.loseVoter(member)
  }

  #refusal(member: MemberId): string | undefined {
    const { voters } = this.#raft.configuration
    if (!voters.includes(this.#self)) return 'this node has no vote: run it on the voter that is left'
    if (member === this.#self) return 'this is the node itself'
    if (!voters.includes(member)) return `member ${member} has no vote: nobody waits for it`
    if (voters.length !== 2) {
      return (
        `${voters.length} voters decide, and a majority of them is enough: start others of them. ` +
        'What they have acknowledged without this node would be lost'
      )
    }
    if (this.#ports.transport.connected(member)) return `member ${member} is connected`
    if (!this.#health.serving) return 'this node does not serve the channel itself'
    if (this.#raft.recovery !== undefined) return 'the home of this node lacks what it acknowledged itself'
    if (this.#roster.isOutdated || !this.#raft.isAlwaysNeeded) {
      return 'the members have changed, or are changing, and this node does not know how: there may be other voters'
    }
    return undefined
  }

  tick(): void {
    const member = this.#member
    if (member === undefined) return
    // it was not gone, and nothing was decided without it: a later break is to stop both again
    if (this.#raft.leader === member && this.#ports.transport.connected(member)) return this.#done()
    if (!this.#raft.isConfigurationCommitted) return
    if (!this.#raft.configuration.voters.includes(member)) return this.#done()
    if (this.#raft.role !== 'leader' || !this.#raft.mayChangeConfiguration()) return
    const { descriptor } = this.#roster
    if (descriptor.members.some(({ id, state }) => id === member && state === 'voter')) {
      this.#changeMembers(withoutVote(descriptor, member), demotionMs, () => {})
    }
  }

  #done(): void {
    this.#member = undefined
    this.#raft.loseVoter(undefined)
    this.#health.guardDisk(() => {
      this.#ports.log.setSetting(setting, '')
      this.#ports.log.commit()
    })
  }
}
