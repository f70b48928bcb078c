import type { MemberId } from '../base/ids.js'
import type { Complaint, Complaints } from './complaints.js'

export interface Finding {
  readonly member: MemberId
  readonly words: string
}

/** What is wrong with members, as long as it is: said in the log at once, and by `status` with exit code 1. */
export class Findings {
  readonly #complaints: Complaints
  readonly #found = new Map<string, Finding>()

  constructor(complaints: Complaints) {
    this.#complaints = complaints
  }

  get all(): Finding[] {
    return [...this.#found.values()]
  }

  ofKind(kind: Complaint): Finding[] {
    return [...this.#found].filter(([key]) => key.endsWith(` ${kind}`)).map(([, finding]) => finding)
  }

  /** At most one of each kind for a member. */
  add(member: MemberId, kind: Complaint, words: string): void {
    const known = this.#found.get(`${member} ${kind}`)
    this.#found.set(`${member} ${kind}`, { member, words })
    if (known === undefined) this.#complaints.about(member, kind, 'error', words)
  }

  clear(member: MemberId, kind: Complaint): void {
    if (this.#found.delete(`${member} ${kind}`)) this.#complaints.withdraw(member, kind)
  }
}
