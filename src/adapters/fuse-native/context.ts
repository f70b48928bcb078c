import type { Caller, FileSystemHandler } from '../../channel/mount-port.js'
import type { NativeCall } from './native-call.js'
import type { OpenTable } from './open-table.js'
import type { OperationArguments, OperationName } from './operations.js'
import type { Paths } from './paths.js'

/** How each operation is performed. */
export type Performers = {
  readonly [K in Exclude<OperationName, 'init'>]: (call: NativeCall, ...args: OperationArguments[K]) => void
}

/** What the operations of a mount work with. */
export interface OperationContext {
  readonly handler: FileSystemHandler
  /** The native part does not say who calls: everything is done, and made, in the name of whoever mounted. */
  readonly caller: Caller
  readonly paths: Paths
  readonly files: OpenTable
  /** The mode of a new file. */
  readonly creationMode: (mode: number) => number
  /** A write clears set-uid and set-gid unless only root can write: libfuse drops the kernel's word for it. */
  readonly writeKillsPrivileges: boolean
}

const S_ISUID = 0o4000
const S_ISGID = 0o2000

/**
 * Where other users may make files, these belong to whoever mounted: a set-uid file of that owner must not come from
 * them. Changing the mode later is the owner's right alone, as the kernel sees to.
 */
export function creationMode(allowOther: boolean): (mode: number) => number {
  return allowOther ? mode => mode & ~(S_ISUID | S_ISGID) : mode => mode
}

const LINK_BYTES_MAX = 4095

/** A link's target passes as UTF-8 through a buffer of PATH_MAX: one that does not fit would be cut short. */
export function isReadableTarget(target: string): boolean {
  return Buffer.byteLength(target, 'utf8') <= LINK_BYTES_MAX
}
