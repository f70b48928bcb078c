import { assert, unreachable } from '../../base/assert.js'
import { malformed } from '../../base/bytes.js'
import { operationBytesMax, payloadBytesMax } from '../../base/limits.js'
import type { Append, Message } from '../../gen/rkfs/v1/peer_pb.js'
import type { EncodedEntry } from '../../oplog/entry.js'
import type { RaftEntry, RaftMessage } from '../../raft/types.js'
import type { Pair, PairReader } from './bulk.js'
import { kindOf, memberOf, numberOf, u64, type Kind } from './fields.js'

/** The envelope and the signature around an operation: 64 KiB is the largest signature that the envelope can say. */
const headerBytesMax = operationBytesMax + 68 * 1024

type Raft = RaftMessage<EncodedEntry>

/** A consensus message as protobuf; the entries of an append go to `bulk`. */
export function encodeRaft(message: Raft, bulk: Pair[]): Kind {
  const term = u64(message.term)
  switch (message.kind) {
    case 'pre-vote':
    case 'vote':
      return kindOf('vote', {
        pre: message.kind === 'pre-vote',
        term,
        lastIndex: u64(message.lastIndex),
        lastTerm: u64(message.lastTerm),
        transfer: message.transfer,
        others: message.others ?? false,
      })
    case 'pre-vote-reply':
    case 'vote-reply':
      return kindOf('voteReply', {
        pre: message.kind === 'pre-vote-reply',
        term,
        granted: message.granted,
        recovering: message.recovering ?? false,
      })
    case 'append': {
      const { entries } = message
      const wanted = Math.max(0, message.last - message.first + 1)
      assert(entries.length === wanted, `an append of ${wanted} entries carries ${entries.length}`)
      for (const { data } of entries) bulk.push({ a: data.header, b: data.payload })
      const oneTerm = entries.every(entry => entry.term === entries[0]!.term)
      return kindOf('append', {
        term,
        previousIndex: u64(message.previousIndex),
        previousTerm: u64(message.previousTerm),
        first: u64(message.first),
        commit: u64(message.commit),
        count: entries.length,
        terms: (oneTerm ? entries.slice(0, 1) : entries).map(entry => u64(entry.term)),
      })
    }
    case 'append-reply':
      return kindOf('appendReply', {
        term,
        success: message.success,
        match: u64(message.match),
        rejectedIndex: u64(message.rejectedIndex),
        hintIndex: u64(message.hintIndex),
        hintTerm: u64(message.hintTerm),
        recovering: message.recovering,
      })
    case 'heartbeat':
      return kindOf('heartbeat', {
        term,
        commit: u64(message.commit),
        round: u64(message.round),
        last: u64(message.last),
        durable: u64(message.durable),
        acknowledging: message.acknowledging,
      })
    case 'heartbeat-reply':
      return kindOf('heartbeatReply', {
        term,
        round: u64(message.round),
        match: u64(message.match),
        recovering: message.recovering,
      })
    case 'snapshot':
      return kindOf('snapshotOffer', { term, index: u64(message.index) })
    case 'timeout-now':
      return kindOf('timeoutNow', { term, target: message.target })
    case 'term-question':
      return kindOf('termQuestion', { term })
    case 'term-answer':
      return kindOf('termAnswer', { term, leader: message.leader ?? '' })
    case 'read-index':
      return kindOf('readIndex', { term, context: u64(message.context) })
    case 'read-index-reply':
      return kindOf('readIndexReply', { term, context: u64(message.context), index: u64(message.index) })
    default:
      return unreachable(message)
  }
}

/** The consensus message in a protobuf message; undefined when it is of another kind. Throws `corrupt`. */
export function decodeRaft(kind: Message['kind'], bulk: PairReader): Raft | undefined {
  switch (kind.case) {
    case 'vote': {
      const { pre, lastIndex, lastTerm, transfer, term, others } = kind.value
      return {
        kind: pre ? 'pre-vote' : 'vote',
        term: numberOf(term),
        lastIndex: numberOf(lastIndex),
        lastTerm: numberOf(lastTerm),
        transfer,
        ...(others ? { others } : {}),
      }
    }
    case 'voteReply': {
      const { pre, term, granted, recovering } = kind.value
      const reply = { kind: pre ? 'pre-vote-reply' : 'vote-reply', term: numberOf(term), granted } as const
      return recovering ? { ...reply, recovering } : reply
    }
    case 'append':
      return decodeAppend(kind.value, bulk)
    case 'appendReply': {
      const { term, success, match, rejectedIndex, hintIndex, hintTerm, recovering } = kind.value
      return {
        kind: 'append-reply',
        term: numberOf(term),
        success,
        match: numberOf(match),
        rejectedIndex: numberOf(rejectedIndex),
        hintIndex: numberOf(hintIndex),
        hintTerm: numberOf(hintTerm),
        recovering,
      }
    }
    case 'heartbeat': {
      const { term, commit, round, last, durable, acknowledging } = kind.value
      return {
        kind: 'heartbeat',
        term: numberOf(term),
        commit: numberOf(commit),
        round: numberOf(round),
        last: numberOf(last),
        durable: numberOf(durable),
        acknowledging,
      }
    }
    case 'heartbeatReply': {
      const { term, round, match, recovering } = kind.value
      return {
        kind: 'heartbeat-reply',
        term: numberOf(term),
        round: numberOf(round),
        match: numberOf(match),
        recovering,
      }
    }
    case 'snapshotOffer':
      return { kind: 'snapshot', term: numberOf(kind.value.term), index: numberOf(kind.value.index) }
    case 'timeoutNow':
      return { kind: 'timeout-now', term: numberOf(kind.value.term), target: memberOf(kind.value.target) }
    case 'termQuestion':
      return { kind: 'term-question', term: numberOf(kind.value.term) }
    case 'termAnswer': {
      const { term, leader } = kind.value
      return { kind: 'term-answer', term: numberOf(term), leader: leader === '' ? undefined : memberOf(leader) }
    }
    case 'readIndex':
      return { kind: 'read-index', term: numberOf(kind.value.term), context: numberOf(kind.value.context) }
    case 'readIndexReply': {
      const { term, context, index } = kind.value
      return { kind: 'read-index-reply', term: numberOf(term), context: numberOf(context), index: numberOf(index) }
    }
    default:
      return undefined
  }
}

function decodeAppend(append: Append, bulk: PairReader): Raft {
  const { count, terms } = append
  const first = numberOf(append.first)
  if (terms.length !== count && !(terms.length === 1 && count > 0)) {
    throw malformed(`frame: ${terms.length} terms for ${count} entries`)
  }
  if (count > 0 && (first < 1 || first + count > Number.MAX_SAFE_INTEGER))
    throw malformed('frame: entries out of range')
  const entries: RaftEntry<EncodedEntry>[] = []
  for (let i = 0; i < count; i++) {
    const { a: header, b: payload } = bulk.next(headerBytesMax, payloadBytesMax) // throws before `count` can run away
    const term = numberOf(terms[terms.length === 1 ? 0 : i]!)
    entries.push({ index: first + i, term, size: header.length + payload.length, data: { header, payload } })
  }
  return {
    kind: 'append',
    term: numberOf(append.term),
    previousIndex: numberOf(append.previousIndex),
    previousTerm: numberOf(append.previousTerm),
    first,
    last: first + count - 1,
    entries,
    commit: numberOf(append.commit),
  }
}
