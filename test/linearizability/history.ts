import { readFileSync, writeFileSync } from 'node:fs'

/**
 * One call of a client and what came of it. Times are numbers of one clock that all clients share, of any unit. A call
 * without `return` has an unknown outcome: it takes effect at some time after `call`, or never.
 */
export interface Operation<Input, Output> {
  readonly client: string
  readonly input: Input
  readonly call: number
  readonly return?: number
  readonly output?: Output
}

/** What became of a call: its answer; nobody knows; it certainly had no effect and told nothing. */
export type Outcome<Output> = { readonly output: Output } | 'unknown' | 'none'

/**
 * A line of a recorded history. A client writes the first before the call and the second after it, so that a call during
 * which it dies is an unknown outcome. Calls are numbered within a client.
 */
export type HistoryLine<Input, Output> =
  | { readonly client: string; readonly id: number; readonly call: number; readonly input: Input }
  | { readonly client: string; readonly id: number; readonly return: number; readonly outcome: Outcome<Output> }

/** The lines of any number of clients, each client's own in order, as operations in the order of their calls. */
export function historyOf<Input, Output>(
  lines: Iterable<HistoryLine<Input, Output>>,
): readonly Operation<Input, Output>[] {
  const operations = new Map<string, Operation<Input, Output>>()
  for (const line of lines) {
    const key = `${line.client} ${line.id}`
    if ('call' in line) {
      if (operations.has(key)) throw new Error(`two calls ${key}`)
      operations.set(key, { client: line.client, input: line.input, call: line.call })
      continue
    }
    const operation = operations.get(key)
    if (operation === undefined || operation.return !== undefined) throw new Error(`no call ${key} that returns`)
    if (line.return < operation.call) throw new Error(`${key} returns before it is called`)
    if (line.outcome === 'none') operations.delete(key)
    else if (line.outcome !== 'unknown') {
      operations.set(key, { ...operation, return: line.return, output: line.outcome.output })
    }
  }
  return [...operations.values()].sort((a, b) => a.call - b.call)
}

/** Records calls within one process, such as a simulator in its own time. */
export class Recorder<Input, Output> {
  readonly lines: HistoryLine<Input, Output>[] = []
  #calls = 0

  /** A client makes a call; `end` takes its outcome, once. Never ended, it is unknown. */
  begin(client: string, input: Input, at: number): (outcome: Outcome<Output>, at: number) => void {
    const id = this.#calls++
    this.lines.push({ client, id, call: at, input })
    return (outcome, at) => void this.lines.push({ client, id, return: at, outcome })
  }

  history(): readonly Operation<Input, Output>[] {
    return historyOf(this.lines)
  }
}

/** JSON lines. The last line of a client that was killed may be torn: it is a return that nobody saw. */
export function parseLines<Input, Output>(text: string): HistoryLine<Input, Output>[] {
  const lines = text.split('\n')
  const torn = lines.pop()
  if (torn === undefined) return []
  return lines.map(line => JSON.parse(line) as HistoryLine<Input, Output>)
}

export function loadLines<Input, Output>(path: string): HistoryLine<Input, Output>[] {
  return parseLines(readFileSync(path, 'utf8'))
}

export function saveLines(path: string, lines: readonly HistoryLine<unknown, unknown>[]): void {
  writeFileSync(path, lines.map(line => `${JSON.stringify(line)}\n`).join(''))
}
