import { lstatSync, mkdirSync, rmdirSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a directory and those above it that are missing; answers which, the topmost first. Throws the system's error, and
 * leaves nothing behind then. (Node's own recursive mkdir never ends where a file system says ENOENT to it, as /proc does.)
 */
export function makeDirectories(path: string): string[] {
  const missing: string[] = []
  for (let at = path; !isThere(at) && dirname(at) !== at; at = dirname(at)) missing.unshift(at)
  const made: string[] = []
  try {
    for (const each of missing) {
      mkdirSync(each, { mode: 0o755 })
      made.push(each)
    }
    return made
  } catch (error) {
    removeDirectories(made)
    throw error
  }
}

/** Takes them away again, as far as they are empty. */
export function removeDirectories(made: readonly string[]): void {
  try {
    for (const each of [...made].reverse()) rmdirSync(each)
  } catch {
    // somebody has put something in, or is in it
  }
}

function isThere(path: string): boolean {
  try {
    lstatSync(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
