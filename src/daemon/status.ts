import { X509Certificate } from 'node:crypto'
import type { Descriptor, Member } from '../channel/descriptor.js'
import type { ChannelHost } from './channel-host.js'
import type { ChannelState, ChannelStatus, MemberDescription, MemberStatus } from './control-protocol.js'
import type { Mounts } from './mounts.js'

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

/** Whether this member can reach a majority: the leader by its followers' answers, the others by the leader. */
export function quorumOf(host: ChannelHost): { voters: number; needed: number; reachable: number; ok: boolean } {
  const { channel, transport, identity } = host
  const { voters } = channel.configuration
  const needed = Math.floor(voters.length / 2) + 1
  const reachable = voters.filter(id => id === identity.memberId || transport.connected(id)).length
  const led =
    channel.leader !== undefined && (channel.leader === identity.memberId || transport.connected(channel.leader))
  const heard = channel.role !== 'leader' || channel.reachableVoters >= needed
  return { voters: voters.length, needed, reachable, ok: led && heard && reachable >= needed && channel.serving }
}

function stateOf(host: ChannelHost): ChannelState {
  const { channel, identity } = host
  if (channel.quarantine !== undefined) return 'quarantined'
  if (channel.failure !== undefined) return 'failed'
  if (channel.configuration.learners.includes(identity.memberId)) return 'learner'
  if (channel.role === 'leader') return quorumOf(host).ok ? 'leader' : 'no-quorum'
  if (channel.leader !== undefined && quorumOf(host).ok) return 'follower'
  return quorumOf(host).reachable >= quorumOf(host).needed ? 'candidate' : 'no-quorum'
}

function problemsOf(host: ChannelHost, descriptor: Descriptor): string[] {
  const { channel, identity } = host
  const problems: string[] = []
  if (channel.quarantine !== undefined) problems.push(`this member stopped serving: ${channel.quarantine}`)
  if (channel.failure !== undefined) problems.push(channel.failure)
  if (channel.diskFull !== undefined) problems.push(`the disk is full: ${channel.diskFull}`)
  if (host.restoreProblem !== undefined) problems.push(`a snapshot could not be fetched: ${host.restoreProblem}`)
  if (!descriptor.members.some(m => m.id === identity.memberId)) {
    problems.push('this node is not, or no longer, a member of the channel')
  }
  const left = identity.notAfter.getTime() - Date.now()
  if (left < expirySoonMs)
    problems.push(`this node's certificate ${left < 0 ? 'expired' : 'expires'} on ${identity.notAfter.toISOString()}`)
  const quorum = quorumOf(host)
  if (!quorum.ok && channel.serving) {
    problems.push(
      quorum.reachable < quorum.needed
        ? `no quorum: ${quorum.reachable} of ${quorum.voters} voters can be reached, ${quorum.needed} are needed; reads go on, changes wait`
        : 'no leader at the moment: an election is under way',
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
    problems: problemsOf(host, descriptor),
    leader: channel.leader ?? null,
    term: channel.term,
    lastIndex: channel.lastIndex,
    durableIndex: channel.durableIndex,
    commitIndex: channel.commitIndex,
    appliedIndex: channel.appliedIndex,
    quorum: quorumOf(host),
    members: descriptor.members.map(member => memberStatus(host, member, transport)),
    digest: channel.digest(),
    pending: channel.pending,
    conflicts: host.conflicts.count,
    bytes: host.bytes,
    mounts: mounts.of(host).map(({ directory, driver, options, mounted }) => ({
      dir: directory,
      driver,
      options,
      operations: mounted.operations,
      errors: mounted.errors,
    })),
  }
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
    problem: self ? null : (host.problems.get(member.id) ?? info.problem ?? null),
  }
}
