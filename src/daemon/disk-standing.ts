import { diskSpace } from '../adapters/host/machine.js'
import { MiB } from '../base/limits.js'

export interface DiskStanding {
  readonly totalBytes: number
  /** What this node may still write. */
  readonly freeBytes: number
  /** `short`: there is little left; `full`: changes are refused for want of room. */
  readonly state: 'ok' | 'short' | 'full'
}

/** A disk is short below this; of a small one below an eighth. */
const shortBytes = 128 * MiB

/** How the disk stands that a folder lies on; undefined: it does not answer. */
export function diskStandingOf(folder: string, isFull: boolean): DiskStanding | undefined {
  try {
    const { totalBytes, freeBytes } = diskSpace(folder)
    const isShort = freeBytes < Math.min(shortBytes, totalBytes / 8)
    return { totalBytes, freeBytes, state: isFull ? 'full' : isShort ? 'short' : 'ok' }
  } catch {
    return undefined
  }
}
