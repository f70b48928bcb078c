import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { messageOf, RkfsError } from '../../base/errors.js'

/**
 * This process's own memory by address, for the structures whose pointers the native part keeps and does not pass on. A
 * wrong address is an exception here (EIO), not a crash.
 */
export class ProcessMemory {
  readonly #fd: number

  constructor() {
    try {
      this.#fd = openSync('/proc/self/mem', 'r+')
    } catch (cause) {
      throw new RkfsError('unavailable', `driver=fuse-native needs /proc/self/mem: ${messageOf(cause)}`, { cause })
    }
  }

  read(address: bigint, into: Buffer): void {
    if (readSync(this.#fd, into, 0, into.length, Number(address)) !== into.length) {
      throw new RkfsError('failed', `no ${into.length} bytes to read at ${address}`)
    }
  }

  write(address: bigint, bytes: Buffer): void {
    if (writeSync(this.#fd, bytes, 0, bytes.length, Number(address)) !== bytes.length) {
      throw new RkfsError('failed', `no ${bytes.length} bytes to write at ${address}`)
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}
