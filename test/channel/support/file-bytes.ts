import { FALLOC_FL_KEEP_SIZE } from '../../../src/fs/operation.js'

const noBytes = Buffer.alloc(0)

/** `length` bytes that differ from their neighbours, and from those of other writes; no record is made of them. */
export function bytesOfWrite(number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at++) bytes[at] = 128 + ((number * 61 + at) % 127)
  return bytes
}

/** What an open file must hold, byte for byte: a deliberately plain second version. */
export class FileBytes {
  readonly name: string
  readonly ino: number
  readonly handle: number
  bytes: Buffer = noBytes
  /** Where the last write ended. */
  written = 0

  constructor({ name, ino, handle }: { name: string; ino: number; handle: number }) {
    this.name = name
    this.ino = ino
    this.handle = handle
  }

  get size(): number {
    return this.bytes.length
  }

  slice(offset: number, length: number): Uint8Array {
    return Uint8Array.from(this.bytes.subarray(offset, offset + length))
  }

  #grow(size: number): void {
    if (size > this.size) this.bytes = Buffer.concat([this.bytes, Buffer.alloc(size - this.size)])
  }

  write(offset: number, data: Uint8Array): void {
    if (data.length === 0) return
    this.#grow(offset + data.length)
    this.bytes.set(data, offset)
    this.written = offset + data.length
  }

  truncate(size: number): void {
    this.#grow(size)
    this.bytes = Buffer.from(this.bytes.subarray(0, size))
  }

  allocate(mode: number, offset: number, length: number): void {
    if ((mode & FALLOC_FL_KEEP_SIZE) === 0) this.#grow(offset + length)
    if (mode !== 0) this.bytes.subarray(offset, offset + length).fill(0)
  }

  /** What is wrong with what a read of so many bytes from an offset on got; undefined: nothing. */
  differs(offset: number, length: number, got: Uint8Array): string | undefined {
    const wanted = this.bytes.subarray(offset, offset + length)
    if (wanted.equals(got)) return undefined
    const at = wanted.findIndex((byte, index) => byte !== got[index])
    const where = at < 0 ? '' : `, the first wrong one at ${offset + at}`
    return `${this.name}: ${got.length} of ${wanted.length} bytes at ${offset}${where}`
  }
}
