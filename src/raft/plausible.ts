import type { Configuration, RaftEntry, RaftMessage } from './types.js'

/** No honest group reaches it (one election a millisecond for nine thousand years); it keeps arithmetic exact. */
const numberMax = 2 ** 48

/**
 * Terms that a message may be ahead. Nobody misses so many elections (one a second for eight years), and one message from
 * a member gone wrong must not use up all the terms that the channel will ever have.
 */
const termJumpMax = 2 ** 28

function isNumber(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= numberMax
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
  termMax: number,
): boolean {
  let index = previousIndex
  let term = previousTerm
  for (const entry of entries) {
    if (entry.index !== ++index || !isNumber(entry.term) || entry.term < term || entry.term < 1) return false
    if (entry.term > termMax || !isNumber(entry.size) || !isConfiguration(entry.configuration)) return false
    term = entry.term
  }
  return true
}

/**
 * Whether a message could have been sent by an honest member: what cannot is ignored before it reaches the protocol.
 * The sender is authenticated and the bytes are decoded by then; this is about a bug or a version gone wrong.
 */
export function plausible(message: RaftMessage<unknown>, currentTerm: number): boolean {
  if (!isNumber(message.term) || message.term < 1 || message.term > currentTerm + termJumpMax) return false
  switch (message.kind) {
    case 'pre-vote':
    case 'vote':
      return isNumber(message.lastIndex) && isNumber(message.lastTerm) && message.lastTerm < message.term
    case 'append':
      return (
        isNumber(message.previousIndex) &&
        isNumber(message.previousTerm) &&
        isNumber(message.commit) &&
        Array.isArray(message.entries) &&
        message.previousTerm <= message.term &&
        areEntries(message.entries, message.previousIndex, message.previousTerm, message.term)
      )
    case 'append-reply':
      return [message.match, message.rejectedIndex, message.hintIndex, message.hintTerm].every(isNumber)
    case 'heartbeat':
      return [message.commit, message.round, message.last, message.durable, message.acknowledging].every(isNumber)
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
      return true
    default:
      return false
  }
}
