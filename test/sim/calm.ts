import type { Cluster, Member } from '../channel/support/cluster.js'

/** All that run follow one leader, and nothing holds one of them up. */
export function allFollow(cluster: Cluster, leader: Member, isGone: (member: Member) => boolean): boolean {
  const { alive, members } = cluster
  return (
    alive.length === members.filter(member => !isGone(member)).length &&
    alive.every(
      ({ channel, frozen, stalled }) =>
        !frozen &&
        !stalled &&
        channel.serving &&
        !channel.restoring &&
        channel.recovering === undefined &&
        channel.leader === leader.id &&
        channel.term === leader.channel.term,
    )
  )
}
