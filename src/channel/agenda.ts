import { EIO } from '../base/errno.js'
import { KiB } from '../base/limits.js'
import type { ChannelPorts } from './ports.js'

/** Changes that nobody waits for are sent and synced in batches of so many bytes, or after so many milliseconds. */
const batchBytes = 512 * KiB
const batchMs = 3

/** What the end of the turn is to do: who gets an answer, and whether what is queued goes out with it. */
export class Agenda {
  readonly #ports: ChannelPorts
  /** Ends the event at hand; the rest of the turn runs when all events that are ready have been dealt with. */
  readonly turn: () => void
  readonly #endTurn: () => void
  #answers: ((isWritten: boolean) => void)[] = []
  #scheduled = false
  #closed = false
  #urgent = true
  #pushArmed = false
  #unsentBytes = 0

  /** `turn` ends an event, by `schedule`; `endTurn` is what is scheduled. */
  constructor(ports: ChannelPorts, turn: () => void, endTurn: () => void) {
    this.#ports = ports
    this.turn = turn
    this.#endTurn = endTurn
  }

  schedule(): void {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    this.#ports.schedule(() => {
      this.#scheduled = false
      if (!this.#closed) this.#endTurn()
    })
  }

  /** No turn ends any more. */
  close(): void {
    this.#closed = true
  }
  get closed(): boolean {
    return this.#closed
  }

  /** What is queued must go out at the end of this turn. */
  hurry(): void {
    this.#urgent = true
  }

  /** Something that is not urgent waits to be sent and synced. */
  unsent(bytes: number): void {
    this.#unsentBytes += bytes
  }

  /** Whether what is queued goes out now; if so it counts as gone, if not it will within `batchMs`. */
  takePush(someoneWaits: boolean): boolean {
    if (!this.#urgent && this.#unsentBytes < batchBytes && !someoneWaits) {
      this.#pushLater()
      return false
    }
    this.#urgent = false
    this.#unsentBytes = 0
    return true
  }

  /**
   * Changes that nobody waits for leave together: with the next message that is due (an acknowledgement of the batch
   * before, as a rule), when they are many, or after some milliseconds.
   */
  #pushLater(): void {
    if (this.#pushArmed) return
    this.#pushArmed = true
    this.#ports.delay(batchMs, () => {
      this.#pushArmed = false
      this.#urgent = true
      this.turn()
    })
  }

  /** An answer to a program, given once all that is staged is written; or, without that, while the disk is full. */
  answer(callback: (isWritten: boolean) => void): void {
    this.#answers.push(callback)
  }
  /** As `answer`, to a change: what only memory holds may come true, or not, so it is EIO, and `untold` comes before it. */
  answerChange(done: (errno: number) => void, untold: () => void): void {
    this.answer(isWritten => {
      if (!isWritten) untold()
      done(isWritten ? 0 : EIO)
    })
  }
  get hasAnswers(): boolean {
    return this.#answers.length > 0
  }

  /** Gives the answers; those that this brings about wait for the next time. */
  giveAnswers(isWritten: boolean): void {
    const answers = this.#answers
    this.#answers = []
    for (const answer of answers) answer(isWritten)
  }
}
