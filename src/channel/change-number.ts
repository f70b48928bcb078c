import type { MemberId } from '../base/ids.js'
import { madeInode, type Operation } from '../fs/operation.js'
import { earlierSessionsMax, type Session } from '../fs/records.js'
import type { View } from '../fs/view.js'
import { earlyInodes, inodesPerSlot } from './descriptor.js'

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
export function lastPlaced(view: View, origin: MemberId): Session | undefined {
  return view.get('session', 0, origin)
}

/**
 * What a change is to the order: `next`: it can have a place now; `placed`: it, or a later one of its session, has one
 * already; `ended`: its session is not the one that is open, so that it never gets one.
 */
export type Standing = 'next' | 'placed' | 'ended'

export function standingOf(view: View, origin: MemberId, change: ChangeNumber, operation: Operation): Standing {
  const last = lastPlaced(view, origin)
  if (last !== undefined && change.session === last.session) {
    if (change.sequence <= last.sequence) return 'placed'
    return last.ended ? 'ended' : 'next'
  }
  const opens = operation.kind === 'open-session' && change.session > (last?.session ?? 0)
  return opens ? 'next' : 'ended'
}

/** Whether a member's change is part of the applied state, as far as the sessions tell that its record names. */
export function isPlaced(last: Session | undefined, change: ChangeNumber): boolean {
  if (last === undefined) return false
  const own = [last, ...(last.earlier ?? [])].find(({ session }) => session === change.session)
  return own !== undefined && change.sequence <= own.sequence && refusalOf(last, change) === undefined
}

/** Why a member's change has no place although later ones of its session have one; undefined: it has, as far as the state tells. */
export function refusalOf(last: Session | undefined, change: ChangeNumber): number | undefined {
  return last?.refused?.find(refused => compareChanges(refused, change) === 0)?.errno
}

/** Whether no change of a session is taken any more. */
export function hasEnded(last: Session | undefined, session: number): boolean {
  return last !== undefined && (session < last.session || (session === last.session && last.ended === true))
}

/** Remembers, in the replicated state, the last of a member's changes that has its place. */
export function rememberPlace(
  view: View,
  { origin, session, sequence }: ChangeNumber & { origin: MemberId },
  operation: Operation,
): void {
  // a leader's own entries are of no session
  if (session === 0) return
  const last = lastPlaced(view, origin)
  if (last !== undefined && last.session === session) {
    const made = madeInode(operation) ?? 0
    const isHigher = last.inode !== undefined && made > last.inode && made % inodesPerSlot < earlyInodes
    view.set('session', 0, origin, isHigher ? { ...last, sequence, inode: made } : { ...last, sequence })
  } else {
    // before there were `open-session` operations, a process simply began with another number
    const names = operation.kind === 'open-session' && last !== undefined
    const before = { session: last?.session ?? 0, sequence: last?.sequence ?? 0 }
    const earlier = names ? { earlier: [before, ...(last.earlier ?? [])].slice(0, earlierSessionsMax) } : {}
    const inode = operation.kind === 'open-session' ? { inode: last?.inode ?? 0 } : {}
    const refused = last?.refused === undefined ? {} : { refused: last.refused }
    view.set('session', 0, origin, { session, sequence, ...earlier, ...inode, ...refused })
  }
}
