import { readdirSync, readlinkSync } from 'node:fs'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { FileSystemHandler, Mounted, MountOptions } from '../../channel/mount-port.js'
import { abortConnection } from '../fuse/abort.js'
import { deferred } from '../fuse/deferred.js'
import { readMounts } from '../fuse/mountinfo.js'
import { newestDevice, Unmounting } from '../fuse/unmounting.js'
import { Watchdog } from '../fuse/watchdog.js'
import type { Binding } from './binding.js'
import { NativeDispatcher } from './dispatch.js'
import { libfuseOptions } from './libfuse-options.js'
import { ProcessMemory } from './process-memory.js'

const INIT_TIMEOUT_MS = 15_000
/** libfuse's threads say nothing when they end: their descriptor is looked at. */
const POLL_MS = 250
/**
 * What the native part refers to for good: it closes none of its handles on the event loop, and their memory is in these
 * buffers. Some hundred bytes for each thread that libfuse ever had.
 */
const keptForNative: Buffer[] = []

/** A mounted file system, served by libfuse's threads. */
export class NativeMount implements Mounted {
  readonly directory: string
  readonly ended: Promise<void>
  readonly #binding: Binding
  readonly #log: MountOptions['log']
  readonly #memory = new ProcessMemory()
  readonly #dispatcher: NativeDispatcher
  readonly #thread: Buffer
  readonly #watchdog: Watchdog
  readonly #initialized = deferred<void>()
  readonly #ended = deferred<void>()
  readonly #poll: NodeJS.Timeout
  /** libfuse's descriptor of /dev/fuse; it closes it when its threads have ended. */
  #fd: number | undefined
  /** `major:minor` of the mount. */
  #deviceNumber: string | undefined
  #isEnded = false
  readonly #unmounting: Unmounting

  private constructor(binding: Binding, options: MountOptions, handler: FileSystemHandler, deadlineMs: number) {
    this.directory = options.directory
    this.ended = this.#ended.promise
    this.#initialized.promise.catch(() => undefined)
    this.#binding = binding
    this.#log = options.log
    this.#thread = Buffer.alloc(binding.sizeof_fuse_thread_t)
    keptForNative.push(this.#thread)
    this.#dispatcher = new NativeDispatcher(binding, this.#memory, handler, options, deadlineMs, () =>
      this.#initialized.resolve(),
    )
    this.#unmounting = new Unmounting(
      {
        directory: this.directory,
        ended: this.ended,
        deviceNumber: () => this.#deviceNumber,
        isMounted: () => this.#isMounted(),
        isEnding: () => this.#look(),
        abort: () => this.#abort(),
        stuck: () => {
          if (this.#isMounted()) throw new RkfsError('failed', `the mount at ${this.directory} cannot be detached`)
          this.#finish()
        },
      },
      options.log,
    )
    this.#watchdog = new Watchdog(this.directory, options.log)
    this.#poll = setInterval(() => this.#look(), POLL_MS)
  }

  /** Mounts, and resolves when the kernel has agreed on the protocol. */
  static async start(
    binding: Binding,
    options: MountOptions,
    handler: FileSystemHandler,
    deadlineMs: number,
  ): Promise<NativeMount> {
    const mount = new NativeMount(binding, options, handler, deadlineMs)
    const timer = setTimeout(
      () =>
        mount.#initialized.reject(new RkfsError('timeout', `the kernel did not greet the mount at ${mount.directory}`)),
      INIT_TIMEOUT_MS,
    )
    try {
      mount.#mount(options)
      await mount.#initialized.promise
      return mount
    } catch (error) {
      await mount.unmount(true)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  get operations(): number {
    return this.#dispatcher.operations
  }

  get errors(): number {
    return this.#dispatcher.errors
  }

  get waiting(): number {
    return this.#dispatcher.pending
  }

  /** The kernel keeps nothing of this mount, so nothing becomes stale. */
  invalidate(): void {}

  settled(done: () => void): void {
    done()
  }
  invalidateAll(): void {}

  unmount(force: boolean): Promise<void> {
    return this.#unmounting.run(force)
  }

  #mount(options: MountOptions): void {
    const before = fuseDescriptors()
    const allocate = (bytes: number): Buffer => {
      const buffer = Buffer.alloc(bytes)
      keptForNative.push(buffer)
      return buffer
    }
    try {
      this.#binding.fuse_native_mount(
        this.directory,
        libfuseOptions(options, process.geteuid!() === 0),
        this.#thread,
        this,
        allocate,
        this.#dispatcher.handlers(),
        this.#dispatcher.implemented(),
      )
    } catch (cause) {
      throw new RkfsError(
        'failed',
        `libfuse did not mount at ${this.directory}, for a reason that it does not tell: without driver=fuse-native you learn it`,
        { cause },
      )
    } finally {
      this.#fd = fuseDescriptors().find(fd => !before.includes(fd))
      this.#deviceNumber = newestDevice(this.directory)
    }
  }

  /** Whether libfuse has closed its device, which it does when the mount is gone and its threads have ended. */
  #look(): boolean {
    if (!this.#isMounted() && !fuseDescriptors().includes(this.#fd ?? -1)) this.#finish()
    return this.#isEnded
  }

  /**
   * Where aborting is not permitted (a user, without fusectl) whoever still has files open gets ENOTCONN for all that he
   * does, and libfuse's threads end with his last close.
   */
  async #abort(): Promise<boolean> {
    this.#dispatcher.close()
    try {
      if (this.#deviceNumber !== undefined) await abortConnection(this.#deviceNumber)
      return true
    } catch (error) {
      this.#log('warn', 'the FUSE connection cannot be aborted', { error: messageOf(error) })
      return false
    }
  }

  #isMounted(): boolean {
    const device = this.#deviceNumber
    return device !== undefined && readMounts().some(m => m.device === device && m.mountPoint === this.directory)
  }

  #finish(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    clearInterval(this.#poll)
    this.#initialized.reject(new RkfsError('failed', `the mount at ${this.directory} ended while it started`))
    this.#dispatcher.close()
    this.#binding.fuse_native_unmount(this.directory, this.#thread)
    this.#memory.close()
    this.#watchdog.dismiss()
    this.#log('info', 'unmounted', { directory: this.directory, operations: this.operations, errors: this.errors })
    this.#ended.resolve()
  }
}

/** This process's descriptors of /dev/fuse. */
function fuseDescriptors(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter(fd => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/fuse'
      } catch {
        return false // closed since
      }
    })
}
