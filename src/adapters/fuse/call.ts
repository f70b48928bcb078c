import { assert } from '../../base/assert.js'
import type { Caller, Reply } from '../../channel/mount-port.js'

/** How an operation's answer is sent. */
export type Answer<T> = (unique: number, value: T) => void

/** Where the calls in flight are kept. */
export interface CallOwner {
  /** The call was answered with `value`. */
  settleOk<T>(call: Call<T>, answer: Answer<T>, value: T): void
  settleFail(call: Call<never>, errno: number): void
}

/** One request in flight: the `Reply` that the handler gets. Answered exactly once. */
export class Call<T> implements Reply<T> {
  readonly unique: number
  readonly opcode: number
  /** The calling thread; 0 where it is not in our PID namespace. */
  readonly pid: number
  readonly #begun = performance.now()
  readonly #owner: CallOwner
  readonly #answer: Answer<T>
  #settled = false
  #interrupted = false
  #listener: (() => void) | undefined

  constructor(owner: CallOwner, request: Caller & { unique: number; opcode: number }, answer: Answer<T>) {
    this.#owner = owner
    this.unique = request.unique
    this.opcode = request.opcode
    this.pid = request.pid
    this.#answer = answer
  }

  get settled(): boolean {
    return this.#settled
  }

  get ageMs(): number {
    return performance.now() - this.#begun
  }

  ok(value: T): void {
    this.#settle()
    this.#owner.settleOk(this, this.#answer, value)
  }

  fail(errno: number): void {
    assert(errno > 0 && errno < 512, `errno ${errno} is not one the kernel takes`)
    this.#settle()
    this.#owner.settleFail(this as Call<never>, errno)
  }

  onInterrupt(listener: () => void): void {
    if (this.#settled) return
    // A signal may have come while the request waited its turn; never call back from inside the handler's own call.
    if (this.#interrupted) queueMicrotask(listener)
    else this.#listener = listener
  }

  interrupt(): void {
    if (this.#interrupted) return
    this.#interrupted = true
    const listener = this.#listener
    this.#listener = undefined
    listener?.()
  }

  #settle(): void {
    assert(!this.#settled, `a second answer to FUSE request ${this.unique} (operation ${this.opcode})`)
    this.#settled = true
    this.#listener = undefined
  }
}
