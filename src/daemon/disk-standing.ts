import { diskSpace } from '../adapters/host/machine.js'
import { isShort, minFreeOf } from '../channel/space-policy.js'

export interface DiskStanding {
  readonly totalBytes: number
  /** What this node may still write. */
  readonly freeBytes: number
  /** `short`: there is little left; `full`: changes are refused for want of room. */
  readonly state: 'ok' | 'short' | 'full'
}

/** How the disk stands that a folder lies on; undefined: it does not answer. `minFree`: what is kept free on it. */
export function diskStandingOf(folder: string, isFull: boolean, minFree?: number): DiskStanding | undefined {
  try {
    const { totalBytes, freeBytes } = diskSpace(folder)
    const state = isFull ? 'full' : isShort(freeBytes, minFree ?? minFreeOf(totalBytes, {})) ? 'short' : 'ok'
    return { totalBytes, freeBytes, state }
  } catch {
    return undefined
  }
}
