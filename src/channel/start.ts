import { RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import {
  appendBytesMax,
  chunkExtentsMax,
  electionTimeoutTicks,
  heartbeatTicks,
  inflightBytesMax,
  thinInflightBytesMax,
} from '../base/limits.js'
import { membersDescriptor } from '../fs/apply.js'
import type { TableView } from '../fs/table-view.js'
import { Raft } from '../raft/raft.js'
import { noPledge } from '../raft/recovery.js'
import type { Configuration, LinkBounds, RaftHost, Recovery } from '../raft/types.js'
import { lastPlaced } from './change-number.js'
import { Agenda } from './agenda.js'
import { Complaints } from './complaints.js'
import type { Core } from './core.js'
import { configurationOf, decodeDescriptor, type Descriptor } from './descriptor.js'
import { Findings } from './findings.js'
import { Health } from './health.js'
import { HomeSlot } from './home-slot.js'
import { Incarnations } from './incarnation.js'
import type { BlobId, LogAnchor, LogStore } from './log-port.js'
import { lockTiming } from './locks/lock-timing.js'
import { OwnSession } from './own-session.js'
import { PendingChanges } from './pending-changes.js'
import { parseMemory, Pledges } from './pledges.js'
import type { ChannelEvents, ChannelPorts } from './ports.js'
import { Roster } from './roster.js'
import { storedRecovery, type Base } from './standing.js'
import type { SpaceSettings } from './space-policy.js'
import { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'
import type { Retention } from './upkeep.js'
import { Views } from './views.js'

export interface ChannelOptions {
  readonly self: MemberId
  readonly seed: number
  /** Who is in the channel as far as is known before the state says so (a newcomer's invitation). */
  readonly descriptor: Descriptor
  /** How much of the log is kept; the default where it is undefined. */
  readonly retention?: Retention
  /** What of its disk is used for more than the live data; the defaults where it is undefined. */
  readonly space?: SpaceSettings
  /** How long a member may be silent before its session is in doubt, in milliseconds; as for locks where it is undefined. */
  readonly leaseMs?: number
  /** Chunks of more extents are kept as pages, if this member's session is the first that says so; else `chunkExtentsMax`. */
  readonly chunkExtents?: number
  /** A copy of the state stands beside it, at this entry. */
  readonly copied?: number | undefined
  /** Blobs that open files without a name still show, of mounts that were there before the channel was opened. */
  readonly pinned?: Map<BlobId, number>
  /** Random, 16 hex digits: tells this run of the home from all others. */
  readonly mark: string
}

/** What the core calls; none of it before `makeCore` has answered. */
export interface CoreHost extends Omit<RaftHost<StoredEntry>, 'log' | 'saveHardState'> {
  /** Ends the event at hand. */
  turn(): void
  /** Runs the rest of the turn. */
  endTurn(): void
  /** This member serves no more. */
  stopped(reason: string): void
  /** Entries from an index on are about to be cut from the log. */
  truncating(index: number): void
}

/** Opens what the stores hold. Throws `corrupt` when log and state do not belong together. */
export function makeCore(options: ChannelOptions, ports: ChannelPorts, events: ChannelEvents, host: CoreHost): Core {
  const { self, seed, leaseMs = lockTiming.leaderLeaseMs, chunkExtents = chunkExtentsMax } = options
  const agenda = new Agenda(
    ports,
    () => host.turn(),
    () => host.endTurn(),
  )
  const health = new Health(ports, reason => host.stopped(reason))
  const log = new StagedLog(ports.log, ports.hasher)
  const views = new Views(ports.state, ports.hasher, error => health.damaged(error))
  checkStart(views, log, ports.log.anchor, health)
  const stored = membersDescriptor(views.table)
  const descriptor = stored === undefined ? options.descriptor : decodeDescriptor(stored)
  const logged = log.descriptorsAfter(views.applied.index).map(each => each.descriptor)
  const roster = new Roster(self, descriptor, logged, ports.transport, changed => events.descriptorChanged(changed))
  const incarnations = Incarnations.open(ports.log, options.mark)
  // syncs the log: what a crash left written is on stable storage from here on
  const session = numberRun(ports, views.table, self)
  log.onTruncate = index => host.truncating(index)
  const base = baseOf(log, ports.log)
  const recovery = storedRecovery(ports.log) ?? emptyVoter(self, descriptor, log)
  const { committed } = parseMemory(ports.memory.load())
  // it may have been in the log that a loss of power took
  const known = committed.index > views.applied.index && log.term(committed.index) === committed.term
  const commitIndex = known ? committed.index : views.applied.index
  const raft: Raft<StoredEntry> = new Raft<StoredEntry>(
    {
      id: self,
      hardState: ports.log.hardState,
      commitIndex,
      configuration: configurationAt(commitIndex, log, views, descriptor),
      ...(recovery === undefined ? {} : { recovery }),
      electionTimeoutTicks,
      heartbeatTicks,
      appendBytesMax,
      inflightBytesMax,
      link: member =>
        linkBounds(ports.transport.windowBytes(member), () => log.bytesAfter(raft.commitIndex, thinInflightBytesMax)),
      seed,
    },
    { ...host, log, saveHardState: state => ports.log.saveHardState(state) },
  )
  const pending = new PendingChanges(() => ports.monotonicMs())
  const complaints = new Complaints(ports)
  const findings = new Findings(complaints)
  const pledges = new Pledges(ports.memory, log, raft)
  const homeSlot = new HomeSlot(ports.log, roster, health)
  const core = { self, session, leaseMs, ports, events, log, raft, views, roster, pending, agenda, health, complaints }
  return { ...core, chunkExtents, findings, pledges, incarnations, homeSlot, base }
}

/**
 * A thin link has some messages of what it carries within a moment; and always more than is not committed, or one that is
 * behind would seem to want no more of the leader's cable than one that is not (`SharedWay`).
 */
function linkBounds(windowBytes: number, uncommittedBytes: () => number): LinkBounds {
  if (windowBytes >= appendBytesMax) return { appendBytes: appendBytesMax, inflightBytes: inflightBytesMax }
  return { appendBytes: windowBytes, inflightBytes: Math.max(4 * windowBytes, 2 * uncommittedBytes()) }
}

function baseOf(log: StagedLog, store: LogStore): Base {
  const { lastIndex } = log
  const lastTerm = log.term(lastIndex) ?? 0
  return { term: Math.max(store.hardState.term, lastTerm), lastIndex, lastTerm }
}

/** A log without an entry, of a member that has a vote: whatever it said, it has forgotten. */
function emptyVoter(self: MemberId, { members }: Descriptor, log: StagedLog): Recovery | undefined {
  const voters = members.filter(({ state }) => state === 'voter')
  const isVoter = voters.length > 1 && voters.some(({ id }) => id === self)
  return isVoter && log.lastIndex === 0 ? { pledge: noPledge, blind: true } : undefined
}

function configurationAt(index: number, log: StagedLog, views: Views, descriptor: Descriptor): Configuration {
  const later = log.descriptorsAfter(views.applied.index).filter(each => each.index <= index)
  return configurationOf(later.at(-1)?.descriptor ?? descriptor)
}

/**
 * Whether log and state belong together. Throws `corrupt` when the log ends before what was applied; when it begins after
 * that, the state counts as missing. So it does where nothing was applied, a newcomer's: the first state is at index 1.
 */
function checkStart(views: Views, log: StagedLog, anchor: LogAnchor, health: Health): void {
  const { index } = views.applied
  if (index > log.lastIndex) {
    throw new RkfsError(
      'corrupt',
      `the log ends at entry ${log.lastIndex}, but entry ${index} was applied already: the log was damaged or replaced`,
    )
  }
  if (index > 0 && index >= anchor.index) return
  health.stateMissing = true
  views.standAt(anchor)
}

/**
 * The number of this run's first session, on stable storage with all that the log held: higher than all that were used
 * before, as far as can be told here. If it is not (the home went back in time, and the clock with it), the order refuses
 * to open it, and a higher one is taken (`OwnSession`).
 */
function numberRun(ports: ChannelPorts, table: TableView, self: MemberId): OwnSession {
  const { log } = ports
  // a member that was rebuilt under its old identity must not meet numbers that it used before: the clock and the
  // replicated record keep it ahead of them
  const used = Math.max(Number(log.setting('session') ?? '0'), lastPlaced(table, self)?.session ?? 0)
  const session = Math.max(used + 1, Number(ports.now() / 1_000_000_000n))
  failpoint('session-opening')
  log.setSetting('session', String(session))
  log.commit()
  log.syncNow()
  return new OwnSession(session)
}
