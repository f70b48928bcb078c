import type { MemberId } from '../base/ids.js'
import { Limiter } from '../base/limiter.js'
import type { ChannelPorts, LogLevel } from './ports.js'

/** The same about the same member is said once in this time. */
const quietMs = 60_000

/** What a member did wrong stands in the status for so long. */
const shownMs = 600_000

/** What is the same complaint, whatever its words: an index or a reason that the member chose makes it no other. */
export type Complaint =
  | 'broken-chain'
  | 'contradiction'
  | 'damaged-entry'
  | 'differs'
  | 'foreign-number'
  | 'forged-origin'
  | 'nonsense'
  | 'old-home'
  | 'payload'
  | 'recovering'
  | 'says-it-differs'
  | 'second-node'
  | 'two-leaders'

/** What members do that none should. They cannot fill the log with it: what was left out is counted. */
export class Complaints {
  readonly #ports: ChannelPorts
  readonly #limiter = new Limiter(quietMs, 1)
  readonly #latest = new Map<
    MemberId,
    { readonly complaint: Complaint; readonly words: string; readonly atMs: number }
  >()

  constructor(ports: ChannelPorts) {
    this.#ports = ports
  }

  /** What is to be said about a member in a status: its latest wrong of some time. */
  latest(member: MemberId): string | undefined {
    const told = this.#latest.get(member)
    if (told === undefined || this.#ports.monotonicMs() - told.atMs > shownMs) return undefined
    return told.words
  }

  about(member: MemberId, complaint: Complaint, level: LogLevel, message: string, fields: object = {}): void {
    // who is named is authenticated: members only, which are few
    this.#latest.set(member, { complaint, words: message, atMs: this.#ports.monotonicMs() })
    const leftOut = this.#limiter.pass(`${member} ${complaint}`, this.#ports.monotonicMs())
    if (leftOut === undefined) return
    this.#ports.report(level, message, { ...fields, member, ...(leftOut > 0 ? { leftOut } : {}) })
  }

  /** It is over: the status has it no longer. */
  withdraw(member: MemberId, complaint: Complaint): void {
    if (this.#latest.get(member)?.complaint === complaint) this.#latest.delete(member)
  }
}
