import type { Verdict, Violation } from './checker.js'
import type { Operation } from './history.js'

const linesMax = 25

/** What was found, for a person: the end of the longest order, and what could not come after it. */
export function describeVerdict<Input, Output>(found: Verdict<Input, Output>): string {
  if (found.verdict !== 'violation') return `${found.verdict} after ${found.steps} steps`
  const { prefix, part, stuck, state } = found
  const start = Math.min(...part.map(({ call }) => call))
  const shown = prefix.slice(-linesMax).map(operation => `  ${describeOperation(operation, start)}`)
  if (shown.length < prefix.length) shown.unshift(`  … ${prefix.length - shown.length} before`)
  return [
    `not linearizable: of ${part.length} operations ${prefix.length} can be placed, at most`,
    ...shown,
    `then the state is ${state}`,
    'and none of these can be next:',
    ...stuck.map(
      ({ operation, expected }) => `  ${describeOperation(operation, start)}   expected ${JSON.stringify(expected)}`,
    ),
    ...describeUnplaced(found, start),
  ].join('\n')
}

/** Those of unknown outcome that might have come to pass. */
function describeUnplaced<Input, Output>({ part, prefix, stuck }: Violation<Input, Output>, start: number): string[] {
  const until = Math.max(...stuck.map(({ operation }) => operation.return!))
  const left = part.filter(
    operation => operation.return === undefined && operation.call < until && !prefix.includes(operation),
  )
  if (left.length === 0) return []
  return ['of unknown outcome, and not placed:', ...left.map(operation => `  ${describeOperation(operation, start)}`)]
}

/** Times are relative to `start`. */
export function describeOperation<Input, Output>(operation: Operation<Input, Output>, start: number): string {
  const { client, input, output } = operation
  const end = operation.return === undefined ? '…' : String(operation.return - start)
  const told = operation.return === undefined ? 'unknown' : JSON.stringify(output)
  return `[${operation.call - start}, ${end}] ${client}: ${JSON.stringify(input)} → ${told}`
}
