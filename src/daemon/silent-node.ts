import { runningHolder } from '../adapters/host/lock-holder.js'
import { isStopped } from '../adapters/host/process.js'

/** Why the node of a home is silent, and what ends that. */
export function silentWords(home: string): string {
  const pid = runningHolder(home)?.pid
  if (pid === undefined) return `the node on ${home} does not answer: \`rkfs stop --force\` ends it`
  return stoppedWords(pid) ?? `the node on ${home} (process ${pid}) does not answer: \`rkfs stop --force\` ends it`
}

/** Undefined: it is not stopped. */
export function stoppedWords(pid: number): string | undefined {
  if (!isStopped(pid)) return undefined
  return `the node (process ${pid}) is stopped: \`kill -CONT ${pid}\` lets it go on; \`rkfs stop --force\` ends it`
}
