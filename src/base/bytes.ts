import { RkfsError } from './errors.js'

/** Thrown by a `ByteReader` for input that is too short or out of range; decoders let it through. */
export function malformed(what: string): RkfsError {
  return new RkfsError('corrupt', `malformed ${what}`)
}

/** Appends little-endian fields to a buffer that grows. Integers up to 2^53-1 are JS numbers. */
export class ByteWriter {
  #bytes: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 128) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  #room(count: number): number {
    const at = this.#length
    const needed = at + count
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, at))
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#length = needed
    return at
  }

  u8(value: number): this {
    const at = this.#room(1)
    this.#view.setUint8(at, value)
    return this
  }
  u16(value: number): this {
    const at = this.#room(2)
    this.#view.setUint16(at, value, true)
    return this
  }
  u32(value: number): this {
    const at = this.#room(4)
    this.#view.setUint32(at, value, true)
    return this
  }
  /** An integer from 0 to 2^53-1 in eight bytes. */
  u64(value: number): this {
    const at = this.#room(8)
    this.#view.setUint32(at, value % 4294967296, true)
    this.#view.setUint32(at + 4, Math.floor(value / 4294967296), true)
    return this
  }
  /** A signed 64-bit integer, for times in nanoseconds. */
  i64(value: bigint): this {
    const at = this.#room(8)
    this.#view.setBigInt64(at, value, true)
    return this
  }
  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
    return this
  }
  /** A u32 length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes)
  }
  /** A binary string (one char a byte, 0–255) with a u16 length. */
  binary(text: string): this {
    this.u16(text.length)
    const at = this.#room(text.length)
    for (let i = 0; i < text.length; i++) this.#bytes[at + i] = text.charCodeAt(i)
    return this
  }
  get length(): number {
    return this.#length
  }
  /** What was written so far; a view, valid until the next write. */
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }
}

/** Reads what `ByteWriter` wrote. Every read past the end throws `corrupt`; `end()` refuses what is left over. */
export class ByteReader {
  #bytes: Uint8Array
  #view: DataView
  #at = 0
  #what: string

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  #take(count: number): number {
    const at = this.#at
    if (at + count > this.#bytes.length) throw malformed(`${this.#what}: it ends at byte ${this.#bytes.length}`)
    this.#at = at + count
    return at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }
  u64(): number {
    const at = this.#take(8)
    const value = this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 4294967296
    if (value > Number.MAX_SAFE_INTEGER) throw malformed(`${this.#what}: a number out of range`)
    return value
  }
  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true)
  }
  /** A view of the next `count` bytes. */
  raw(count: number): Uint8Array {
    const at = this.#take(count)
    return this.#bytes.subarray(at, at + count)
  }
  bytes(): Uint8Array {
    return this.raw(this.u32())
  }
  binary(): string {
    const length = this.u16()
    const at = this.#take(length)
    return latin1(this.#bytes.subarray(at, at + length))
  }
  get left(): number {
    return this.#bytes.length - this.#at
  }
  /** Fails if bytes are left over. */
  end(): void {
    if (this.left !== 0) throw malformed(`${this.#what}: ${this.left} bytes too many`)
  }
}

/** Bytes as a binary string: one char a byte. Names of files travel in this form, since they need not be UTF-8. */
export function latin1(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]!)
  return text
}

/** The bytes of a binary string. */
export function fromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

const hexDigits = '0123456789abcdef'

export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += hexDigits[byte >> 4]! + hexDigits[byte & 15]!
  return text
}

/** The bytes of an even number of hexadecimal digits; throws `corrupt` for anything else. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 || !/^[0-9a-f]*$/i.test(text)) throw malformed(`hexadecimal text ${JSON.stringify(text)}`)
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

/** `parts` one after the other: `length` bytes in all. */
export function concatBytes(parts: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
