/** Every decoder of src with real samples of what it reads, and what must hold for all that it lets pass. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { InvalidArgumentError } from 'commander'
import {
  decodeBatchForget,
  decodeCopyFileRange,
  decodeForget,
  decodeInit,
  decodeLock,
  decodeSetattr,
  Request,
} from '../../../src/adapters/fuse/decode.js'
import { answerIoctl } from '../../../src/adapters/fuse/ioctl.js'
import { parseMountinfo, unescapeOctal } from '../../../src/adapters/fuse/mountinfo.js'
import { createAuthority, createSigningRequest, issueCertificate } from '../../../src/adapters/pki/authority.js'
import { decodeToken, encodeToken } from '../../../src/adapters/pki/token.js'
import {
  commonName,
  readCertificate,
  validityProblem,
  verifyMemberCertificate,
} from '../../../src/adapters/pki/verify.js'
import { addressReach, formatAddress, parseAddress } from '../../../src/adapters/rpc/address.js'
import { decodeFrame, encodeFrame } from '../../../src/adapters/rpc/frame-codec.js'
import {
  decodeAnchor,
  decodeCuts,
  decodeHardState,
  decodeOwner,
  decodePosition as decodeStreamPosition,
  encodeAnchor,
  encodeHardState,
  encodeOwner,
  encodePosition as encodeStreamPosition,
  headerMatches,
  sealSetting,
  unsealSetting,
} from '../../../src/adapters/sqlite/log-format.js'
import { LogMark, readWalHeader } from '../../../src/adapters/sqlite/log-mark.js'
import { packRecords, unpackRecords } from '../../../src/adapters/sqlite/snapshot-protocol.js'
import { decodePosition, encodePosition, seal, unseal } from '../../../src/adapters/sqlite/state-format.js'
import { appendOf, decodeRecordAt, encodeMeta, journalOf } from '../../../src/adapters/sqlite/stream-records.js'
import { fromHex, toHex } from '../../../src/base/bytes.js'
import { parseDuration, parseWholeNumber } from '../../../src/cli/arguments.js'
import { decodeDescriptor, encodeDescriptor, parseDescriptor } from '../../../src/channel/descriptor.js'
import { checkArguments, isControlVerb } from '../../../src/daemon/control-arguments.js'
import { LineReader } from '../../../src/daemon/control-lines.js'
import { loadConfig, parseAddress as parseListenAddress } from '../../../src/daemon/config.js'
import { readDescriptor } from '../../../src/daemon/channels-on-disk.js'
import { formatMountOptions, parseMountOptions } from '../../../src/daemon/mount-options.js'
import { parsePercent, parseSize } from '../../../src/daemon/size.js'
import { decodeAcl, encodeAcl } from '../../../src/fs/acl.js'
import { decodeOperation, encodeOperation } from '../../../src/fs/operation-codec.js'
import { decodeRecord, encodeRecord, rootDirectory } from '../../../src/fs/records.js'
import { decodeReserved, encodeReserved } from '../../../src/fs/reserved.js'
import { tables } from '../../../src/fs/store-port.js'
import { parseMemory } from '../../../src/channel/pledges.js'
import { decodeEntry, encodeEntry, zeroHash } from '../../../src/oplog/codec.js'
import { decodeProposal, encodeProposal } from '../../../src/oplog/proposal-codec.js'
import { frameSamples } from '../../adapters/rpc/frame-samples.js'
import { makeKey } from '../../adapters/rpc/cluster.js'
import { bytesOf, hasher, makeRecord } from '../../contracts/entries.js'
import { anyOperation } from '../../fs/support/arbitrary.js'
import { anyProposal } from '../../oplog/support/arbitrary.js'
import { hostileBytes, hostileJson, hostileText } from './hostile.js'
import { seed } from './options.js'
import type { Attempt } from './survival.js'

export interface Decoder {
  /** The names in src that it reaches. */
  readonly names: readonly string[]
  /** How its inputs compare with those of the others in cost. */
  readonly share?: number
  readonly attempt: Attempt<never>
}

function decoder<I>(names: readonly string[], attempt: Attempt<I>, more: Partial<Decoder> = {}): Decoder {
  return { names, attempt: attempt as unknown as Attempt<never>, ...more }
}

/** Of bytes; `again` encodes what was read, which must give the same bytes. */
function ofBytes(
  names: readonly string[],
  samples: readonly Uint8Array[],
  read: (bytes: Uint8Array) => unknown,
  more: Partial<Decoder> & { input?: fc.Arbitrary<Uint8Array> } = {},
): Decoder {
  return decoder(names, { input: more.input ?? hostileBytes(samples), lengthOf: b => b.length, read }, more)
}

function ofText(
  names: readonly string[],
  input: fc.Arbitrary<string>,
  read: (text: string) => unknown,
  more: Partial<Decoder> & Pick<Attempt<string>, 'refuses'> = {},
): Decoder {
  return decoder(names, { input, lengthOf: text => text.length, read, ...more }, more)
}

/** What was read must be written as it was: two encodings of one value would be two hashes of it. */
function same(given: Uint8Array, again: Uint8Array): void {
  if (!Buffer.from(given).equals(again))
    throw new Error(`${toHex(given.subarray(0, 200))} was read, and written as ${toHex(again.subarray(0, 200))}`)
}

const sampled = <T>(values: fc.Arbitrary<T>, count: number): T[] => fc.sample(values, { seed, numRuns: count })

const operations = sampled(anyOperation, 60).map(encodeOperation)
const proposals = sampled(anyProposal, 20)
const encodedEntries = proposals.map((proposal, i) => encodeEntry(proposal, i + 1, 3, bytesOf(i, 32), hasher))

/** The CRC and the hash made right again, so that the damage gets as far as the fields. */
function resealedEntry(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 40) return bytes
  const copy = bytes.slice()
  copy.set(hasher.sha256(copy.subarray(4, copy.length - 32)), copy.length - 32)
  new DataView(copy.buffer).setUint32(0, crc32(copy.subarray(4)), true)
  return copy
}

const inode = encodeRecord('inode', { ...rootDirectory(), target: 'x'.repeat(20) })
const chunk = encodeRecord('chunk', [
  { start: 0, length: 10, blob: 8, offset: 0 },
  { start: 10, length: 5, blob: 2 ** 53 - 1, offset: 7 },
])
const session = encodeRecord('session', { session: 1, sequence: 2 })
const entry = encodeRecord('entry', { ino: 5, type: 0o100000 })

const member = {
  id: 'a'.repeat(16),
  name: 'alpha',
  address: 'alpha.example.org:7400',
  role: 'voter',
  state: 'learner',
  slot: 1,
  certificate: 'AAAA',
} as const
const descriptor = {
  name: 'demo',
  id: '00112233445566aa',
  owner: 'a'.repeat(16),
  version: 7,
  nextSlot: 2,
  members: [member, { ...member, id: 'b'.repeat(16) }],
}

const authority = await createAuthority('demo')
const key = await makeKey()
const request = await createSigningRequest(key.key, 'alpha')
const certificatePem = await issueCertificate(authority, request, key.memberId, 'alpha')
const certificate = readCertificate(certificatePem, 'sample').raw
const ca = readCertificate(authority.caPem, 'sample')
const now = Date.now()

function judgeCertificate(bytes: Uint8Array | string): void {
  const found = readCertificate(bytes, 'what was given')
  commonName(found)
  validityProblem(found, now)
  // whatever was changed, the signature shows it
  const { memberId } = verifyMemberCertificate(found, ca, authority.channelId, now)
  if (memberId !== key.memberId) throw new Error('a forged certificate was believed')
}

const token = encodeToken({
  channel: 'demo',
  channelId: '00112233445566aa',
  owner: 'aa66554433221100',
  addresses: ['127.0.0.1:7400', '[::1]:1'],
  caFingerprint: bytesOf(1, 32),
  secret: bytesOf(2, 16),
  expires: 4e9,
})

/** A token whose checksum is right, whatever its fields say. */
function resealedToken(body: Uint8Array): string {
  const sum = hasher.sha256(Buffer.from('rkfs2-'), body).subarray(0, 8)
  return `rkfs2-${Buffer.concat([body, sum]).toString('base64url')}`
}
const tokenBody = Buffer.from(token.slice(6), 'base64url').subarray(0, -8)

const place = { segment: 1, offset: 0, follows: 0 }
const record = makeRecord(7, 2, zeroHash, 300)
const streamWrites = [
  { write: appendOf(record, hasher), payload: record.payload },
  { write: { kind: 'truncate' as const, index: 4 }, payload: new Uint8Array(0) },
  {
    write: journalOf({ session: 1, sequence: 2, part: 0, proposal: bytesOf(1, 50), payload: bytesOf(2, 70) }, hasher),
    payload: bytesOf(2, 70),
  },
  { write: { kind: 'unjournal' as const, session: 1, sequence: 2 }, payload: new Uint8Array(0) },
]
const streamRecords = streamWrites.map(({ write, payload }) =>
  Uint8Array.from(Buffer.concat([encodeMeta(write, place, hasher), payload])),
)
function resealedRecord(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice()
  if (copy.length < 9) return copy
  const view = new DataView(copy.buffer)
  const length = Math.min(view.getUint32(0, true), copy.length - 8)
  view.setUint32(0, length, true)
  const begun = Buffer.alloc(16)
  begun.writeUInt32LE(place.segment, 0)
  view.setUint32(4, crc32(copy.subarray(8, 8 + length), crc32(begun)), true)
  return copy
}

const position = {
  index: 5,
  term: 2,
  hash: bytesOf(1, 32),
  digest: bytesOf(2, 32),
  inodes: 3,
  dataBytes: 4,
}
const anchor = { index: 5, term: 2, hash: bytesOf(1, 32) }
const packed = packRecords([
  { table: 'inode', ino: 1, key: '', value: inode },
  { table: 'entry', ino: 1, key: 'name\xff', value: entry },
  { table: 'chunk', ino: 2 ** 41, key: '000000000001', value: chunk },
])

const folder = mkdtempSync(join(tmpdir(), 'rkfs-fuzz.'))
export const temporary = folder
const markPath = join(folder, 'log.mark')
LogMark.create(markPath, hasher).close()
const toml = [
  'name = "alpha"\nlisten = "127.0.0.1:7400"\ntimeout_seconds = 30\nlog_level = "info"\n',
  '# comment\ncert_days = 0x10\nadvertise = ""\n[section]\na.b = [1, 2, { c = 1979-05-27T07:32:00Z }]\n',
]

function fuseRequest(opcode: number, body: Uint8Array, extension: Uint8Array = new Uint8Array(0)): Uint8Array {
  const header = Buffer.alloc(40)
  header.writeUInt32LE(40 + body.length + extension.length, 0)
  header.writeUInt32LE(opcode, 4)
  header.writeUInt32LE(9, 8)
  header.writeUInt32LE(1, 16)
  header.writeUInt16LE(extension.length / 8, 36)
  return Uint8Array.from(Buffer.concat([header, body, extension]))
}
const groups = Buffer.from(new Uint32Array([16, 32, 1, 77]).buffer)
const fuseSamples = [
  fuseRequest(26, bytesOf(1, 64)),
  fuseRequest(4, bytesOf(2, 88), groups),
  fuseRequest(42, Buffer.from(new Uint32Array([2, 0, 5, 0, 1, 0, 6, 0, 1, 0]).buffer)),
  fuseRequest(31, Buffer.concat([new Uint8Array(32), Buffer.from(new Uint32Array([1, 5, 0, 0]).buffer)])),
  fuseRequest(47, bytesOf(3, 56)),
  fuseRequest(1, Buffer.from('name\0other\0'), groups),
  fuseRequest(39, bytesOf(4, 32)),
]

/** All that any operation takes from a request, whatever the operation is. */
function readRequest(bytes: Uint8Array): void {
  const given = new Request(Uint8Array.from(bytes).buffer)
  const readers: (() => unknown)[] = [
    () => decodeInit(given),
    () => decodeForget(given),
    () => decodeBatchForget(given),
    () => decodeSetattr(given),
    () => decodeLock(given),
    () => decodeCopyFileRange(given),
    () => answerIoctl(given),
    () => given.name(0),
    () => given.name(16),
    () => given.data(40, given.u32(16)),
  ]
  const failures: unknown[] = []
  for (const read of readers) {
    try {
      read()
    } catch (error) {
      failures.push(error)
    }
  }
  const wrong = failures.find(error => !(error instanceof Error) || error.name !== 'RkfsError')
  if (wrong !== undefined) throw wrong
}

const requests = [
  { verb: 'mount', args: { channel: 'demo', directory: '/mnt', options: ['ro', 'timeout=5'], create: false } },
  { verb: 'sync', args: { channel: 'demo', all: true, timeout: 3 } },
  { verb: 'log', args: { channel: 'demo', follow: false, from: 3, limit: 9 } },
  { verb: 'status', args: {} },
]

const memory = {
  version: 1,
  committed: { index: 7, term: 2 },
  members: {
    '0011223344556677': {
      incarnation: { start: 3, mark: '0123456789abcdef' },
      slot: 2,
      pledge: { term: 2, heldTerm: 2, index: 7, indexTerm: 2 },
    },
  },
}

export const decoders: readonly Decoder[] = [
  ofBytes(['decodeOperation'], operations, bytes => same(bytes, encodeOperation(decodeOperation(bytes)))),
  ofBytes(
    ['decodeEntry'],
    encodedEntries,
    bytes => {
      const read = decodeEntry(bytes, hasher)
      const payload = new Uint8Array(read.payloadLength)
      same(bytes, encodeEntry({ ...read, payload }, read.index, read.term, read.previousHash, hasher))
    },
    {
      input: fc.oneof(hostileBytes(encodedEntries), hostileBytes(encodedEntries).map(resealedEntry)),
    },
  ),
  ofBytes(['decodeProposal'], proposals.map(encodeProposal), bytes =>
    same(bytes, encodeProposal(decodeProposal(bytes, new Uint8Array(0)))),
  ),
  ...(['inode', 'entry', 'chunk', 'session'] as const).map(table =>
    ofBytes(['decodeRecord'], [{ inode, entry, chunk, session }[table]], bytes =>
      same(bytes, encodeRecord(table, decodeRecord(table, bytes))),
    ),
  ),
  ofBytes(['decodeAcl'], [encodeAcl([]), bytesOf(1, 28), Uint8Array.from([2, 0, 0, 0, 1, 0, 7, 0, 0, 0, 0, 0])], b => {
    const read = decodeAcl(b)
    if (read !== undefined) same(b, encodeAcl(read))
  }),
  ofText(
    ['decodeReserved'],
    hostileBytes([Buffer.from(encodeReserved([{ from: 1, to: 2 ** 40 }]), 'latin1')]).map(b =>
      Buffer.from(b).toString('latin1'),
    ),
    text => same(Buffer.from(text, 'latin1'), Buffer.from(encodeReserved(decodeReserved(text)), 'latin1')),
  ),
  ofText(['decodeDescriptor', 'parseDescriptor'], hostileJson([descriptor]), text => {
    const read = decodeDescriptor(Buffer.from(text))
    const heard = parseDescriptor(text)
    const again = decodeDescriptor(encodeDescriptor(read))
    if ([again, heard].some(other => JSON.stringify(other) !== JSON.stringify(read)))
      throw new Error('it is read in two ways')
    for (const value of [read.name, read.id, read.owner, ...read.members.flatMap(m => [m.id, m.name, m.address])]) {
      if (typeof value !== 'string') throw new Error(`${JSON.stringify(value)} passes for a text`)
    }
  }),
  ofText(['parseMemory'], hostileJson([memory]), text => {
    for (const { incarnation, slot, pledge } of parseMemory(text).members.values()) {
      const numbers = [incarnation.start, slot, ...Object.values(pledge)]
      if (!numbers.every(each => Number.isSafeInteger(each))) throw new Error('what is no number passes for one')
    }
  }),
  ofBytes(['decodeDescriptor'], [encodeDescriptor(descriptor)], bytes => decodeDescriptor(bytes)),
  ofText(
    ['readDescriptor'],
    hostileJson([descriptor]),
    text => {
      writeFileSync(join(folder, 'descriptor.json'), text)
      readDescriptor(folder)
    },
    { share: 0.1 },
  ),
  ofBytes(
    [
      'decodeFrame',
      'decodeSpace',
      'decodeRaft',
      'decodeLocks',
      'decodeProposal',
      'decodeGreeting',
      'decodeIncarnation',
      'decodeRun',
    ],
    [...frameSamples.map(sample => encodeFrame([sample])), encodeFrame(frameSamples)],
    bytes => {
      const read = decodeFrame(bytes)
      const again = encodeFrame(read)
      same(again, encodeFrame(decodeFrame(again)))
    },
    { share: 3 },
  ),
  ofBytes(['readCertificate', 'verifyMemberCertificate'], [certificate], judgeCertificate, { share: 0.5 }),
  ofText(['readCertificate'], hostileText([certificatePem, authority.caPem]), judgeCertificate, { share: 0.3 }),
  ofText(['decodeToken'], hostileText([token]), text => decodeToken(text, 1)),
  ofText(['decodeToken'], hostileBytes([tokenBody]).map(resealedToken), text => {
    if (encodeToken(decodeToken(text, 1)) !== text) throw new Error('it is written in another way')
  }),
  ofBytes(['decodeAnchor'], [encodeAnchor(anchor)], bytes => same(bytes, encodeAnchor(decodeAnchor(bytes)))),
  ofBytes(['decodeHardState'], [encodeHardState({ term: 5, vote: 'a'.repeat(16) })], bytes =>
    same(bytes, encodeHardState(decodeHardState(bytes))),
  ),
  ofText(['decodeOwner'], hostileJson([['demo', 'a'.repeat(16)]]), text => {
    const read = decodeOwner(Buffer.from(text))
    decodeOwner(encodeOwner(read))
  }),
  ofBytes(['decodePosition'], [encodeStreamPosition(place)], bytes =>
    same(bytes, encodeStreamPosition(decodeStreamPosition(bytes))),
  ),
  ofBytes(['decodePosition'], [encodePosition(position)], bytes => same(bytes, encodePosition(decodePosition(bytes)))),
  ofBytes(['decodeCuts'], [bytesOf(1, 12)], bytes => decodeCuts(1, 2, 3, bytes, hasher)),
  ofBytes(['headerMatches'], encodedEntries, bytes => headerMatches(bytes, 1, 3, 0, hasher)),
  ofBytes(['unsealSetting'], [sealSetting('owner', bytesOf(1, 20), hasher)], bytes => {
    const value = unsealSetting('owner', bytes, hasher)
    if (value !== undefined) same(bytes, sealSetting('owner', value, hasher))
  }),
  ofBytes(['unseal'], [seal('inode', 1, '', inode, hasher)], bytes => {
    const value = unseal('inode', 1, '', Buffer.from(bytes), hasher)
    if (value !== undefined) same(bytes, seal('inode', 1, '', value, hasher))
  }),
  ofBytes(
    ['decodeRecordAt'],
    streamRecords,
    bytes => {
      const found = decodeRecordAt(bytes, place, hasher)
      if (found !== undefined && found.end > bytes.length) throw new Error('it ends behind the input')
    },
    { input: fc.oneof(hostileBytes(streamRecords), hostileBytes(streamRecords).map(resealedRecord)) },
  ),
  ofBytes(
    ['LogMark'],
    [readFileSync(markPath)],
    bytes => {
      writeFileSync(markPath, bytes)
      LogMark.read(markPath, { path: markPath, remedy: '' }, hasher)
      LogMark.open(markPath, { path: markPath, remedy: '' }, hasher).close()
    },
    { share: 0.1 },
  ),
  ofBytes(
    ['readWalHeader'],
    [bytesOf(1, 32)],
    bytes => {
      writeFileSync(join(folder, 'x-wal'), bytes)
      readWalHeader(join(folder, 'x'))
    },
    { share: 0.1 },
  ),
  ofBytes(['unpackRecords'], [packed], bytes => {
    for (const each of unpackRecords(bytes)) {
      if (!tables.includes(each.table)) throw new Error('a record of no table')
      if (each.table === 'chunk' && !/^[0-9a-f]{12}$/.test(each.key)) throw new Error('a chunk without a number')
    }
  }),
  ofText(['fromHex'], hostileText(['00ff']), text => {
    if (toHex(fromHex(text)) !== text.toLowerCase()) throw new Error('it is written in another way')
  }),
  ofText(
    ['parseAddress', 'addressReach'],
    hostileText(['127.0.0.1:7400', '[fe80::1%eth0]:1', 'a.example.org:1']),
    t => {
      const { host, port } = parseAddress(t)
      if (!Number.isInteger(port) || host === '') throw new Error('no address')
      addressReach(t)
      formatAddress(host, port)
    },
  ),
  ofText(['parseAddress'], hostileText(['127.0.0.1:7400', '[::1]:1']), text => parseListenAddress(text)),
  ofText(
    ['loadConfig'],
    hostileText(toml),
    text => {
      writeFileSync(join(folder, 'config.toml'), text)
      const { config } = loadConfig(folder, {})
      if (!Number.isInteger(config.timeoutSeconds) || parseListenAddress(config.listen) === undefined)
        throw new Error(`${JSON.stringify(config)} is in force`)
    },
    { share: 0.3 },
  ),
  ofText(['parseMountOptions'], hostileText(['ro,sync=close,timeout=30,read=latest', 'locks=channel,rw']), text => {
    const choices = parseMountOptions([text])
    const words = formatMountOptions(choices)
    if (formatMountOptions(parseMountOptions([words, `driver=${choices.driver}`])) !== words)
      throw new Error(`${words} is read in another way`)
  }),
  ofText(['parseMountinfo'], hostileText(['36 35 98:0 /r /mnt\\040x rw shared:1 - fuse.rkfs rkfs:demo rw\n']), text => {
    for (const { source } of parseMountinfo(text)) unescapeOctal(source)
  }),
  ofText(
    ['parseDuration', 'parseWholeNumber'],
    hostileText(['90s', '7d', '15']),
    text => {
      for (const value of [parseDuration(text), parseWholeNumber(text)]) {
        if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${value} was read`)
      }
    },
    { refuses: error => error instanceof InvalidArgumentError },
  ),
  ofText(['parseSize', 'parsePercent'], hostileText(['64MiB', '1.5 GiB', '2%', '100']), text => {
    const bytes = parseSize(text) ?? 0
    const part = parsePercent(text) ?? 0
    if (!Number.isSafeInteger(bytes) || bytes < 0 || !(part >= 0 && part <= 1)) throw new Error(`${bytes}, ${part}`)
  }),
  ofText(['LineReader', 'checkArguments'], hostileJson(requests), text => {
    const lines = new LineReader(50_000).push(Buffer.from(`${text}\n`))
    if (lines === 'too-long') return
    for (const line of lines.slice(0, 1)) {
      let given: { verb?: unknown; args?: unknown } | null
      try {
        given = JSON.parse(line) as typeof given
      } catch {
        continue
      }
      if (isControlVerb(given?.verb)) checkArguments(given.verb, given.args)
    }
  }),
  ofBytes(
    ['decodeInit', 'decodeForget', 'decodeBatchForget', 'decodeSetattr', 'decodeLock', 'decodeCopyFileRange'],
    fuseSamples,
    readRequest,
    { share: 2 },
  ),
]
