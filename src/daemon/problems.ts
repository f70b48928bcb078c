import { statSync } from 'node:fs'
import { cannotReachUs } from '../adapters/rpc/peer-link.js'
import type { MemberId } from '../base/ids.js'
import { MiB } from '../base/limits.js'
import type { ChannelHost } from './channel-host.js'
import { lackOfAuthority } from './channel-traces.js'
import type { Progress } from './control-protocol.js'
import { progressWords } from './progress-words.js'
import { appliedElsewhere, awayFrom, missingFrom, wasRemoved } from './reach.js'
import type { Quorum } from './redundancy.js'
import { damagedStatePath } from './state-copy.js'
import { newChannelWords } from './way-out.js'

const expirySoonMs = 30 * 86_400_000

/** What is known beside the channel itself. */
export interface Circumstances {
  readonly quorum: Quorum
  readonly mayFail: number
  /** Where the channel is mounted here, if it is. */
  readonly mounted: string | undefined
}

/** All that a user must know, the worst first. */
export function problemsOf(host: ChannelHost, around: Circumstances): string[] {
  const { channel } = host
  const problems: (string | undefined)[] = []
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
  problems.push(unreachableWords(host), memberWords(host, around), ...redirectedWords(host))
  problems.push(diskWords(host), notKeptWords(host))
  if (host.fetching !== undefined) problems.push(fetchingWords(host, host.fetching))
  if (host.restoreProblem !== undefined) problems.push(`a snapshot could not be fetched: ${host.restoreProblem}`)
  problems.push(damagedState(host), ...certificateWords(host))
  return problems.filter(problem => problem !== undefined)
}

/** Whether this node is still a member, and whether the others are there. */
function memberWords(host: ChannelHost, around: Circumstances): string | undefined {
  if (wasRemoved(host)) {
    return (
      `this node was removed from ${host.name}: its changes are no longer taken; reads of its copy go on until ` +
      '`rkfs stop`; to join again it needs a new home and a new invitation'
    )
  }
  const { channel } = host
  if (channel.failure !== undefined || channel.quarantine !== undefined) return undefined
  const { quorum } = around
  if (quorum.ok) return missingWords(host, around)
  if (quorum.reachable >= quorum.needed) return leaderless(awayFrom(host).map(({ name }) => name))
  const meanwhile = channel.serving ? 'reads go on, changes wait and then fail' : 'the files cannot come before'
  const remedy =
    unreachableWords(host) === undefined
      ? lostMajorityWords(host, around)
      : 'The others are there: work goes on by itself when they reach this node'
  return (
    `no quorum: ${quorum.reachable} of ${quorum.voters} voters ${reachWords(host)}, ${quorum.needed} are needed; ` +
    `${meanwhile}. ${remedy}`
  )
}

/** Others do not reach this node, which reaches them: nobody but this node can be told of that here. */
function unreachableWords({ channel, identity, transport }: ChannelHost): string | undefined {
  const telling = channel.descriptor.members.filter(
    ({ id }) => id !== identity.memberId && transport.peerInfo(id).problem?.includes(cannotReachUs),
  )
  if (telling.length === 0) return undefined
  return `${telling.map(m => m.name).join(', ')}: ${transport.peerInfo(telling[0]!.id).problem}`
}

function redirectedWords({ name, channel, redirections }: ChannelHost): string[] {
  return channel.descriptor.members.flatMap(({ id, name: member, address }) => {
    const redirected = redirections.get(id)
    if (redirected === undefined) return []
    return [
      `${member} is looked for at ${redirected.address}, as \`rkfs member address ${name}\` was told here, and not at ${address}: this ` +
        'counts on this machine alone until a majority is there and the owner has written down what its node says (`advertise` there)',
    ]
  })
}

function notKeptWords({ channel, notKeptBecause }: ChannelHost): string | undefined {
  if (channel.notKept === 0) return undefined
  return (
    `${channel.notKept} changes that are not in the channel could not be kept as copies: ` +
    `${notKeptBecause ?? 'it is being tried'}; they stay in the journal, and it is tried again every two seconds`
  )
}

function certificateWords(host: ChannelHost): (string | undefined)[] {
  const { notAfter } = host.identity
  const left = notAfter.getTime() - Date.now()
  return [
    left < expirySoonMs
      ? `this node's certificate ${left < 0 ? 'expired' : 'expires'} on ${notAfter.toISOString()}`
      : undefined,
    host.invitations === undefined ? undefined : lackOfAuthority(host.home, host.name),
  ]
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
export function findingsOf({ channel }: ChannelHost): string[] {
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

/** Which members that are to vote are not there, and what to do. */
function missingWords(host: ChannelHost, { quorum, mayFail, mounted }: Circumstances): string | undefined {
  const missing = missingFrom(host)
  if (quorum.reachable >= quorum.voters && missing.length === 0) return undefined
  const { name, channel, identity } = host
  const { owner } = channel.descriptor
  const [only] = missing
  const many = missing.length > 1
  const others =
    mayFail === 0
      ? 'no other machine may fail'
      : `${mayFail === 1 ? 'one other machine' : `${mayFail} other machines`} may fail`
  if (only === undefined) return heldUpWords(host, quorum, others)
  const who = missing.map(m => m.name).join(', ')
  const words = `${who} ${many ? 'are' : 'is'} not there: until then ${others}. Start ${many ? 'them' : 'it'}, or repair the network`
  if (owner !== identity.memberId && missing.some(m => m.id === owner)) {
    return `${words}. ${ownerAwayWords(host, mounted)}`
  }
  const where = owner === identity.memberId ? 'here' : 'on the owner'
  return `${words}; who is gone for good is put out by \`rkfs member remove ${name} ${only.name}\` ${where}, and another machine joins`
}

/** Voters that are there, and take nothing. */
function heldUpWords({ channel, identity }: ChannelHost, quorum: Quorum, others: string): string | undefined {
  const full = channel.descriptor.members.filter(({ id, state }) => {
    const space = channel.spaceOf(id)
    return state === 'voter' && space !== undefined && space.free < space.minFree
  })
  // what this member lacks is said with its disk
  if (full.some(({ id }) => id === identity.memberId)) return undefined
  const names = full.map(({ name }) => name).join(' and ')
  if (names === '') {
    const count = quorum.voters - quorum.reachable
    const words =
      count === 1 ? 'one voter does not keep up: until it does' : `${count} voters do not keep up: until they do`
    return `${words} ${others}`
  }
  return `the disk of ${names} is full, so that nothing new gets there: until it has room ${others}. Make room on it`
}

/** Said also where somebody wants what the owner alone may do. */
export function ownerAwayWords({ name, channel }: ChannelHost, mounted: string | undefined): string {
  const { owner, members } = channel.descriptor
  const ownerName = members.find(m => m.id === owner)?.name ?? owner
  return (
    `${ownerName} owns ${name}: without it nobody can be admitted or removed. If it is gone for good, the others go on as ` +
    `they are; for other members ${newChannelWords(name, mounted)}`
  )
}

/** What to do where no majority is there. */
function lostMajorityWords(host: ChannelHost, { quorum, mounted }: Circumstances): string {
  const away = awayFrom(host)
  const names = away.map(m => m.name).join(', ')
  const start = `Start ${names === '' ? 'the others' : names}, or repair the network, and work goes on by itself`
  const moved = `If they have new addresses: \`rkfs member address ${host.name} ${away[0]?.name ?? 'MEMBER'} HOST:PORT\` on each machine, for each of the others`
  const [only] = away
  if (quorum.voters === 2 && only !== undefined) {
    const gone = `If ${only.name} or its disk is gone for good: \`rkfs member lost ${host.name} ${only.name} --yes\` here, and never on both`
    const isOwner = only.id === host.channel.descriptor.owner
    return `${start}. ${moved}. ${gone}${isOwner ? `. ${ownerAwayWords(host, mounted)}` : ''}`
  }
  return `${start}. ${moved}. If a majority is gone for good, nobody can change ${host.name} any more: ${newChannelWords(host.name, mounted)}`
}

const mib = (count: number): string => `${Math.floor(count / MiB)} MiB`

/** No majority has room. */
function fullElsewhere(channel: ChannelHost['channel'], self: MemberId): string {
  const full = channel.descriptor.members.filter(({ id }) => {
    const space = channel.spaceOf(id)
    return id !== self && space !== undefined && space.free < space.minFree
  })
  const names = full.map(({ name }) => name).join(' and ')
  return (
    `too many disks are full (${names}): no majority has room, and programs get ENOSPC for new content. Delete files in ` +
    'the channel, which passes, or make room on those disks'
  )
}

function diskWords(host: ChannelHost): string | undefined {
  const { channel, folder, disk, identity } = host
  const isFull = channel.diskFull !== undefined || disk?.state === 'full'
  if (isFull && appliedElsewhere(host) > channel.durableIndex) {
    return (
      `the disk is full, and this member lacks what the others have changed since: make room on the disk of ${folder}. ` +
      'What is deleted here may be told as failed, though it is done: delete files on another member'
    )
  }
  if (channel.diskFull !== undefined) {
    return `the disk is full: ${channel.diskFull}. Delete files in the channel, or make room on the disk of ${folder}: this member goes on by itself`
  }
  if (channel.lacksRoom === 'elsewhere') return fullElsewhere(channel, identity.memberId)
  if (disk === undefined || disk.state === 'ok') return undefined
  if (disk.state === 'full') {
    const least = channel.spaceOf(identity.memberId)?.minFree ?? 0
    return (
      `the disk is full: ${mib(disk.freeBytes)} of ${mib(disk.totalBytes)} are free on the disk of ${folder}, and ` +
      `${mib(least)} are kept so (min_free): programs here get ENOSPC for new content. Delete files in the channel, which ` +
      'passes, or make room on that disk: this member goes on by itself'
    )
  }
  return `the disk is short: ${mib(disk.freeBytes)} of ${mib(disk.totalBytes)} are free on the disk of ${folder}: make room before changes are refused`
}
