import type { MemberId } from '../base/ids.js'
import type { Descriptor } from './descriptor.js'
import type { PeerMessage, Transport } from './transport-port.js'

/** The members as the applied state names them. */
export class Roster {
  readonly #self: MemberId
  readonly #transport: Transport
  readonly #changed: (descriptor: Descriptor) => void
  #descriptor: Descriptor

  constructor(self: MemberId, descriptor: Descriptor, transport: Transport, changed: (descriptor: Descriptor) => void) {
    this.#self = self
    this.#descriptor = descriptor
    this.#transport = transport
    this.#changed = changed
  }

  get descriptor(): Descriptor {
    return this.#descriptor
  }
  set descriptor(descriptor: Descriptor) {
    this.#descriptor = descriptor
    this.#changed(descriptor)
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
