import { failpoint } from '../base/failpoint.js'
import type { MemberId } from '../base/ids.js'
import { appendBytesMax, forwardBytesMax } from '../base/limits.js'
import type { Raft } from '../raft/raft.js'
import type { Core } from './core.js'
import type { OwnContact } from './own-contact.js'
import type { PendingChange, PendingChanges } from './pending-changes.js'
import type { StoredEntry } from './stored-entry.js'
import type { Transport } from './transport-port.js'
import type { Views } from './views.js'

/** Changes in one message. */
const batchMax = 256

/**
 * Sends this member's changes to the leader.
 *
 * INVARIANT: what is sent within a round is numbered from 1 without a gap; the first message of a round says `restart`
 * and holds the oldest pending change.
 */
export class Forwarding {
  readonly #self: MemberId
  readonly #raft: Raft<StoredEntry>
  readonly #views: Views
  readonly #pending: PendingChanges
  readonly #transport: Transport
  readonly #contact: OwnContact
  #round = 1
  #next = 1
  #restart = true
  /** Sent in this round and still pending. */
  #bytes = 0

  constructor({ self, raft, views, pending, ports }: Core, contact: OwnContact) {
    this.#contact = contact
    this.#self = self
    this.#raft = raft
    this.#views = views
    this.#pending = pending
    this.#transport = ports.transport
  }

  /** The leader, or the connection to it, is another one, or it saw a gap: all is sent again. */
  restart(): void {
    this.#round++
    this.#next = 1
    this.#restart = true
    this.#bytes = 0
  }

  /** A change is pending no more. */
  settled(change: PendingChange): void {
    if (change.sentRound === this.#round) this.#bytes -= change.bytes
  }

  /** Sends what was not sent in this round, oldest first. */
  send(): void {
    const { leader } = this.#raft
    if (this.#views.leading || leader === undefined || leader === this.#self || this.#pending.size === 0) return
    if (!this.#transport.connected(leader)) return
    if (this.#restart) {
      const resume = this.#contact.resume()
      if (resume !== undefined && !this.#transport.send(leader, resume)) return
    }
    // a message is of use to the leader when all of it is there
    const messageBytes = Math.min(appendBytesMax, this.#transport.windowBytes(leader))
    let batch: PendingChange[] = []
    let bytes = 0
    for (const change of this.#pending.values()) {
      if (change.sentRound === this.#round) continue
      if (this.#bytes + bytes > forwardBytesMax) break
      if (batch.length > 0 && (bytes + change.bytes > messageBytes || batch.length >= batchMax)) {
        if (!this.#sendBatch(leader, batch, bytes)) return
        batch = []
        bytes = 0
      }
      batch.push(change)
      bytes += change.bytes
    }
    if (batch.length > 0) this.#sendBatch(leader, batch, bytes)
  }

  #sendBatch(leader: MemberId, batch: readonly PendingChange[], bytes: number): boolean {
    const sent = this.#transport.send(leader, {
      kind: 'propose',
      restart: this.#restart,
      first: this.#next,
      proposals: batch.map(change => change.proposal),
    })
    if (!sent) return false
    failpoint('change-forwarded')
    for (const change of batch) change.sentRound = this.#round
    this.#restart = false
    this.#next += batch.length
    this.#bytes += bytes
    return true
  }
}
