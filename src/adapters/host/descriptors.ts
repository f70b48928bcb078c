import { readdirSync, readFileSync } from 'node:fs'
import { RkfsError } from '../../base/errors.js'

/** Descriptors that are kept back for the stores, for other members' connections, and for the commands that ask how it is. */
const keptBack = 32

/** How many more files this process may have open; undefined where /proc does not say. */
export function descriptorsLeft(): { readonly left: number; readonly limit: number } | undefined {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
    if (limit === undefined) return undefined
    return { left: Number(limit) - readdirSync('/proc/self/fd').length, limit: Number(limit) }
  } catch (error) {
    // to look takes a descriptor, too
    const { code } = error as NodeJS.ErrnoException
    return code === 'EMFILE' || code === 'ENFILE' ? { left: 0, limit: 0 } : undefined
  }
}

/** Before what can be done without: fails with `too-many-files` where only descriptors are left that are kept back. */
export function requireDescriptors(without: string): void {
  const found = descriptorsLeft()
  if (found === undefined || found.left > keptBack) return
  throw new RkfsError(
    'too-many-files',
    `${without}: this node has nearly as many files open as it may (${found.limit}). ` +
      'Raise the limit (`ulimit -n`, LimitNOFILE in systemd) and start it again',
  )
}
