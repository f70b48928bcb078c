import { Limiter } from '../base/limiter.js'
import { RkfsError } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import { electionTimeoutTicks } from '../base/limits.js'
import type { Raft } from '../raft/raft.js'
import { isOlder } from '../raft/recovery.js'
import type { Recovery } from '../raft/types.js'
import type { Core } from './core.js'
import type { Findings } from './findings.js'
import type { Health } from './health.js'
import { isSameIncarnation, type Incarnations } from './incarnation.js'
import type { LogStore } from './log-port.js'
import type { Pledges, Remembered } from './pledges.js'
import type { ChannelPorts } from './ports.js'
import type { Roster } from './roster.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'
import type { PeerMessage } from './transport-port.js'

type Greeting = Extract<PeerMessage, { kind: 'greeting' }>

const setting = 'recovery'
/** So often a member's word that this one has forgotten something is taken. */
const claimMs = 10_000
const claimsMax = 2
const reviewTicks = 10

/** What this member owed when its process ended; undefined: nothing. */
export function storedRecovery(log: LogStore): Recovery | undefined {
  const text = log.setting(setting)
  return text === undefined || text === '' ? undefined : (JSON.parse(text) as Recovery)
}

/** Where this home's log stood when the process began. */
export interface Base {
  readonly term: number
  readonly lastIndex: number
  readonly lastTerm: number
}

/**
 * Whether this member's disk, and the others', hold what they once said. Members greet each other at each connection: each
 * tells which run of its home it is, and what it remembers of the other. Who finds that it lacks something of that is
 * brought up to date like a learner before it votes or counts again (`Raft.owe`), and says so to all.
 */
export class Standing {
  readonly #self: MemberId
  readonly #ports: ChannelPorts
  readonly #log: StagedLog
  readonly #raft: Raft<StoredEntry>
  readonly #roster: Roster
  readonly #health: Health
  readonly #findings: Findings
  readonly #pledges: Pledges
  readonly #incarnations: Incarnations
  readonly #base: Base
  readonly #slot: () => number
  readonly #greeted = new Set<MemberId>()
  /** Whose last greeting said that it lacks what it acknowledged. */
  readonly #saysRecovering = new Set<MemberId>()
  readonly #claims = new Limiter(claimMs, claimsMax)
  #ticks = 0
  #why: string | undefined

  constructor(core: Core) {
    const { self, ports, log, raft, roster, health, findings, pledges, incarnations, homeSlot, base } = core
    this.#self = self
    this.#ports = ports
    this.#log = log
    this.#raft = raft
    this.#roster = roster
    this.#health = health
    this.#findings = findings
    this.#pledges = pledges
    this.#incarnations = incarnations
    this.#base = base
    this.#slot = () => homeSlot.value ?? 0
    if (raft.recovery !== undefined) this.#say(raft.recovery.blind ? lostLog : stillBehind)
  }

  /** Why this member neither votes nor counts; undefined: it does. */
  get recovering(): string | undefined {
    return this.#raft.recovery === undefined ? undefined : this.#why
  }

  /** All other voters have said what they remember, or have had the time for it. */
  get settled(): boolean {
    if (this.#ticks >= electionTimeoutTicks) return true
    return this.#raft.configuration.voters.every(id => id === this.#self || this.#greeted.has(id))
  }

  tick(): void {
    this.#ticks++
    this.#pledges.tick(this.#ticks)
    if (this.#ticks % reviewTicks === 0) this.#review()
  }

  greet(member: MemberId): void {
    const remembered = this.#pledges.of(member)
    this.#roster.tell(member, {
      kind: 'greeting',
      incarnation: this.#incarnations.own,
      slot: this.#slot(),
      term: this.#raft.term,
      recovering: this.#raft.recovery !== undefined,
      ...(remembered === undefined || remembered.incarnation.start === 0 ? {} : { remembered }),
    })
  }

  #greetAll(): void {
    for (const { id } of this.#roster.peers) if (id !== this.#self) this.greet(id)
  }

  hear(from: MemberId, greeting: Greeting): void {
    this.#greeted.add(from)
    this.#judge(from, greeting)
    const { remembered, term } = greeting
    this.#health.guardDisk(() => this.#raft.saw(from, term))
    // who heard this member in a term is in that term itself
    if (remembered !== undefined && remembered.pledge.term <= term) this.#compare(from, remembered)
  }

  /** What another member says of itself. */
  #judge(from: MemberId, { incarnation, slot, recovering }: Greeting): void {
    const known = this.#pledges.of(from)
    if (known !== undefined && slot !== 0 && slot < known.slot) {
      const words = `an older home of member ${from} was started: it has joined anew since`
      return this.#findings.add(from, 'old-home', words)
    }
    this.#findings.clear(from, 'old-home')
    if (recovering) this.#saysRecovering.add(from)
    else this.#saysRecovering.delete(from)
    const { start, mark } = known?.incarnation ?? incarnation
    const isOlderRun =
      known?.slot === slot && (incarnation.start < start || (incarnation.start === start && incarnation.mark !== mark))
    this.#pledges.meet(from, incarnation, slot)
    if (recovering) this.#findings.add(from, 'recovering', `member ${from} ${otherBehind}`)
    else if (isOlderRun) {
      // what it is told in return makes it one that recovers
      this.#findings.add(from, 'recovering', `the home of member ${from} went back in time: ${twice}`)
    } else this.#findings.clear(from, 'recovering')
  }

  /** What another member remembers of this one. */
  #compare(from: MemberId, { incarnation, slot, pledge }: Remembered): void {
    const own = this.#slot()
    if (own !== 0 && slot > own) {
      return this.#health.fail(
        new RkfsError('refused', `this home was given up: its member has joined anew with another one, says ${from}`),
      )
    }
    // of an earlier home
    if (own !== 0 && slot !== 0 && slot < own) return
    const isOwnRun = isSameIncarnation(incarnation, this.#incarnations.own)
    const { lastIndex } = this.#log
    const { term, ...end } = isOwnRun
      ? { term: this.#raft.term, lastIndex, lastTerm: this.#log.term(lastIndex) ?? 0 }
      : this.#base
    const isBehind = isOlder(pledge, term, end.lastIndex, end.lastTerm)
    const isAnother = !this.#incarnations.includes(incarnation)
    if (!isBehind && !isAnother) return
    // one that lies keeps nobody from counting for long
    if (this.#claims.pass(from, this.#ports.monotonicMs()) === undefined) return
    const why = isBehind
      ? `member ${from} remembers that this one acknowledged entry ${pledge.index} and spoke in term ${pledge.term}; ` +
        `its log ended at entry ${end.lastIndex}, its term was ${term}`
      : `member ${from} has heard another run of it`
    this.#owe(`this home went back in time: ${why}: ${twice}`, pledge)
  }

  #owe(why: string, pledge: Recovery['pledge']): void {
    const before = JSON.stringify(this.#raft.recovery)
    const { voters } = this.#raft.configuration
    // nobody else could give anything back
    if (voters.length === 1 && voters[0] === this.#self) return this.#findings.add(this.#self, 'recovering', why)
    this.#health.guardDisk(() => this.#raft.owe({ pledge, blind: false }))
    const recovery = JSON.stringify(this.#raft.recovery)
    if (recovery === before) return
    this.#health.guardDisk(() => {
      const { log } = this.#ports
      log.setSetting(setting, recovery)
      log.commit()
      log.syncNow()
    })
    if (this.#why === undefined) this.#say(why)
    this.#greetAll()
  }

  #say(why: string): void {
    this.#why = why
    this.#findings.add(this.#self, 'recovering', `${why}; it neither votes nor counts until it has caught up`)
  }

  /** The core holds all of it again. */
  recovered(): void {
    this.#health.guardDisk(() => {
      this.#ports.log.setSetting(setting, '')
      this.#ports.log.commit()
    })
    this.#why = undefined
    this.#findings.clear(this.#self, 'recovering')
    this.#ports.report('info', 'this member has caught up with what it had acknowledged: it votes and counts again')
    this.#greetAll()
  }

  // ---- what the core finds ----

  /** Leader: a member refuses what it has acknowledged. */
  rolledBack(member: MemberId, acknowledged: number): void {
    const words = `member ${member} acknowledged entry ${acknowledged} and lacks it: its disk went back in time`
    this.#findings.add(member, 'recovering', `${words}; it does not count until it has caught up`)
    this.greet(member)
  }

  /** Takes back what is said of others and is over, though they were not here to say so. */
  #review(): void {
    const { members } = this.#roster.descriptor
    for (const { member } of this.#findings.ofKind('recovering')) {
      if (member === this.#self) continue
      const progress = this.#raft.progress(member)
      const counts = progress !== undefined && !progress.recovering && progress.match >= this.#raft.commitIndex
      const isGone = !members.some(({ id }) => id === member)
      if (isGone || (counts && !this.#saysRecovering.has(member))) this.#findings.clear(member, 'recovering')
    }
  }
}

const twice = 'an older copy of it was put back, or it runs twice'
const otherBehind = 'lacks what it acknowledged: its home went back in time or lost its log; it is brought up to date'
const lostLog = 'the log of this home is empty, and the member has a vote'
const stillBehind = 'this home went back in time and lacks what it had acknowledged'
