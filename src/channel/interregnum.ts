import { EIO } from '../base/errno.js'
import { heartbeatTicks } from '../base/limits.js'
import type { Core } from './core.js'
import type { Waiters } from './waiters.js'

/** As long as an election takes that does not succeed at once. */
const waitMsMax = 5000
/** A leader that is well is heard of in each. */
const silenceTicks = 2 * heartbeatTicks

/**
 * The time between a leader's silence and the first entry of the next one; and between the start of a node, or a silence of
 * its own, and its having caught up. What was acknowledged last, by a member that is no more or by an earlier run of this
 * one, may not be shown here yet: the others have it, and only a leader knows that. A program that is started here must not
 * begin with less, so that names and files are not looked up before this member has caught up. But reads go on without a
 * majority, and so they do when no leader is found in time.
 */
export class Interregnum {
  readonly #core: Core
  readonly #waiters: Waiters
  /** It was waited in vain: nobody waits again before a leader is heard. */
  #isVain = false
  /** No leader was heard, and none has said since what there is. */
  #isBehind = true
  /** The read barrier that is out for that; a silence voids it. */
  #question: object | undefined

  constructor(core: Core, waiters: Waiters) {
    this.#core = core
    this.#waiters = waiters
  }

  get isOn(): boolean {
    const { raft, ports, self, views } = this.#core
    // with the first entry of a term all that was acknowledged before is applied (Raft §5.4.2)
    const isLed = this.#hearsLeader && views.applied.term === raft.term && !this.#isBehind
    if (isLed) this.#isVain = false
    if (isLed || this.#isVain) return false
    const { voters } = raft.configuration
    const connected = voters.filter(id => id === self || ports.transport.connected(id)).length
    return 2 * connected > voters.length
  }

  get #hearsLeader(): boolean {
    const { raft, ports } = this.#core
    const { leader } = raft
    if (raft.role === 'leader') return true
    return leader !== undefined && raft.silence <= silenceTicks && ports.transport.connected(leader)
  }

  tick(): void {
    if (!this.#hearsLeader) {
      this.#isBehind = true
      this.#question = undefined
    } else if (this.#isBehind && this.#question === undefined) this.#ask()
  }

  #ask(): void {
    const question = {}
    this.#question = question
    this.#waiters.readBarrier(waitMsMax, errno => {
      if (this.#question !== question) return
      this.#question = undefined
      if (errno === 0) this.#isBehind = false
    })
  }

  /** Calls `done` with 0 when this member has caught up, or nobody leads in time; with EINTR when it was given up. */
  wait(timeoutMs: number, done: (errno: number) => void): () => void {
    return this.#waiters.readBarrier(Math.min(timeoutMs, waitMsMax), errno => {
      if (errno === EIO) this.#isVain = true
      done(errno === EIO ? 0 : errno)
    })
  }
}
