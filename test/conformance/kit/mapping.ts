import { MAP, PROT } from './flags.js'
import { bind } from './libc.js'
import { sys } from './sys.js'

const mmap = bind('int64 mmap(int64, size_t, int, int, int, int64)')
const munmap = bind('int munmap(int64, size_t)')
const msync = bind('int msync(int64, size_t, int)')
const memoryFrom = bind('int64 memcpy(void *, int64, size_t)')
const memoryTo = bind('int64 memcpy(int64, const void *, size_t)')
const readInto = bind('int64 pread(int, int64, size_t, int64)')
const writeFrom = bind('int64 pwrite(int, int64, size_t, int64)')
const writePlain = bind('int64 write(int, int64, size_t)')

export const pageBytes = 4096
const mapped = new Map<number, number>()

/** A mapping at its address; V8 does not know this memory, so it may be a file's. */
export class Mapping {
  readonly address: number
  readonly length: number

  constructor(length: number, protection: number, flags: number, fd = -1, offset = 0) {
    this.address = mmap(0, length, protection, flags, fd, offset)
    this.length = length
    mapped.set(this.address, length)
  }

  load(offset: number, length: number): Buffer {
    const buffer = Buffer.alloc(length)
    memoryFrom(buffer, this.address + offset, length)
    return buffer
  }

  store(offset: number, data: string | Buffer): void {
    const bytes = Buffer.from(data)
    memoryTo(this.address + offset, bytes, bytes.length)
  }

  /** Lets the kernel look at the memory: where a load would end in SIGBUS, this fails with EFAULT. */
  probe(offset: number): number {
    const [, writer] = sys.pipe()
    return writePlain(writer, this.address + offset, 1)
  }

  sync(flags: number, offset = 0, length = this.length): void {
    msync(this.address + offset, length, flags)
  }

  /** read(2) into this memory, which is aligned as O_DIRECT asks. */
  readFrom(fd: number, length: number, at: number): number {
    return readInto(fd, this.address, length, at)
  }

  writeTo(fd: number, length: number, at: number): number {
    return writeFrom(fd, this.address, length, at)
  }

  unmap(): void {
    mapped.delete(this.address)
    munmap(this.address, this.length)
  }
}

export const shared = (fd: number, length: number, offset = 0): Mapping =>
  new Mapping(length, PROT.READ | PROT.WRITE, MAP.SHARED, fd, offset)

export const readable = (fd: number, length: number, flags: number = MAP.SHARED, offset = 0): Mapping =>
  new Mapping(length, PROT.READ, flags, fd, offset)

/** Page-aligned memory of no file. */
export function aligned(data: Buffer): Mapping {
  const memory = new Mapping(data.length, PROT.READ | PROT.WRITE, MAP.PRIVATE | MAP.ANONYMOUS)
  memory.store(0, data)
  return memory
}

export function unmapAll(): void {
  for (const [address, length] of mapped) munmap(address, length)
  mapped.clear()
}
