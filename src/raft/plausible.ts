import type { Configuration, RaftEntry, RaftMessage } from './types.js'

/** No honest log reaches it (one entry a microsecond for nine years); it keeps arithmetic exact. */
const numberMax = 2 ** 48
/** Terms beyond it cannot be counted on; DESIGN.md says why nothing gets there. */
const termMax = Number.MAX_SAFE_INTEGER - 1

function isNumber(value: unknown, max = numberMax): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max
}

function isTerm(value: unknown): boolean {
  return isNumber(value, termMax)
}

function areNumbers(...values: unknown[]): boolean {
  return values.every(value => isNumber(value))
}

function isConfiguration(configuration: Configuration | undefined): boolean {
  if (configuration === undefined) return true
  return Array.isArray(configuration.voters) && Array.isArray(configuration.learners) && configuration.voters.length > 0
}

/** Entries follow `previousIndex` without a gap, and terms never fall along a log. */
function areEntries(
  entries: readonly RaftEntry<unknown>[],
  previousIndex: number,
  previousTerm: number,
  latestTerm: number,
): boolean {
  let index = previousIndex
  let term = previousTerm
  for (const entry of entries) {
    if (entry.index !== ++index || !isTerm(entry.term) || entry.term < term || entry.term < 1) return false
    if (entry.term > latestTerm || !isNumber(entry.size) || !isConfiguration(entry.configuration)) return false
    term = entry.term
  }
  return true
}

/**
 * Whether a message could have been sent by an honest member: what cannot is ignored before it reaches the protocol.
 * The sender is authenticated and the bytes are decoded by then; this is about a bug or a version gone wrong.
 */
export function plausible(message: RaftMessage<unknown>): boolean {
  const isQuestion = message.kind === 'term-question' || message.kind === 'term-answer'
  if (!isTerm(message.term) || (message.term < 1 && !isQuestion)) return false
  switch (message.kind) {
    case 'pre-vote':
    case 'vote':
      return isNumber(message.lastIndex) && isTerm(message.lastTerm) && message.lastTerm < message.term
    case 'append':
      return (
        isNumber(message.previousIndex) &&
        isTerm(message.previousTerm) &&
        isNumber(message.commit) &&
        Array.isArray(message.entries) &&
        message.previousTerm <= message.term &&
        areEntries(message.entries, message.previousIndex, message.previousTerm, message.term)
      )
    case 'append-reply':
      return isTerm(message.hintTerm) && areNumbers(message.match, message.rejectedIndex, message.hintIndex)
    case 'heartbeat':
      return areNumbers(message.commit, message.round, message.last, message.durable, message.acknowledging)
    case 'heartbeat-reply':
      return isNumber(message.match) && isNumber(message.round)
    case 'snapshot':
      return isNumber(message.index)
    case 'read-index':
      return Number.isSafeInteger(message.context)
    case 'read-index-reply':
      return Number.isSafeInteger(message.context) && isNumber(message.index)
    case 'pre-vote-reply':
    case 'vote-reply':
    case 'timeout-now':
    case 'term-question':
    case 'term-answer':
      return true
    default:
      return false
  }
}
