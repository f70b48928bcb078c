import { messageOf, RkfsError } from '../base/errors.js'
import type { ChannelPorts } from './ports.js'

export function isDiskFull(error: unknown): error is RkfsError {
  return error instanceof RkfsError && error.code === 'disk-full'
}

/**
 * What keeps this member from serving.
 *
 * INVARIANT: failure and quarantine, once there, stay until the channel is opened anew; `stopped` is called once for each.
 */
export class Health {
  readonly #ports: ChannelPorts
  readonly #stopped: (reason: string) => void
  /** The log, or the state, cannot be written for want of room. */
  #logFull: string | undefined
  #stateFull: string | undefined
  #failure: string | undefined
  #quarantine: string | undefined
  #damage: string | undefined
  /** The state was lost and the log no longer reaches back to its beginning. */
  stateMissing = false
  /** The channel stands still while a snapshot replaces its state. */
  restoring = false

  /** `stopped` is told why this member serves no more. */
  constructor(ports: ChannelPorts, stopped: (reason: string) => void) {
    this.#ports = ports
    this.#stopped = stopped
  }

  get logFull(): string | undefined {
    return this.#logFull
  }
  get diskFull(): string | undefined {
    return this.#logFull ?? this.#stateFull
  }
  get failure(): string | undefined {
    return this.#failure
  }
  get quarantine(): string | undefined {
    return this.#quarantine
  }
  get damage(): string | undefined {
    return this.#damage
  }
  /** It may vote and acknowledge: neither failed nor quarantined. */
  get sound(): boolean {
    return this.#quarantine === undefined && this.#failure === undefined
  }
  get serving(): boolean {
    return this.sound && !this.stateMissing
  }

  /** Something could not be read; what is whole is still served. */
  damaged(error: unknown): void {
    if (this.#damage !== undefined) return
    this.#damage = messageOf(error)
    this.#ports.report('error', `something on this member's disk cannot be read: ${this.#damage}`)
  }

  /** This member's state or log differs from the others'. */
  quarantineSelf(reason: string): void {
    if (this.#quarantine !== undefined) return
    this.#quarantine = reason
    this.#ports.report('error', `this member stops serving: ${reason}`)
    this.#stopped(reason)
  }

  /** A fault of this member's own storage: it stops, so that it says nothing that is not so. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = messageOf(error)
    this.#ports.report('error', `the channel stops here: ${this.#failure}`)
    this.#stopped(this.#failure)
  }

  /**
   * A term or vote that does not fit on the disk: the core changed nothing, and what asked for it comes again. One that
   * cannot be written for another reason stops this member.
   */
  guardDisk(step: () => void): void {
    try {
      step()
    } catch (error) {
      // the next try may have the reserve
      if (isDiskFull(error)) {
        this.#ports.disk.release()
        this.#logFull = error.message
      } else if (error instanceof RkfsError && error.code === 'failed') this.fail(error)
      else throw error
    }
  }

  /** A write of the state that is tried again fails for want of room; any other failure stops this member. */
  stateWriteFailed(error: unknown): void {
    if (!isDiskFull(error)) return this.fail(error)
    if (this.#stateFull === undefined) this.#ports.report('error', error.message)
    this.#stateFull = error.message
  }

  stateWritten(): void {
    this.#stateFull = undefined
  }

  /** As `stateWriteFailed`, for the log: without it nothing is answered. */
  logWriteFailed(error: unknown): void {
    if (!isDiskFull(error)) return this.fail(error)
    if (this.#logFull === undefined) this.#ports.report('error', error.message)
    this.#logFull = error.message
  }

  logWritten(): void {
    this.#ports.report('info', 'the disk has room again')
    this.#logFull = undefined
  }
}
