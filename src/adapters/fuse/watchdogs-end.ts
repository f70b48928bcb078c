import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** The name by which a watchdog's shell is known; its next arguments are the daemon's process and the directory. */
export const WATCHDOG_NAME = 'rkfs-watchdog'
const POLL_MS = 20

/**
 * Waits for the watchdogs of earlier mounts at a directory: one that is late unmounts by the path, and so would take away
 * what was mounted there after it. Answers false when they are still there after `limitMs`.
 */
export async function watchdogsEnd(directory: string, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs
  while (watchesOver(directory)) {
    if (performance.now() > deadline) return false
    await sleep(POLL_MS)
  }
  return true
}

function watchesOver(directory: string): boolean {
  return readdirSync('/proc').some(entry => {
    if (!/^\d+$/.test(entry)) return false
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')
      return words[3] === WATCHDOG_NAME && words[5] === directory
    } catch {
      return false
    }
  })
}
