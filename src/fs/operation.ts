import type { MemberId } from '../base/ids.js'

/** The changes that the state machine knows. All that is not a function of the state (inode numbers, times, owners) is settled by the member where the change began. */

/**
 * The directory of files without a name: what is made in it has no link, until a `link` gives it one (linkat(2) of a file
 * that was opened with O_TMPFILE). Their names here are `namelessKey`.
 */
export const nowhere = 0

export function namelessKey(ino: number): string {
  return ino.toString(16).padStart(14, '0')
}

/**
 * create(2), mkdir(2), mknod(2), symlink(2): `mode` has the type bits; `target` is for symbolic links. With `umask` the
 * parent's default ACL decides on the mode, or, where it has none, the umask (umask(2), acl(5)); without it `mode` stands.
 */
export interface MakeOperation {
  readonly kind: 'make'
  readonly parent: number
  readonly name: string
  readonly ino: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  readonly target: string
  readonly umask?: number
}

export interface LinkOperation {
  readonly kind: 'link'
  readonly ino: number
  readonly parent: number
  readonly name: string
}

export interface RemoveOperation {
  readonly kind: 'unlink' | 'rmdir'
  readonly parent: number
  readonly name: string
}

export const RENAME_NOREPLACE = 1
export const RENAME_EXCHANGE = 2
export const RENAME_WHITEOUT = 4

/** renameat2(2); `whiteout`: the number of the inode that RENAME_WHITEOUT leaves in the source's place. */
export interface RenameOperation {
  readonly kind: 'rename'
  readonly parent: number
  readonly name: string
  readonly newParent: number
  readonly newName: string
  readonly flags: number
  readonly whiteout?: number
}

/** chmod(2), chown(2), truncate(2), utimensat(2): what is absent stays. `killPrivileges`: clear set-uid and set-gid. */
export interface SetAttributesOperation {
  readonly kind: 'setattr'
  readonly ino: number
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  readonly atime?: bigint
  readonly mtime?: bigint
  readonly killPrivileges: boolean
}

/** write(2); the bytes are the entry's payload. */
export interface WriteOperation {
  readonly kind: 'write'
  readonly ino: number
  readonly offset: number
  readonly length: number
  readonly killPrivileges: boolean
}

/** A write with O_APPEND: its offset is the size of the file where the change stands in the order. */
export interface AppendOperation {
  readonly kind: 'append'
  readonly ino: number
  readonly length: number
  readonly killPrivileges: boolean
}

/** Bytes of a write-back that a program stored: `length` of them from `at` on, counted from the write-back's offset. */
export interface StoredRun {
  readonly at: number
  readonly length: number
}

/**
 * What programs stored in pages of a shared mapping (mmap(2)), as a kernel writes it back; the bytes are the entry's payload.
 * It never makes a file longer, and takes nothing back that others changed (`content.ts`). Bytes between the stored ones are
 * the file's own, as that kernel had it: with them it is one extent.
 */
export interface WriteBackOperation {
  readonly kind: 'write-back'
  readonly ino: number
  readonly offset: number
  readonly length: number
  /**
   * Up to which entry the bytes between are as new as what the kernel was shown; 0: they do not count at all.
   */
  readonly base: number
  /** Ascending; no two touch. */
  readonly stored: readonly StoredRun[]
}

export const FALLOC_FL_KEEP_SIZE = 1
export const FALLOC_FL_PUNCH_HOLE = 2
export const FALLOC_FL_ZERO_RANGE = 16

/** fallocate(2). */
export interface AllocateOperation {
  readonly kind: 'allocate'
  readonly ino: number
  readonly mode: number
  readonly offset: number
  readonly length: number
}

/**
 * copy_file_range(2): the target shares the source's bytes from then on. Refused with EAGAIN when the source has become
 * shorter than the range meanwhile.
 */
export interface CloneOperation {
  readonly kind: 'clone'
  readonly source: number
  readonly sourceOffset: number
  readonly ino: number
  readonly offset: number
  readonly length: number
}

/** A run of a file's bytes, and where they are kept. */
export interface KeptRun {
  readonly offset: number
  readonly length: number
  readonly blob: number
  readonly blobOffset: number
}

/**
 * The bytes of these runs are kept once more, so that blobs of which little is in use can go: no program sees any of it. The
 * bytes, one run after the other, are the entry's payload; a run that is not kept there any more is left out.
 */
export interface RelocateOperation {
  readonly kind: 'relocate'
  readonly ino: number
  /** Of all runs. */
  readonly length: number
  readonly runs: readonly KeptRun[]
}

/** When files were read, as relatime has it: access times that grow, and nothing else. */
export interface AccessOperation {
  readonly kind: 'access'
  readonly times: readonly { readonly ino: number; readonly atime: bigint }[]
}

export const XATTR_CREATE = 1
export const XATTR_REPLACE = 2
/** Of an access ACL: set-gid goes (FUSE_SETXATTR_ACL_KILL_SGID). */
export const XATTR_KILL_SGID = 1 << 8

/** setxattr(2); `flags`: XATTR_*. */
export interface SetXattrOperation {
  readonly kind: 'setxattr'
  readonly ino: number
  readonly name: string
  readonly value: Uint8Array
  readonly flags: number
}

export interface RemoveXattrOperation {
  readonly kind: 'removexattr'
  readonly ino: number
  readonly name: string
}

/** The channel's descriptor (`channel/descriptor.ts`), whole; `version` must be one more than the last. */
export interface MembersOperation {
  readonly kind: 'members'
  readonly version: number
  readonly descriptor: Uint8Array
}

/** Changes nothing: a point in the history that all members pass (`verify`), and a new leader's first entry. */
export interface MarkOperation {
  readonly kind: 'mark'
  readonly id: number
}

/**
 * The first change of a session: from here on its origin's changes are taken only if they bear this session's number, which
 * must be higher than any that it had before (thesis §6.3).
 */
export interface OpenSessionOperation {
  readonly kind: 'open-session'
  /**
   * Chunks of more extents are kept as pages from here on, unless that was said before (`chunks.ts`). Undefined: a member of
   * protocol 2 opened it.
   */
  readonly chunkExtents?: number
}

/** No change of the member's session is taken any more. It goes on with a session that it opens after it has seen this. */
export interface EndSessionOperation {
  readonly kind: 'end-session'
  readonly member: MemberId
}

/**
 * A change of content that its program may have been told of has no place in the order, though later ones of its session
 * may have one: who misses this moment, and gets a snapshot, learns it from the state.
 */
export interface RefuseOperation {
  readonly kind: 'refuse'
  readonly member: MemberId
  readonly session: number
  readonly sequence: number
  readonly errno: number
}

export type Operation =
  | MakeOperation
  | LinkOperation
  | RemoveOperation
  | RenameOperation
  | SetAttributesOperation
  | WriteOperation
  | AppendOperation
  | WriteBackOperation
  | AllocateOperation
  | CloneOperation
  | RelocateOperation
  | AccessOperation
  | SetXattrOperation
  | RemoveXattrOperation
  | MembersOperation
  | MarkOperation
  | OpenSessionOperation
  | EndSessionOperation
  | RefuseOperation

/** The number of the inode that an operation makes; undefined when it makes none. */
export function madeInode(operation: Operation): number | undefined {
  if (operation.kind === 'make') return operation.ino
  return operation.kind === 'rename' ? operation.whiteout : undefined
}

/** Whether it changes only the content or attributes of one inode, so that a member may show it before it is ordered. */
export function isContentOperation(
  operation: Operation,
): operation is WriteOperation | AppendOperation | WriteBackOperation | AllocateOperation | SetAttributesOperation {
  return isWrite(operation) || operation.kind === 'allocate' || operation.kind === 'setattr'
}

/** Whether it brings a program's bytes, which are the entry's payload. */
export function isWrite(operation: Operation): operation is WriteOperation | AppendOperation | WriteBackOperation {
  return operation.kind === 'write' || operation.kind === 'append' || operation.kind === 'write-back'
}

/** Whether it is the channel's own work: no program is told of it, and nothing is lost with it. */
export function isHousekeeping(operation: Operation): boolean {
  return operation.kind === 'access' || operation.kind === 'relocate'
}

/** One line for people (`rkfs log`). Names that are not plain text are shown with escapes. */
export function describeOperation(operation: Operation): string {
  const text = (name: string) => JSON.stringify(name)
  switch (operation.kind) {
    case 'make':
      return `make ino ${operation.ino} mode ${operation.mode.toString(8)} as ${text(operation.name)} in ${operation.parent}${operation.target === '' ? '' : ` -> ${text(operation.target)}`}`
    case 'link':
      return `link ino ${operation.ino} as ${text(operation.name)} in ${operation.parent}`
    case 'unlink':
    case 'rmdir':
      return `${operation.kind} ${text(operation.name)} in ${operation.parent}`
    case 'rename':
      return `rename ${text(operation.name)} in ${operation.parent} to ${text(operation.newName)} in ${operation.newParent}${operation.flags === 0 ? '' : ` flags ${operation.flags}`}`
    case 'setattr': {
      const parts: string[] = []
      if (operation.mode !== undefined) parts.push(`mode ${operation.mode.toString(8)}`)
      if (operation.uid !== undefined) parts.push(`uid ${operation.uid}`)
      if (operation.gid !== undefined) parts.push(`gid ${operation.gid}`)
      if (operation.size !== undefined) parts.push(`size ${operation.size}`)
      if (operation.atime !== undefined) parts.push('atime')
      if (operation.mtime !== undefined) parts.push('mtime')
      return `setattr ino ${operation.ino} ${parts.join(' ')}`
    }
    case 'write':
    case 'write-back':
      return `${operation.kind} ino ${operation.ino} offset ${operation.offset} length ${operation.length}`
    case 'append':
      return `append ino ${operation.ino} length ${operation.length}`
    case 'allocate':
      return `allocate ino ${operation.ino} mode ${operation.mode} offset ${operation.offset} length ${operation.length}`
    case 'clone':
      return `clone ino ${operation.source} offset ${operation.sourceOffset} to ino ${operation.ino} offset ${operation.offset} length ${operation.length}`
    case 'relocate':
      return `relocate ${operation.length} bytes of ino ${operation.ino} in ${operation.runs.length} runs`
    case 'access':
      return `access ${operation.times.map(({ ino }) => `ino ${ino}`).join(' ')}`
    case 'setxattr':
      return `setxattr ino ${operation.ino} ${text(operation.name)} length ${operation.value.length}`
    case 'removexattr':
      return `removexattr ino ${operation.ino} ${text(operation.name)}`
    case 'members':
      return `members version ${operation.version}`
    case 'mark':
      return `mark ${operation.id}`
    case 'open-session':
      return 'open a session'
    case 'refuse':
      return `refuse change ${operation.sequence} of session ${operation.session} of ${operation.member}`
    case 'end-session':
      return `end the session of ${operation.member}`
  }
}
