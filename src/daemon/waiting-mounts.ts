import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../base/errors.js'
import type { Log } from './log.js'
import type { RecordedMount } from './mount-record.js'

/** A mount that is to be there since the node started, and is not yet. */
export interface WaitingMount extends RecordedMount {
  /** Why. */
  readonly problem: string
}

const retryMs = 2000

/** The remembered mounts of a home that are not there yet, each at a directory of its own. */
export class WaitingMounts {
  readonly #log: Log
  readonly #mounts = new Map<string, WaitingMount>()
  readonly #end = new AbortController()

  constructor(log: Log) {
    this.#log = log
  }

  get all(): WaitingMount[] {
    return [...this.#mounts.values()]
  }

  add(mount: WaitingMount): void {
    this.#mounts.set(mount.directory, mount)
  }

  /** Answers whether it was there. */
  delete(directory: string): boolean {
    return this.#mounts.delete(directory)
  }

  /** Mounts it as soon as `mount` does not fail. Resolves when that was tried once. */
  async restore(found: RecordedMount, mount: (mount: RecordedMount) => Promise<unknown>): Promise<void> {
    const { directory } = found
    this.add({ ...found, problem: 'it is being mounted' })
    if (await this.#attempt(found, mount)) return
    void (async () => {
      const { signal } = this.#end
      while (!signal.aborted && this.#mounts.has(directory)) {
        await sleep(retryMs, undefined, { signal }).catch(() => {})
        if (signal.aborted || !this.#mounts.has(directory) || (await this.#attempt(found, mount))) return
      }
    })()
  }

  async #attempt(found: RecordedMount, mount: (mount: RecordedMount) => Promise<unknown>): Promise<boolean> {
    const { directory, channel } = found
    try {
      await mount(found)
      this.#log.info('a remembered mount is there', { directory, channel })
      return true
    } catch (error) {
      const problem = messageOf(error)
      const told = this.#mounts.get(directory)?.problem
      if (told === undefined) return true
      if (told !== problem)
        this.#log.warn('a remembered mount cannot be made yet', { directory, channel, reason: problem })
      this.add({ ...found, problem })
      return false
    }
  }

  /** Nothing is tried any more. */
  close(): void {
    this.#end.abort()
  }
}
