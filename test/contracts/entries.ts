/** Entries, blobs and places for the tests of the stores. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeHasher as hasher } from '../../src/adapters/host/hasher.js'
import { chunkBytes } from '../../src/base/limits.js'
import type { CleanBounds, LogOwner, LogRecord, LogStore } from '../../src/channel/log-port.js'
import type { RestoringChannel } from '../../src/daemon/snapshot-transfer.js'
import { encodeEntry, hashOfEncoded, zeroHash } from '../../src/oplog/codec.js'

export { hasher }
export const owner: LogOwner = { channelId: 'channel-a', member: '0123456789abcdef' }
/** Only what is mostly dead is cleaned, wherever that finds room. */
export const unbounded: CleanBounds = { deadMax: Infinity, room: Infinity, reserve: 0 }
export const quiet = { info() {}, warn() {}, error() {} }

/** Bytes that depend on the seed alone. */
export function bytesOf(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let x = (seed * 2654435761 + 1) >>> 0
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    bytes[i] = x >>> 24
  }
  return bytes
}

/** Entry `index`, whose contents follow from index, term and length; long payloads are cut at an odd place. */
export function makeRecord(index: number, term: number, previous: Uint8Array, payloadBytes: number): LogRecord {
  const payload = bytesOf(index * 31 + term, payloadBytes)
  const header = encodeEntry(
    {
      kind: 'change',
      origin: owner.member,
      session: 1,
      sequence: index,
      time: BigInt(index) * 1_000_000n,
      operation: bytesOf(index + term, 40),
      payload,
      payloadHash: payloadBytes === 0 ? zeroHash : hasher.sha256(payload),
      signature: new Uint8Array(0),
    },
    index,
    term,
    previous,
    hasher,
  )
  const cuts: number[] = []
  for (let left = payloadBytes, at = 0; left > 0;) {
    const cut = Math.min(left, at === 0 && payloadBytes > 1000 ? 777 : chunkBytes)
    cuts.push(cut)
    left -= cut
    at += cut
  }
  return { index, term, header, payload, cuts }
}

export function hashAt(store: LogStore, index: number): Uint8Array {
  return index === store.anchor.index ? store.anchor.hash : hashOfEncoded(store.header(index)!)
}

/** `count` more entries after the last one of the store. */
export function moreRecords(
  store: LogStore,
  count: number,
  term: number,
  payloadBytes: (index: number) => number,
): LogRecord[] {
  const records: LogRecord[] = []
  let previous = hashAt(store, store.lastIndex)
  for (let index = store.lastIndex + 1; records.length < count; index++) {
    const record = makeRecord(index, term, previous, payloadBytes(index))
    previous = hashOfEncoded(record.header)
    records.push(record)
  }
  return records
}

export function tempFolder(): string {
  return mkdtempSync(join(tmpdir(), 'rkfs-sqlite-'))
}

export function syncOf(store: LogStore): Promise<number> {
  return new Promise((resolve, reject) => store.sync(resolve, reject))
}

/** A channel without a core: what a snapshot contradicts is cut from the log itself. */
export function cutting(log: LogStore, commitIndex: number): RestoringChannel {
  return { commitIndex, term: 1000, contradicted: index => log.truncateFrom(index), checkMembers: () => {} }
}
