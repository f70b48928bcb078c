import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { lacksSpace } from '../../base/errors.js'

/** Beside the lock, for people and messages: an SQLite file that is locked cannot be read. */
export function pidPath(home: string): string {
  return join(home, 'node.pid')
}

const openFlags = constants.O_CREAT | constants.O_RDWR
/** The file always has as many bytes. */
const pidWidth = 12

/**
 * Names the process that holds the lock; undefined: nobody does. It is written over what was there, so that a disk without a
 * free byte takes it, too. Where that is not so either, messages name no process.
 */
export function writeLockHolder(home: string, pid: number | undefined): void {
  const words = String(pid ?? '').padEnd(pidWidth, '\n')
  try {
    const file = openSync(pidPath(home), openFlags, 0o600)
    try {
      writeSync(file, words, 0)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (!lacksSpace(error)) throw error
  }
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
