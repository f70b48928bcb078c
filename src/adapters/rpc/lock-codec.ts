import type { MessageInitShape } from '@bufbuild/protobuf'

import { unreachable } from '../../base/assert.js'
import { malformed } from '../../base/bytes.js'
import type { Lock } from '../../channel/locks/lock.js'
import {
  isOwner,
  lockCallsPerMemberMax,
  lockItemsPerMessageMax,
  type LockAnswer,
  type LockCall,
  type LockMessage,
} from '../../channel/locks/lock-messages.js'
import type {
  Lock as WireLock,
  LockAnswer as WireAnswer,
  LockAnswerSchema,
  LockCall as WireCall,
  LockCallSchema,
  LockSchema,
  Message,
} from '../../gen/rkfs/v1/peer_pb.js'
import { kindOf, numberOf, u64, type Kind } from './fields.js'

/** What protobuf-es takes for the `oneof` of a message. */
type InitOf<S extends typeof LockCallSchema | typeof LockAnswerSchema> = NonNullable<
  Exclude<MessageInitShape<S>, { $typeName: string }>['kind']
>

const errnoMax = 4095
/** A lock with its owner, the largest of what repeats. */
const itemBytes = 96

/** About how many bytes a message takes; never too few. */
export function estimatedLockBytes(message: LockMessage): number {
  if (message.kind === 'lock-again') return 0
  if (message.kind === 'lock-answers') return itemBytes * message.answers.length
  let bytes = itemBytes * message.calls.length
  for (const call of message.calls) if (call.kind === 'attach') bytes += 9 * call.waiting.length
  return bytes
}

export function encodeLocks(message: LockMessage): Kind {
  const round = { term: u64(message.term), session: u64(message.session), round: u64(message.round) }
  switch (message.kind) {
    case 'lock-calls': {
      const calls = message.calls.map(call => ({ kind: encodeCall(call) }))
      return kindOf('lockCalls', { ...round, first: u64(message.first), calls })
    }
    case 'lock-answers': {
      const answers = message.answers.map(answer => ({ kind: encodeAnswer(answer) }))
      return kindOf('lockAnswers', { ...round, first: u64(message.first), answers })
    }
    case 'lock-again':
      return kindOf('lockAgain', round)
    default:
      return unreachable(message)
  }
}

function encodeLock({ space, ino, owner, type, start, end, pid }: Lock): MessageInitShape<typeof LockSchema> {
  const range = { start: u64(start), end: u64(end) }
  return { flock: space === 'flock', ino: u64(ino), owner, write: type === 'write', ...range, pid }
}

function encodeCall(call: LockCall): InitOf<typeof LockCallSchema> {
  switch (call.kind) {
    case 'claim':
      return { case: 'claim' as const, value: encodeLock(call.lock) }
    case 'attach':
      return { case: 'attach' as const, value: { waiting: call.waiting.map(u64) } }
    case 'renew':
      return { case: 'renew' as const, value: u64(call.stamp) }
    case 'acquire':
      return { case: 'acquire' as const, value: { id: u64(call.id), lock: encodeLock(call.lock), wait: call.wait } }
    case 'cancel':
      return { case: 'cancel' as const, value: u64(call.id) }
    case 'release':
    case 'test':
      return { case: call.kind, value: { id: u64(call.id), lock: encodeLock(call.lock) } }
    default:
      return unreachable(call)
  }
}

function encodeAnswer(answer: LockAnswer): InitOf<typeof LockAnswerSchema> {
  switch (answer.kind) {
    case 'lost':
      return { case: 'lost' as const, value: encodeLock(answer.lock) }
    case 'attached':
      return { case: 'attached' as const, value: {} }
    case 'renewed':
      return { case: 'renewed' as const, value: u64(answer.stamp) }
    case 'granted':
      return { case: 'granted' as const, value: { id: u64(answer.id), index: u64(answer.index) } }
    case 'denied':
      return { case: 'denied' as const, value: { id: u64(answer.id), errno: answer.errno } }
    case 'released':
      return { case: 'released' as const, value: u64(answer.id) }
    case 'found': {
      const { id, lock } = answer
      if (lock === undefined) return { case: 'found' as const, value: { id: u64(id) } }
      const found = { write: lock.type === 'write', start: u64(lock.start), end: u64(lock.end), pid: lock.pid }
      return { case: 'found' as const, value: { id: u64(id), lock: found } }
    }
    default:
      return unreachable(answer)
  }
}

/** The message about locks in a protobuf message; undefined when it is of another kind. Throws `corrupt`. */
export function decodeLocks(kind: Message['kind']): LockMessage | undefined {
  if (kind.case !== 'lockCalls' && kind.case !== 'lockAnswers' && kind.case !== 'lockAgain') return undefined
  const round = {
    term: numberOf(kind.value.term),
    session: numberOf(kind.value.session),
    round: numberOf(kind.value.round),
  }
  if (kind.case === 'lockAgain') return { kind: 'lock-again', ...round }
  const first = numberOf(kind.value.first)
  const count = kind.case === 'lockCalls' ? kind.value.calls.length : kind.value.answers.length
  if (count > lockItemsPerMessageMax) throw malformed(`frame: ${count} calls about locks`)
  if (first === 0) throw malformed('frame: a call about locks without a number')
  return kind.case === 'lockCalls'
    ? { kind: 'lock-calls', ...round, first, calls: kind.value.calls.map(call => decodeCall(call.kind)) }
    : { kind: 'lock-answers', ...round, first, answers: kind.value.answers.map(answer => decodeAnswer(answer.kind)) }
}

function decodeLock(lock: WireLock | undefined): Lock {
  if (lock === undefined) throw malformed('frame: a lock is missing')
  if (!isOwner(lock.owner)) throw malformed('frame: the owner of a lock')
  const start = numberOf(lock.start)
  const end = numberOf(lock.end)
  if (start > end) throw malformed('frame: the range of a lock')
  const space = lock.flock ? 'flock' : 'posix'
  return { space, ino: numberOf(lock.ino), owner: lock.owner, type: typeOf(lock.write), start, end, pid: lock.pid }
}

function typeOf(write: boolean): 'read' | 'write' {
  return write ? 'write' : 'read'
}

function decodeCall(kind: WireCall['kind']): LockCall {
  switch (kind.case) {
    case 'claim':
      return { kind: 'claim', lock: decodeLock(kind.value) }
    case 'attach':
      if (kind.value.waiting.length > lockCallsPerMemberMax) throw malformed('frame: too many waits for locks')
      return { kind: 'attach', waiting: kind.value.waiting.map(numberOf) }
    case 'renew':
      return { kind: 'renew', stamp: numberOf(kind.value) }
    case 'acquire':
      return { kind: 'acquire', id: numberOf(kind.value.id), lock: decodeLock(kind.value.lock), wait: kind.value.wait }
    case 'cancel':
      return { kind: 'cancel', id: numberOf(kind.value) }
    case 'release':
    case 'test':
      return { kind: kind.case, id: numberOf(kind.value.id), lock: decodeLock(kind.value.lock) }
    case undefined:
      throw malformed('frame: a call about locks of an unknown kind')
    default:
      return unreachable(kind)
  }
}

function decodeAnswer(kind: WireAnswer['kind']): LockAnswer {
  switch (kind.case) {
    case 'lost':
      return { kind: 'lost', lock: decodeLock(kind.value) }
    case 'attached':
      return { kind: 'attached' }
    case 'renewed':
      return { kind: 'renewed', stamp: numberOf(kind.value) }
    case 'granted':
      return { kind: 'granted', id: numberOf(kind.value.id), index: numberOf(kind.value.index) }
    case 'denied': {
      const { id, errno } = kind.value
      if (errno < 1 || errno > errnoMax) throw malformed(`frame: errno ${errno}`)
      return { kind: 'denied', id: numberOf(id), errno }
    }
    case 'released':
      return { kind: 'released', id: numberOf(kind.value) }
    case 'found': {
      const { id, lock } = kind.value
      if (lock === undefined) return { kind: 'found', id: numberOf(id), lock: undefined }
      const start = numberOf(lock.start)
      const end = numberOf(lock.end)
      if (start > end) throw malformed('frame: the range of a lock')
      return { kind: 'found', id: numberOf(id), lock: { type: typeOf(lock.write), start, end, pid: lock.pid } }
    }
    case undefined:
      throw malformed('frame: an answer about locks of an unknown kind')
    default:
      return unreachable(kind)
  }
}
