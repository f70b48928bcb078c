import { ByteReader, ByteWriter, malformed } from '../base/bytes.js'
import type { Hasher } from '../base/hash.js'
import { payloadCuts } from '../fs/extents.js'
import type { JournalRecord, LogStore } from './log-port.js'
import { openEntry, type StoredEntry } from './stored-entry.js'

/** A write to the log that is decided but perhaps not in the database yet. */
export type StagedWrite =
  | { readonly kind: 'append'; readonly entry: StoredEntry }
  | { readonly kind: 'truncate'; readonly index: number }
  | { readonly kind: 'journal'; readonly record: JournalRecord }
  | { readonly kind: 'unjournal'; readonly session: number; readonly sequence: number }

const kinds = ['append', 'truncate', 'journal', 'unjournal'] as const

/** Does it, in the store's open transaction. */
export function performStaged(store: LogStore, write: StagedWrite): void {
  switch (write.kind) {
    case 'append': {
      const { entry, operation, header, payload } = write.entry
      store.append([{ index: entry.index, term: entry.term, header, payload, cuts: payloadCuts(operation) }])
      break
    }
    case 'truncate':
      store.truncateFrom(write.index)
      break
    case 'journal':
      store.journalPut(write.record)
      break
    case 'unjournal':
      store.journalRemoveOne(write.session, write.sequence)
      break
  }
}

/** About as many bytes as `encodeStaged` makes. */
export function stagedBytes(write: StagedWrite): number {
  switch (write.kind) {
    case 'append':
      return write.entry.header.length + write.entry.payload.length + 16
    case 'journal':
      return write.record.proposal.length + write.record.payload.length + 32
    default:
      return 32
  }
}

/** A byte of kind, then the fields; for the log's tail. */
export function encodeStaged(write: StagedWrite): Uint8Array {
  const writer = new ByteWriter(stagedBytes(write)).u8(kinds.indexOf(write.kind))
  switch (write.kind) {
    case 'append':
      return writer.bytes(write.entry.header).bytes(write.entry.payload).done()
    case 'truncate':
      return writer.u64(write.index).done()
    case 'journal': {
      const { session, sequence, proposal, payload } = write.record
      return writer.u64(session).u64(sequence).bytes(proposal).bytes(payload).done()
    }
    case 'unjournal':
      return writer.u64(write.session).u64(write.sequence).done()
  }
}

/** Throws `corrupt` for what `encodeStaged` did not make. */
export function decodeStaged(bytes: Uint8Array, hasher: Hasher): StagedWrite {
  const reader = new ByteReader(bytes, "record of the log's tail")
  const write = decodeFields(reader, hasher)
  reader.end()
  return write
}

function decodeFields(reader: ByteReader, hasher: Hasher): StagedWrite {
  const kind = kinds[reader.u8()]
  switch (kind) {
    case 'append': {
      const header = reader.bytes()
      return { kind, entry: openEntry({ header, payload: reader.bytes() }, hasher, true) }
    }
    case 'truncate':
      return { kind, index: reader.u64() }
    case 'journal': {
      const session = reader.u64()
      const sequence = reader.u64()
      const proposal = reader.bytes()
      return { kind, record: { session, sequence, proposal, payload: reader.bytes() } }
    }
    case 'unjournal':
      return { kind, session: reader.u64(), sequence: reader.u64() }
    case undefined:
      throw malformed("record of the log's tail: unknown kind")
  }
}
