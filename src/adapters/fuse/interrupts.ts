import type { Call } from './call.js'
import { callerStates, type CallerStates } from './caller-state.js'
import { Op } from './protocol.js'

/** The last close of a program that ends is waited for as long. */
const CLOSE_PATIENCE_MS = 500
/** How often callers are looked at. */
const SWEEP_MS = 100
/** Callers that are looked at in one sweep, each some 30 µs. */
const LOOKS_MAX = 64

/**
 * Ends calls whose callers are going away. A local file system never fails with EINTR (signal(7)), programs whose timers
 * tick (SIGALRM, even with SA_RESTART) do not expect it, and the kernel does not repeat a FUSE call: so who only handles
 * a signal waits on, for the answer or the time limit.
 */
export class Interrupts {
  readonly #calls: ReadonlyMap<number, Call<never>>
  readonly #failed: (call: Call<never>, error: unknown) => void
  readonly #callers: CallerStates
  readonly #signalled = new Set<Call<never>>()
  readonly #closing = new Set<Call<never>>()
  #sweep: NodeJS.Timeout | undefined

  /** `calls`: those in flight. `failed` hears of a listener that threw. */
  constructor(
    calls: ReadonlyMap<number, Call<never>>,
    failed: (call: Call<never>, error: unknown) => void,
    callers = callerStates(),
  ) {
    this.#calls = calls
    this.#failed = failed
    this.#callers = callers
  }

  /**
   * A signal reached the caller (INTERRUPT); the kernel says so of the first one only. A wait for a lock ends with any
   * (fcntl(2), flock(2)): it may last for ever.
   */
  signal(call: Call<never>): void {
    if (call.opcode === Op.SETLKW || this.#callers.isDying(call.pid)) return this.#end(call)
    this.#signalled.add(call)
    this.#sweepLater()
  }

  /**
   * A file is closed, perhaps by the death of its program, whom no signal can reach any more (do_exit closes the files
   * after the last one was taken) and whose parent waits: nobody hears what such a call is answered.
   */
  closing(call: Call<never>): void {
    this.#closing.add(call)
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
    this.#endThose(this.#signalled, call => this.#callers.isDying(call.pid))
    this.#endThose(this.#closing, call => call.ageMs >= CLOSE_PATIENCE_MS && this.#callers.isExiting(call.pid))
    if (this.#signalled.size + this.#closing.size > 0) this.#sweepLater()
  }

  /** Those that wait longest for a look come first. */
  #endThose(calls: Set<Call<never>>, isOver: (call: Call<never>) => boolean): void {
    for (const call of calls) if (call.settled) calls.delete(call)
    for (const call of [...calls].slice(0, LOOKS_MAX)) {
      calls.delete(call)
      if (isOver(call)) this.#end(call)
      else calls.add(call)
    }
  }

  #end(call: Call<never>): void {
    try {
      call.interrupt()
    } catch (error) {
      this.#failed(call, error)
    }
  }
}
