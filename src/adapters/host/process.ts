import { readFileSync } from 'node:fs'

/** Whether a process runs. One that has ended and waits for its parent (a zombie) does not. */
export function isRunning(pid: number): boolean {
  try {
    // proc_pid_stat(5): `pid (comm) state …`; comm may hold anything, so look behind its last parenthesis.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
    return state !== 'Z' && state !== 'X'
  } catch {
    return false
  }
}

/** The words a process was started with; empty when it is gone. */
export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  } catch {
    return []
  }
}
