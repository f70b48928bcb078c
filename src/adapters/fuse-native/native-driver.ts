import { closeSync, openSync } from 'node:fs'
import { RkfsError } from '../../base/errors.js'
import type { FileSystemHandler, MountDriver, Mounted, MountOptions } from '../../channel/mount-port.js'
import { examineMountPoint } from '../fuse/mount-point.js'
import { deviceError } from '../fuse/mount-root.js'
import { loadBinding } from './binding.js'
import { NativeMount } from './native-mount.js'

const DEADLINE_MS = 120_000
/** The native part's buffer (fuse-native.c, `fuse_thread_t`). */
const DIRECTORY_BYTES_MAX = 1023

export interface FuseNativeDriverOptions {
  /** After this time a request is answered EIO, whatever the handler does. */
  readonly deadlineMs?: number
}

/**
 * Mounts through libfuse 2, by the npm package fuse-native: for machines where the `kernel` driver cannot be used. What it
 * cannot do stands in `driver-limits.ts`. The process that mounts must never touch the mounted directory itself.
 */
export class FuseNativeDriver implements MountDriver {
  readonly name = 'fuse-native'
  readonly #deadlineMs: number

  constructor(options: FuseNativeDriverOptions = {}) {
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS
  }

  async mount(options: MountOptions, handler: FileSystemHandler): Promise<Mounted> {
    const binding = loadBinding()
    const point = await examineMountPoint(options.directory)
    if (Buffer.byteLength(point.path) > DIRECTORY_BYTES_MAX) {
      throw new RkfsError(
        'usage',
        `fuse-native mounts at paths of ${DIRECTORY_BYTES_MAX} bytes at most: choose another directory, or leave driver=fuse-native out`,
      )
    }
    try {
      closeSync(openSync('/dev/fuse', 'r+'))
    } catch (error) {
      throw deviceError(error)
    }
    return NativeMount.start(binding, point, options, handler, this.#deadlineMs)
  }
}
