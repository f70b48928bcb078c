import t from 'tap'
import { OwnContact } from '../../src/channel/own-contact.js'
import { newChange, PendingChanges } from '../../src/channel/pending-changes.js'
import type { Core } from '../../src/channel/core.js'
import type { Proposal } from '../../src/oplog/entry.js'

const leaseMs = 3000
const operation = { kind: 'open-session' } as const

/** A member with a change on its way that its program was told of. */
function member(): { contact: OwnContact; wait: (ms: number) => void } {
  let nowMs = 1000
  const pending = new PendingChanges(() => nowMs)
  const proposal = { session: 1, sequence: 1, operation: new Uint8Array(0), payload: new Uint8Array(0) } as Proposal
  pending.add({ ...newChange(proposal, operation, 5, { durable: false, timeoutMs: 1000 }), told: true })
  const ports = { monotonicMs: () => nowMs, now: () => BigInt(nowMs) * 1_000_000n }
  const core = { self: 'me', leaseMs, ports, views: { applied: { index: 5 }, leading: false }, pending }
  return { contact: new OwnContact(core as unknown as Core), wait: ms => void (nowMs += ms) }
}

void t.test('a leader that makes itself known with its first message, and is answered, is a contact', t => {
  const { contact, wait } = member()
  wait(2000)
  contact.heard('leader')
  contact.answers('leader')
  wait(2000)
  t.equal(contact.resume()?.silent, false)
  wait(1500)
  t.equal(contact.resume()?.silent, true, 'and none after it is a silence')
  t.end()
})

void t.test('an answer to who is not heard any more is no contact', t => {
  const { contact, wait } = member()
  contact.heard('leader')
  contact.answers('leader')
  wait(2000)
  contact.heard('other')
  contact.answers('leader')
  wait(2000)
  t.equal(contact.resume()?.silent, true)
  t.end()
})
