import { writeSync, writevSync } from 'node:fs'
import { EIO } from '../../base/errno.js'
import { messageOf } from '../../base/errors.js'
import { encodeHeader, type BodyEncoder } from './encode.js'
import { FIXED_REPLY_BYTES_MAX } from './init.js'
import { OUT_HEADER_BYTES } from './protocol.js'

/** Vectors of one reply; more parts than this are joined first (IOV_MAX of writev(2) is 1024). */
const REPLY_PARTS_MAX = 256

/**
 * The reply side of an open /dev/fuse: every reply is one write(2), from the main thread, through one buffer that is used
 * again. After `close` replies go nowhere: their requests ended with the connection.
 */
export class Device {
  readonly #fd: number
  readonly #out = Buffer.allocUnsafeSlow(FIXED_REPLY_BYTES_MAX)
  readonly #view = new DataView(this.#out.buffer)
  readonly #fault: (message: string, fields: Record<string, unknown>) => void
  #closed = false

  /** `fault` hears of replies that the kernel refused. The descriptor stays the caller's to close. */
  constructor(fd: number, fault: (message: string, fields: Record<string, unknown>) => void) {
    this.#fd = fd
    this.#fault = fault
  }

  close(): void {
    this.#closed = true
  }

  error(unique: number, errno: number): void {
    encodeHeader(this.#view, OUT_HEADER_BYTES, errno, unique)
    this.#write(unique, this.#out, OUT_HEADER_BYTES)
  }

  send<T>(unique: number, encode: BodyEncoder<T>, value: T): void {
    const length = encode(this.#view, OUT_HEADER_BYTES, value)
    encodeHeader(this.#view, length, 0, unique)
    this.#write(unique, this.#out, length)
  }

  /** A binary string of at most 8192 characters: the target of a link. */
  sendText(unique: number, text: string): void {
    const length = OUT_HEADER_BYTES + this.#out.write(text, OUT_HEADER_BYTES, 'latin1')
    encodeHeader(this.#view, length, 0, unique)
    this.#write(unique, this.#out, length)
  }

  /** Data as it lies in memory, without a copy. */
  sendParts(unique: number, parts: Uint8Array[], bytes: number): void {
    const vectors: Uint8Array[] = parts.length > REPLY_PARTS_MAX ? [Buffer.concat(parts)] : parts
    encodeHeader(this.#view, OUT_HEADER_BYTES + bytes, 0, unique)
    if (this.#closed) return
    try {
      writevSync(this.#fd, [this.#out.subarray(0, OUT_HEADER_BYTES), ...vectors])
    } catch (error) {
      this.#failed(unique, error)
    }
  }

  /** A reply whose first 16 bytes were left free for the header. */
  sendPacked(unique: number, bytes: Buffer, view: DataView, length: number): void {
    encodeHeader(view, length, 0, unique)
    this.#write(unique, bytes, length)
  }

  /** One notification that waits for no lock; whether the kernel knows what it is about does not matter. */
  notify(message: ArrayBuffer): void {
    if (this.#closed) return
    try {
      writeSync(this.#fd, new Uint8Array(message))
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EPERM') {
        this.#fault('the kernel refused a notification', { error: messageOf(error) })
      }
    }
  }

  #write(unique: number, bytes: Buffer, length: number): void {
    if (this.#closed) return
    try {
      writeSync(this.#fd, bytes, 0, length)
    } catch (error) {
      this.#failed(unique, error)
    }
  }

  /**
   * ENOENT: the request is gone (aborted). ENODEV, EPERM: so is the connection. EINVAL: the reply was malformed and the
   * caller still waits (fuse_dev_do_write), so it must get an error.
   */
  #failed(unique: number, error: unknown): void {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'EPERM') return
    this.#fault('the kernel refused a reply', { unique, error: messageOf(error) })
    encodeHeader(this.#view, OUT_HEADER_BYTES, EIO, unique)
    try {
      writeSync(this.#fd, this.#out, 0, OUT_HEADER_BYTES)
    } catch {
      // The refused reply ended the request after all.
    }
  }
}
