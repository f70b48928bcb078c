import { X509Certificate } from 'node:crypto'
import { describeLimit, fuseNativeLimits } from '../adapters/fuse-native/driver-limits.js'
import type { MemberId } from '../base/ids.js'
import type { Member } from '../channel/descriptor.js'
import type { ChannelHost } from './channel-host.js'
import type { ChannelState, ChannelStatus, MemberDescription, MemberStatus, MountStatus } from './control-protocol.js'
import { absentMountsStatus } from './failed-status.js'
import { findingsOf, problemsOf } from './problems.js'
import { appliedElsewhere, missingFrom, quorumOf, wasRemoved } from './reach.js'
import { redundancyOf, summaryWords } from './redundancy.js'
import type { ActiveMount, Mounts } from './mounts.js'

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

export function channelStatus(host: ChannelHost, mounts: Mounts): ChannelStatus {
  const { channel, identity, transport } = host
  const { descriptor } = channel
  const quorum = quorumOf(host)
  const absent = absentMountsStatus(host.name, mounts)
  const redundancy = redundancyOf(
    descriptor.members.map(member => member.id),
    member => copyReach(host, member),
    host.committedLately,
    quorum,
  )
  return {
    name: host.name,
    id: identity.channelId,
    role: descriptor.owner === identity.memberId ? 'owner' : 'member',
    state: stateOf(host),
    summary: summaryWords(stateOf(host), redundancy, quorum),
    redundancy,
    disk: host.disk ?? null,
    problems: [
      ...problemsOf(host, { quorum, mayFail: redundancy.mayFail, mounted: mounts.of(host)[0]?.directory }),
      ...absent.map(({ dir, problem }) => `not mounted at ${dir}: ${problem}`),
    ],
    findings: findingsOf(host),
    leader: channel.leader ?? null,
    term: channel.term,
    lastIndex: channel.lastIndex,
    durableIndex: channel.durableIndex,
    commitIndex: channel.commitIndex,
    appliedIndex: channel.appliedIndex,
    complete: !channel.stateMissing,
    fetching: host.fetching ?? null,
    quorum,
    members: descriptor.members.map(member => memberStatus(host, member, transport)),
    missing: missingFrom(host).length,
    digest: channel.digest(),
    pending: channel.pending,
    conflicts: host.conflicts.count,
    healing: channel.healing,
    locks: channel.locks.heldCount,
    bytes: host.bytes,
    mounts: [...mounts.of(host).map(mountStatus), ...absent],
  }
}

/** How far a member's copy reaches, if it is there and has all before that; undefined: it is not, or has not. */
function copyReach(host: ChannelHost, member: MemberId): number | undefined {
  const { channel, identity, transport } = host
  if (member === identity.memberId) {
    return channel.usable && channel.durableIndex >= appliedElsewhere(host) ? channel.durableIndex : undefined
  }
  if (!transport.connected(member) || channel.configuration.learners.includes(member)) return undefined
  return channel.progress(member)?.match ?? channel.position(member)?.durableIndex
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
