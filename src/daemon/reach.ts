import type { MemberId } from '../base/ids.js'
import type { Descriptor, Member } from '../channel/descriptor.js'
import type { ChannelHost } from './channel-host.js'
import type { Quorum } from './redundancy.js'

/**
 * Whether this member can reach a majority. Those count that acknowledge what the leader sends them: it knows, and tells its
 * followers. Where nobody leads, those count that are connected.
 */
export function quorumOf(host: ChannelHost): Quorum {
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

/** Voters, this one aside, that are not there as far as is known. */
export function awayFrom({ channel, identity, transport }: ChannelHost): Member[] {
  const { voters } = channel.configuration
  const others = channel.descriptor.members.filter(({ id }) => voters.includes(id) && id !== identity.memberId)
  return others.filter(({ id }) => !transport.connected(id))
}

/** Members that are to vote, this one aside, and are not there: voters, and who is among the learners until it is back. */
export function missingFrom({ channel, identity, transport }: ChannelHost): Member[] {
  const { members } = channel.descriptor
  return members.filter(({ id, role }) => role === 'voter' && id !== identity.memberId && !transport.connected(id))
}

/** Up to where other members have applied the log, as they said last: all of that is committed, whatever this one has of it. */
export function appliedElsewhere({ channel, identity }: ChannelHost): number {
  const others = channel.descriptor.members.filter(({ id }) => id !== identity.memberId)
  return Math.max(0, ...others.map(({ id }) => channel.position(id)?.appliedIndex ?? 0))
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
