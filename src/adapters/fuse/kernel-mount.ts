import { closeSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { bulkAllocated } from '../host/bulk-memory.js'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { FileSystemHandler, Invalidation, Mounted, MountOptions } from '../../channel/mount-port.js'
import { abortConnection } from './abort.js'
import { deferred } from './deferred.js'
import { Device } from './device.js'
import { Dispatcher } from './dispatch.js'
import type { Features } from './features.js'
import { guard } from './guard.js'
import type { Protocol } from './init.js'
import { encodeInvalidations, Invalidator } from './invalidations.js'
import { type MountPoint, runUnmount } from './mount-point.js'
import { mountsAt, readMounts } from './mountinfo.js'
import { type ReaderMessage, readers } from './readers.js'
import { newestDevice, Unmounting } from './unmounting.js'

const INIT_TIMEOUT_MS = 15_000
const READ_AHEAD_KIB = 1024

/** A mounted file system: its requests, the replies, the notifications, the end. */
export class KernelMount implements Mounted {
  readonly directory: string
  readonly ended: Promise<void>
  readonly #fd: number
  readonly #log: MountOptions['log']
  readonly #device: Device
  readonly #dispatcher: Dispatcher
  #unguard: (() => void) | undefined
  readonly #initialized = deferred<Protocol>()
  readonly #ended = deferred<void>()
  #invalidator: Invalidator | undefined
  /** `major:minor` of the mount, known once it was found in mountinfo. */
  #deviceNumber: string | undefined
  #readerError: string | undefined
  #isEnded = false
  readonly #unmounting: Unmounting

  /** `fd`: /dev/fuse, mounted at `directory`; owned from here on. */
  private constructor(
    fd: number,
    directory: string,
    options: MountOptions,
    handler: FileSystemHandler,
    features: Features,
  ) {
    this.directory = directory
    this.ended = this.#ended.promise
    this.#initialized.promise.catch(() => undefined)
    this.#fd = fd
    this.#log = options.log
    this.#unmounting = new Unmounting(
      {
        directory,
        ended: this.ended,
        deviceNumber: () => this.#deviceNumber,
        isMounted: () => this.attached,
        isEnding: () => this.#isEnded,
        abort: () => this.#abort(),
        stuck: () => {
          throw new RkfsError('failed', `the mount at ${directory} was detached, but its connection does not end`)
        },
      },
      options.log,
    )
    this.#device = new Device(fd, (message, fields) => {
      this.#dispatcher.errors++
      options.log('error', message, fields)
    })
    this.#dispatcher = new Dispatcher(this.#device, handler, options.log, features, (protocol, kernel) => {
      if (protocol !== undefined) this.#initialized.resolve(protocol)
      else this.#initialized.reject(new RkfsError('version', `this kernel's FUSE protocol is too old: ${kernel}`))
    })
    process.on('exit', this.#exiting)
  }

  /** Starts to serve and resolves when the kernel has agreed on the protocol. */
  static async start(
    fd: number,
    point: MountPoint,
    options: MountOptions,
    handler: FileSystemHandler,
    features: Features,
  ): Promise<KernelMount> {
    const directory = point.path
    const mount = new KernelMount(fd, directory, options, handler, features)
    mount.#deviceNumber = newestDevice(directory)
    if (mount.#deviceNumber !== undefined) mount.#unguard = guard.watch(mount.#deviceNumber, options.log)
    const timer = setTimeout(
      () => mount.#initialized.reject(new RkfsError('timeout', `the kernel did not greet the mount at ${directory}`)),
      INIT_TIMEOUT_MS,
    )
    try {
      await readers
        .add(fd, message => mount.#received(message))
        .catch((error: unknown) => mount.#received({ error: messageOf(error) }))
      const protocol = await mount.#initialized.promise
      mount.#invalidator = new Invalidator(fd, protocol.minor, mount.#dispatcher.opened, options.log)
      // within the turn that answered INIT: the next message may be a program's
      options.started?.(mount)
      await mount.#raiseReadAhead()
      return mount
    } catch (error) {
      // in the place of a dead mount one must stay: nobody has asked for the bare directory
      if (point.dead > 0) await mount.#abort()
      else await mount.#takeBack()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * `process.exit` and uncaught exceptions wait for ever for the reader thread, and everybody who uses the mount with
   * them (FUSE.md §1). So a process that ends without unmounting ends the hard way. The mount stays, and is dead.
   */
  readonly #exiting = (): void => {
    process.kill(process.pid, 'SIGKILL')
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
    return mountsAt(this.directory).some(entry => entry.device === this.#deviceNumber)
  }

  get device(): string | undefined {
    return this.#deviceNumber
  }

  invalidate(items: readonly Invalidation[]): void {
    if (!this.#isEnded) this.#invalidator?.invalidate(items)
  }

  staleAttributes(ino: number): void {
    if (!this.#isEnded) this.#device.notify(encodeInvalidations([{ kind: 'inode', ino, offset: -1, length: 0 }]))
  }

  settled(done: () => void): void {
    if (this.#isEnded || this.#invalidator === undefined) done()
    else this.#invalidator.settled(done)
  }

  invalidateAll(): void {
    if (!this.#isEnded) this.#invalidator?.invalidateAll()
  }

  unmount(force: boolean): Promise<void> {
    return this.#unmounting.run(force)
  }

  /** It did not start: nothing of it stays. Where nobody serves it any more there is only what the kernel's table has of it. */
  async #takeBack(): Promise<void> {
    await this.unmount(true)
    if (!this.attached) return
    const { status, stderr } = await runUnmount(this.directory, true)
    if (status !== 0) this.#log('warn', 'detaching the mount failed', { directory: this.directory, error: stderr })
  }

  #received(message: ReaderMessage): void {
    if (!(message instanceof ArrayBuffer || message instanceof SharedArrayBuffer)) {
      this.#readerError = message.error
      return void this.#finish()
    }
    if (message instanceof SharedArrayBuffer) bulkAllocated(message.byteLength)
    this.#dispatcher.dispatch(message)
  }

  async #abort(): Promise<boolean> {
    if (this.#deviceNumber !== undefined) {
      try {
        await abortConnection(this.#deviceNumber)
        return true
      } catch (error) {
        this.#log('warn', 'the FUSE connection cannot be aborted', { error: messageOf(error) })
      }
    }
    // the descriptor may be another mount's by now
    if (this.#isEnded) return true
    // without fusectl (a user): the connection ends when nobody has its device open
    readers.remove(this.#fd)
    return true
  }

  /** The reader thread has ended: nothing reads the device any more. */
  async #finish(): Promise<void> {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#initialized.reject(new RkfsError('failed', `the mount at ${this.directory} ended while it started`))
    this.#device.close()
    if (this.#readerError !== undefined) {
      this.#log('error', 'the reader of the mount failed', { directory: this.directory, error: this.#readerError })
      // A notification may be blocked by a request that nobody will answer now.
      await this.#abort()
    }
    this.#dispatcher.interruptAll()
    await this.#invalidator?.close()
    closeSync(this.#fd)
    process.off('exit', this.#exiting)
    this.#unguard?.()
    const { directory, operations, errors, attached } = this
    if (attached) this.#log('error', 'the mount is dead: its connection was aborted', { directory, operations, errors })
    else this.#log('info', 'unmounted', { directory, operations, errors })
    this.#ended.resolve()
  }

  /** The kernel reads 128 KiB ahead unless the device's limit is raised, which only root can. */
  async #raiseReadAhead(): Promise<void> {
    if (this.#deviceNumber === undefined || !readMounts().some(entry => entry.device === this.#deviceNumber)) return
    try {
      await writeFile(`/sys/class/bdi/${this.#deviceNumber}/read_ahead_kb`, String(READ_AHEAD_KIB))
    } catch (error) {
      this.#log('debug', 'read-ahead stays as it is', { error: messageOf(error) })
    }
  }
}
