import { equalBytes } from '../../src/base/bytes.js'
import { blobsPerEntryMax, MiB } from '../../src/base/limits.js'
import { Rng } from '../../src/base/rng.js'
import type { ChannelPorts } from '../../src/channel/ports.js'
import type { Frontend } from '../../src/channel/frontend.js'
import { answersLeader } from '../../src/channel/own-contact.js'
import { DamagedBlob } from '../../src/channel/log-port.js'
import type { PeerMessage } from '../../src/channel/transport-port.js'
import { decodeDescriptor, type Descriptor } from '../../src/channel/descriptor.js'
import { nodeHasher } from '../../src/adapters/host/hasher.js'
import { membersDescriptor } from '../../src/fs/apply.js'
import { rootInode } from '../../src/fs/records.js'
import { recordHash } from '../../src/fs/table-view.js'
import { heldState, MemoryDisk } from '../channel/support/sim-disk.js'
import { Cluster, type Member } from '../channel/support/cluster.js'
import { ByteUser } from './byte-users.js'
import { Acknowledged } from './checkers/acknowledged.js'
import { checkAnswers } from './checkers/answers.js'
import type { Retention } from '../../src/channel/upkeep.js'
import { checkBounds, checkNetwork } from './checkers/bounds.js'
import { checkFileTree } from './checkers/file-tree.js'
import { checkKeptBlobs } from './checkers/kept-blobs.js'
import { History } from './checkers/history.js'
import { checkKernelCache } from './checkers/kernel-cache.js'
import { Leaders } from './checkers/leaders.js'
import { InodeNumbersOnce } from './checkers/inode-numbers.js'
import { LateWrites } from './checkers/late-writes.js'
import { LogMatching } from './checkers/log-matching.js'
import { checkOthersChanges } from './checkers/others-changes.js'
import { checkWholeListing } from './checkers/whole-listing.js'
import { checkOwnView } from './checkers/own-view.js'
import { keepsLittle } from './checkers/space.js'
import { Sessions } from './checkers/sessions.js'
import { check } from './checkers/violation.js'
import { checkTerms } from './checkers/terms.js'
import { Votes } from './checkers/votes.js'
import { Faults } from './faults.js'
import { intercept } from './intercept.js'
import { Kernel } from './kernel.js'
import { PageFiles, PageUser } from './page-users.js'
import { LinearUsers } from './linear-users.js'
import { drawOptions, type FaultKind, type SimOptions } from './options.js'
import { RawChanges } from './raw-changes.js'
import { Snapshots } from './snapshots.js'
import { SqliteDisks } from './sqlite-disk.js'
import { TurnTakers } from './turn-takers.js'
import { Trace } from './trace.js'
import { User, type World } from './users.js'

/** Whoever remembers what a lost disk held must be there. */
const leavesNobodyOut: readonly FaultKind[] = ['remove', 'admit', 'old-disk', 'no-disk', 'copied-disk']

/** One virtual millisecond is a tick of a run. */
export const defaultTicks = 8000
const keptEvents = 60
const observeMs = 5
const lookMs = 100
const convergeMsMax = 60_000
const probeMsMax = 30_000
const roomMsMax = 10_000
const garbageMsMax = 60_000
/** Members' own views are compared record by record: as long as that is not the run's main work. */
const viewedBytesMax = 200_000

/** A deliberate fault, to see that it is noticed: puts itself between the code and its ports. */
export interface Mutation {
  ports?(member: Member, ports: ChannelPorts): ChannelPorts
  mounted?(member: Member, frontend: Frontend): void
}

export interface RunResult {
  readonly digest: string
  readonly totals: Readonly<Record<string, number>>
}

/** With little of the log kept, what is in use of blobs that are mostly not is kept anew at once. */
function retentionOf(entriesMax: number): Retention {
  const relocation = { looseBytes: -Infinity, gainBytes: 1, restTicks: 0 }
  return { margin: 1, entriesMax, copyBytes: 0, ...(entriesMax < 60 ? { relocation } : {}) }
}

/**
 * One run: members of a channel, programs that use it, and faults, all of it drawn from a seed. A safety phase, in which
 * nothing may be wrong whatever fails, then a liveness phase, in which a majority is whole again and must get on.
 */
export class Simulation {
  readonly options: SimOptions
  readonly trace: Trace
  readonly #ticks: number
  readonly #rng: Rng
  readonly #mutation: Mutation
  readonly #disks = new SqliteDisks()
  readonly #cluster: Cluster
  readonly #leaders = new Leaders()
  readonly #votes = new Votes()
  readonly #logs = new LogMatching()
  readonly #sessions = new Sessions()
  readonly #numbers = new InodeNumbersOnce()
  readonly #late: LateWrites
  readonly #acknowledged: Acknowledged
  readonly #kernels = new Map<Member, Kernel>()
  readonly #history: History
  #users: (User | ByteUser | PageUser)[] = []
  #linear: LinearUsers | undefined
  #turns: TurnTakers | undefined
  #faults: Faults | undefined
  #snapshots: Snapshots | undefined
  #world: World | undefined
  #pages: PageFiles | undefined
  #busy = true
  #relocations = 0

  constructor(seed: number, ticks = defaultTicks, mutation: Mutation = {}) {
    this.#rng = new Rng(seed)
    this.#ticks = ticks
    this.#mutation = mutation
    const options = (this.options = drawOptions(this.#rng))
    this.trace = new Trace(() => this.#now, keptEvents)
    const { retainedEntries } = options
    this.#late = new LateWrites(
      () => this.#now,
      options.leaseMs,
      () => this.#cluster.members,
    )
    this.#acknowledged = new Acknowledged(() => this.#now, this.#late)
    this.#cluster = new Cluster(options.members, this.#rng.u32(), {
      learners: options.learners,
      leaseMs: options.leaseMs,
      chunkExtents: options.chunkExtents,
      space: { keepBytes: options.keepBytes },
      mountOptions: { sync: options.sync, timeoutMs: options.timeoutMs, latest: options.latest, channelLocks: false },
      hooks: {
        ports: (member, ports) => this.#ports(member, ports),
        roleChanged: (member, role, term) => {
          this.trace.note(`m${member.slot - 1} is ${role} of term ${term}`)
          if (role !== 'leader') return
          this.#leaders.leads(member.id, term)
          this.#history.leads(member)
        },
        lostChange: (_, lost) => this.#acknowledged.lost(lost),
        ended: (member, life) => this.#late.ended(member, life),
        heard: (from, by, message) => {
          this.#late.heard(from, by)
          if (message.kind === 'raft' && answersLeader(message.message)) this.#late.answered(by, from)
        },
        mounted: (member, frontend) => this.#mounted(member, frontend),
        failed: member => this.#faults!.failed(member),
      },
      ...(retainedEntries === undefined ? {} : { retention: retentionOf(retainedEntries) }),
      openDisk: (_, schedule) => {
        const disk = options.disk === 'sqlite' ? this.#disks.open(schedule) : new MemoryDisk(schedule)
        if (options.diskMiB !== undefined) disk.space.capacity = options.diskMiB * MiB
        return disk
      },
    })
    this.#cluster.network.delayMsMax = options.delayMsMax
    this.#cluster.syncMsMax = options.syncMsMax
    this.#history = new History(
      this.#cluster.members[0]!,
      () => this.#cluster.members,
      stored => {
        const { entry, operation } = stored
        this.#sessions.committed(stored)
        this.#late.committed(stored)
        this.#numbers.committed(stored)
        this.#acknowledged.committed(stored)
        if (operation.kind === 'relocate') this.#relocations++
        this.trace.note(`entry ${entry.index} of term ${entry.term}: ${operation.kind}`)
      },
    )
  }

  get #now(): number {
    return this.#cluster?.clock.now ?? 0
  }

  /** Throws the `Violation` that was found. */
  run(): RunResult {
    try {
      this.#begin()
      const end = this.#now + this.#ticks
      while (this.#now < end) this.#advance()
      this.#rest()
      return { digest: this.trace.digest(), totals: this.#totals() }
    } finally {
      this.#disks.remove()
    }
  }

  // ---- between the code and its ports ----

  #ports(member: Member, plain: ChannelPorts): ChannelPorts {
    const ports: ChannelPorts = {
      ...plain,
      // members' disks are looked at behind whatever a mutation puts before them
      log: intercept(member.log, {
        append: records => {
          this.#logs.written(member.id, records)
          member.log.append(records)
        },
        compact: (upTo, isUsed) => {
          this.#history.learn()
          return member.log.compact(upTo, isUsed)
        },
        saveHardState: state => {
          // back from a term that no majority was ever near: votes there have come to nothing
          if (state.term < member.log.hardState.term)
            this.#votes.losesDisk(member.id, term => this.#leaders.wasLed(term))
          member.log.saveHardState(state)
          // a disk that does not answer holds up who waits for it within a call
          if (member.stalled) this.#cluster.clock.soon(() => member.stalled && member.freeze())
        },
      }),
      transport: {
        ...plain.transport,
        send: (to, message) => {
          this.#sends(member, to, message)
          const isSent = plain.transport.send(to, message)
          const isAnswer = message.kind === 'raft' && answersLeader(message.message)
          if (isSent && isAnswer && member.channel.leader === to) this.#late.answers(member)
          return isSent
        },
      },
      report: (level, message, fields) => {
        plain.report(level, message, fields)
        this.trace.note(`m${member.slot - 1} ${level}: ${message}`)
        check('history', !message.includes('does not apply'), () => `m${member.slot - 1}: ${message}`)
      },
    }
    return this.#mutation.ports?.(member, ports) ?? ports
  }

  #sends(member: Member, to: string, message: PeerMessage): void {
    this.trace.count(`${member.slot} ${to} ${message.kind}`)
    if (message.kind === 'greeting') this.#faults?.greeted(member, message)
    if (message.kind !== 'raft') return
    const raft = message.message
    const { term } = raft
    const { hardState } = member.log
    if (raft.kind === 'timeout-now') this.#faults?.handedOver()
    if (raft.kind === 'vote') this.#votes.cast(member.id, term, member.id, hardState)
    else if (raft.kind === 'vote-reply' && raft.granted) this.#votes.cast(member.id, term, to, hardState)
    else if (raft.kind === 'append' || raft.kind === 'heartbeat') this.#leaders.leads(member.id, term)
    if (raft.kind !== 'pre-vote' && raft.kind !== 'pre-vote-reply') this.#votes.speaks(member.id, term, hardState)
  }

  #mounted(member: Member, frontend: Frontend): void {
    this.#kernels.set(member, new Kernel(frontend, this.#cluster.clock))
    this.#mutation.mounted?.(member, frontend)
  }

  // ---- the safety phase ----

  #begin(): void {
    const { options } = this
    const cluster = this.#cluster
    const rng = new Rng(this.#rng.u32())
    const note = (text: string): void => this.trace.note(text)
    note(`options ${JSON.stringify(options)}`)
    const { ino, answer } = cluster.leader().create('log')
    cluster.answered(answer)
    cluster.until('the shared file on all members', () =>
      cluster.members.every(m => m.channel.table.get('entry', rootInode, 'log')?.ino === ino),
    )
    if (options.pageUsers) this.#pages = new PageFiles(cluster)
    this.#observe()
    this.#world = {
      options,
      rng,
      acknowledged: this.#acknowledged,
      shared: ino,
      note,
      now: () => this.#now,
      after: (ms, task) => cluster.clock.after(ms, () => this.#busy && task()),
      always: (ms, task) => cluster.clock.after(ms, task),
      observe: () => this.#history.observe(),
    }
    this.#snapshots = new Snapshots(cluster, new Rng(this.#rng.u32()), note)
    this.#faults = new Faults({
      cluster,
      options,
      rng: new Rng(this.#rng.u32()),
      note,
      observe: () => this.#history.observe(),
      committed: () => this.#descriptor,
      sessionMayEnd: member => this.#late.sessionMayEnd(member),
      powerLost: member => {
        this.#history.observe()
        this.#acknowledged.powerLost(member)
      },
      losesDisk: member => {
        this.#history.observe()
        this.#history.losesDisk(member)
        this.#late.losesDisk(member)
        this.#votes.losesDisk(member.id, term => this.#leaders.wasLed(term))
      },
      started: member => this.#settleIn(member),
    })
    if (options.turnTakers) this.#turns = new TurnTakers(this.#world)
    if (options.latest) this.#linear = new LinearUsers(this.#world)
    for (const member of cluster.members) this.#settleIn(member)
    if (options.rawChanges || options.users === 0) this.#makeRawChanges(new RawChanges(this.#world))
  }

  /** Programs begin at a member that runs, once it has a state. */
  #settleIn(member: Member): void {
    checkKeptBlobs(member)
    const { lives } = member
    // a mount outlives the fault of a disk, not the process
    if (!member.isMounted) this.#kernels.delete(member)
    const begin = (): void => {
      if (member.lives !== lives || !this.#busy) return
      const world = this.#world!
      if (!member.channel.usable || member.channel.slot === undefined || member.lookup('log') === undefined) {
        return this.#cluster.clock.after(200, begin)
      }
      const kernel = this.#kernelOf(member)
      for (let n = 0; n < this.options.users; n++) {
        this.#users.push(new User(`m${member.slot - 1}.${n}`, member, kernel, world))
      }
      const pages = this.#pages
      if (pages !== undefined) {
        this.#users.push(new PageUser(`m${member.slot - 1}.pages`, member, kernel, world, pages))
      }
      if (this.options.byteUsers) this.#users.push(new ByteUser(`m${member.slot - 1}.bytes`, member, kernel, world))
      this.#linear?.join(member, kernel)
      this.#turns?.join(member, kernel)
    }
    begin()
  }

  #kernelOf(member: Member): Kernel {
    // a mount is made when it is first asked for
    void member.frontend
    return this.#kernels.get(member)!
  }

  #makeRawChanges(raw: RawChanges): void {
    const { rng, after } = this.#world!
    after(1 + rng.below(2 * this.options.callMs), () => {
      const able = this.#cluster.alive.filter(({ frozen, channel }) => !frozen && channel.slot !== undefined)
      const member = able[rng.below(able.length)]
      if (member !== undefined) raw.step(member)
      this.#makeRawChanges(raw)
    })
  }

  #advance(): void {
    const before = this.#now
    this.#cluster.advance(observeMs)
    this.#observe()
    if (Math.floor(before / lookMs) !== Math.floor(this.#now / lookMs)) this.#look()
  }

  #observe(): void {
    this.#history.observe()
  }

  /** What is too dear for each step. */
  #look(): void {
    for (const member of this.#cluster.alive) {
      const { channel } = member
      const who = `m${member.slot - 1}`
      const isDisk = channel.failure?.startsWith('EIO') === true
      check('serving', channel.failure === undefined || isDisk, () => `${who} failed: ${channel.failure}`)
      check('serving', channel.quarantine === undefined, () => `${who} is quarantined: ${channel.quarantine}`)
      const isDamaged = channel.damage !== undefined && !lostUnnamed(member)
      check('serving', !isDamaged, () => `${who} cannot read its disk: ${channel.damage}`)
      checkTerms(member, this.#cluster.members.length, this.#now)
      if (!member.frozen) checkWholeListing(member, 'log', member.slot > this.options.members)
      const kernel = this.#kernels.get(member)
      checkBounds(member, (kernel?.waiting ?? 0) + this.#acknowledged.count)
      if (kernel === undefined || member.frozen) continue
      checkAnswers(kernel, this.#now, member.frozenUntil, this.options.timeoutMs)
      if (channel.usable && !channel.restoring) checkOthersChanges(member)
      if (!this.#isAtRest(member, kernel)) continue
      checkKernelCache(member, kernel)
      if (kernel.cache?.isIdle === true) this.#pages?.checkKernel(member, kernel.cache)
    }
    checkNetwork(this.#cluster.network)
    const { alive } = this.#cluster
    const member = alive[this.#world!.rng.below(alive.length)]
    if (member !== undefined) this.#checkOwnView(member)
  }

  /** Nothing of a member's own is on its way: what it shows is its state. */
  #isAtRest({ channel }: Member, kernel: Kernel): boolean {
    return kernel.waiting === 0 && channel.pending.operations === 0 && channel.usable && !channel.restoring
  }

  #checkOwnView(member: Member): void {
    const { shared } = this.#world!
    const { frozen, channel } = member
    if (frozen || channel.restoring || !channel.serving) return
    const size = channel.view.get('inode', shared, '')?.size
    if (size === undefined || size > viewedBytesMax) return
    const made = this.#acknowledged.all(member).filter(({ file }) => file === 'shared')
    const content = readable(() => member.content(shared)!)
    if (content !== undefined) checkOwnView(member, content, made)
  }

  // ---- the liveness phase ----

  get #descriptor(): Descriptor {
    return decodeDescriptor(membersDescriptor(this.#history.table)!)
  }

  #rest(): void {
    const cluster = this.#cluster
    const faults = this.#faults!
    this.#busy = false
    for (const user of this.#users) user.stop()
    this.trace.note('* healing begins')
    const leftOut = this.#leaveOut()
    faults.heal(leftOut)
    const whole = (): Member[] => {
      const ids = new Set(this.#descriptor.members.map(({ id }) => id))
      return cluster.members.filter(m => ids.has(m.id) && !leftOut.includes(m) && !faults.isGone(m))
    }
    // who begins to write now would lose its process
    this.#within('who lost its disk has caught up', convergeMsMax + 15_000, () => !faults.isReturning)
    this.#within('the members agree', convergeMsMax, () => this.#agree(whole()))
    this.#within('there is room for changes', roomMsMax, () => whole().every(hasRoom))
    for (const member of whole()) this.#probe(member)
    this.#within('the members agree again', convergeMsMax, () => this.#agree(whole()))
    for (let n = 0; n < 60; n++) this.#advance()
    this.#within('the members agree still', convergeMsMax, () => this.#agree(whole()))
    // times of access may be ordered meanwhile
    const settled = (): boolean => this.#agree(whole()) && whole().every(member => garbageOf(member) === 0)
    this.#within('what was damaged is whole again', convergeMsMax, () => whole().every(isWhole))
    this.#within('the blobs that nobody needs are gone', garbageMsMax, settled)
    this.#within('what nobody has open keeps nothing', garbageMsMax, () => whole().every(keepsOpenOnly))
    const { keepBytes, disk } = this.options
    // an only member's log reaches back to the copy of its state; in files there is what the database has not taken over
    if (keepBytes !== undefined && disk === 'memory' && leftOut.length === 0 && whole().length > 1) {
      this.#within('no more is kept than may be', garbageMsMax, () => whole().every(m => keepsLittle(m, keepBytes)))
    }
    // bytes may have been kept anew meanwhile
    this.#within('the members agree in the end', convergeMsMax, () => this.#agree(whole()))
    this.#look()
    this.#checkEnd(whole())
  }

  /** Fewer voters than half, as the last known configuration has it. */
  #leaveOut(): Member[] {
    const { rng } = this.#world!
    if (!this.options.leftOut) return []
    const leader = this.#cluster.alive.find(({ leads }) => leads)
    const { voters } = (leader ?? this.#cluster.members[0]!).alive
      ? (leader ?? this.#cluster.members[0]!).channel.configuration
      : { voters: [] as string[] }
    const committed = this.#descriptor.members.filter(({ state }) => state === 'voter')
    // while the voters change, each configuration needs its majority
    if (voters.length !== committed.length || this.options.faults.some(kind => leavesNobodyOut.includes(kind))) {
      return []
    }
    const count = Math.floor((voters.length - 1) / 2)
    const members = this.#cluster.members.filter(({ id }) => voters.includes(id))
    // what it said of itself may have cost it its say, as an older copy of its disk would
    const out = members.filter(member => member === this.#faults!.liar).slice(0, count)
    for (const member of out) members.splice(members.indexOf(member), 1)
    while (out.length < count) out.push(...members.splice(rng.below(members.length), 1))
    return this.#faults!.canHeal(this.#cluster.members.filter(member => !out.includes(member))) ? out : []
  }

  #within(what: string, ms: number, condition: () => boolean): void {
    const end = this.#now + ms
    while (!condition()) {
      check('liveness', this.#now < end, () => `not within ${ms} ms: ${what}\n${this.#cluster.describe()}`)
      this.#advance()
    }
  }

  #agree(members: readonly Member[]): boolean {
    if (!members.every(({ alive, frozen }) => alive && !frozen)) return false
    const first = members[0]!.channel
    return (
      first.leader !== undefined &&
      members.every(
        ({ channel }) =>
          channel.appliedIndex === channel.commitIndex &&
          channel.appliedIndex === first.appliedIndex &&
          channel.lastIndex === first.lastIndex &&
          channel.appliedIndex === channel.lastIndex &&
          channel.leader === first.leader &&
          channel.pending.operations === 0 &&
          !channel.restoring &&
          channel.diskFull === undefined &&
          channel.serving,
      ) &&
      members.every(member => (this.#kernels.get(member)?.waiting ?? 0) === 0)
    )
  }

  /** A change that has to be made, and durable. */
  #probe(member: Member): void {
    const made = this.#acknowledged.make(member, 'shared', 20)
    const answer = member.append(this.#world!.shared, made.record, { durable: true, timeoutMs: probeMsMax })
    this.#within(`a write at m${member.slot - 1}`, probeMsMax + 1000, () => answer.errno !== undefined)
    check('liveness', answer.errno === 0, () => `a write at m${member.slot - 1} fails with errno ${answer.errno}`)
    this.#acknowledged.answered(made, 0)
    this.#acknowledged.told([made])
  }

  #checkEnd(members: readonly Member[]): void {
    this.#acknowledged.final(member => members.includes(member))
    for (const member of members) {
      const { appliedIndex } = member.channel
      check('history', appliedIndex === this.#history.last, () => `m${member.slot - 1} ends at entry ${appliedIndex}`)
      this.#checkOwnView(member)
      heldState(member.channel).release()
      checkFileTree(member.state, id => member.log.blob(id))
      checkStored(member)
      this.#pages?.check(member)
    }
    this.#linear?.check()
  }

  #totals(): Record<string, number> {
    const totals: Record<string, number> = {
      entries: this.#history.last,
      events: this.trace.events,
      records: this.#acknowledged.count,
      durable: this.#acknowledged.durable,
      terms: this.#leaders.terms,
      votes: this.#votes.count,
      snapshots: this.#snapshots!.installed,
      relocations: this.#relocations,
      linearOperations: this.#linear?.operations ?? 0,
      [`disk-${this.options.disk}`]: 1,
      leftOut: this.options.leftOut ? 1 : 0,
    }
    for (const [kind, count] of this.#faults!.counts) totals[kind] = count
    return totals
  }
}

/** What is read from a disk; undefined where it is damaged, which is mended then. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof DamagedBlob)) throw error
    return undefined
  }
}

function damageOf({ log }: Member, id: number): DamagedBlob | undefined {
  try {
    log.blob(id)
    return undefined
  } catch (error) {
    if (!(error instanceof DamagedBlob)) throw error
    return error
  }
}

/** A blob of a file without a name is held by who has it open alone: the others may have dropped it. */
function isUnnamed({ channel, state }: Member, id: number): boolean {
  return channel.pinned.has(id) && state.liveBytes(id) === 0
}

/** Whether nothing that a member has is damaged, but what nobody else has to have; what is, is asked for. */
function isWhole(member: Member): boolean {
  const { log, channel } = member
  let whole = true
  for (const id of log.blobIds(0, Number.MAX_SAFE_INTEGER)) {
    const damage = isUnnamed(member, id) ? undefined : damageOf(member, id)
    if (damage === undefined) continue
    whole = false
    channel.heal(damage, 1000, () => {})
  }
  return whole && (channel.healing.wanted === 0 || lostUnnamed(member))
}

/** The disk has damaged what only a file without a name still shows. */
function lostUnnamed(member: Member): boolean {
  return [...member.channel.pinned.keys()].some(id => isUnnamed(member, id) && damageOf(member, id) !== undefined)
}

/** What lost its last name is kept for who has it open, and for a moment for who is about to open it. */
function keepsOpenOnly(member: Member): boolean {
  return !member.isMounted || member.frontend.namelessFiles > 0 || member.channel.pinned.size === 0
}

function hasRoom({ channel }: Member): boolean {
  return channel.writableBytes === undefined || channel.writableBytes > MiB
}

/** How many blobs of entries that the log has given up take room for nothing. */
function garbageOf({ log, state, channel }: Member): number {
  const end = (log.anchor.index + 1) * blobsPerEntryMax
  const ids = log.blobIds(0, Number.MAX_SAFE_INTEGER)
  return ids.filter(id => id < end && state.liveBytes(id) === 0 && !channel.pinned.has(id)).length
}

/** The digest is what the stored records amount to. */
function checkStored({ state, slot }: Member): void {
  const sum = new Uint8Array(32)
  for (const { table, ino, key, value } of state.all()) {
    const hash = recordHash(nodeHasher, table, ino, key, value)
    for (let i = 0; i < 32; i++) sum[i]! ^= hash[i]!
  }
  check('history', equalBytes(sum, state.position!.digest), () => `m${slot - 1}: the digest is not that of its records`)
}
