import { setTimeout as sleep } from 'node:timers/promises'
import { RkfsError } from '../../base/errors.js'
import type { MountOptions } from '../../channel/mount-port.js'
import { runUnmount } from './mount-point.js'
import { mountsAt, RKFS_TYPE } from './mountinfo.js'

/** After a lazy unmount open files keep the connection alive; it is aborted after this time. */
const DETACH_GRACE_MS = 2_000
/** How long an abort may take to reach who serves the mount. */
const END_TIMEOUT_MS = 10_000

/** A mount as seen by what ends it. */
export interface Unmountable {
  readonly directory: string
  readonly ended: Promise<void>
  /** `major:minor`; undefined before it is there. */
  deviceNumber(): string | undefined
  isMounted(): boolean
  /** Whether nobody serves it any more, so that `ended` is near. */
  isEnding(): boolean
  /** Aborts the connection of a mount that was detached; answers whether an end can be expected of it. */
  abort(): Promise<boolean>
  /** It has not ended all the same. */
  stuck(): void
}

/** Device of the newest mount of ours at a directory. */
export function newestDevice(directory: string): string | undefined {
  return mountsAt(directory)
    .filter(entry => entry.type === RKFS_TYPE)
    .at(-1)?.device
}

/** Ends a mount: gently, or by force. */
export class Unmounting {
  readonly #mount: Unmountable
  readonly #log: MountOptions['log']
  #last: Promise<void> = Promise.resolve()

  constructor(mount: Unmountable, log: MountOptions['log']) {
    this.#mount = mount
    this.#log = log
  }

  /** Throws `busy` when the mount is in use and stays, `failed` when it cannot be ended. */
  run(force: boolean): Promise<void> {
    // One after the other: a forced unmount may follow one that found the mount busy.
    this.#last = this.#last.catch(() => undefined).then(() => (force ? this.#force() : this.#unmount()))
    return this.#last
  }

  async #unmount(): Promise<void> {
    if (this.#mount.isEnding()) return this.#mount.ended
    const { directory } = this.#mount
    const top = mountsAt(directory).at(-1)
    if (top !== undefined && top.device !== this.#mount.deviceNumber()) {
      throw this.#busy(`${top.source} (${top.type}) is mounted over it: unmount that first`)
    }
    const { status, stderr } = await runUnmount(directory, false)
    if (status !== 0 && !(await this.#endsWithin(100))) {
      if (/busy/i.test(stderr)) throw this.#busy(`close the programs that use it (fuser -vm ${directory})`)
      if (!/not mounted|not found/i.test(stderr)) {
        throw new RkfsError('failed', `unmounting ${directory} failed: ${stderr || 'umount was killed'}`)
      }
    }
    if (await this.#endsWithin(DETACH_GRACE_MS)) return
    throw this.#busy('it is detached, but open files or another mount namespace (a container) still use it')
  }

  #busy(remedy: string): RkfsError {
    return new RkfsError('busy', `${this.#mount.directory} is in use: ${remedy}, or unmount with force`)
  }

  async #force(): Promise<void> {
    if (this.#mount.isEnding()) return this.#mount.ended
    if (this.#mount.isMounted()) {
      const { directory } = this.#mount
      const { status, stderr } = await runUnmount(directory, true)
      if (status !== 0) this.#log('warn', 'detaching the mount failed', { directory, error: stderr })
    }
    if (await this.#endsWithin(DETACH_GRACE_MS)) return
    if ((await this.#mount.abort()) && (await this.#endsWithin(END_TIMEOUT_MS))) return
    this.#mount.stuck()
  }

  async #endsWithin(ms: number): Promise<boolean> {
    if (this.#mount.isEnding()) return this.#mount.ended.then(() => true)
    const timeout = new AbortController()
    try {
      return await Promise.race([
        this.#mount.ended.then(() => true),
        sleep(ms, false, { signal: timeout.signal }).catch(() => false),
      ])
    } finally {
      timeout.abort()
    }
  }
}
