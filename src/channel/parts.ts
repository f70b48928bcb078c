import { Applier } from './applier.js'
import { Appender } from './appender.js'
import { BlobHealing } from './blob-healing.js'
import { Blobs } from './blobs.js'
import type { Core } from './core.js'
import { DigestExchange } from './digest-exchange.js'
import { Durability } from './durability.js'
import { EarlierRuns } from './earlier-runs.js'
import { Forwarding } from './forwarding.js'
import { GivenUpChanges } from './given-up.js'
import { Interregnum } from './interregnum.js'
import { LeaderDuties, type ChangeMembers } from './leader-duties.js'
import { LeaderOrder } from './leader-order.js'
import { ChannelLocks } from './locks/channel-locks.js'
import { type BlobId, DamagedBlob } from './log-port.js'
import { OwnChanges } from './own-changes.js'
import { OwnContact } from './own-contact.js'
import { Positions } from './positions.js'
import { RaftLink } from './raft-link.js'
import { Relocation } from './relocation.js'
import { Resumptions } from './resumption.js'
import { ShownChanges } from './shown-changes.js'
import { SmallWrites } from './small-writes.js'
import { LostVoter } from './lost-voter.js'
import { Proofs } from './proofs.js'
import { SecondRuns } from './second-runs.js'
import type { SpaceSettings } from './space-policy.js'
import { Space } from './space.js'
import { Standing } from './standing.js'
import { StateHolds } from './state-holds.js'
import { Upkeep, type Retention } from './upkeep.js'
import { Waiters } from './waiters.js'
import { WriterBook } from './writer-book.js'

/** What does the channel's work. Each knows those that it is made from, and no other. */
export interface Parts {
  readonly space: Space
  readonly durability: Durability
  readonly link: RaftLink
  readonly writers: WriterBook
  readonly shown: ShownChanges
  readonly writes: SmallWrites
  readonly order: LeaderOrder
  readonly duties: LeaderDuties
  readonly resumptions: Resumptions
  readonly contact: OwnContact
  readonly forwarding: Forwarding
  readonly waiters: Waiters
  readonly interregnum: Interregnum
  readonly own: OwnChanges
  readonly earlier: EarlierRuns
  readonly givenUp: GivenUpChanges
  readonly positions: Positions
  readonly digests: DigestExchange
  readonly applier: Applier
  readonly blobs: Blobs
  readonly healing: BlobHealing
  readonly upkeep: Upkeep
  readonly relocation: Relocation
  readonly holds: StateHolds
  readonly locks: ChannelLocks
  readonly standing: Standing
  readonly secondRuns: SecondRuns
  readonly proofs: Proofs
  readonly lostVoter: LostVoter
}

/** `pinned`: blobs that an open file without a name still shows. */
export function makeParts(
  core: Core,
  pinned: ReadonlyMap<BlobId, number>,
  retention: Retention,
  spaceSettings: SpaceSettings,
  copied: number | undefined,
  changeMembers: ChangeMembers,
): Parts {
  const { ports, log, health } = core
  const space = new Space(core, pinned, spaceSettings)
  const writers = new WriterBook()
  const appender = new Appender(core)
  const shown = new ShownChanges(core)
  const writes = new SmallWrites(core, appender, writers)
  const resumptions = new Resumptions(core)
  const order = new LeaderOrder(core, shown, writes, appender, writers, resumptions, space)
  const contact = new OwnContact(core)
  const forwarding = new Forwarding(core, contact)
  const waiters = new Waiters(core)
  const durability = new Durability(core)
  const earlier = new EarlierRuns(core)
  const givenUp = new GivenUpChanges(core, durability)
  const own = new OwnChanges(core, shown, writes, appender, order, forwarding, waiters, givenUp, earlier, space)
  const positions = new Positions(core, space)
  const digests = new DigestExchange(core)
  const healing = new BlobHealing(core, id => core.views.table.liveBytes(id) > 0 || pinned.has(id))
  const blobs = new Blobs(ports.log, id => writes.blob(id) ?? (id < 0 ? shown.blob(id) : log.recentBlob(id)))
  blobs.onDamage = error => {
    if (error instanceof DamagedBlob) healing.note(error)
    else health.damaged(error)
  }
  const holds: StateHolds = new StateHolds(core.agenda, health, () => upkeep.writeOut())
  const upkeep: Upkeep = new Upkeep(
    core,
    positions,
    blobs,
    healing,
    holds,
    space,
    durability,
    pinned,
    retention,
    copied,
  )
  return {
    space,
    standing: new Standing(core),
    proofs: new Proofs(core),
    lostVoter: new LostVoter(core, changeMembers),
    secondRuns: new SecondRuns(core.self, core.roster, core.findings, id => ports.transport.connected(id)),
    durability,
    link: new RaftLink(core, healing, contact),
    writers,
    shown,
    writes,
    order,
    duties: new LeaderDuties(core, order, writers, space, changeMembers),
    resumptions,
    contact,
    forwarding,
    waiters,
    interregnum: new Interregnum(core, waiters),
    own,
    earlier,
    givenUp,
    positions,
    digests,
    applier: new Applier(core, appender, own, digests, resumptions, holds),
    blobs,
    healing,
    upkeep,
    relocation: new Relocation(core, blobs, space, own, retention.relocation),
    holds,
    locks: new ChannelLocks(core, waiters, order, (timeoutMs, done) => {
      writes.close()
      waiters.whenDurable(own.lastSequence, timeoutMs, done)
    }),
  }
}
