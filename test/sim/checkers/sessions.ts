import type { MemberId } from '../../../src/base/ids.js'
import type { EntryHeader } from '../../../src/oplog/entry.js'
import { check } from './violation.js'

/** Exactly once (thesis §6.3): a member's changes stand in the history in their order, each one time. */
export class Sessions {
  readonly #last = new Map<MemberId, { session: number; sequence: number }>()

  committed({ kind, origin, session, sequence, index }: EntryHeader): void {
    if (kind === 'noop') return
    const last = this.#last.get(origin)
    const follows =
      last === undefined || session > last.session || (session === last.session && sequence > last.sequence)
    check('sessions', follows, () => {
      return `entry ${index} is change ${session}/${sequence} of ${origin}, after ${last!.session}/${last!.sequence}`
    })
    this.#last.set(origin, { session, sequence })
  }
}
