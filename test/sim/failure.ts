import { execFileSync } from 'node:child_process'
import type { Simulation } from './simulation.js'

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=12'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

/** All that is needed to see a failure again: seed, commit, what was drawn, and the events that led there. */
export function describeFailure(seed: number, ticks: number, { options, trace }: Simulation, error: unknown): string {
  const { stack, message } = error as Error
  const isViolation = 'checker' in (error as Error)
  return [
    `SEED ${seed} fails: ${message}`,
    `  again: npm run sim -- --seed ${seed} --ticks ${ticks}`,
    `  commit: ${commit()}`,
    `  options: ${JSON.stringify(options)}`,
    ...trace.recent.map(line => `  ${line}`),
    ...(isViolation ? [] : [stack ?? '']),
  ].join('\n')
}
