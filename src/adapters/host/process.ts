import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { basename } from 'node:path'

/** One run of a program: a pid alone may be another program's by the next look. */
export interface ProcessIdentity {
  readonly pid: number
  /** When it started, in clock ticks since the machine did; no two processes have both numbers in common. */
  readonly startTicks: number
}

/** What runs under that pid now; undefined: nothing, or what has ended and waits for its parent. */
export function identify(pid: number): ProcessIdentity | undefined {
  const found = stat(pid)
  return found === undefined || hasEnded(found) ? undefined : { pid, startTicks: found.startTicks }
}

/**
 * Whether that very process is still there. One that exits is, until the last of its threads has let go of its files,
 * also when its command line and its memory are gone already.
 */
export function stillRuns({ pid, startTicks }: ProcessIdentity): boolean {
  const found = stat(pid)
  return found !== undefined && found.startTicks === startTicks && !hasEnded(found)
}

/** Whether a process runs. One that has ended and waits for its parent (a zombie) does not. */
export function isRunning(pid: number): boolean {
  return identify(pid) !== undefined
}

/** Whether somebody stopped it (SIGSTOP, or Ctrl-Z): it does nothing until SIGCONT. */
export function isStopped(pid: number): boolean {
  return stat(pid)?.state === 'T'
}

/** The words a process was started with; empty when it is gone, or exits. */
export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  } catch {
    return []
  }
}

/** The name of its program, also while it exits; empty when it is gone. */
export function programName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1').trimEnd()
  } catch {
    return ''
  }
}

/** Whether a process has that very file open; false where neither can be looked at. */
export function hasOpen(pid: number, path: string): boolean {
  try {
    const { dev, ino } = statSync(path)
    return readdirSync(`/proc/${pid}/fd`).some(number => {
      const link = `/proc/${pid}/fd/${number}`
      // of others not even what they are is asked: one in a dead mount may not answer
      if (nameBehind(link) !== basename(path)) return false
      const found = statSync(link, { throwIfNoEntry: false })
      return found?.dev === dev && found.ino === ino
    })
  } catch {
    return false
  }
}

/** Empty when it is closed by now. */
function nameBehind(link: string): string {
  try {
    return basename(readlinkSync(link))
  } catch {
    return ''
  }
}

interface Stat {
  readonly state: string
  readonly threads: number
  readonly startTicks: number
}

/** A process whose first thread is a zombie goes on as long as it has others. */
function hasEnded({ state, threads }: Stat): boolean {
  return state === 'X' || (state === 'Z' && threads <= 1)
}

function stat(pid: number): Stat | undefined {
  try {
    // proc_pid_stat(5): `pid (comm) state …`; comm may hold anything, so look behind its last parenthesis.
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0]!, threads: Number(fields[17]), startTicks: Number(fields[19]) }
  } catch {
    return undefined
  }
}
