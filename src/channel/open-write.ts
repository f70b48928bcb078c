import { ByteReader, ByteWriter } from '../base/bytes.js'
import type { Hasher } from '../base/hash.js'
import { chunkBytes, KiB } from '../base/limits.js'
import { cutOf, payloadCuts } from '../fs/extents.js'
import { decodeOperation, encodeOperation } from '../fs/operation-codec.js'
import type { AppendOperation, Operation, WriteOperation } from '../fs/operation.js'
import type { Proposal } from '../oplog/entry.js'
import { decodeProposal } from '../oplog/proposal-codec.js'
import type { JournalRecord } from './log-port.js'
import type { PendingChange } from './pending-changes.js'

/** A larger write does not gain by being sent with others. */
const pieceBytesMax = 32 * KiB

/** Whether an operation may begin, or go on with, an open write. */
export function isSmallWrite(operation: Operation): operation is WriteOperation | AppendOperation {
  return (operation.kind === 'write' || operation.kind === 'append') && operation.length <= pieceBytesMax
}

/**
 * A small write that nobody waits for, while it is not sent yet: small writes that go on where it ends become part of
 * it. So a log written line by line makes one entry a batch, one blob and one extent, instead of one a line. Each part is
 * in the journal before its caller has the answer.
 *
 * INVARIANT: it grows only where all of it is, and stays, one blob (part 0 of `payloadCuts`); one that begins across a
 * chunk's end has two blobs, and goes as it is.
 */
export class OpenWrite {
  readonly change: PendingChange
  /** Where the file goes on. */
  end: number
  /** The place in the log that it will take; undefined where this member does not lead. */
  readonly place: number | undefined
  readonly #cuts: readonly number[]
  readonly #room: number
  #buffer: Uint8Array
  #length: number
  #parts = 1
  #time: bigint

  /** `start`: its offset in the file, at its place in the log or as it was shown. */
  constructor(change: PendingChange, start: number, place: number | undefined) {
    const { payload, time } = change.proposal
    this.change = change
    this.place = place
    this.#cuts = payloadCuts(change.operation)
    this.#room = change.operation.kind === 'append' ? chunkBytes : chunkBytes - (start % chunkBytes)
    this.#buffer = payload
    this.#length = payload.length
    this.#time = time
    this.end = start + payload.length
  }

  get payload(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  /** The part of it that is the blob number `part`; undefined when there is none. */
  blob(part: number): Uint8Array | undefined {
    if (this.#cuts.length > 1) return cutOf(this.#cuts, this.#buffer, part)
    return part === 0 ? this.payload : undefined
  }

  /** Whether an operation goes on where this one ends, as far as can be told without the file's size. */
  continues(operation: WriteOperation | AppendOperation, mount: number | undefined): boolean {
    const mine = this.change.operation
    if (operation.kind !== mine.kind || operation.ino !== (mine as AppendOperation).ino) return false
    if (operation.killPrivileges !== (mine as AppendOperation).killPrivileges || mount !== this.change.mount)
      return false
    if (operation.kind === 'write' && operation.offset !== this.end) return false
    return this.#cuts.length === 1 && this.#length + operation.length <= this.#room
  }

  /** Takes a part in. Answers the journal's record of it. */
  take(payload: Uint8Array, time: bigint): JournalRecord {
    const length = this.#length + payload.length
    // the first buffer is the caller's
    if (this.#parts === 1 || length > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(this.#room, Math.max(4 * KiB, length * 2)))
      grown.set(this.payload)
      this.#buffer = grown
    }
    this.#buffer.set(payload, this.#length)
    this.#length = length
    this.#time = time
    this.end += payload.length
    const { session, sequence } = this.change.proposal
    const proposal = new ByteWriter(8).i64(time).done()
    return { session, sequence, part: this.#parts++, proposal, payload }
  }

  /** The whole as one proposal. */
  proposal(hasher: Hasher): { proposal: Proposal; operation: Operation } {
    return whole(this.change.proposal, this.change.operation, this.payload, this.#time, hasher)
  }
}

function whole(
  first: Proposal,
  operation: Operation,
  payload: Uint8Array,
  time: bigint,
  hasher: Hasher,
): { proposal: Proposal; operation: Operation } {
  if (payload.length === first.payload.length) return { proposal: first, operation }
  const grown = { ...operation, length: payload.length } as Operation
  const proposal = { ...first, time, operation: encodeOperation(grown), payload, payloadHash: hasher.sha256(payload) }
  return { proposal, operation: grown }
}

/** A change from its records in the journal, in the order of their parts. Throws `corrupt`. */
export function changeOfJournal(
  records: readonly JournalRecord[],
  hasher: Hasher,
): { proposal: Proposal; operation: Operation } {
  const [{ proposal, payload }, ...others] = records as [JournalRecord, ...JournalRecord[]]
  const first = decodeProposal(proposal, payload)
  let { time } = first
  for (const other of others) time = new ByteReader(other.proposal, 'part of a journalled change').i64()
  const all = others.length === 0 ? payload : joined(records.map(record => record.payload))
  return whole(first, decodeOperation(first.operation), all, time, hasher)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
