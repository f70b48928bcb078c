import t from 'tap'

import { RkfsError } from '../../../src/base/errors.js'
import { Rng } from '../../../src/base/rng.js'
import type { LockCall } from '../../../src/channel/locks/lock-messages.js'
import type { PeerMessage } from '../../../src/channel/transport-port.js'
import type { EncodedEntry } from '../../../src/oplog/entry.js'
import type { RaftMessage } from '../../../src/raft/types.js'
import { decodeFrame, encodeFrame, estimatedBytes, splitMessage } from '../../../src/adapters/rpc/frame-codec.js'
import { bytes, entry, frameSamples as samples, lock, proposal, raft, round } from './frame-samples.js'

const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, each: unknown) => {
      if (typeof each === 'bigint') return `${each}n`
      return ArrayBuffer.isView(each)
        ? Buffer.from(each.buffer, each.byteOffset, each.byteLength).toString('hex')
        : each
    }),
  )

t.test('every message comes back as it was', async t => {
  for (const sample of samples) {
    const [kind] = [sample.kind === 'raft' ? sample.message.kind : sample.kind]
    t.same(plain(decodeFrame(encodeFrame([sample]))), plain([sample]), kind)
    t.ok(encodeFrame([sample]).length <= estimatedBytes(sample), `${kind}: the estimate is not too small`)
  }
  t.same(plain(decodeFrame(encodeFrame(samples))), plain(samples), 'all in one frame')
  t.same(decodeFrame(encodeFrame([])), [])
})

t.test('payloads are copies of the input', async t => {
  const sample = raft({
    kind: 'append',
    term: 1,
    previousIndex: 0,
    previousTerm: 0,
    first: 1,
    last: 1,
    entries: [entry(1, 1, 1024 * 1024)],
    commit: 0,
  })
  const frame = encodeFrame([sample])
  const [decoded] = decodeFrame(frame) as [Extract<PeerMessage, { kind: 'raft' }>]
  const message = decoded.message as Extract<RaftMessage<EncodedEntry>, { kind: 'append' }>
  t.not(message.entries[0]!.data.payload.buffer, frame.buffer, 'a payload that is kept does not keep the frame')
  const from = performance.now()
  for (let i = 0; i < 100; i++) encodeFrame([sample])
  const middle = performance.now()
  for (let i = 0; i < 100; i++) decodeFrame(frame)
  const end = performance.now()
  t.comment(
    `1 MiB append: encode ${((middle - from) * 10).toFixed(0)} µs, decode ${((end - middle) * 10).toFixed(0)} µs`,
  )
})

t.test('truncated, flipped and random bytes', async t => {
  let decoded = 0
  const tryOne = (input: Uint8Array): void => {
    try {
      decodeFrame(input)
      decoded++
    } catch (error) {
      if (!(error instanceof RkfsError) || error.code !== 'corrupt') t.fail(String(error))
    }
  }
  for (const sample of [...samples.map(each => [each]), samples]) {
    const frame = encodeFrame(sample)
    for (let i = 0; i < frame.length; i++) {
      tryOne(frame.subarray(0, i))
      for (let bit = 0; bit < 8; bit++) {
        const bad = Buffer.from(frame)
        bad[i]! ^= 1 << bit
        tryOne(bad)
      }
    }
  }
  const rng = new Rng(1)
  for (let i = 0; i < 20_000; i++) tryOne(Uint8Array.from({ length: rng.below(60) }, () => rng.below(256)))
  t.pass(`${decoded} of them still were frames`)
})

t.test('what is out of bounds', async t => {
  const refused = (input: Uint8Array, what: RegExp): void => {
    t.throws(() => decodeFrame(input), { code: 'corrupt', message: what })
  }
  refused(new Uint8Array(4 * 1024 * 1024 + 1), /too many/)
  refused(Buffer.concat(Array.from({ length: 300_000 }, () => Buffer.from([0x0a, 0x00]))), /too many messages/)
  refused(Buffer.from([0x0a, 0x00]), /unknown kind/)
  refused(Buffer.from([0x12, 0x00, 0x0a, 0x00]), /not the last/)
  refused(Buffer.from([0x12, 0x01, 0x00]), /bulk too many/)
  const again = encodeFrame([{ kind: 'propose-again' }])
  refused(Buffer.concat([again, again, Buffer.from([0x1a, 0])]), /unknown field/)
  refused(encodeFrame([{ kind: 'digest', index: 1, hash: bytes(31, 1) }]), /digest of 31/)
  refused(
    encodeFrame([{ kind: 'propose-refused', session: 1, index: 5, refusals: [{ sequence: 1, errno: 0 }] }]),
    /errno 0/,
  )
  refused(
    encodeFrame([
      { kind: 'propose', restart: true, first: 1, proposals: [{ ...proposal(1, 3), payloadHash: bytes(3, 1) }] },
    ]),
    /payload hash/,
  )
  const long = { ...proposal(1, 0), operation: bytes(256 * 1024 + 1, 1) }
  refused(encodeFrame([{ kind: 'propose', restart: true, first: 1, proposals: [long] }]), /too long/)
  t.throws(() => encodeFrame([raft({ kind: 'term-question', term: -1 })]), /not an integer/)
  const calls = (...calls: LockCall[]): Uint8Array => encodeFrame([{ kind: 'lock-calls', ...round, first: 1, calls }])
  refused(calls(...Array.from({ length: 1025 }, () => ({ kind: 'renew', stamp: 1 }) as const)), /1025 calls/)
  refused(calls({ kind: 'attach', waiting: Array.from({ length: 4097 }, (_, i) => i) }), /too many waits/)
  refused(calls({ kind: 'claim', lock: { ...lock, owner: 'p:1:x' } }), /owner/)
  refused(calls({ kind: 'claim', lock: { ...lock, end: 1 } }), /range/)
  refused(encodeFrame([{ kind: 'lock-calls', ...round, first: 0, calls: [] }]), /without a number/)
  const answer = { kind: 'denied', id: 1, errno: 0 } as const
  refused(encodeFrame([{ kind: 'lock-answers', ...round, first: 1, answers: [answer] }]), /errno 0/)
})

t.test('long proposals are cut', async t => {
  for (const [count, length] of [
    [1, 1024 * 1024],
    [40, 1024 * 1024],
    [5000, 0],
    [3000, 1000],
  ] as const) {
    const proposals = Array.from({ length: count }, (_, i) => proposal(10 + i, length))
    const parts = splitMessage({ kind: 'propose', restart: true, first: 10, proposals })
    let next = 10
    for (const [i, part] of parts.entries()) {
      if (part.kind !== 'propose') return t.fail()
      t.equal(part.first, next)
      t.equal(part.restart, i === 0)
      t.ok(decodeFrame(encodeFrame([part])).length === 1)
      next += part.proposals.length
    }
    t.equal(next, 10 + count)
  }
  t.same(splitMessage({ kind: 'propose', restart: true, first: 3, proposals: [] }).length, 1)
})
