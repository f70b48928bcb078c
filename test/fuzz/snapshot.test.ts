/** A member that was asked for its state, or for what it found, and answers what is not so. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { createAuthority, createSigningRequest, issueCertificate } from '../../src/adapters/pki/authority.js'
import { packRecords } from '../../src/adapters/sqlite/snapshot-protocol.js'
import { toHex } from '../../src/base/bytes.js'
import { RkfsError } from '../../src/base/errors.js'
import type { Descriptor } from '../../src/channel/descriptor.js'
import { AddressBook, type AddressBookHost } from '../../src/daemon/address-book.js'
import type { ChannelHost } from '../../src/daemon/channel-host.js'
import { nodeHasher } from '../../src/adapters/host/hasher.js'
import { silentLog } from '../../src/daemon/log.js'
import { receiveSnapshot, snapshotPaths } from '../../src/daemon/snapshot-transfer.js'
import { Verification } from '../../src/daemon/verification.js'
import { encodeRecord, rootDirectory } from '../../src/fs/records.js'
import { recordHash } from '../../src/fs/table-view.js'
import { makeKey } from '../adapters/rpc/cluster.js'
import { bytesOf, cutting, moreRecords, owner, quiet } from '../contracts/entries.js'
import { MemoryLogStore } from '../support/memory-log-store.js'
import { hostileBytes, hostileJson } from './support/hostile.js'
import { runs, seed } from './support/options.js'

t.setTimeout(600_000)
t.comment(`SEED=${seed}`)
const folder = mkdtempSync(join(tmpdir(), 'rkfs-fuzz-snapshot.'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
mkdirSync(join(folder, 'demo'))

const committed = 4
const inode = encodeRecord('inode', rootDirectory())
const chunk = encodeRecord('chunk', [{ start: 0, length: 10, blob: 80, offset: 0 }])
const records = packRecords([
  { table: 'inode', ino: 1, key: '', value: inode },
  { table: 'chunk', ino: 2, key: '000000000000', value: chunk },
])
const digest = recordHash(nodeHasher, 'inode', 1, '', inode)
recordHash(nodeHasher, 'chunk', 2, '000000000000', chunk).forEach((byte, i) => (digest[i]! ^= byte))
const header = {
  version: 1,
  index: 9,
  term: 2,
  hash: toHex(bytesOf(1, 32)),
  digest: toHex(digest),
  inodes: 1,
  dataBytes: 10,
}

interface Chunk {
  kind: number
  id: bigint
  data: Uint8Array
}
const chunkOf = (kind: number, id: bigint, data: Uint8Array | string): Chunk => ({ kind, id, data: Buffer.from(data) })
const good: readonly Chunk[] = [
  chunkOf(1, 0n, JSON.stringify(header)),
  chunkOf(2, 2n, records),
  chunkOf(3, 80n, bytesOf(5, 10)),
  chunkOf(4, 0n, ''),
]

function logOfSix(): MemoryLogStore {
  const log = new MemoryLogStore()
  log.append(moreRecords(log, 6, 2, () => 50))
  log.commit()
  return log
}

async function take(chunks: readonly Chunk[], log = logOfSix()): Promise<number> {
  async function* each(): AsyncGenerator<Chunk> {
    yield* chunks
  }
  const paths = snapshotPaths(join(folder, 'demo'))
  return (await receiveSnapshot(paths, owner, log, cutting(log, committed), 8, each(), () => {}, quiet)).index
}

await t.test('a snapshot, whatever it is', async t => {
  t.equal(await take(good), 9)
  const refused: [string, Chunk[], RegExp][] = [
    [
      'older than asked',
      [chunkOf(1, 0n, JSON.stringify({ ...header, index: 7 })), ...good.slice(1)],
      /ends at entry 7, not at 8/,
    ],
    ['two headers', [good[0]!, ...good], /two headers/],
    ['no hash', [chunkOf(1, 0n, JSON.stringify({ ...header, hash: 5 })), ...good.slice(1)], /malformed/],
    ['no index', [chunkOf(1, 0n, JSON.stringify({ ...header, index: null })), ...good.slice(1)], /malformed/],
    [
      'a blob that contradicts',
      [...good.slice(0, 2), chunkOf(3, 3n * 8n, 'other bytes')],
      /contradicts entry 3, which is committed/,
    ],
    ['blobs out of order', [...good.slice(0, 2), chunkOf(3, 90n, 'later'), chunkOf(3, 88n, 'earlier')], /out of order/],
    ['a blob from nowhere', [...good.slice(0, 2), chunkOf(3, 2n ** 63n, 'x')], /out of range/],
    ['a chunk without a number', [good[0]!, chunkOf(2, 1n, badKey())], /the key of a chunk/],
    ['an unknown table', [good[0]!, chunkOf(2, 1n, Buffer.from([9, ...bytesOf(1, 30)]))], /malformed snapshot batch/],
    ['another digest', [good[0]!, good[2]!, good[3]!], /does not amount to its digest/],
    ['records after blobs', [good[0]!, good[1]!, good[2]!, good[1]!], /records after its blobs/],
    [
      'another digest, and a blob that contradicts',
      [good[0]!, chunkOf(3, 6n * 8n, 'x')],
      /does not amount to its digest/,
    ],
    [
      'a term that nobody is near',
      [chunkOf(1, 0n, JSON.stringify({ ...header, term: 2 ** 40 }))],
      /nobody else has told of/,
    ],
    ['without an end', good.slice(0, 3), /broke off/],
  ]
  for (const [what, chunks, words] of refused) {
    const log = logOfSix()
    await t.rejects(take(chunks, log), { name: 'RkfsError', message: words }, what)
    t.equal(log.lastIndex, 6, `${what}: the log is as it was`)
  }
  const data = fc.oneof(
    hostileBytes(good.map(({ data }) => data)),
    hostileJson([header]).map(text => Uint8Array.from(Buffer.from(text))),
  )
  const any = fc.record({ kind: fc.nat(5), id: fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 60n)), data })
  const changed = fc
    .tuple(fc.nat(3), any)
    .map(([at, other]) => good.map((each, i) => (i === at ? { ...each, ...other, kind: each.kind } : each)))
  await fc.assert(
    fc.asyncProperty(fc.oneof(changed, fc.array(any, { maxLength: 6 })), async chunks => {
      const log = logOfSix()
      const before = [1, 2, 3, 4].map(index => toHex(log.header(index)!))
      try {
        await take(chunks, log)
      } catch (error) {
        if (!(error instanceof RkfsError)) throw error
      }
      const after = [1, 2, 3, 4].map(index => toHex(log.header(index) ?? new Uint8Array(0)))
      if (after.join(' ') !== before.join(' ')) throw new Error('what is committed was cut off')
    }),
    { seed, numRuns: runs(25), endOnFailure: true },
  )
})

function badKey(): Uint8Array {
  return packRecords([{ table: 'chunk', ino: 2, key: 'zz', value: chunk }])
}

await t.test('notes, whatever they say', async t => {
  const key = await makeKey()
  const request = await createSigningRequest(key.key, 'a')
  const certificatePem = await issueCertificate(await createAuthority('demo'), request, key.memberId, 'a')
  const self = 'a'.repeat(16)
  const other = 'b'.repeat(16)
  const member = { role: 'voter', state: 'voter', slot: 1, certificate: '' } as const
  const descriptor: Descriptor = {
    name: 'demo',
    id: 'x',
    owner: self,
    version: 1,
    nextSlot: 3,
    members: [self, other].map(id => ({ ...member, id, name: id, address: 'a.example.org:1' })),
  }
  let asked: Descriptor | undefined
  const book = new AddressBook(
    {
      identity: { memberId: self, certificatePem },
      channel: { descriptor, note: () => true },
      transport: { connected: () => true },
      log: silentLog,
      changeMembers: async change => void (asked = change(descriptor)),
    } as AddressBookHost,
    { address: 'a.example.org:1', name: undefined },
  )
  const verification = new Verification(
    { channel: { note: () => true } } as unknown as ChannelHost,
    snapshotPaths(folder),
  )
  const body = hostileJson([
    { address: '6.6.6.6:1', name: 'x' },
    { id: 5, deep: true, bytes: 3 },
    { id: 5, index: 1, digest: '', content: '', files: 1, bytes: 1, entries: 1, problems: ['a'] },
  ])
  const topics = fc.constantFrom('address', 'verify', 'verify-ready', 'verify-progress', 'verify-result', '')
  fc.assert(
    fc.property(topics, body, (topic, text) => {
      verification.note(other, topic, text)
      book.note(other, topic, text)
      if (asked !== undefined && asked.members[0]!.address !== 'a.example.org:1') throw new Error('another was moved')
    }),
    { seed, numRuns: runs(600), endOnFailure: true },
  )
  t.pass('none of them throws')
})
