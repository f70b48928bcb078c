import type { MemberId } from '../base/ids.js'
import { Limiter } from '../base/limiter.js'
import type { ChannelPorts, LogLevel } from './ports.js'

/** The same about the same member is said once in this time. */
const quietMs = 60_000

/** What is the same complaint, whatever its words: an index or a reason that the member chose makes it no other. */
export type Complaint =
  | 'contradiction'
  | 'damaged-entry'
  | 'differs'
  | 'foreign-number'
  | 'forged-origin'
  | 'nonsense'
  | 'payload'
  | 'says-it-differs'

/** What members do that none should. They cannot fill the log with it: what was left out is counted. */
export class Complaints {
  readonly #ports: ChannelPorts
  readonly #limiter = new Limiter(quietMs, 1)

  constructor(ports: ChannelPorts) {
    this.#ports = ports
  }

  about(member: MemberId, complaint: Complaint, level: LogLevel, message: string, fields: object = {}): void {
    const leftOut = this.#limiter.pass(`${member} ${complaint}`, this.#ports.monotonicMs())
    if (leftOut === undefined) return
    this.#ports.report(level, message, { ...fields, member, ...(leftOut > 0 ? { leftOut } : {}) })
  }
}
