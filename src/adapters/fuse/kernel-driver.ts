import { closeSync } from 'node:fs'
import type { FileSystemHandler, MountDriver, Mounted, MountOptions } from '../../channel/mount-port.js'
import type { Features } from './features.js'
import { KernelMount } from './kernel-mount.js'
import { examineMountPoint, isRoot } from './mount-point.js'
import { mountAsRoot } from './mount-root.js'
import { mountAsUser } from './mount-user.js'
import { readers } from './readers.js'
import { takePlace } from './take-place.js'

export interface KernelDriverOptions {
  /** flock(2) and fcntl(2) locks reach the handler; otherwise the kernel keeps them, for this mount alone. */
  readonly locks?: boolean
  /**
   * close(2) reaches the handler's `flush` (default). False saves a request for each close; locks need it, since closing
   * is what drops fcntl(2) locks. Written data reaches the handler in either case, except pages of a shared mapping, which
   * the kernel then writes back in its own time, as it does on a local file system.
   */
  readonly flush?: boolean
}

/**
 * Speaks the FUSE protocol on /dev/fuse. As root it mounts by itself, otherwise through fusermount3. The process that
 * mounts must never touch the mounted directory itself, and can only end in order after it unmounted: `process.exit` waits
 * for the reader thread, which waits for the kernel (FUSE.md §1). SIGKILL works; the mount then stays, dead (`Guard`).
 */
export class KernelDriver implements MountDriver {
  readonly name = 'kernel'
  readonly #features: Features

  constructor(options: KernelDriverOptions = {}) {
    const locks = options.locks ?? false
    this.#features = { locks, flush: locks || (options.flush ?? true) }
  }

  async mount(options: MountOptions, handler: FileSystemHandler): Promise<Mounted> {
    const point = await examineMountPoint(options.directory)
    await readers.ready()
    const mount = isRoot() ? mountAsRoot : mountAsUser
    const fd = await takePlace(
      point,
      options.log,
      directory => mount(directory, options),
      async fd => closeSync(fd),
    )
    return KernelMount.start(fd, point, options, handler, this.#features)
  }
}
