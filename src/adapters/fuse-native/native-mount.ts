import { readdirSync, readlinkSync } from 'node:fs'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { FileSystemHandler, Mounted, MountOptions } from '../../channel/mount-port.js'
import { abortConnection } from '../fuse/abort.js'
import { deferred } from '../fuse/deferred.js'
import type { MountPoint } from '../fuse/mount-point.js'
import { readMounts } from '../fuse/mountinfo.js'
import { takePlace } from '../fuse/take-place.js'
import { newestDevice, Unmounting } from '../fuse/unmounting.js'
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
  readonly #initialized = deferred<void>()
  readonly #ended = deferred<void>()
  #poll: NodeJS.Timeout | undefined
  /** libfuse's descriptor of /dev/fuse; it closes it when its threads have ended. */
  #fd: number | undefined
  /** `major:minor` of the mount. */
  #deviceNumber: string | undefined
  #isEnded = false
  readonly #unmounting: Unmounting

  private constructor(
    binding: Binding,
    directory: string,
    options: MountOptions,
    handler: FileSystemHandler,
    deadlineMs: number,
  ) {
    this.directory = directory
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
        isMounted: () => this.attached,
        isEnding: () => this.#look(),
        abort: () => this.#abort(),
        stuck: () => {
          if (this.attached) throw new RkfsError('failed', `the mount at ${this.directory} cannot be detached`)
          this.#finish()
        },
      },
      options.log,
    )
  }

  /** Mounts, and resolves when the kernel has agreed on the protocol. */
  static async start(
    binding: Binding,
    point: MountPoint,
    options: MountOptions,
    handler: FileSystemHandler,
    deadlineMs: number,
  ): Promise<NativeMount> {
    const mount = new NativeMount(binding, point.path, options, handler, deadlineMs)
    options.started?.(mount)
    const timer = setTimeout(
      () =>
        mount.#initialized.reject(new RkfsError('timeout', `the kernel did not greet the mount at ${mount.directory}`)),
      INIT_TIMEOUT_MS,
    )
    try {
      await takePlace(
        point,
        options.log,
        async directory => mount.#mount(options, directory),
        () => mount.unmount(true),
      )
      mount.#poll = setInterval(() => mount.#look(), POLL_MS)
      await mount.#initialized.promise
      return mount
    } catch (error) {
      // in the place of a dead mount one must stay: nobody has asked for the bare directory
      if (point.dead > 0) await mount.#abort()
      else await mount.unmount(true)
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

  get attached(): boolean {
    const device = this.#deviceNumber
    return device !== undefined && readMounts().some(m => m.device === device && m.mountPoint === this.directory)
  }

  get device(): string | undefined {
    return this.#deviceNumber
  }

  /** The kernel keeps nothing of this mount, so nothing becomes stale. */
  invalidate(): void {}

  staleAttributes(): void {}

  settled(done: () => void): void {
    done()
  }
  invalidateAll(): void {}

  unmount(force: boolean): Promise<void> {
    return this.#unmounting.run(force)
  }

  #mount(options: MountOptions, directory: string): void {
    const before = fuseDescriptors()
    const allocate = (bytes: number): Buffer => {
      const buffer = Buffer.alloc(bytes)
      keptForNative.push(buffer)
      return buffer
    }
    try {
      this.#binding.fuse_native_mount(
        directory,
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
        `libfuse did not mount at ${directory}, for a reason that it does not tell: without driver=fuse-native you learn it`,
        { cause },
      )
    } finally {
      this.#fd = fuseDescriptors().find(fd => !before.includes(fd))
      this.#deviceNumber = newestDevice(directory)
    }
  }

  /** Whether libfuse has closed its device, which it does when the mount is gone, or aborted, and its threads have ended. */
  #look(): boolean {
    const served = this.#fd === undefined ? this.attached : fuseDescriptors().includes(this.#fd)
    if (!served) this.#finish()
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

  #finish(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    clearInterval(this.#poll)
    this.#initialized.reject(new RkfsError('failed', `the mount at ${this.directory} ended while it started`))
    this.#dispatcher.close()
    this.#binding.fuse_native_unmount(this.directory, this.#thread)
    this.#memory.close()
    const { directory, operations, errors, attached } = this
    if (attached) this.#log('error', 'the mount is dead: its connection was aborted', { directory, operations, errors })
    else this.#log('info', 'unmounted', { directory, operations, errors })
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
