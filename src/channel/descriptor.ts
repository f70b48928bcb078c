import { RkfsError } from '../base/errors.js'
import { isChannelName, isMemberId, type MemberId } from '../base/ids.js'
import { membersMax } from '../base/limits.js'
import type { Configuration } from '../raft/types.js'

/** One member as the owner admitted it. */
export interface Member {
  readonly id: MemberId
  /** For people; unique in the channel. */
  readonly name: string
  /** host:port. */
  readonly address: string
  /** What the owner wants it to be. */
  readonly role: 'voter' | 'learner'
  /** What it is now: a voter starts as a learner and is promoted by the leader when it has caught up (thesis §4.2.1). */
  readonly state: 'voter' | 'learner'
  /** Its range of inode numbers; never given twice. */
  readonly slot: number
  /** The member's certificate, DER in base64. */
  readonly certificate: string
}

/** The channel's descriptor: who is in it. Kept as a record of the replicated state; each change is a `members` entry. */
export interface Descriptor {
  readonly name: string
  /** Of the authority's certificate (`adapters/pki`). */
  readonly id: string
  readonly owner: MemberId
  readonly version: number
  readonly nextSlot: number
  readonly members: readonly Member[]
}

const slotMax = 8191
/** Inode numbers of a slot: `slot << 40` and up. Safe integers. */
export const inodesPerSlot = 2 ** 40
/** Of those, the numbers from here on are drawn, before a member knows which ones it has used (`InodeNumbers`). */
export const earlyInodes = 2 ** 39

/**
 * Whether a member may make an inode of that number: of a range that the owner has given out, and that is not another
 * member's. A range of nobody's is that of a member that was removed, perhaps of this one, which was admitted again.
 */
export function mayMakeInode({ members, nextSlot }: Descriptor, member: MemberId, ino: number): boolean {
  const slot = Math.floor(ino / inodesPerSlot)
  return slot >= 1 && slot < nextSlot && !members.some(each => each.slot === slot && each.id !== member)
}

export function encodeDescriptor(descriptor: Descriptor): Uint8Array {
  return utf8Encode(JSON.stringify(descriptor))
}

/** Throws `corrupt` for what is no descriptor. */
export function decodeDescriptor(bytes: Uint8Array): Descriptor {
  let text: string
  try {
    text = utf8Decode(bytes)
  } catch (cause) {
    throw new RkfsError('corrupt', 'the channel descriptor is not readable', { cause })
  }
  return parseDescriptor(text)
}

/** As `decodeDescriptor`, for its text. */
export function parseDescriptor(text: string): Descriptor {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new RkfsError('corrupt', 'the channel descriptor is not readable', { cause })
  }
  const descriptor = value as Descriptor
  const sound =
    typeof descriptor === 'object' &&
    descriptor !== null &&
    isText(descriptor.name, isChannelName) &&
    typeof descriptor.id === 'string' &&
    isText(descriptor.owner, isMemberId) &&
    isCount(descriptor.version) &&
    isCount(descriptor.nextSlot) &&
    descriptor.nextSlot <= slotMax + 1 &&
    Array.isArray(descriptor.members) &&
    descriptor.members.length <= membersMax &&
    descriptor.members.every(isMember) &&
    new Set(descriptor.members.map(m => m.id)).size === descriptor.members.length
  if (!sound) throw new RkfsError('corrupt', 'the channel descriptor is malformed')
  return descriptor
}

function isText(value: unknown, has: (text: string) => boolean): boolean {
  return typeof value === 'string' && has(value)
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isMember(value: unknown): boolean {
  const member = value as Member
  return (
    typeof member === 'object' &&
    member !== null &&
    isText(member.id, isMemberId) &&
    typeof member.name === 'string' &&
    typeof member.address === 'string' &&
    (member.role === 'voter' || member.role === 'learner') &&
    (member.state === 'voter' || member.state === 'learner') &&
    isCount(member.slot) &&
    typeof member.certificate === 'string'
  )
}

export function configurationOf(descriptor: Descriptor): Configuration {
  return {
    voters: descriptor.members.filter(m => m.state === 'voter').map(m => m.id),
    learners: descriptor.members.filter(m => m.state === 'learner').map(m => m.id),
  }
}

/**
 * Whether `origin` may turn one descriptor into another: the owner anything, but one voter at a time (thesis §4.1); any
 * member no more than the promotion of learners that the owner admitted as voters.
 */
export function mayChange(from: Descriptor, to: Descriptor, origin: MemberId): boolean {
  if (to.version !== from.version + 1 || to.id !== from.id || to.name !== from.name || to.owner !== from.owner) {
    return false
  }
  const voters = new Set(configurationOf(from).voters)
  const after = new Set(configurationOf(to).voters)
  let changed = 0
  for (const id of voters) if (!after.has(id)) changed++
  for (const id of after) if (!voters.has(id)) changed++
  if (changed > 1 || after.size === 0) return false
  if (origin === from.owner) return true
  if (to.nextSlot !== from.nextSlot || to.members.length !== from.members.length) return false
  return from.members.every((member, i) => {
    const other = to.members[i]!
    const promoted = member.role === 'voter' && member.state === 'learner' && other.state === 'voter'
    return (
      JSON.stringify({ ...member, state: '' }) === JSON.stringify({ ...other, state: '' }) &&
      (member.state === other.state || promoted)
    )
  })
}

/** The descriptor with one more member, a learner until it has caught up. Throws `exists` or `failed`. */
export function withMember(
  descriptor: Descriptor,
  member: { id: MemberId; name: string; address: string; role: 'voter' | 'learner'; certificate: string },
): Descriptor {
  if (descriptor.members.some(m => m.id === member.id)) {
    throw new RkfsError('exists', `${member.name} (${member.id}) is a member of ${descriptor.name} already`)
  }
  if (descriptor.members.length >= membersMax || descriptor.nextSlot > slotMax) {
    throw new RkfsError('failed', `${descriptor.name} has no room for another member`)
  }
  const taken = new Set(descriptor.members.map(m => m.name))
  let name = member.name
  for (let i = 2; taken.has(name); i++) name = `${member.name}-${i}`
  return {
    ...descriptor,
    version: descriptor.version + 1,
    nextSlot: descriptor.nextSlot + 1,
    members: [...descriptor.members, { ...member, name, state: 'learner', slot: descriptor.nextSlot }],
  }
}

/**
 * The descriptor with a member that lost its log and joins anew, under its old id: removed and admitted in one change, a
 * learner until it has caught up. Throws `not-found`, or `refused` for the owner, whose log is what admits others.
 */
export function withMemberAnew(
  descriptor: Descriptor,
  member: { id: MemberId; name: string; address: string; role: 'voter' | 'learner'; certificate: string },
): Descriptor {
  const { version } = descriptor
  return { ...withMember(withoutMember(descriptor, member.id), member), version: version + 1 }
}

/** The descriptor in which a voter that is lost has no vote, until it has caught up again. */
export function withoutVote(descriptor: Descriptor, id: MemberId): Descriptor {
  const members = descriptor.members.map(m => (m.id === id ? { ...m, state: 'learner' as const } : m))
  return { ...descriptor, version: descriptor.version + 1, members }
}

/** The descriptor without a member. Throws `not-found`, or `refused` for the last voter and the owner. */
export function withoutMember(descriptor: Descriptor, id: MemberId): Descriptor {
  const member = descriptor.members.find(m => m.id === id)
  if (member === undefined) throw new RkfsError('not-found', `${id} is not a member of ${descriptor.name}`)
  if (id === descriptor.owner) {
    throw new RkfsError('refused', `${member.name} is the owner of ${descriptor.name} and cannot be removed from it`)
  }
  return {
    ...descriptor,
    version: descriptor.version + 1,
    members: descriptor.members.filter(m => m.id !== id),
  }
}

// the pure layers have no TextEncoder of their own: a descriptor is small, so plain code will do
function utf8Encode(text: string): Uint8Array {
  const escaped = encodeURIComponent(text)
  const bytes: number[] = []
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] === '%') {
      bytes.push(parseInt(escaped.slice(i + 1, i + 3), 16))
      i += 2
    } else bytes.push(escaped.charCodeAt(i))
  }
  return Uint8Array.from(bytes)
}

function utf8Decode(bytes: Uint8Array): string {
  let escaped = ''
  for (const byte of bytes) escaped += `%${byte.toString(16).padStart(2, '0')}`
  return decodeURIComponent(escaped)
}
