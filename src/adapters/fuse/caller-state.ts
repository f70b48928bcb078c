import { readFileSync, readlinkSync } from 'node:fs'

/**
 * What becomes of the thread that made a call, as /proc tells it (proc_pid_status(5), proc_pid_stat(5)). Such a file is made
 * by the kernel out of memory: reading it waits for no disk.
 */
export interface CallerStates {
  /** Whether a thread that waits dies of a signal as soon as its call has an answer. */
  isDying(thread: number): boolean
  /** Whether a thread is on its way out (exit(2), or any death): no signal reaches it any more. */
  isExiting(thread: number): boolean
}

/** PF_EXITING (include/linux/sched.h) */
const EXITING = 4

const bit = (signal: number): bigint => 1n << BigInt(signal - 1)
const SIGKILL = bit(9)
/** signal(7): their default action is to do nothing (CHLD, CONT, URG, WINCH), or to stop (STOP, TSTP, TTIN, TTOU). */
const harmless = [17, 18, 23, 28, 19, 20, 21, 22].reduce((set, signal) => set | bit(signal), 0n)

/**
 * Whether a thread with this /proc/PID/status dies of what is pending. What is fatal to a whole process, and so to each of
 * its threads, stands as SIGKILL with each of them (complete_signal in the kernel, zap_other_threads for exit_group and
 * execve), except where a core dump comes first (SIGQUIT): then only the signal itself is there.
 */
export function isFatal(status: string): boolean {
  const set = (name: string): bigint => {
    const digits = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1]
    return digits === undefined ? 0n : BigInt(`0x${digits}`)
  }
  const own = set('SigPnd')
  if ((own & SIGKILL) !== 0n) return true
  // what becomes of its other signals is up to a debugger; the first process of a namespace has no default actions
  if (!/^TracerPid:\s*0$/m.test(status) || /^NSpid:.*\s1$/m.test(status)) return false
  return ((own | set('ShdPnd')) & ~set('SigBlk') & ~set('SigIgn') & ~set('SigCgt') & ~harmless) !== 0n
}

/** Whether a thread with this /proc/PID/stat is on its way out. */
export function isOnItsWayOut(stat: string): boolean {
  // after the name, which may hold anything: state, ppid, pgrp, session, tty, tpgid, flags
  const flags = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]
  return flags !== undefined && (Number(flags) & EXITING) !== 0
}

/** Callers of the PID namespace of this process. Of those elsewhere (thread 0), and of those that are gone, nothing is known. */
export function callerStates(): CallerStates {
  const isOurs = ownProc()
  const read = (thread: number, file: string): string => (isOurs && thread !== 0 ? readProc(thread, file) : '')
  return {
    isDying: thread => isFatal(read(thread, 'status')),
    isExiting: thread => isOnItsWayOut(read(thread, 'stat')),
  }
}

/** Whether /proc counts processes as this one does: another namespace's names others by the same numbers. */
function ownProc(): boolean {
  try {
    return readlinkSync('/proc/self') === String(process.pid)
  } catch {
    return false
  }
}

function readProc(thread: number, file: string): string {
  try {
    return readFileSync(`/proc/${thread}/${file}`, 'latin1')
  } catch {
    return ''
  }
}
