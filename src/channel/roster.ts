import type { MemberId } from '../base/ids.js'
import { RkfsError } from '../base/errors.js'
import { parseDescriptor, type Descriptor, type Member } from './descriptor.js'
import type { PeerMessage, Transport } from './transport-port.js'

/** The topic of the note in which a member tells its descriptor. */
export const membersTopic = 'members'

/** The members as the applied state names them, and whom else this member talks to. */
export class Roster {
  readonly #self: MemberId
  readonly #transport: Transport
  readonly #changed: (descriptor: Descriptor) => void
  #descriptor: Descriptor
  #logged: readonly Descriptor[]
  /** Later descriptors that members told. */
  readonly #told = new Map<MemberId, Descriptor>()

  /** What the descriptor says of this member: each call of a mount asks. */
  #own: Member | undefined

  /** `logged`: later descriptors, which stand in the log and are not applied yet. */
  constructor(
    self: MemberId,
    descriptor: Descriptor,
    logged: readonly Descriptor[],
    transport: Transport,
    changed: (descriptor: Descriptor) => void,
  ) {
    this.#self = self
    this.#descriptor = descriptor
    this.#own = ownIn(descriptor, self)
    this.#logged = logged
    this.#transport = transport
    this.#changed = changed
  }

  get descriptor(): Descriptor {
    return this.#descriptor
  }
  set descriptor(descriptor: Descriptor) {
    this.#descriptor = descriptor
    this.#own = ownIn(descriptor, this.#self)
    this.#logged = this.#logged.filter(({ version }) => version > descriptor.version)
    // what one told that is removed now goes with it: it named itself, to be talked to for ever
    const named = new Set(descriptor.members.map(({ id }) => id))
    for (const [id, { version }] of this.#told) {
      if (version <= descriptor.version || !named.has(id)) this.#told.delete(id)
    }
    this.#changed(descriptor)
    this.tellOthers(this.#note())
  }

  /**
   * This member is to be a voter, and is a learner still: it has not caught up since it was admitted, or put back among the
   * learners, and what is here may be less than what there was.
   */
  get isCatchingUp(): boolean {
    const own = this.#own
    return own !== undefined && own.role === 'voter' && own.state === 'learner'
  }

  /** The applied state names this member. */
  get isNamed(): boolean {
    return this.#own !== undefined
  }

  /**
   * Whom this member talks to: those of the applied state; those that the log named beyond it when this run began (the
   * state may have been written out long before, and their votes may be needed before the log can be applied again); and
   * those that a member named (who was away while a newcomer came to lead hears of it from nobody else).
   */
  get peers(): readonly Member[] {
    const peers = new Map<MemberId, Member>()
    for (const { members } of [this.#descriptor, ...this.#logged])
      for (const member of members) peers.set(member.id, member)
    // what is only told adds: a member that lies moves nobody to another address
    for (const { members } of this.#told.values())
      for (const member of members) if (!peers.has(member.id)) peers.set(member.id, member)
    return [...peers.values()]
  }

  /** The applied state names the member, or the log did when this run began. */
  isLogged(member: MemberId): boolean {
    return [this.#descriptor, ...this.#logged].some(({ members }) => members.some(({ id }) => id === member))
  }

  /** Another member told of a later descriptor than the one that is applied here. */
  get isOutdated(): boolean {
    return this.#told.size > 0 || this.#logged.length > 0
  }

  /** A member may have missed changes: it is told the descriptor. */
  greet(member: MemberId): void {
    this.tell(member, this.#note())
  }

  #note(): PeerMessage {
    return { kind: 'note', topic: membersTopic, body: JSON.stringify(this.#descriptor) }
  }

  /** A member tells its descriptor. One that only others named has no say in it. */
  hear(from: MemberId, body: string): void {
    if (!this.isLogged(from)) return
    let told: Descriptor
    try {
      told = parseDescriptor(body)
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      return
    }
    const { id, name, owner, version } = this.#descriptor
    if (told.id !== id || told.name !== name || told.owner !== owner || told.version <= version) return
    // it says so at each connection
    if (this.#told.get(from)?.version === told.version) return
    this.#told.set(from, told)
    this.#changed(this.#descriptor)
  }

  /** Undefined until this member is admitted. */
  get slot(): number | undefined {
    return this.#own?.slot
  }

  /** Sends a message to a member, if it is connected. */
  tell(member: MemberId, message: PeerMessage): void {
    this.#transport.send(member, message)
  }

  /** As `tell`, to all but this member. */
  tellOthers(message: PeerMessage): void {
    for (const { id } of this.#descriptor.members) if (id !== this.#self) this.tell(id, message)
  }
}

function ownIn({ members }: Descriptor, self: MemberId): Member | undefined {
  return members.find(({ id }) => id === self)
}
