import koffi from 'koffi'
import { SysError } from './errors.js'

/** A path, name or target: text is UTF-8, a Buffer is taken byte by byte. */
export type Path = string | Buffer
/** A pointer: memory of ours, an address, or NULL. */
export type Pointer = Uint8Array | null
type Argument = number | bigint | Uint8Array | null

const library = koffi.load('libc.so.6')

/** A libc function by its C prototype; its -1 is thrown as a `SysError`. Variadic ones take integers in the same registers. */
export function bind(prototype: string): (...args: Argument[]) => number {
  const native = library.func(prototype) as (...args: Argument[]) => number | bigint
  const name = /(\w+)\(/.exec(prototype)![1]!
  return (...args) => {
    const result = Number(native(...args))
    if (result === -1) throw new SysError(name, koffi.errno())
    return result
  }
}

export function cstring(path: Path): Buffer {
  return Buffer.concat([typeof path === 'string' ? Buffer.from(path) : path, Buffer.of(0)])
}

/** The address of memory of ours, for structures with pointers inside. */
export function address(memory: Uint8Array): bigint {
  return BigInt(koffi.address(memory) as number | bigint)
}

/** struct iovec[]: the memory must outlive the call. */
export function vector(parts: readonly Uint8Array[]): Buffer {
  const buffer = Buffer.alloc(16 * parts.length)
  parts.forEach((part, i) => {
    buffer.writeBigUInt64LE(part.length === 0 ? 0n : address(part), 16 * i)
    buffer.writeBigUInt64LE(BigInt(part.length), 16 * i + 8)
  })
  return buffer
}
