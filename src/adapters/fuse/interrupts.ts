import { readFileSync } from 'node:fs'
import type { Call } from './call.js'
import { Op } from './protocol.js'

/**
 * A call is not given up for a signal before it has taken this long, unless its caller dies of the signal. A local file
 * system never fails with EINTR, programs whose timers tick (SIGALRM with SA_RESTART) do not expect it, and the kernel
 * does not repeat a FUSE call: so a call that only takes its time ends well, and one that is stuck ends at once.
 */
export const PATIENCE_MS = 500
/** How often the calls that may have become too old are looked at. */
const SWEEP_MS = 100

const SIGKILL_BIT = 1n << 8n
/** PF_EXITING (include/linux/sched.h) */
const EXITING = 4

/** Ends calls whose callers do not want to wait any longer: those that got a signal, and those that are going away. */
export class Interrupts {
  readonly #calls: ReadonlyMap<number, Call<never>>
  readonly #failed: (call: Call<never>, error: unknown) => void
  readonly #signalled = new Set<Call<never>>()
  #sweep: NodeJS.Timeout | undefined

  /** `calls`: those in flight. `failed` hears of a listener that threw. */
  constructor(calls: ReadonlyMap<number, Call<never>>, failed: (call: Call<never>, error: unknown) => void) {
    this.#calls = calls
    this.#failed = failed
  }

  /** A signal reached the caller (INTERRUPT). Who waits for a lock may do so for ever, and has nothing to lose. */
  signal(call: Call<never>): void {
    if (call.opcode === Op.SETLKW || call.ageMs >= PATIENCE_MS || isDying(call.pid)) return this.#end(call)
    this.#signalled.add(call)
    this.#sweepLater()
  }

  /**
   * A file is closed, perhaps by the death of its program, whom no signal can reach any more (do_exit closes the files
   * after the last one was taken) and whose parent waits: nobody hears what such a call is answered.
   */
  closing(): void {
    this.#sweepLater()
  }

  /** The connection is gone. */
  all(): void {
    clearTimeout(this.#sweep)
    for (const call of this.#calls.values()) this.#end(call)
  }

  #sweepLater(): void {
    this.#sweep ??= setTimeout(() => this.#look(), SWEEP_MS).unref()
  }

  #look(): void {
    this.#sweep = undefined
    let more = false
    for (const call of this.#signalled) {
      if (call.settled) this.#signalled.delete(call)
      else if (call.ageMs < PATIENCE_MS && !isDying(call.pid)) more = true
      else {
        this.#signalled.delete(call)
        this.#end(call)
      }
    }
    for (const call of this.#calls.values()) {
      if (call.opcode !== Op.FLUSH) continue
      if (call.ageMs >= PATIENCE_MS && isExiting(call.pid)) this.#end(call)
      else more = true
    }
    if (more) this.#sweepLater()
  }

  #end(call: Call<never>): void {
    try {
      call.interrupt()
    } catch (error) {
      this.#failed(call, error)
    }
  }
}

/** Whether a thread has been killed, and only waits for us to be gone. */
function isDying(thread: number): boolean {
  const pending = /^SigPnd:\s*([0-9a-f]+)$/m.exec(readProc(thread, 'status'))?.[1]
  return pending !== undefined && (BigInt(`0x${pending}`) & SIGKILL_BIT) !== 0n
}

/** Whether a thread is on its way out (exit(2), or any death). */
function isExiting(thread: number): boolean {
  const stat = readProc(thread, 'stat')
  // after the name, which may hold anything: state, ppid, pgrp, session, tty, tpgid, flags (proc_pid_stat(5))
  const flags = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]
  return flags !== undefined && (Number(flags) & EXITING) !== 0
}

/** Empty for a caller that is gone, or not in our PID namespace. */
function readProc(thread: number, file: string): string {
  if (thread === 0) return ''
  try {
    return readFileSync(`/proc/${thread}/${file}`, 'latin1')
  } catch {
    return ''
  }
}
