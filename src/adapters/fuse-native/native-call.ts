import { assert } from '../../base/assert.js'
import type { Reply } from '../../channel/mount-port.js'
import type { NativeRequest } from './request.js'
import type { NativeValue, Signal } from './signals.js'

/** Where the calls in flight are kept. */
export interface NativeCallOwner {
  settled(call: NativeCall): void
  /** Something threw on behalf of the call: it is logged, and the call is answered EIO. */
  failed(call: NativeCall, error: unknown): void
  forget(inodes: readonly number[]): void
}

/**
 * One call of libfuse, which may take several of the handler's operations: those that walk its path, then its own. It is
 * answered exactly once: with the first failure, with what the last operation says, or with EIO when its time is up.
 */
export class NativeCall {
  readonly name: string
  readonly request: NativeRequest
  /** When it must be answered, as `performance.now()`. */
  readonly deadline: number
  readonly #owner: NativeCallOwner
  readonly #signal: Signal
  readonly #inodes: number[] = []
  #settled = false
  #interrupted = false
  #interrupt: (() => void) | undefined
  #atEnd: (() => void) | undefined

  constructor(owner: NativeCallOwner, name: string, request: NativeRequest, deadline: number, signal: Signal) {
    this.#owner = owner
    this.name = name
    this.request = request
    this.deadline = deadline
    this.#signal = signal
  }

  get settled(): boolean {
    return this.#settled
  }

  /** The handler counts a reference for each entry that it answers; all are given back when the call ends. */
  noteEntry(ino: number): void {
    if (this.#settled) this.#owner.forget([ino])
    else this.#inodes.push(ino)
  }

  /** Runs when the call is answered, however that comes about. */
  atEnd(listener: () => void): void {
    this.#atEnd = listener
  }

  /** `result`: 0, or a count of bytes. */
  succeed(result = 0): void {
    if (!this.#settled) this.#settle(result)
  }

  succeedWith(value: NativeValue): void {
    if (!this.#settled) this.#settle(0, value)
  }

  fail(errno: number): void {
    if (!this.#settled) this.#settle(-errno)
  }

  /**
   * What the handler answers an operation of this call with. `then` goes on with the value; after the call was answered,
   * because its time was up, `late` undoes what came of it.
   */
  reply<T>(then: (value: T) => void, late?: (value: T) => void): Reply<T> {
    let answered = false
    const answer = (perform: () => void): void => {
      assert(!answered, `a second answer to a ${this.name}`)
      answered = true
      this.#interrupt = undefined
      try {
        perform()
      } catch (error) {
        this.#owner.failed(this, error)
      }
    }
    return {
      ok: value => answer(() => (this.#settled ? late?.(value) : then(value))),
      fail: errno => answer(() => this.fail(errno)),
      onInterrupt: listener => {
        if (answered) return
        // Never called back from inside the handler's own call.
        if (this.#interrupted) queueMicrotask(() => !answered && listener())
        else this.#interrupt = listener
      },
    }
  }

  /** The handler may stop waiting on behalf of this call. */
  interrupt(): void {
    this.#interrupted = true
    const listener = this.#interrupt
    this.#interrupt = undefined
    listener?.()
  }

  #settle(result: number, value?: NativeValue): void {
    this.#settled = true
    this.#owner.settled(this)
    this.#atEnd?.()
    if (this.#inodes.length > 0) this.#owner.forget(this.#inodes)
    this.#signal(result, value)
  }
}
