import type { Rng } from '../../src/base/rng.js'
import type { PeerMessage } from '../../src/channel/transport-port.js'
import type { EncodedEntry } from '../../src/oplog/entry.js'
import type { RaftMessage } from '../../src/raft/types.js'
import type { Cluster, Member } from '../channel/support/cluster.js'
import { allFollow } from './calm.js'
import { check } from './checkers/violation.js'

type Greeting = Extract<PeerMessage, { kind: 'greeting' }>

const awaitMsMax = 15_000
const lookMs = 50
/** For how long a leader is lied about, when nothing else is wrong. */
const watchedMs = 3000

export interface LiarHost {
  readonly cluster: Cluster
  readonly rng: Rng
  note(text: string): void
  /** Does it later, unless all is healed by then. */
  after(ms: number, task: () => void): void
  /** A disk came back, and who remembers what it held must be heard. */
  isRecovering(): boolean
  isGone(member: Member): boolean
  /** Whether all members may reach each other. */
  isCalm(): boolean
  /** Ends what else is wrong. */
  calm(): void
  happened(): void
}

/**
 * A member lies about terms: beside what its process says, its key sends messages of later terms, of every kind. They
 * claim nothing of the log, against which Raft has no defence: votes are asked for with an empty log, or in terms far from
 * its own with its true one; appends are empty, and commit nothing; a snapshot that it offers is sound.
 *
 * Checked, once in a run, where the members follow a leader and nothing else is wrong: that leader stays, in its term.
 * Whatever else is wrong, no term rises beyond its bound (`checkers/terms.ts`), and nobody is shut out at the end.
 */
export class Liars {
  readonly #host: LiarHost
  /** One member of a run, if any, lies. */
  #liar: Member | undefined
  #greetings = new Map<Member, Greeting>()
  #isWatching = false
  #isHandedOver = false
  #isDone = false

  constructor(host: LiarHost) {
    this.#host = host
  }

  /** Who has lied, or will; others that take its word may take it for one whose disk went back. */
  get liar(): Member | undefined {
    return this.#liar
  }

  /** Nothing else may go wrong. */
  get busy(): boolean {
    return this.#isWatching
  }

  /** A leader has told another to stand. */
  handedOver(): void {
    this.#isHandedOver = true
  }

  greeted(member: Member, greeting: Greeting): void {
    this.#greetings.set(member, greeting)
  }

  /** It lies for so long, whatever else is wrong. */
  lie(member: Member, ms: number): void {
    const liar = (this.#liar ??= member)
    const { cluster, rng, note, happened } = this.#host
    const everyMs = [20, 100, 500][rng.below(3)]!
    note(`* m${liar.slot - 1} lies about terms, for ${ms} ms each ${everyMs} ms`)
    happened()
    this.#goOn(liar, everyMs, cluster.clock.now + ms)
    if (rng.below(2) === 0) this.#await(liar)
  }

  #goOn(liar: Member, everyMs: number, end: number): void {
    const { cluster, after, isGone, isRecovering } = this.#host
    if (cluster.clock.now >= end || isGone(liar)) return
    if (!isRecovering()) this.#tell(liar)
    after(everyMs, () => this.#goOn(liar, everyMs, end))
  }

  /** Each other member is told something. */
  #tell(liar: Member): void {
    const { cluster } = this.#host
    if (!liar.alive) return
    for (const victim of cluster.alive) {
      if (victim !== liar && !this.#mayDecideAlone(liar, victim)) {
        cluster.network.send(liar.id, victim.id, this.#message(liar, victim))
      }
    }
  }

  /** The word of who decides alone is a majority's: by what is applied, by the latest configuration, by one on its way. */
  #mayDecideAlone(liar: Member, victim: Member): boolean {
    const applied = victim.channel.descriptor.members.filter(({ state }) => state === 'voter').map(({ id }) => id)
    const known = this.#host.cluster.alive.map(({ channel }) => channel.configuration.voters)
    return [applied, ...known].some(voters => voters.length === 1 && voters[0] === liar.id)
  }

  #await(liar: Member): void {
    if (this.#isDone) return
    const { cluster, calm, isCalm, isGone } = this.#host
    this.#isDone = this.#isWatching = true
    const end = cluster.clock.now + awaitMsMax
    calm()
    const look = (): void => {
      const leader = cluster.alive.find(({ leads }) => leads)
      const stays = leader !== undefined && leader !== liar && leader.channel.transferring === undefined
      if (stays && isCalm() && allFollow(cluster, leader, isGone)) {
        this.#isHandedOver = false
        return this.#watch(liar, leader, leader.channel.term, cluster.clock.now + watchedMs)
      }
      if (cluster.clock.now < end && !isGone(liar)) return cluster.clock.after(lookMs, look)
      this.#isWatching = false
    }
    look()
  }

  #watch(liar: Member, leader: Member, term: number, end: number): void {
    const { cluster, isGone, isCalm, note } = this.#host
    // who is removed while it leads, or finds that another makes most of the changes, hands over
    if (!isCalm() || this.#isHandedOver || isGone(leader) || isGone(liar) || cluster.clock.now >= end) {
      note('* the leader has stayed')
      this.#isWatching = false
      return
    }
    const { voters } = leader.channel.configuration
    check('lies', leader.leads && leader.channel.term === term, () => {
      return `m${leader.slot - 1} led term ${term}, and does not for what m${liar.slot - 1} says`
    })
    for (const { id, slot, channel } of cluster.alive) {
      if (id === liar.id || !voters.includes(id)) continue
      check('lies', channel.leader === leader.id, () => `m${slot - 1} left its leader for what m${liar.slot - 1} says`)
    }
    this.#tell(liar)
    cluster.clock.after(lookMs, () => this.#watch(liar, leader, term, end))
  }

  #message(liar: Member, victim: Member): PeerMessage {
    const { rng } = this.#host
    const rise = [1, 1, 2, 5, 1000, 1025, 2 ** 28, 2 ** 40][rng.below(8)]!
    const term = victim.channel.term + rise
    const greeting = this.#greetings.get(liar)
    if (greeting !== undefined && rng.below(14) === 0) {
      const { incarnation, slot, recovering } = greeting
      return { kind: 'greeting', incarnation, slot, recovering, term }
    }
    return { kind: 'raft', message: this.#claim(liar, victim, term) }
  }

  #claim(liar: Member, victim: Member, term: number): RaftMessage<EncodedEntry> {
    const { rng } = this.#host
    const { lastIndex, role } = liar.channel
    const isFarFromOwn = term > liar.channel.term + 3 && (role === 'follower' || role === 'leader')
    const log = isFarFromOwn ? { lastIndex, lastTerm: liar.log.term(lastIndex) ?? 0 } : { lastIndex: 0, lastTerm: 0 }
    const none = { match: 0, rejectedIndex: 0, hintIndex: 0, hintTerm: 0, recovering: false }
    const empty = { previousIndex: 0, previousTerm: 0, first: 1, last: 0, entries: [], commit: 0 }
    const kinds: RaftMessage<EncodedEntry>[] = [
      { kind: 'vote', term, ...log, transfer: true },
      { kind: 'vote', term, ...log, transfer: false },
      { kind: 'pre-vote', term: term + 1, ...log, transfer: rng.below(2) === 0 },
      { kind: 'heartbeat', term, commit: 0, round: 1, last: 0, durable: 0, acknowledging: 0 },
      { kind: 'append', term, ...empty },
      { kind: 'snapshot', term, index: victim.channel.commitIndex + 1 },
      { kind: 'timeout-now', term, target: victim.id },
      { kind: 'append-reply', term, success: false, ...none },
      { kind: 'heartbeat-reply', term, round: 0, match: 0, recovering: false },
      { kind: 'vote-reply', term, granted: false },
      { kind: 'pre-vote-reply', term, granted: false },
      { kind: 'read-index', term, context: 1 },
      { kind: 'term-question', term },
      { kind: 'term-answer', term, leader: liar.id },
    ]
    return kinds[rng.below(kinds.length)]!
  }
}
