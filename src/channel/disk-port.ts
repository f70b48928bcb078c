import type { DiskSpace } from './space-policy.js'

/** The disk that this member's copy lies on, and a file on it that can be given up (the reserve). */
export interface DiskPort {
  /** Undefined: it cannot be told. */
  space(): DiskSpace | undefined
  /** The size of the reserve. */
  readonly reserveBytes: number
  /** Gives the reserve up, for what must find room (collecting, deletions). False: it is given up already. */
  release(): boolean
  /** Makes the reserve anew, or a part of it, as far as at least `leastFree` bytes stay free beside it. `bytes`: its size. */
  restock(bytes: number, leastFree: number): void
}

/** A disk without a bound. */
export const endlessDisk: DiskPort = {
  space: () => undefined,
  reserveBytes: 0,
  release: () => false,
  restock: () => {},
}
