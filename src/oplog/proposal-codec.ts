import { ByteReader, ByteWriter, fromHex, malformed, toHex } from '../base/bytes.js'
import type { EntryKind, Proposal } from './entry.js'

const version = 1
const kinds: readonly EntryKind[] = ['noop', 'change', 'members']

/** A proposal without its payload, for the journal: version, kind, origin, session, sequence, time, hash, operation, signature. */
export function encodeProposal(proposal: Proposal): Uint8Array {
  return new ByteWriter(96 + proposal.operation.length + proposal.signature.length)
    .u8(version)
    .u8(kinds.indexOf(proposal.kind))
    .raw(fromHex(proposal.origin))
    .u64(proposal.session)
    .u64(proposal.sequence)
    .i64(proposal.time)
    .raw(proposal.payloadHash)
    .bytes(proposal.operation)
    .bytes(proposal.signature)
    .done()
}

/** Throws `corrupt` for what `encodeProposal` did not make. */
export function decodeProposal(bytes: Uint8Array, payload: Uint8Array): Proposal {
  const reader = new ByteReader(bytes, 'journalled change')
  if (reader.u8() !== version) throw malformed('journalled change: unknown version')
  const kind = kinds[reader.u8()]
  if (kind === undefined) throw malformed('journalled change: unknown kind')
  const proposal = {
    kind,
    origin: toHex(reader.raw(8)),
    session: reader.u64(),
    sequence: reader.u64(),
    time: reader.i64(),
    payloadHash: reader.raw(32),
    operation: reader.bytes(),
    signature: reader.bytes(),
    payload,
  }
  reader.end()
  return proposal
}
