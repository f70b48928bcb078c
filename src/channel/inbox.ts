import { unreachable } from '../base/assert.js'
import type { MemberId } from '../base/ids.js'
import type { Raft } from '../raft/raft.js'
import type { Agenda } from './agenda.js'
import type { Complaints } from './complaints.js'
import type { Core } from './core.js'
import type { Parts } from './parts.js'
import type { StoredEntry } from './stored-entry.js'
import { answersLeader } from './own-contact.js'
import type { PeerMessage } from './transport-port.js'

/** What other members say, given to the part that it is for. */
export class Inbox {
  readonly #complaints: Complaints
  readonly #raft: Raft<StoredEntry>
  readonly #agenda: Agenda
  readonly #parts: Parts

  constructor({ complaints, raft, agenda }: Core, parts: Parts) {
    this.#complaints = complaints
    this.#raft = raft
    this.#agenda = agenda
    this.#parts = parts
  }

  /** A member is about to say something, or takes in what it is told. */
  heardPart(from: MemberId): void {
    this.#raft.heardPart(from)
    this.#touch(from)
  }

  #touch(from: MemberId): void {
    const { resumptions, contact } = this.#parts
    resumptions.heard(from)
    contact.heard(from)
  }

  take(from: MemberId, message: Exclude<PeerMessage, { kind: 'note' | 'greeting' }>): void {
    const { link, order, own, forwarding, digests, positions, healing, locks, resumptions, contact } = this.#parts
    this.#raft.heard(from)
    this.#touch(from)
    if (message.kind === 'raft' && answersLeader(message.message)) contact.answered(from)
    if (!acknowledges(message)) this.#agenda.hurry()
    switch (message.kind) {
      case 'raft':
        return link.step(from, message.message)
      case 'propose':
        return order.receive(from, message.restart, message.first, message.proposals)
      case 'resume':
        return resumptions.declare(from, message)
      case 'propose-refused':
        for (const { sequence, errno } of message.refusals) {
          if (from === this.#raft.leader) own.refuse(message.session, sequence, errno, message.index)
        }
        return
      case 'propose-again':
        if (from === this.#raft.leader) forwarding.restart()
        return
      case 'digest':
        return digests.hear(from, message.index, message.hash)
      case 'diverged': {
        const { index, reason } = message
        const words = `member ${from} says that it differs: ${reason}`
        return this.#complaints.about(from, 'says-it-differs', 'warn', words, { index })
      }
      case 'position':
        return positions.hear(from, message)
      case 'blob-wanted':
        return healing.serve(from, message.id, order.serves(from) ? message.term : undefined)
      case 'blob':
        return healing.hear(from, message)
      case 'lock-calls':
        if (!order.serves(from)) return
        return locks.receive(from, message)
      case 'lock-answers':
      case 'lock-again':
        return locks.receive(from, message)
      default:
        unreachable(message)
    }
  }
}

/** Acknowledgements alone hurry nobody: who waits is served at once all the same. */
function acknowledges(message: PeerMessage): boolean {
  return message.kind === 'position' || (message.kind === 'raft' && answersLeader(message.message))
}
