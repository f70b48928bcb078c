import { RkfsError } from '../base/errors.js'
import type { Hasher } from '../base/hash.js'
import { payloadLength } from '../fs/extents.js'
import { decodeOperation } from '../fs/operation-codec.js'
import type { Operation } from '../fs/operation.js'
import { decodeEntry, payloadMatches } from '../oplog/codec.js'
import type { EncodedEntry, EntryHeader } from '../oplog/entry.js'

/** An entry with what its bytes mean, but for its payload. */
export interface DescribedEntry {
  readonly header: Uint8Array
  readonly entry: EntryHeader
  readonly operation: Operation
}

/** An entry with what its bytes mean. */
export interface StoredEntry extends EncodedEntry, DescribedEntry {}

/** Decodes the header of an entry that came from the disk. */
export function describeEntry(header: Uint8Array, hasher: Hasher): DescribedEntry {
  const entry = decodeEntry(header, hasher)
  return { header, entry, operation: decodeOperation(entry.operation) }
}

/** Decodes an entry that came from a peer or the disk and checks all that can be checked without its predecessor. */
export function openEntry(encoded: EncodedEntry, hasher: Hasher, checkPayload: boolean): StoredEntry {
  const entry = decodeEntry(encoded.header, hasher)
  if (checkPayload && !payloadMatches(entry, encoded.payload, hasher)) {
    throw new RkfsError('corrupt', `the payload of entry ${entry.index} does not match its hash`)
  }
  const operation = decodeOperation(entry.operation)
  if (payloadLength(operation) !== entry.payloadLength) {
    throw new RkfsError('corrupt', `entry ${entry.index} has a payload of another length than its operation`)
  }
  return { header: encoded.header, payload: encoded.payload, entry, operation }
}
