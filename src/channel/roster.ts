import type { MemberId } from '../base/ids.js'
import type { Descriptor, Member } from './descriptor.js'
import type { PeerMessage, Transport } from './transport-port.js'

/** The members as the applied state names them, and whom else this member talks to. */
export class Roster {
  readonly #self: MemberId
  readonly #transport: Transport
  readonly #changed: (descriptor: Descriptor) => void
  #descriptor: Descriptor
  #logged: readonly Descriptor[]

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
    this.#logged = logged
    this.#transport = transport
    this.#changed = changed
  }

  get descriptor(): Descriptor {
    return this.#descriptor
  }
  set descriptor(descriptor: Descriptor) {
    this.#descriptor = descriptor
    this.#logged = this.#logged.filter(({ version }) => version > descriptor.version)
    this.#changed(descriptor)
  }

  /**
   * Whom this member talks to: those of the applied state, and those that the log named beyond it when this run began. The
   * state may have been written out long before the end; their votes may be needed before the log can be applied again.
   */
  get peers(): readonly Member[] {
    const peers = new Map<MemberId, Member>()
    for (const { members } of [this.#descriptor, ...this.#logged])
      for (const member of members) peers.set(member.id, member)
    return [...peers.values()]
  }

  /** Undefined until this member is admitted. */
  get slot(): number | undefined {
    return this.#descriptor.members.find(m => m.id === this.#self)?.slot
  }

  /** Sends a message to all but this member, as far as they are connected. */
  tellOthers(message: PeerMessage): void {
    for (const { id } of this.#descriptor.members) if (id !== this.#self) this.#transport.send(id, message)
  }
}
