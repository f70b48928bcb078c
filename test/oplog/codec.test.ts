import fc from 'fast-check'
import t from 'tap'
import { RkfsError } from '../../src/base/errors.js'
import { operationBytesMax, payloadBytesMax } from '../../src/base/limits.js'
import { nodeHasher } from '../../src/adapters/host/hasher.js'
import {
  decodeEntry,
  encodeEntry,
  entryOverheadBytes,
  hashOfEncoded,
  payloadMatches,
  zeroHash,
} from '../../src/oplog/codec.js'
import { damaged } from '../fs/support/arbitrary.js'
import { anyProposal, proposalOf } from './support/arbitrary.js'

const position = fc.record({
  index: fc.maxSafeNat(),
  term: fc.maxSafeNat(),
  previousHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
})

void t.test('what is encoded decodes to the same, and its payload matches', t => {
  fc.assert(
    fc.property(anyProposal, position, (proposal, { index, term, previousHash }) => {
      const encoded = encodeEntry(proposal, index, term, previousHash, nodeHasher)
      t.equal(encoded.length, entryOverheadBytes + proposal.operation.length + proposal.signature.length)
      const { payload, ...kept } = proposal
      const decoded = decodeEntry(encoded, nodeHasher)
      t.same(decoded, {
        ...kept,
        index,
        term,
        previousHash,
        payloadLength: payload.length,
        hash: hashOfEncoded(encoded),
      })
      t.ok(payloadMatches(decoded, payload, nodeHasher))
      t.notOk(payloadMatches(decoded, Buffer.concat([payload, Uint8Array.of(0)]), nodeHasher))
      if (payload.length > 0) {
        const other = payload.slice()
        other[0]! ^= 1
        t.notOk(payloadMatches(decoded, other, nodeHasher))
      }
    }),
    { numRuns: 200 },
  )
  t.end()
})

void t.test('every truncation and every flipped bit is refused', t => {
  let checked = 0
  for (const proposal of fc.sample(anyProposal, { numRuns: 10, seed: 3 })) {
    const encoded = encodeEntry(proposal, 17, 3, zeroHash, nodeHasher)
    damaged(encoded, (bytes, what) => {
      checked++
      try {
        decodeEntry(bytes, nodeHasher)
        t.fail(`an entry ${what} was taken`)
      } catch (error) {
        if (!(error instanceof RkfsError)) throw error
      }
    })
    t.throws(() => decodeEntry(Buffer.concat([encoded, Uint8Array.of(0)]), nodeHasher), { code: 'corrupt' })
  }
  t.ok(checked > 10_000)
  t.end()
})

/** Changes bytes after the CRC and makes the CRC right again: what a member that means harm would send. */
function forged(bytes: Uint8Array, change: (bytes: Uint8Array, view: DataView) => void): Uint8Array {
  const copy = bytes.slice()
  const view = new DataView(copy.buffer)
  change(copy, view)
  view.setUint32(0, nodeHasher.crc32(copy.subarray(4)), true)
  return copy
}

void t.test('behind a right CRC: version, kind, lengths and hash are checked', t => {
  const encoded = encodeEntry(proposalOf({ payload: Uint8Array.of(1, 2, 3) }), 5, 2, zeroHash, nodeHasher)
  const decode = (change: (bytes: Uint8Array, view: DataView) => void) => () =>
    decodeEntry(forged(encoded, change), nodeHasher)
  t.throws(
    decode(bytes => (bytes[4] = 2)),
    { code: 'version', message: /upgrade/ },
  )
  t.throws(
    decode(bytes => (bytes[5] = 3)),
    { code: 'corrupt', message: /kind/ },
  )
  t.throws(
    decode((_, view) => view.setUint32(56, operationBytesMax + 1, true)),
    { code: 'corrupt', message: /too long/ },
  )
  t.throws(
    decode((_, view) => view.setUint32(60, payloadBytesMax + 1, true)),
    { code: 'corrupt', message: /too long/ },
  )
  t.throws(
    decode((_, view) => view.setUint32(60, 2, true)),
    { code: 'corrupt', message: /hash/ },
  )
  t.throws(
    decode(bytes => (bytes[bytes.length - 1]! ^= 1)),
    { code: 'corrupt', message: /hash/ },
  )
  damaged(encoded.subarray(4), (tail, what) => {
    const bytes = forged(Buffer.concat([new Uint8Array(4), tail]), () => {})
    try {
      decodeEntry(bytes, nodeHasher)
      t.fail(`an entry ${what} was taken`)
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
    }
  })
  t.end()
})

void t.test('what is over its bound is never encoded', t => {
  const operation = new Uint8Array(operationBytesMax + 1)
  t.throws(() => encodeEntry(proposalOf({ operation }), 1, 1, zeroHash, nodeHasher), { name: 'AssertionFailure' })
  const payload = new Uint8Array(payloadBytesMax + 1)
  t.throws(() => encodeEntry(proposalOf({ payload }), 1, 1, zeroHash, nodeHasher), { name: 'AssertionFailure' })
  t.end()
})
