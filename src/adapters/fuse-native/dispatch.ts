import { AssertionFailure } from '../../base/assert.js'
import { EIO, ENOTCONN } from '../../base/errno.js'
import { messageOf } from '../../base/errors.js'
import type { Caller, FileSystemHandler, MountOptions } from '../../channel/mount-port.js'
import { attributeOperations } from './attribute-operations.js'
import type { Binding, NativeHandler } from './binding.js'
import { creationMode, type OperationContext, type Performers } from './context.js'
import { fileOperations } from './file-operations.js'
import { nameOperations } from './name-operations.js'
import { NativeCall, type NativeCallOwner } from './native-call.js'
import { OpenTable } from './open-table.js'
import { operationNames, type OperationName } from './operations.js'
import { Paths } from './paths.js'
import type { ProcessMemory } from './process-memory.js'
import { NativeRequest } from './request.js'
import { signalOf } from './signals.js'

const SWEEP_MS = 1000

/**
 * Takes libfuse's calls and hands them to the handler. Each is answered exactly once, and in time: libfuse waits for an
 * answer in a thread of its own, without a limit, and cannot pass on that the caller was interrupted.
 *
 * INVARIANT: `#calls` holds exactly the calls that are not answered, the oldest first.
 */
export class NativeDispatcher implements NativeCallOwner {
  readonly #binding: Binding
  readonly #memory: ProcessMemory
  readonly #log: MountOptions['log']
  readonly #deadlineMs: number
  readonly #handler: FileSystemHandler
  readonly #performers: Performers
  readonly #started: () => void
  readonly #calls = new Set<NativeCall>()
  readonly #sweep: NodeJS.Timeout
  #closed = false
  operations = 0
  errors = 0

  /** `started`: the kernel has greeted the mount. */
  constructor(
    binding: Binding,
    memory: ProcessMemory,
    handler: FileSystemHandler,
    options: Pick<MountOptions, 'allowOther' | 'log'>,
    deadlineMs: number,
    started: () => void,
  ) {
    this.#binding = binding
    this.#memory = memory
    this.#log = options.log
    this.#handler = handler
    this.#deadlineMs = deadlineMs
    this.#started = started
    // The kernel has taken the umask off already: what is left of the mode is for a default ACL, if there is one.
    const caller: Caller = { uid: process.geteuid!(), gid: process.getegid!(), pid: 0, umask: 0 }
    const files = new OpenTable()
    const context: OperationContext = {
      handler,
      caller,
      files,
      paths: new Paths(handler, caller, files),
      creationMode: creationMode(options.allowOther),
      writeKillsPrivileges: options.allowOther || caller.uid !== 0,
    }
    this.#performers = { ...nameOperations(context), ...attributeOperations(context), ...fileOperations(context) }
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS)
    this.#sweep.unref()
  }

  /** What the native part calls, by the operations' numbers. */
  handlers(): NativeHandler[] {
    const handlers: NativeHandler[] = []
    for (const name of operationNames) {
      handlers[this.#binding.number[name]] = (locals, operation, ...args) =>
        this.#dispatch(name, locals, operation, args)
    }
    // An array with holes makes the native part refer to nothing, which it does not survive.
    return Array.from(handlers, handler => handler ?? (() => undefined))
  }

  implemented(): Uint32Array {
    const implemented = new Uint32Array(35)
    for (const name of operationNames) implemented[this.#binding.number[name]] = 1
    return implemented
  }

  /** The mount has ended, or is given up: what is in flight, and what still comes, is answered ENOTCONN. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#sweep)
    for (const call of this.#calls) this.#give(call, ENOTCONN)
  }

  /** Calls in flight. */
  get pending(): number {
    return this.#calls.size
  }

  settled(call: NativeCall): void {
    this.#calls.delete(call)
    this.operations++
  }

  failed(call: NativeCall, error: unknown): void {
    this.errors++
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#log('error', 'a request failed', { operation: call.name, error: words })
    call.fail(EIO)
    // Not from here: the native part would end the process without a word.
    if (error instanceof AssertionFailure) {
      setImmediate(() => {
        throw error
      })
    }
  }

  forget(inodes: readonly number[]): void {
    this.#handler.forget(inodes.map(ino => ({ ino, count: 1 })))
  }

  #dispatch(name: OperationName, locals: Buffer, operation: number, args: readonly unknown[]): void {
    if (name === 'init') {
      this.#binding.signal.init(locals, 0)
      return this.#started()
    }
    const request = new NativeRequest(locals, operation, this.#memory)
    const signal = signalOf(this.#binding, name, locals, args)
    const call = new NativeCall(this, name, request, performance.now() + this.#deadlineMs, signal)
    this.#calls.add(call)
    // The last closes are heard to the end, for the handler's books.
    if (this.#closed && name !== 'release') return call.fail(ENOTCONN)
    try {
      request.check()
      const perform = this.#performers[name] as (call: NativeCall, ...args: readonly unknown[]) => void
      perform(call, ...args)
    } catch (error) {
      this.failed(call, error)
    }
  }

  #expire(): void {
    const now = performance.now()
    for (const call of this.#calls) {
      if (call.deadline > now) return
      this.errors++
      this.#log('warn', 'a request was not answered in time', { operation: call.name, timeoutMs: this.#deadlineMs })
      this.#give(call, EIO)
    }
  }

  /** Answers in the handler's place, and lets it know. */
  #give(call: NativeCall, errno: number): void {
    call.fail(errno)
    try {
      call.interrupt()
    } catch (error) {
      this.errors++
      this.#log('error', 'an interrupted request failed', { operation: call.name, error: messageOf(error) })
    }
  }
}
