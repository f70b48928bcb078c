import fc from 'fast-check'
import t from 'tap'
import { RkfsError } from '../../src/base/errors.js'
import { decodeProposal, encodeProposal } from '../../src/oplog/proposal-codec.js'
import { damaged } from '../fs/support/arbitrary.js'
import { anyProposal } from './support/arbitrary.js'

void t.test('what is encoded decodes to the same', t => {
  fc.assert(
    fc.property(anyProposal, proposal => {
      t.same(decodeProposal(encodeProposal(proposal), proposal.payload), proposal)
    }),
    { numRuns: 200 },
  )
  t.end()
})

void t.test('a truncated proposal is refused; one with a flipped bit is refused or another', t => {
  for (const proposal of fc.sample(anyProposal, { numRuns: 20, seed: 4 })) {
    const encoded = encodeProposal(proposal)
    damaged(encoded, (bytes, what) => {
      try {
        const decoded = decodeProposal(bytes, proposal.payload)
        if (bytes.length < encoded.length) t.fail(`a proposal ${what} was taken`)
        if (Buffer.compare(encodeProposal(decoded), bytes) !== 0) t.fail(`${what}: its encoding is not the only one`)
      } catch (error) {
        if (!(error instanceof RkfsError) || error.code !== 'corrupt') throw error
      }
    })
  }
  t.end()
})
