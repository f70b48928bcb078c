import { bind, cstring, type Path } from './libc.js'

const c = {
  setxattr: bind('int setxattr(const void *, const void *, const void *, size_t, int)'),
  lsetxattr: bind('int lsetxattr(const void *, const void *, const void *, size_t, int)'),
  fsetxattr: bind('int fsetxattr(int, const void *, const void *, size_t, int)'),
  getxattr: bind('int64 getxattr(const void *, const void *, void *, size_t)'),
  lgetxattr: bind('int64 lgetxattr(const void *, const void *, void *, size_t)'),
  fgetxattr: bind('int64 fgetxattr(int, const void *, void *, size_t)'),
  listxattr: bind('int64 listxattr(const void *, void *, size_t)'),
  flistxattr: bind('int64 flistxattr(int, void *, size_t)'),
  removexattr: bind('int removexattr(const void *, const void *)'),
  fremovexattr: bind('int fremovexattr(int, const void *)'),
}

const namesOf = (buffer: Buffer, count: number): string[] =>
  buffer.toString('latin1', 0, count).split('\0').slice(0, -1).sort()
const bytesOf = (value: string | Uint8Array): Uint8Array => (typeof value === 'string' ? Buffer.from(value) : value)
const roomBytes = 70_000

/** Extended attributes: xattr(7). */
export const xattr = {
  set(path: Path, name: string, value: string | Uint8Array, flags = 0): void {
    const bytes = bytesOf(value)
    c.setxattr(cstring(path), cstring(name), bytes, bytes.length, flags)
  },
  lset(path: Path, name: string, value: string | Uint8Array): void {
    const bytes = bytesOf(value)
    c.lsetxattr(cstring(path), cstring(name), bytes, bytes.length, 0)
  },
  fset(fd: number, name: string, value: string | Uint8Array): void {
    const bytes = bytesOf(value)
    c.fsetxattr(fd, cstring(name), bytes, bytes.length, 0)
  },
  /** `size` 0 asks for the length alone. */
  getInto: (path: Path, name: string, size: number): number =>
    c.getxattr(cstring(path), cstring(name), Buffer.alloc(size), size),
  get(path: Path, name: string): Buffer {
    const buffer = Buffer.alloc(roomBytes)
    return buffer.subarray(0, c.getxattr(cstring(path), cstring(name), buffer, roomBytes))
  },
  lget(path: Path, name: string): Buffer {
    const buffer = Buffer.alloc(roomBytes)
    return buffer.subarray(0, c.lgetxattr(cstring(path), cstring(name), buffer, roomBytes))
  },
  fget(fd: number, name: string): Buffer {
    const buffer = Buffer.alloc(roomBytes)
    return buffer.subarray(0, c.fgetxattr(fd, cstring(name), buffer, roomBytes))
  },
  listInto: (path: Path, size: number): number => c.listxattr(cstring(path), Buffer.alloc(size), size),
  /** Sorted. */
  list(path: Path): string[] {
    const buffer = Buffer.alloc(roomBytes)
    return namesOf(buffer, c.listxattr(cstring(path), buffer, roomBytes))
  },
  flist(fd: number): string[] {
    const buffer = Buffer.alloc(roomBytes)
    return namesOf(buffer, c.flistxattr(fd, buffer, roomBytes))
  },
  remove: (path: Path, name: string): number => c.removexattr(cstring(path), cstring(name)),
  fremove: (fd: number, name: string): number => c.fremovexattr(fd, cstring(name)),
}
