import { RkfsError } from '../../../src/base/errors.js'
import { KiB } from '../../../src/base/limits.js'
import type { DiskPort } from '../../../src/channel/disk-port.js'
import type { DiskSpace } from '../../../src/channel/space-policy.js'

/** What even a transaction needs that only removes something, for as long as it lasts. */
const transactionBytes = 4 * KiB
/** With less free the reserve is given up before a member's files are opened. */
const openingBytes = 64 * KiB

/** How much a disk in memory holds. It outlives the processes that use it. */
export class SimSpace implements DiskPort {
  /** Undefined: any amount. */
  capacity: number | undefined
  /** No write finds room. */
  full = false
  /** What somebody else has put there. */
  ballast = 0
  reserveBytes = 0
  /** How often the reserve was given up. */
  released = 0
  /** Bytes that the log and its journal take. */
  used = (): number => 0

  get free(): number {
    return this.capacity === undefined ? Infinity : this.capacity - this.used() - this.reserveBytes - this.ballast
  }

  /** Somebody else's files grow until no more than so many bytes are free. */
  leave(bytes: number): void {
    this.ballast += Math.max(0, this.free - bytes)
  }

  space(): DiskSpace | undefined {
    if (this.capacity === undefined) return undefined
    return { totalBytes: this.capacity, freeBytes: Math.max(0, this.free) }
  }

  /** As `daemon/room-to-open.ts` does. */
  makeRoomToOpen(): void {
    if (this.free < openingBytes) this.release()
  }

  release(): boolean {
    if (this.reserveBytes === 0) return false
    this.reserveBytes = 0
    this.released++
    return true
  }

  restock(bytes: number, leastFree: number): void {
    if (this.capacity === undefined || this.full) return
    if (this.reserveBytes < bytes && this.free - (bytes - this.reserveBytes) >= leastFree) this.reserveBytes = bytes
  }

  /** Before so many bytes are written. Throws `disk-full`. */
  take(bytes: number): void {
    if (!this.full && this.free >= Math.max(bytes, transactionBytes)) return
    throw new RkfsError('disk-full', 'the disk of the log is full')
  }
}
