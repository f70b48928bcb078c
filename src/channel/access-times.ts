import { accessTimesMax, accessWaitingMax } from '../base/limits.js'
import type { AccessOperation } from '../fs/operation.js'
import type { Inode } from '../fs/records.js'

/** Reads of so many milliseconds make one change. */
export const accessDelayMs = 2000
const dayNs = 86_400_000_000_000n

export interface AccessPorts {
  /** Every read counts, as with `strictatime`. */
  readonly strict?: boolean
  now(): bigint
  delay(ms: number, callback: () => void): void
  /** Makes the change; `done` when it is made or given up. */
  change(operation: AccessOperation, done: () => void): void
}

/**
 * When files were read, as relatime has it (mount(8)): told to the channel in batches that nobody waits for, and shown here
 * at once. What cannot be told is forgotten: reading never fails for it.
 */
export class AccessTimes {
  readonly #ports: AccessPorts
  #waiting = new Map<number, bigint>()
  #sent = new Map<number, bigint>()
  #armed = false

  constructor(ports: AccessPorts) {
    this.#ports = ports
  }

  /** A time of reading that the state does not show yet. */
  of(ino: number): bigint | undefined {
    if (this.#waiting.size === 0 && this.#sent.size === 0) return undefined
    return this.#waiting.get(ino) ?? this.#sent.get(ino)
  }

  /** Whether a read now would change the access time (relatime_need_update in the kernel). */
  isDue(ino: number, inode: Inode): boolean {
    if (this.#ports.strict) return true
    const told = this.of(ino)
    const atime = told !== undefined && told > inode.atime ? told : inode.atime
    return atime <= inode.mtime || atime <= inode.ctime || this.#ports.now() - atime >= dayNs
  }

  read(ino: number, inode: Inode): void {
    if (!this.isDue(ino, inode)) return
    if (this.#waiting.size >= accessWaitingMax && !this.#waiting.has(ino)) return
    this.#waiting.set(ino, this.#ports.now())
    this.#arm()
  }

  /** A time that a program set counts instead. */
  drop(ino: number): void {
    this.#waiting.delete(ino)
    this.#sent.delete(ino)
  }

  /** Tells what waits without delay (the mount ends). */
  flush(): void {
    while (this.#waiting.size > 0) this.#tell()
  }

  #arm(): void {
    if (this.#armed) return
    this.#armed = true
    this.#ports.delay(accessDelayMs, () => {
      this.#armed = false
      // without a majority one batch is on its way, and no more are made
      if (this.#sent.size > 0) this.#arm()
      else if (this.#waiting.size > 0) this.#tell()
    })
  }

  #tell(): void {
    const batch = [...this.#waiting].slice(0, accessTimesMax)
    for (const [ino, atime] of batch) {
      this.#waiting.delete(ino)
      this.#sent.set(ino, atime)
    }
    this.#ports.change({ kind: 'access', times: batch.map(([ino, atime]) => ({ ino, atime })) }, () => {
      for (const [ino, atime] of batch) if (this.#sent.get(ino) === atime) this.#sent.delete(ino)
      if (this.#waiting.size > 0) this.#arm()
    })
  }
}
