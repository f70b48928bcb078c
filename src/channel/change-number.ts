import type { MemberId } from '../base/ids.js'
import type { View } from '../fs/view.js'

/** The place of a change among those of its member. */
export interface ChangeNumber {
  readonly session: number
  readonly sequence: number
}

/** In the order in which a member made them: below 0, 0 or above. */
export function compareChanges(a: ChangeNumber, b: ChangeNumber): number {
  return a.session - b.session || a.sequence - b.sequence
}

export function changeKey({ session, sequence }: ChangeNumber): string {
  return `${session}/${sequence}`
}

/** Puts a record with those of the same change. */
export function addToChange<T extends ChangeNumber>(changes: Map<string, T[]>, record: T): void {
  const key = changeKey(record)
  const parts = changes.get(key)
  if (parts === undefined) changes.set(key, [record])
  else parts.push(record)
}

/** The last of a member's changes that has its place: it was not refused, which earlier ones may have been. */
export function lastPlaced(view: View, origin: MemberId): ChangeNumber | undefined {
  return view.get('session', 0, origin)
}

/** Whether a member's change, or a later one, has its place already. */
export function hasPlace(view: View, origin: MemberId, change: ChangeNumber): boolean {
  const last = lastPlaced(view, origin)
  return last !== undefined && compareChanges(change, last) <= 0
}

/** Remembers, in the replicated state, the last of a member's changes that has its place. */
export function rememberPlace(view: View, { origin, session, sequence }: ChangeNumber & { origin: MemberId }): void {
  view.set('session', 0, origin, { session, sequence })
}
