import { X509Certificate } from 'node:crypto'
import { statSync } from 'node:fs'
import { describeLimit, fuseNativeLimits } from '../adapters/fuse-native/driver-limits.js'
import type { MemberId } from '../base/ids.js'
import type { Descriptor, Member } from '../channel/descriptor.js'
import type { ChannelHost } from './channel-host.js'
import { lackOfAuthority } from './channel-traces.js'
import type {
  ChannelState,
  ChannelStatus,
  MemberDescription,
  MemberStatus,
  MountStatus,
  Progress,
} from './control-protocol.js'
import { deadMountStatus } from './failed-status.js'
import { progressWords } from './progress-words.js'
import { damagedStatePath } from './state-copy.js'
import type { ActiveMount, Mounts } from './mounts.js'

const expirySoonMs = 30 * 86_400_000

/** When a member's certificate ends, as an ISO date. */
export function certificateEnd(member: Member): string | null {
  try {
    return new Date(new X509Certificate(Buffer.from(member.certificate, 'base64')).validTo).toISOString()
  } catch {
    return null
  }
}

export function describeMember(member: Member): MemberDescription {
  const { id, name, address, state } = member
  return { id, name, role: state, address, certExpires: certificateEnd(member) }
}

/**
 * Whether this member can reach a majority. Those count that acknowledge what the leader sends them: it knows, and tells its
 * followers. Where nobody leads, those count that are connected.
 */
export function quorumOf(host: ChannelHost): { voters: number; needed: number; reachable: number; ok: boolean } {
  const { channel, transport, identity } = host
  const { voters } = channel.configuration
  const needed = Math.floor(voters.length / 2) + 1
  const connected = voters.filter(id => id === identity.memberId || transport.connected(id)).length
  const led =
    channel.leader !== undefined && (channel.leader === identity.memberId || transport.connected(channel.leader))
  const sound = channel.failure === undefined && channel.quarantine === undefined
  const reachable = led ? channel.reachableVoters : connected
  return { voters: voters.length, needed, reachable, ok: led && reachable >= needed && sound }
}

/** What is known about whether this node was removed; a part of ChannelHost, so that a test can show each case. */
export interface RemovalSigns {
  readonly identity: { readonly memberId: MemberId }
  readonly channel: { readonly descriptor: Pick<Descriptor, 'members'> }
  readonly problems: ReadonlyMap<MemberId, string>
  readonly transport: {
    connected(member: MemberId): boolean
    peerInfo(member: MemberId): { readonly problem: string | undefined }
  }
}

/**
 * Whether this node was put out of the channel: it has applied its removal, or, what is more usual since nobody sends it
 * that entry any more, those that it reaches refuse it by name. One that refuses while others are connected does not count:
 * it may not have heard yet that we were admitted.
 */
export function wasRemoved({ identity, channel, problems, transport }: RemovalSigns): boolean {
  const { members } = channel.descriptor
  const self = identity.memberId
  if (!members.some(m => m.id === self)) return true
  const others = members.filter(m => m.id !== self)
  if (others.some(m => transport.connected(m.id))) return false
  return others.some(({ id }) => {
    const problem = problems.get(id) ?? transport.peerInfo(id).problem ?? ''
    return problem.includes(self) && /no longer, a member|is not a member/.test(problem)
  })
}

function stateOf(host: ChannelHost): ChannelState {
  const { channel, identity } = host
  if (channel.quarantine !== undefined) return 'quarantined'
  const broken = channel.failure ?? channel.damage ?? channel.contradiction
  if (broken !== undefined || wasRemoved(host)) return 'failed'
  if (channel.configuration.learners.includes(identity.memberId)) return 'learner'
  if (channel.recovering !== undefined && channel.leader !== undefined) return 'learner'
  if (channel.role === 'leader') return quorumOf(host).ok ? 'leader' : 'no-quorum'
  if (channel.leader !== undefined && quorumOf(host).ok) return 'follower'
  return quorumOf(host).reachable >= quorumOf(host).needed ? 'candidate' : 'no-quorum'
}

function unreachableVoters({ channel, identity, transport }: ChannelHost): string[] {
  const { voters } = channel.configuration
  return channel.descriptor.members
    .filter(({ id }) => voters.includes(id) && id !== identity.memberId && !transport.connected(id))
    .map(({ name }) => name)
}

/** Why a member that reaches a majority has no leader: one that it does not reach may lead the others. */
export function leaderless(unreachable: readonly string[]): string {
  const election = 'no leader at the moment: an election is under way'
  return unreachable.length === 0
    ? election
    : `${election}, or one leads that cannot be reached from here: ${unreachable.join(' or ')}`
}

/** What happened to the disk, what is safe, and what to do. */
function faultWords({ folder, channel }: ChannelHost, fault: NonNullable<ChannelHost['fault']>): string[] {
  const { reason, since, commitIndex, again, next } = fault
  const { operations } = channel.pending
  const own = operations === 0 ? 'no change of this node is on its way' : `${operations} changes of this node are not`
  const when = next === undefined ? 'now' : `at ${next.toISOString().slice(11, 19)} UTC`
  return [
    `the channel stopped here at ${since.toISOString()}, because the disk failed: ${reason}`,
    `everything up to entry ${commitIndex} is on a majority; ${own}: programs here were told EIO for them, and calls fail with EIO until the channel is open again`,
    `it is opened again by itself, the next time ${when}${again === undefined ? '' : ` (the last attempt: ${again})`}: ` +
      `look at the disk of ${folder} (dmesg, smartctl) and make it answer`,
  ]
}

/** What is wrong with members, with their names. */
function findingsOf({ channel }: ChannelHost): string[] {
  const { members } = channel.descriptor
  const named = (text: string): string => {
    for (const { id, name } of members) text = text.replaceAll(`member ${id}`, `member ${name} (${id})`)
    return text
  }
  return channel.findings.map(({ words }) => named(words))
}

function reachWords({ channel, transport }: ChannelHost): string {
  const { leader } = channel
  const isLed = leader !== undefined && (channel.role === 'leader' || transport.connected(leader))
  return isLed ? 'acknowledge what the leader sends' : 'can be reached'
}

function fetchingWords({ channel }: ChannelHost, fetching: Progress): string {
  const words = `${progressWords(fetching)}: until then nothing can be mounted, and all calls in mounts fail`
  // a newcomer has none; else a state was here
  if (!channel.stateMissing || channel.appliedIndex === 0) return words
  return `${words}. state.db is missing here, or older than what is left of the log, so that the files are not here: they come from another member as soon as one can be reached that has them`
}

/** It stays until somebody has seen it: a disk that damaged one file may damage another. */
function damagedState({ folder }: ChannelHost): string | undefined {
  const path = damagedStatePath(folder)
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return undefined
  return (
    `state.db was damaged, and was made anew at ${stats.ctime.toISOString()}: look at the disk (dmesg, smartctl), ` +
    `then remove ${path}, which is what it was`
  )
}

function problemsOf(host: ChannelHost): string[] {
  const { channel, identity } = host
  const problems: string[] = []
  if (channel.quarantine !== undefined) problems.push(`this member stopped serving: ${channel.quarantine}`)
  else if (channel.contradiction !== undefined) {
    problems.push(
      `${channel.contradiction}: something went wrong on a disk or in memory, there or here, or an old copy of a home ` +
        'was put back; what is here is still served',
    )
  }
  problems.push(...findingsOf(host))
  if (host.fault !== undefined) problems.push(...faultWords(host, host.fault))
  else if (channel.failure !== undefined) problems.push(channel.failure)
  if (channel.damage !== undefined) problems.push(`damaged here: ${channel.damage}`)
  if (channel.diskFull !== undefined) problems.push(`the disk is full: ${channel.diskFull}`)
  if (channel.notKept > 0) {
    problems.push(
      `${channel.notKept} changes that are not in the channel could not be kept as copies: ` +
        `${host.notKeptBecause ?? 'it is being tried'}; they stay in the journal, and it is tried again every two seconds`,
    )
  }
  if (host.fetching !== undefined) problems.push(fetchingWords(host, host.fetching))
  if (host.restoreProblem !== undefined) problems.push(`a snapshot could not be fetched: ${host.restoreProblem}`)
  const damaged = damagedState(host)
  if (damaged !== undefined) problems.push(damaged)
  const removed = wasRemoved(host)
  if (removed) {
    problems.push(
      `this node was removed from ${host.name}: its changes are no longer taken; reads of its copy go on until ` +
        '`rkfs stop`; to join again it needs a new home and a new invitation',
    )
  }
  const left = identity.notAfter.getTime() - Date.now()
  if (left < expirySoonMs)
    problems.push(`this node's certificate ${left < 0 ? 'expired' : 'expires'} on ${identity.notAfter.toISOString()}`)
  const authority = host.invitations === undefined ? undefined : lackOfAuthority(host.home, host.name)
  if (authority !== undefined) problems.push(authority)
  const quorum = quorumOf(host)
  if (!quorum.ok && channel.serving && !removed) {
    problems.push(
      quorum.reachable < quorum.needed
        ? `no quorum: ${quorum.reachable} of ${quorum.voters} voters ${reachWords(host)}, ${quorum.needed} are needed; reads go on, changes wait`
        : leaderless(unreachableVoters(host)),
    )
  }
  return problems
}

export function channelStatus(host: ChannelHost, mounts: Mounts): ChannelStatus {
  const { channel, identity, transport } = host
  const { descriptor } = channel
  return {
    name: host.name,
    id: identity.channelId,
    role: descriptor.owner === identity.memberId ? 'owner' : 'member',
    state: stateOf(host),
    problems: problemsOf(host),
    findings: findingsOf(host),
    leader: channel.leader ?? null,
    term: channel.term,
    lastIndex: channel.lastIndex,
    durableIndex: channel.durableIndex,
    commitIndex: channel.commitIndex,
    appliedIndex: channel.appliedIndex,
    complete: !channel.stateMissing,
    fetching: host.fetching ?? null,
    quorum: quorumOf(host),
    members: descriptor.members.map(member => memberStatus(host, member, transport)),
    digest: channel.digest(),
    pending: channel.pending,
    conflicts: host.conflicts.count,
    healing: channel.healing,
    locks: channel.locks.heldCount,
    bytes: host.bytes,
    mounts: [...mounts.of(host).map(mountStatus), ...mounts.deadOf(host.name).map(deadMountStatus)],
  }
}

function mountStatus({ directory, driver, options, mounted, frontend }: ActiveMount): MountStatus {
  return {
    dir: directory,
    driver,
    state: mounted.attached ? 'mounted' : 'detached',
    problem: null,
    limits: driver === 'fuse-native' ? fuseNativeLimits.map(describeLimit) : [],
    options,
    operations: mounted.operations,
    errors: mounted.errors,
    waiting: mounted.waiting,
    openFiles: frontend.openFiles,
  }
}

/** What is wrong with a member now, or what it did lately that none should. */
function wrongAt({ channel }: ChannelHost, id: MemberId): string | undefined {
  return channel.findings.find(({ member }) => member === id)?.words ?? channel.complaintAbout(id)
}

function memberStatus(host: ChannelHost, member: Member, transport: ChannelHost['transport']): MemberStatus {
  const { channel, identity } = host
  const self = member.id === identity.memberId
  const info = transport.peerInfo(member.id)
  const position = channel.position(member.id)
  const match = self ? channel.durableIndex : (channel.progress(member.id)?.match ?? position?.durableIndex ?? null)
  const lag = match === null ? null : Math.max(0, channel.lastIndex - match)
  return {
    id: member.id,
    name: member.name,
    role: member.state,
    address: member.address,
    self,
    connected: self || info.connected,
    matchIndex: match,
    lagEntries: lag,
    lagBytes: match === null ? null : lag === 0 ? 0 : channel.lagBytes(match),
    rttMs: self ? 0 : (info.rttMs ?? null),
    certExpires: certificateEnd(member),
    problem: self ? null : (host.problems.get(member.id) ?? info.problem ?? wrongAt(host, member.id) ?? null),
  }
}
