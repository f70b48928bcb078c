import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { lacksSpace } from '../../base/errors.js'
import { commandLine, hasOpen, identify, programName, type ProcessIdentity } from './process.js'

export function lockPath(home: string): string {
  return join(home, 'node.lock')
}

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

/**
 * The process that holds the home's lock now, or is on its way out: not one that got the number of a killed node since, be
 * it the node of another home. Undefined: there is none, or the file does not name it.
 */
export function runningHolder(home: string): ProcessIdentity | undefined {
  const pid = lockHolder(home)
  const found = pid === undefined ? undefined : identify(pid)
  if (found === undefined) return undefined
  // of one that exits neither the command line nor the open files can be seen any more
  const exits = commandLine(found.pid).length === 0
  const isHolder = exits ? programName(found.pid) === programName(process.pid) : hasOpen(found.pid, lockPath(home))
  return isHolder ? found : undefined
}
