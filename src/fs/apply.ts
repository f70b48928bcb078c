import { unreachable } from '../base/assert.js'
import { EEXIST } from '../base/errno.js'
import { removeXattr, setAccessTimes, setAttributes, setXattr } from './attributes.js'
import { usePages } from './chunks.js'
import { allocate, clone, relocate, write, writeBack } from './content.js'
import { link, make, remove, rename } from './names.js'
import type { Operation } from './operation.js'
import { refusedMax } from './records.js'
import type { View } from './view.js'

export { getInode } from './inodes.js'

/** Where a change stands: its time at its origin, and the number that names its blobs (`blobId`). */
export interface Place {
  readonly time: bigint
  /** The entry's index, or minus the sequence number of a change that is not ordered yet. */
  readonly number: number
}

/**
 * The state machine: applies an operation to a view, or answers the errno that says why not, in which case nothing
 * changed. Deterministic and total: the same view and operation give the same result on every member.
 *
 * Permissions are not checked here: the kernel did, where the change began (`default_permissions`).
 */
export function apply(view: View, operation: Operation, place: Place): number {
  switch (operation.kind) {
    case 'make':
      return make(view, operation, place)
    case 'link':
      return link(view, operation, place)
    case 'unlink':
    case 'rmdir':
      return remove(view, operation, place)
    case 'rename':
      return rename(view, operation, place)
    case 'setattr':
      return setAttributes(view, operation, place)
    case 'write':
    case 'append':
      return write(view, operation, place)
    case 'write-back':
      return writeBack(view, operation, place)
    case 'allocate':
      return allocate(view, operation, place)
    case 'clone':
      return clone(view, operation, place)
    case 'relocate':
      return relocate(view, operation, place)
    case 'access':
      return setAccessTimes(view, operation)
    case 'setxattr':
      return setXattr(view, operation, place)
    case 'removexattr':
      return removeXattr(view, operation, place)
    case 'members': {
      const current = view.get('setting', 0, 'members')
      // the version is the first thing in the descriptor's record: only a direct successor may follow
      if (membersVersion(current) + 1 !== operation.version) return EEXIST
      view.set('setting', 0, 'members', membersRecord(operation.version, operation.descriptor))
      return 0
    }
    case 'mark':
      return 0
    case 'open-session':
      // what it opens stands in its envelope (`rememberPlace`)
      if (operation.chunkExtents !== undefined) usePages(view, operation.chunkExtents)
      return 0
    case 'end-session': {
      const session = view.get('session', 0, operation.member)
      if (session !== undefined) view.set('session', 0, operation.member, { ...session, ended: true })
      return 0
    }
    case 'refuse': {
      const session = view.get('session', 0, operation.member)
      if (session === undefined) return 0
      const { member, session: of, sequence, errno } = operation
      const refused = [...(session.refused ?? []), { session: of, sequence, errno }]
      view.set('session', 0, member, { ...session, refused: refused.slice(-refusedMax) })
      return 0
    }
    default:
      return unreachable(operation)
  }
}

export function membersRecord(version: number, descriptor: Uint8Array): Uint8Array {
  const record = new Uint8Array(8 + descriptor.length)
  new DataView(record.buffer).setUint32(0, version, true)
  record.set(descriptor, 8)
  return record
}

/** The version in a `members` setting; 0 when there is none. */
export function membersVersion(record: Uint8Array | undefined): number {
  return record === undefined ? 0 : new DataView(record.buffer, record.byteOffset).getUint32(0, true)
}

/** The channel's descriptor as the last `members` operation left it. */
export function membersDescriptor(view: View): Uint8Array | undefined {
  return view.get('setting', 0, 'members')?.subarray(8)
}
