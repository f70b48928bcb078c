import { X509Certificate } from 'node:crypto'
import { addressReach, parseAddress } from '../adapters/rpc/address.js'
import { messageOf } from '../base/errors.js'
import { isMemberId, type MemberId } from '../base/ids.js'
import type { Descriptor, Member } from '../channel/descriptor.js'
import type { Log } from './log.js'

/** What a member's entry in the descriptor is to say; what is left out stays as it is. */
export interface Entry {
  readonly address?: string
  readonly name?: string
  /** DER in base64. */
  readonly certificate?: string
}

/** The part of ChannelHost that this needs. */
export interface AddressBookHost {
  readonly identity: { readonly memberId: MemberId; readonly certificatePem: string }
  readonly channel: {
    readonly descriptor: Descriptor
    note(to: MemberId, topic: string, body: string): boolean
  }
  readonly transport: { connected(member: MemberId): boolean }
  readonly log: Log
  changeMembers(change: (descriptor: Descriptor) => Descriptor | undefined, timeoutMs: number): Promise<void>
}

const topic = 'address'
const periodMs = 3000
const changeMs = 10_000
const bodyCharsMax = 1024
const namePattern = /^[A-Za-z0-9._-]{1,64}$/

/**
 * Keeps the members' addresses and names in the descriptor up to date. Only the owner may change them there: it does so
 * for itself, and for a member that tells it with a note. Such a note arrives only when the two are connected both ways,
 * hence only when the owner has reached the member at its new address (`Hello.address`, adapters/rpc). Each side tries again
 * until the descriptor says what it wants.
 */
export class AddressBook {
  readonly #host: AddressBookHost
  readonly #own: { readonly address: string; readonly name: string | undefined }
  readonly #periodMs: number
  /** On the owner: what members asked for. INVARIANT: at most one for each member of the descriptor. */
  readonly #asked = new Map<MemberId, Entry>()
  #timer: NodeJS.Timeout | undefined
  #working = false

  /** `name` undefined: nobody chose one, and the channel's stays. */
  constructor(host: AddressBookHost, own: { address: string; name: string | undefined }, period = periodMs) {
    this.#host = host
    this.#own = own
    this.#periodMs = period
  }

  start(): void {
    this.#timer = setInterval(() => this.#turn(), this.#periodMs)
    this.#turn()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** A note of a member, which the connection has identified. Other topics, and what is no proper entry, are ignored. */
  note(from: MemberId, given: string, body: string): void {
    const { channel, identity } = this.#host
    if (given !== topic || channel.descriptor.owner !== identity.memberId || body.length > bodyCharsMax) return
    const entry = decodeEntry(body)
    if (entry === undefined || !channel.descriptor.members.some(m => m.id === from)) return
    this.#asked.set(from, entry)
    this.#turn()
  }

  #turn(): void {
    const { channel, identity, transport, log } = this.#host
    const { descriptor } = channel
    const self = identity.memberId
    const own: Entry = { address: this.#own.address, ...(this.#own.name === undefined ? {} : { name: this.#own.name }) }
    if (descriptor.owner !== self) {
      if (transport.connected(descriptor.owner) && withEntry(descriptor, self, own) !== undefined) {
        channel.note(descriptor.owner, topic, JSON.stringify(own))
      }
      return
    }
    const certificate = new X509Certificate(identity.certificatePem).raw.toString('base64')
    const wanted = new Map<MemberId, Entry>([[self, { ...own, certificate }], ...this.#asked])
    for (const id of this.#asked.keys()) {
      if (withEntry(descriptor, id, this.#asked.get(id)!) === undefined) this.#asked.delete(id)
    }
    const [id, entry] = [...wanted].find(([member, each]) => withEntry(descriptor, member, each) !== undefined) ?? []
    if (id === undefined || entry === undefined || this.#working) return
    this.#working = true
    const done = (error?: unknown): void => {
      this.#working = false
      if (error === undefined) log.info('a member has a new address, name or certificate', { member: id })
      else log.debug('a new address is not in the descriptor yet; it is tried again', { error: messageOf(error) })
    }
    this.#host.changeMembers(current => withEntry(current, id, entry), changeMs).then(() => done(), done)
  }
}

/**
 * The descriptor with a member's new entry; undefined when it says so already, or must not: an address that only the
 * machine itself can reach never takes the place of one that others can.
 */
export function withEntry(descriptor: Descriptor, id: MemberId, entry: Entry): Descriptor | undefined {
  const member = descriptor.members.find(m => m.id === id)
  if (member === undefined) return undefined
  const next: Member = {
    ...member,
    address: mayReplace(member.address, entry.address) ? entry.address : member.address,
    name: nameFor(descriptor, member, entry.name),
    certificate: entry.certificate ?? member.certificate,
  }
  const same = next.address === member.address && next.name === member.name && next.certificate === member.certificate
  if (same) return undefined
  return {
    ...descriptor,
    version: descriptor.version + 1,
    members: descriptor.members.map(m => (m.id === id ? next : m)),
  }
}

function mayReplace(old: string, address: string | undefined): address is string {
  if (address === undefined || address === old) return false
  const reach = addressReach(address)
  return reach === 'network' || (reach === 'loopback' && addressReach(old) !== 'network')
}

/** Names are unique: a second `beta` is `beta-2`, and stays it. */
function nameFor(descriptor: Descriptor, { id, name: old }: Member, wanted: string | undefined): string {
  if (wanted === undefined || old === wanted) return old
  if (old.startsWith(`${wanted}-`) && /^\d+$/.test(old.slice(wanted.length + 1))) return old
  const taken = new Set(descriptor.members.filter(m => m.id !== id).map(m => m.name))
  let name = wanted
  for (let i = 2; taken.has(name); i++) name = `${wanted}-${i}`
  return name
}

function decodeEntry(body: string): Entry | undefined {
  try {
    const { address, name } = JSON.parse(body) as Record<string, unknown>
    if (typeof address !== 'string' || address.length > 255 || parseAddress(address).port === 0) return undefined
    if (name !== undefined && (typeof name !== 'string' || !namePattern.test(name) || isMemberId(name)))
      return undefined
    return { address, ...(name === undefined ? {} : { name }) }
  } catch {
    return undefined
  }
}
