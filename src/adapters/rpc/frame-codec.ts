import { create, fromBinary, toBinary } from '@bufbuild/protobuf'

import { assert, unreachable } from '../../base/assert.js'
import { fromHex, malformed, toHex } from '../../base/bytes.js'
import { RkfsError, messageOf } from '../../base/errors.js'
import {
  chunkBytes,
  messageBytesMax,
  operationBytesMax,
  payloadBytesMax,
  pendingOperationsMax,
} from '../../base/limits.js'
import { laneCount, type Lane } from '../../channel/lanes.js'
import type { PeerMessage } from '../../channel/transport-port.js'
import { EntryKind, FrameSchema, type Frame, type Message } from '../../gen/rkfs/v1/peer_pb.js'
import type { EntryKind as Kind, Proposal } from '../../oplog/entry.js'
import { bulkBuffer, PairReader, pairsBytes, writePairs, type Pair } from './bulk.js'
import { kindOf, numberOf, u64, type Kind as MessageKind } from './fields.js'
import { decodeSpace, encodeSpace } from './space-codec.js'
import { decodeGreeting, decodeRun, encodeGreeting, encodeRun } from './greeting-codec.js'
import { decodeLocks, encodeLocks, estimatedLockBytes } from './lock-codec.js'
import { decodeRaft, encodeRaft } from './raft-codec.js'

/** What a frame carries: the channel's messages, and this adapter's own. */
export type FrameMessage =
  | PeerMessage
  /** `run`: as in the hello; empty when the peer does not tell. */
  | { readonly kind: 'welcome'; readonly protocolVersion: number; readonly run: string }
  | { readonly kind: 'pong'; readonly number: number }
  /** Of a frame that is too long for the link; the parts of one lane follow each other. */
  | { readonly kind: 'part'; readonly lane: Lane; readonly last: boolean; readonly data: Uint8Array }

const hashBytes = 32
const signatureBytesMax = 1024
const reasonCharsMax = 1000
const errnoMax = 4095
/** What protobuf parses into objects; the bulk is not parsed. */
const parsedBytesMax = 512 * 1024
/** `propose` messages are cut to this many proposals and bytes. */
const proposalsPerMessageMax = 2048
const proposeBytesMax = 1024 * 1024
/** Each change that waits concerns a few. */
const resumeInodesMax = 8 * pendingOperationsMax
const topicBytesMax = 256
/** A note's body in UTF-8. */
export const noteBytesMax = 1024 * 1024

const kindNumbers: Record<Kind, EntryKind> = {
  noop: EntryKind.NOOP,
  change: EntryKind.CHANGE,
  members: EntryKind.MEMBERS,
}
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const zeroHash = new Uint8Array(hashBytes)

/** About how many bytes a message takes in a frame and in the outbox; never too few for the bulk. */
export function estimatedBytes(message: FrameMessage): number {
  let bytes = 96
  if (message.kind === 'raft' && message.message.kind === 'append') {
    for (const { data } of message.message.entries) bytes += 20 + data.header.length + data.payload.length
  } else if (message.kind === 'propose') {
    for (const proposal of message.proposals) bytes += estimatedProposalBytes(proposal)
  } else if (message.kind === 'resume') {
    bytes += 32 + 9 * message.inodes.length
  } else if (message.kind === 'propose-refused') {
    bytes += 16 * message.refusals.length
  } else if (message.kind === 'diverged') {
    bytes += 3 * Math.min(message.reason.length, reasonCharsMax)
  } else if (message.kind === 'blob' || message.kind === 'part') {
    bytes += message.data?.length ?? 0
  } else if (message.kind === 'note') {
    bytes += 3 * (message.topic.length + message.body.length)
  } else if (message.kind === 'lock-calls' || message.kind === 'lock-answers') {
    bytes += estimatedLockBytes(message)
  }
  return bytes
}

function estimatedProposalBytes(proposal: Proposal): number {
  return 120 + proposal.operation.length + proposal.payload.length + proposal.signature.length
}

/** Cuts a `propose` that is too long for a frame into several; everything else stays as it is. */
export function splitMessage(message: PeerMessage): readonly PeerMessage[] {
  if (message.kind !== 'propose') return [message]
  const parts: PeerMessage[] = []
  let from = 0
  let bytes = 0
  const cut = (end: number): void => {
    const proposals =
      from === 0 && end === message.proposals.length ? message.proposals : message.proposals.slice(from, end)
    parts.push({ kind: 'propose', restart: message.restart && from === 0, first: message.first + from, proposals })
    from = end
    bytes = 0
  }
  message.proposals.forEach((proposal, i) => {
    const more = estimatedProposalBytes(proposal)
    if (i > from && (bytes + more > proposeBytesMax || i - from >= proposalsPerMessageMax)) cut(i)
    bytes += more
  })
  cut(message.proposals.length)
  return parts
}

/** Encodes a frame: the small fields by protobuf, then the bulk, copied once (COMMIT.md §5). */
export function encodeFrame(messages: readonly FrameMessage[]): Buffer {
  const pairs: Pair[] = []
  const frame = create(FrameSchema, { messages: messages.map(message => ({ kind: encodeMessage(message, pairs) })) })
  const head = toBinary(FrameSchema, frame)
  const bulkLength = pairsBytes(pairs)
  const total = head.length + (bulkLength > 0 ? 1 + varintBytes(bulkLength) + bulkLength : 0)
  assert(total <= messageBytesMax && head.length <= parsedBytesMax, `a frame of ${total} bytes is too long to be sent`)
  if (bulkLength === 0) return Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  const bytes = bulkBuffer(total)
  bytes.set(head, 0)
  bytes[head.length] = (2 << 3) | 2 // field `bulk`, length-delimited
  writePairs(bytes, writeVarint(bytes, head.length + 1, bulkLength), pairs)
  return bytes
}

function varintBytes(value: number): number {
  let count = 1
  for (; value > 127; value >>>= 7) count++
  return count
}

function writeVarint(target: Buffer, at: number, value: number): number {
  for (; value > 127; value >>>= 7) target[at++] = (value & 127) | 128
  target[at++] = value
  return at
}

function encodeMessage(message: FrameMessage, bulk: Pair[]): MessageKind {
  switch (message.kind) {
    case 'welcome':
      return kindOf('welcome', { protocolVersion: message.protocolVersion, run: encodeRun(message.run) })
    case 'pong':
      return kindOf('pong', { number: message.number })
    case 'part':
      bulk.push({ a: new Uint8Array(0), b: message.data })
      return kindOf('part', { lane: message.lane, last: message.last })
    case 'raft':
      return encodeRaft(message.message, bulk)
    case 'propose':
      for (const { operation, payload } of message.proposals) bulk.push({ a: operation, b: payload })
      return kindOf('propose', {
        restart: message.restart,
        first: u64(message.first),
        proposals: message.proposals.map(proposal => ({
          kind: kindNumbers[proposal.kind],
          origin: fromHex(proposal.origin) as Uint8Array<ArrayBuffer>,
          session: u64(proposal.session),
          sequence: u64(proposal.sequence),
          time: proposal.time,
          payloadHash: (proposal.payload.length === 0
            ? new Uint8Array()
            : proposal.payloadHash) as Uint8Array<ArrayBuffer>,
          signature: proposal.signature as Uint8Array<ArrayBuffer>,
        })),
      })
    case 'propose-refused':
      return kindOf('proposeRefused', {
        session: u64(message.session),
        index: u64(message.index),
        refusals: message.refusals.map(({ sequence, errno }) => ({ sequence: u64(sequence), errno })),
      })
    case 'resume':
      return kindOf('resume', {
        session: u64(message.session),
        last: u64(message.last),
        since: u64(message.since),
        silent: message.silent,
        inodes: message.inodes.map(u64),
      })
    case 'propose-again':
      return kindOf('proposeAgain', {})
    case 'digest':
      return kindOf('digest', { index: u64(message.index), hash: message.hash as Uint8Array<ArrayBuffer> })
    case 'diverged':
      return kindOf('diverged', { index: u64(message.index), reason: message.reason.slice(0, reasonCharsMax) })
    case 'note': {
      const topic = Buffer.from(message.topic)
      const body = Buffer.from(message.body)
      assert(topic.length <= topicBytesMax && body.length <= noteBytesMax, 'a note is too long to be sent')
      bulk.push({ a: topic, b: body })
      return kindOf('note', {})
    }
    case 'position':
      return kindOf('position', {
        lastIndex: u64(message.lastIndex),
        durableIndex: u64(message.durableIndex),
        appliedIndex: u64(message.appliedIndex),
        ...(message.space === undefined ? {} : { space: encodeSpace(message.space) }),
      })
    case 'blob-wanted':
      return kindOf('blobWanted', { id: u64(message.id), term: u64(message.term) })
    case 'blob':
      if (message.data !== undefined) bulk.push({ a: new Uint8Array(0), b: message.data })
      return kindOf('blob', { id: u64(message.id), found: message.data !== undefined })
    case 'greeting':
      return encodeGreeting(message)
    case 'lock-calls':
    case 'lock-answers':
    case 'lock-again':
      return encodeLocks(message)
    default:
      return unreachable(message)
  }
}

/** Decodes a frame; entries and payloads are views of `bytes`. Throws `corrupt` for anything that is not one. */
export function decodeFrame(bytes: Uint8Array): FrameMessage[] {
  if (bytes.length > messageBytesMax) throw malformed(`frame: ${bytes.length} bytes are too many`)
  bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) // no Buffers among what the brain sees
  checkParsedPart(bytes)
  let frame: Frame
  try {
    frame = fromBinary(FrameSchema, bytes)
  } catch (cause) {
    throw new RkfsError('corrupt', `malformed frame: ${messageOf(cause)}`, { cause })
  }
  const bulk = new PairReader(frame.bulk)
  const messages = frame.messages.map(message => decodeMessage(message.kind, bulk))
  bulk.end()
  return messages
}

/** Bounds what protobuf makes objects of, before it does. The bulk is the last field. */
function checkParsedPart(bytes: Uint8Array): void {
  let at = 0
  while (at < bytes.length) {
    if (at > parsedBytesMax) throw malformed('frame: too many messages')
    const tag = bytes[at++]!
    if (tag !== 0x0a && tag !== 0x12) throw malformed('frame: unknown field')
    let length = 0
    let shift = 0
    let byte: number
    do {
      if (at >= bytes.length || shift > 21) throw malformed('frame: bad length')
      byte = bytes[at++]!
      length |= (byte & 127) << shift
      shift += 7
    } while (byte & 128)
    at += length
    if (at > bytes.length) throw malformed('frame: it is cut')
    if (tag === 0x12 && at !== bytes.length) throw malformed('frame: its bulk is not the last field')
    if (tag === 0x0a && at > parsedBytesMax) throw malformed('frame: too many messages')
  }
}

function decodeMessage(kind: Message['kind'], bulk: PairReader): FrameMessage {
  switch (kind.case) {
    case 'welcome':
      return { kind: 'welcome', protocolVersion: kind.value.protocolVersion, run: decodeRun(kind.value.run) }
    case 'pong':
      return { kind: 'pong', number: kind.value.number }
    case 'part': {
      const { lane, last } = kind.value
      if (lane >= laneCount) throw malformed(`frame: a part of lane ${lane}`)
      return { kind: 'part', lane: lane as Lane, last, data: bulk.next(0, messageBytesMax).b }
    }
    case 'propose': {
      const proposals = kind.value.proposals.map(proposal => decodeProposal(proposal, bulk))
      return { kind: 'propose', restart: kind.value.restart, first: numberOf(kind.value.first), proposals }
    }
    case 'proposeRefused': {
      const { refusals, session, index } = kind.value
      if (refusals.length > pendingOperationsMax) throw malformed('frame: too many refusals')
      return {
        kind: 'propose-refused',
        session: numberOf(session),
        index: numberOf(index),
        refusals: refusals.map(({ sequence, errno }) => {
          if (errno < 1 || errno > errnoMax) throw malformed(`frame: errno ${errno}`)
          return { sequence: numberOf(sequence), errno }
        }),
      }
    }
    case 'resume': {
      const { session, last, since, silent, inodes } = kind.value
      if (inodes.length > resumeInodesMax) throw malformed('frame: too many inodes')
      return {
        kind: 'resume',
        session: numberOf(session),
        last: numberOf(last),
        since: numberOf(since),
        silent,
        inodes: inodes.map(numberOf),
      }
    }
    case 'proposeAgain':
      return { kind: 'propose-again' }
    case 'digest': {
      const { index, hash } = kind.value
      if (hash.length !== hashBytes) throw malformed(`frame: a digest of ${hash.length} bytes`)
      return { kind: 'digest', index: numberOf(index), hash }
    }
    case 'diverged': {
      const { index, reason } = kind.value
      if (reason.length > reasonCharsMax) throw malformed('frame: the reason is too long')
      return { kind: 'diverged', index: numberOf(index), reason }
    }
    case 'note': {
      const { a: topic, b: body } = bulk.next(topicBytesMax, noteBytesMax)
      return { kind: 'note', topic: utf8(topic), body: utf8(body) }
    }
    case 'position': {
      const { lastIndex, durableIndex, appliedIndex, space } = kind.value
      return {
        kind: 'position',
        lastIndex: numberOf(lastIndex),
        durableIndex: numberOf(durableIndex),
        appliedIndex: numberOf(appliedIndex),
        ...(space === undefined ? {} : { space: decodeSpace(space) }),
      }
    }
    case 'blobWanted':
      return { kind: 'blob-wanted', id: numberOf(kind.value.id), term: numberOf(kind.value.term) }
    case 'blob': {
      const id = numberOf(kind.value.id)
      return { kind: 'blob', id, data: kind.value.found ? bulk.next(0, chunkBytes).b : undefined }
    }
    case 'greeting':
      return decodeGreeting(kind.value)
    default: {
      const locks = decodeLocks(kind)
      if (locks) return locks
      const message = decodeRaft(kind, bulk)
      if (!message) throw malformed('frame: a message of an unknown kind')
      return { kind: 'raft', message }
    }
  }
}

function utf8(bytes: Uint8Array): string {
  try {
    return utf8Decoder.decode(bytes)
  } catch (cause) {
    throw new RkfsError('corrupt', 'malformed frame: a text that is not UTF-8', { cause })
  }
}

type WireProposal = Extract<Message['kind'], { case: 'propose' }>['value']['proposals'][number]

function decodeProposal(proposal: WireProposal, bulk: PairReader): Proposal {
  const kind = (Object.keys(kindNumbers) as Kind[]).find(each => kindNumbers[each] === proposal.kind)
  if (!kind) throw malformed('frame: a proposal of an unknown kind')
  if (proposal.origin.length !== 8) throw malformed(`frame: an origin of ${proposal.origin.length} bytes`)
  if (proposal.signature.length > signatureBytesMax) throw malformed('frame: the signature is too long')
  const { a: operation, b: payload } = bulk.next(operationBytesMax, payloadBytesMax)
  if (proposal.payloadHash.length !== (payload.length === 0 ? 0 : hashBytes)) {
    throw malformed(`frame: a payload hash of ${proposal.payloadHash.length} bytes`)
  }
  return {
    kind,
    origin: toHex(proposal.origin),
    session: numberOf(proposal.session),
    sequence: numberOf(proposal.sequence),
    time: proposal.time,
    operation,
    payload,
    payloadHash: payload.length === 0 ? zeroHash : proposal.payloadHash,
    signature: proposal.signature,
  }
}
