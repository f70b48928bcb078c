import type { MemberId } from '../../../src/base/ids.js'
import type { StoredEntry } from '../../../src/channel/stored-entry.js'
import { check } from './violation.js'

/**
 * Exactly once (thesis §6.3): a member's changes stand in the history in their order, each one time, and none after the end
 * of its session.
 */
export class Sessions {
  readonly #ended = new Map<MemberId, number>()
  readonly #last = new Map<MemberId, { session: number; sequence: number }>()

  committed({ entry, operation }: StoredEntry): void {
    const { origin, session, sequence, index } = entry
    if (operation.kind === 'end-session') {
      const last = this.#last.get(operation.member)
      if (last !== undefined) this.#ended.set(operation.member, last.session)
    }
    if (session === 0) return
    const last = this.#last.get(origin)
    check('sessions', operation.kind === 'open-session' || session === last?.session, () => {
      return `entry ${index} is of session ${session} of ${origin}, which is not open`
    })
    check('sessions', session !== this.#ended.get(origin) || operation.kind === 'end-session', () => {
      return `entry ${index} is of session ${session} of ${origin}, which has ended`
    })
    const follows =
      last === undefined || session > last.session || (session === last.session && sequence > last.sequence)
    check('sessions', follows, () => {
      return `entry ${index} is change ${session}/${sequence} of ${origin}, after ${last!.session}/${last!.sequence}`
    })
    this.#last.set(origin, { session, sequence })
  }
}
