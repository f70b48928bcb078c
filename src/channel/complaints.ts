import type { MemberId } from '../base/ids.js'
import type { ChannelPorts, LogLevel } from './ports.js'

/** The same about the same member is said once in this time. */
const quietMs = 60_000

/** What is the same complaint, whatever its words: an index or a reason that the member chose makes it no other. */
export type Complaint =
  'contradiction' | 'damaged-entry' | 'differs' | 'forged-origin' | 'nonsense' | 'payload' | 'says-it-differs'

/** What members do that none should. They cannot fill the log with it: what was left out is counted. */
export class Complaints {
  readonly #ports: ChannelPorts
  readonly #said = new Map<string, { atMs: number; leftOut: number }>()

  constructor(ports: ChannelPorts) {
    this.#ports = ports
  }

  about(member: MemberId, complaint: Complaint, level: LogLevel, message: string, fields: object = {}): void {
    const key = `${member} ${complaint}`
    const now = this.#ports.monotonicMs()
    const known = this.#said.get(key)
    if (known !== undefined && now - known.atMs < quietMs) {
      known.leftOut++
      return
    }
    // at most one for each of the channel's members and complaints, now and in the past
    this.#said.set(key, { atMs: now, leftOut: 0 })
    const leftOut = known?.leftOut ?? 0
    this.#ports.report(level, message, { ...fields, member, ...(leftOut > 0 ? { leftOut } : {}) })
  }
}
