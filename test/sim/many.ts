import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Work {
  readonly seed: number
  readonly seeds: number
  readonly ticks: number
  /** Processes. */
  readonly jobs: number
  /** No more is begun after so many failures. */
  readonly failuresMax: number
  readonly onFailure?: (failure: Failure) => void
}

export interface Failure {
  readonly seed: number
  readonly text: string
}

export interface Outcome {
  readonly failures: readonly Failure[]
  /** Sums over all runs. */
  readonly totals: Readonly<Record<string, number>>
}

export type FromWorker =
  | { readonly kind: 'done'; readonly totals: Readonly<Record<string, number>> }
  | { readonly kind: 'failed'; readonly failure: Failure }
export interface ToWorker {
  readonly seed: number
  readonly ticks: number
}

/** Runs seeds in processes of their own: each takes the next one when it is done. */
export async function runMany({ seed, seeds, ticks, jobs, failuresMax, onFailure }: Work): Promise<Outcome> {
  const failures: Failure[] = []
  const totals: Record<string, number> = {}
  let next = seed
  const path = fileURLToPath(new URL('worker.ts', import.meta.url))
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(path, { execArgv: ['--import', 'tsx'] })
      const give = (): void => {
        if (next < seed + seeds && failures.length < failuresMax) child.send({ seed: next++, ticks } satisfies ToWorker)
        else child.disconnect()
      }
      child.on('message', (message: FromWorker) => {
        if (message.kind === 'failed') {
          failures.push(message.failure)
          onFailure?.(message.failure)
        } else for (const [key, value] of Object.entries(message.totals)) totals[key] = (totals[key] ?? 0) + value
        give()
      })
      child.on('error', reject)
      child.on('exit', code => (code === 0 ? resolve() : reject(new Error(`a worker ended with code ${code}`))))
      give()
    })
  await Promise.all(Array.from({ length: jobs }, work))
  failures.sort((a, b) => a.seed - b.seed)
  return { failures, totals }
}
