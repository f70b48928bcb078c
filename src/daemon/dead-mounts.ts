import { setTimeout as sleep } from 'node:timers/promises'
import { isDead } from '../adapters/fuse/mount-point.js'
import { mountsAt } from '../adapters/fuse/mountinfo.js'
import { messageOf } from '../base/errors.js'
import type { Log } from './log.js'
import { recordedMounts, type RecordedMount } from './mount-record.js'

/** A mount that nobody serves, and that stays in the kernel's table: all calls get ENOTCONN. */
export interface DeadMount extends RecordedMount {
  /** Why. */
  readonly problem: string
}

/** Between two attempts to mount anew what an earlier run left dead. */
const restoreMs = 2000
const left = 'its node ended without unmounting it'

/** The dead mounts of a home, each at a directory of its own. */
export class DeadMounts {
  readonly #log: Log
  readonly #mounts = new Map<string, DeadMount>()
  readonly #end = new AbortController()

  constructor(log: Log) {
    this.#log = log
  }

  /** Those that the kernel's table still has. */
  get all(): DeadMount[] {
    for (const { directory, device } of this.#mounts.values()) {
      if (!mountsAt(directory).some(entry => entry.device === device)) this.#mounts.delete(directory)
    }
    return [...this.#mounts.values()]
  }

  has(directory: string): boolean {
    return this.all.some(mount => mount.directory === directory)
  }

  add(mount: DeadMount): void {
    this.#mounts.set(mount.directory, mount)
  }

  delete(directory: string): void {
    this.#mounts.delete(directory)
  }

  /**
   * Mounts anew what an earlier run of this home's node left dead, each as soon as `mount` does not fail. `except`: the
   * directory that somebody is about to mount at.
   */
  restore(home: string, mount: (mount: RecordedMount) => Promise<unknown>, except: string | undefined): void {
    for (const found of recordedMounts(home)) {
      this.add({ ...found, problem: left })
      if (found.directory !== except) void this.#restore(found, mount)
    }
  }

  async #restore(found: RecordedMount, mount: (mount: RecordedMount) => Promise<unknown>): Promise<void> {
    const { directory, channel, device } = found
    const { signal } = this.#end
    // until somebody has taken it away, or mounted there anew
    const isLeft = (): boolean => this.all.some(dead => dead.directory === directory && dead.device === device)
    let told: string | undefined
    while (!signal.aborted && isLeft()) {
      try {
        await mount(found)
        return this.#log.info('a mount that the last run left dead is there again', { directory, channel })
      } catch (error) {
        // it lives: this home is a copy of another one, whose node runs
        if (!(await isDead(directory))) return this.delete(directory)
        const reason = messageOf(error)
        if (isLeft()) this.add({ ...found, problem: `${left}, and it cannot be mounted anew: ${reason}` })
        if (reason !== told) this.#log.warn('a dead mount cannot be mounted anew', { directory, channel, reason })
        told = reason
        await sleep(restoreMs, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** Nothing is restored any more. */
  close(): void {
    this.#end.abort()
  }
}
