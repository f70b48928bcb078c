import fc from 'fast-check'
import { nodeHasher } from '../../../src/adapters/host/hasher.js'
import { zeroHash } from '../../../src/oplog/codec.js'
import type { Proposal } from '../../../src/oplog/entry.js'

export function proposalOf(values: Partial<Proposal>): Proposal {
  const payload = values.payload ?? new Uint8Array(0)
  return {
    kind: 'change',
    origin: '0123456789abcdef',
    session: 1,
    sequence: 1,
    time: 0n,
    operation: new Uint8Array(9),
    signature: new Uint8Array(0),
    ...values,
    payload,
    payloadHash: payload.length === 0 ? zeroHash : nodeHasher.sha256(payload),
  }
}

export const anyProposal: fc.Arbitrary<Proposal> = fc
  .record({
    kind: fc.constantFrom('noop' as const, 'change' as const, 'members' as const),
    origin: fc.stringMatching(/^[0-9a-f]{16}$/),
    session: fc.maxSafeNat(),
    sequence: fc.maxSafeNat(),
    time: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
    operation: fc.uint8Array({ maxLength: 100 }),
    payload: fc.uint8Array({ maxLength: 100 }),
    signature: fc.uint8Array({ maxLength: 70 }),
  })
  .map(proposalOf)
