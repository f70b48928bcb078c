import type { MemberId } from '../base/ids.js'
import type { Raft } from '../raft/raft.js'
import type { Agenda } from './agenda.js'
import type { Complaints } from './complaints.js'
import type { Findings } from './findings.js'
import type { Health } from './health.js'
import type { OwnSession } from './own-session.js'
import type { HomeSlot } from './home-slot.js'
import type { Incarnations } from './incarnation.js'
import type { PendingChanges } from './pending-changes.js'
import type { Pledges } from './pledges.js'
import type { ChannelEvents, ChannelPorts } from './ports.js'
import type { Roster } from './roster.js'
import type { Base } from './standing.js'
import type { StagedLog } from './staged-log.js'
import type { StoredEntry } from './stored-entry.js'
import type { Views } from './views.js'

/** What the parts of the brain share. Each takes from it what it needs, and keeps the rest of its state to itself. */
export interface Core {
  readonly self: MemberId
  readonly session: OwnSession
  /** How long a member may be silent before others may go on as if it were gone, in milliseconds. */
  readonly leaseMs: number
  /** What this member's sessions say of the extents of a chunk (`fs/chunks.ts`). */
  readonly chunkExtents: number
  readonly ports: ChannelPorts
  readonly events: ChannelEvents
  readonly log: StagedLog
  readonly raft: Raft<StoredEntry>
  readonly views: Views
  readonly roster: Roster
  readonly pending: PendingChanges
  readonly agenda: Agenda
  readonly health: Health
  readonly complaints: Complaints
  readonly findings: Findings
  readonly pledges: Pledges
  readonly incarnations: Incarnations
  readonly homeSlot: HomeSlot
  /** Where this home's log stood when the process began. */
  readonly base: Base
}
