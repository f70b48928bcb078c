import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Beside the lock, for people and messages: an SQLite file that is locked cannot be read. */
export function pidPath(home: string): string {
  return join(home, 'node.pid')
}

/** The process that holds the home's lock, or held it when it was killed. */
export function lockHolder(home: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidPath(home), 'utf8').trim())
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}
