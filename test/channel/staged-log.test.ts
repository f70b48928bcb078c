import t from 'tap'
import { StagedLog } from '../../src/channel/staged-log.js'
import { openEntry, type StoredEntry } from '../../src/channel/stored-entry.js'
import { encodeOperation } from '../../src/fs/operation-codec.js'
import { encodeEntry, zeroHash } from '../../src/oplog/codec.js'
import { hasher, owner } from '../contracts/entries.js'
import { MemoryLogStore } from '../support/memory-log-store.js'

t.test('small entries, too, leave memory: what counts is what they take there, not their bytes', t => {
  const operation = encodeOperation({ kind: 'unlink', parent: 1, name: 'x' })
  const log = new StagedLog(new MemoryLogStore(), hasher)
  const kept: WeakRef<StoredEntry>[] = []
  const append = (index: number): void => {
    const payload = new Uint8Array(0)
    const change = { kind: 'change', origin: owner.member, session: 1, sequence: index, time: 1n } as const
    const proposal = { ...change, operation, payload, payloadHash: zeroHash, signature: new Uint8Array(0) }
    const header = encodeEntry(proposal, index, 1, log.hash(index - 1), hasher)
    const data = openEntry({ header, payload }, hasher, false)
    log.append([{ index, term: 1, size: header.length, data }])
    log.persist()
    kept.push(new WeakRef(data))
  }
  const count = 20_000
  for (let index = 1; index <= count; index++) append(index)
  // an entry in memory is answered as it is, one that left it is read and decoded anew
  const inMemory = kept.filter((ref, at) => log.entry(at + 1) === ref.deref()).length
  t.ok(inMemory > 1000, `${inMemory} of ${count}`)
  t.ok(inMemory < 10_000, `${inMemory} of ${count}`)
  t.equal(log.entry(1).entry.index, 1)
  t.end()
})
