/** One message of each kind that a frame carries, with the extremes of its fields. */
import { createHash } from 'node:crypto'

import type { FrameMessage } from '../../../src/adapters/rpc/frame-codec.js'
import type { PeerMessage } from '../../../src/channel/transport-port.js'
import type { EncodedEntry, Proposal } from '../../../src/oplog/entry.js'
import type { RaftEntry, RaftMessage } from '../../../src/raft/types.js'

export const bytes = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill)
export const entry = (index: number, term: number, length: number): RaftEntry<EncodedEntry> => ({
  index,
  term,
  size: 200 + length,
  data: { header: bytes(200, index), payload: bytes(length, term) },
})
export const proposal = (sequence: number, length: number): Proposal => ({
  kind: (['noop', 'change', 'members'] as const)[sequence % 3]!,
  origin: '0123456789abcdef',
  session: 2 ** 40,
  sequence,
  time: -1234567890123456789n,
  operation: bytes(33, sequence),
  payload: bytes(length, 5),
  payloadHash: length ? Uint8Array.from(createHash('sha256').update(bytes(length, 5)).digest()) : bytes(32, 0),
  signature: bytes(sequence % 2 ? 64 : 0, 9),
})
export const raft = (message: RaftMessage<EncodedEntry>): PeerMessage => ({ kind: 'raft', message })
const big = Number.MAX_SAFE_INTEGER

export const lock = {
  space: 'posix',
  ino: big,
  owner: 'p:123456789012345:ffffffffffffffff',
  type: 'write',
  start: big,
  end: big,
  pid: 2 ** 32 - 1,
} as const
const flock = { ...lock, space: 'flock', owner: 'f:1:0', type: 'read', start: 0, pid: 0 } as const
export const round = { term: big, session: big, round: big }

export const frameSamples: readonly FrameMessage[] = [
  { kind: 'welcome', protocolVersion: 1, run: '' },
  {
    kind: 'greeting',
    incarnation: { start: 3, mark: '0123456789abcdef' },
    slot: 2,
    term: 4,
    recovering: true,
    remembered: {
      incarnation: { start: 2, mark: 'fedcba9876543210' },
      slot: 1,
      pledge: { term: 4, heldTerm: 3, index: 9, indexTerm: 2 },
    },
  },
  { kind: 'pong', number: 2 ** 32 - 1 },
  { kind: 'part', lane: 1, last: false, data: bytes(3000, 7) },
  { kind: 'part', lane: 2, last: true, data: bytes(1, 7) },
  raft({ kind: 'pre-vote', term: 1, lastIndex: big, lastTerm: 0, transfer: false }),
  raft({ kind: 'vote', term: big, lastIndex: 2, lastTerm: 3, transfer: true }),
  raft({ kind: 'pre-vote-reply', term: 1, granted: true }),
  raft({ kind: 'vote-reply', term: 1, granted: false }),
  raft({ kind: 'append', term: 3, previousIndex: 9, previousTerm: 2, first: 10, last: 9, entries: [], commit: 4 }),
  raft({
    kind: 'append',
    term: 3,
    previousIndex: 9,
    previousTerm: 2,
    first: 10,
    last: 12,
    entries: [entry(10, 3, 0), entry(11, 3, 100), entry(12, 3, 5)],
    commit: 4,
  }),
  raft({
    kind: 'append',
    term: 3,
    previousIndex: 0,
    previousTerm: 0,
    first: 1,
    last: 3,
    entries: [entry(1, 1, 1), entry(2, 2, 0), entry(3, 3, 70)],
    commit: 0,
  }),
  raft({
    kind: 'append-reply',
    term: 1,
    success: true,
    match: 5,
    rejectedIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
    recovering: false,
  }),
  raft({
    kind: 'append-reply',
    term: 1,
    success: false,
    match: 0,
    rejectedIndex: 7,
    hintIndex: 6,
    hintTerm: 1,
    recovering: false,
  }),
  raft({ kind: 'heartbeat', term: 1, commit: 2, round: 3, last: 0, durable: 0, acknowledging: 0 }),
  raft({ kind: 'heartbeat-reply', term: 1, round: 2, match: 3, recovering: false }),
  raft({ kind: 'snapshot', term: 1, index: 2 }),
  raft({ kind: 'timeout-now', term: 1, target: '0123456789abcdef' }),
  raft({ kind: 'term-question', term: 1 }),
  raft({ kind: 'term-answer', term: big, leader: '0123456789abcdef' }),
  raft({ kind: 'term-answer', term: 0, leader: undefined }),
  raft({ kind: 'read-index', term: 1, context: big }),
  raft({ kind: 'read-index-reply', term: 1, context: 2, index: 3 }),
  { kind: 'propose', restart: true, first: 1, proposals: [] },
  { kind: 'propose', restart: false, first: 7, proposals: [proposal(7, 0), proposal(8, 1000), proposal(9, 3)] },
  {
    kind: 'propose-refused',
    session: 1,
    index: 5,
    refusals: [
      { sequence: 1, errno: 2 },
      { sequence: 2, errno: 4095 },
    ],
  },
  { kind: 'propose-again' },
  { kind: 'resume', session: 7, last: 9, since: 2 ** 40, silent: true, inodes: [1, 2 ** 45] },
  { kind: 'resume', session: 7, last: 9, since: 0, silent: false, inodes: [] },
  { kind: 'digest', index: 1, hash: bytes(32, 1) },
  { kind: 'diverged', index: 1, reason: 'bits, größer' },
  { kind: 'blob-wanted', id: 8 * 77 + 1, term: 5 },
  { kind: 'blob', id: 8 * 77 + 1, data: Uint8Array.of(1, 2, 3) },
  { kind: 'blob', id: 8 * 78, data: undefined },
  { kind: 'position', lastIndex: 3, durableIndex: 2, appliedIndex: 1 },
  { kind: 'note', topic: 'verify', body: '{"a":"ü"}' },
  {
    kind: 'lock-calls',
    ...round,
    first: big,
    calls: [
      { kind: 'claim', lock },
      { kind: 'claim', lock: flock },
      { kind: 'attach', waiting: [1, 2, big] },
      { kind: 'renew', stamp: big },
      { kind: 'acquire', id: big, lock, wait: true },
      { kind: 'cancel', id: big },
      { kind: 'release', id: big, lock },
      { kind: 'test', id: big, lock: flock },
    ],
  },
  {
    kind: 'lock-answers',
    ...round,
    first: 1,
    answers: [
      { kind: 'lost', lock },
      { kind: 'attached' },
      { kind: 'renewed', stamp: big },
      { kind: 'granted', id: big, index: big },
      { kind: 'denied', id: big, errno: 35 },
      { kind: 'released', id: big },
      { kind: 'found', id: big, lock: { type: 'write', start: 1, end: big, pid: 2 ** 32 - 1 } },
      { kind: 'found', id: 2, lock: undefined },
    ],
  },
  { kind: 'lock-again', ...round },
]
