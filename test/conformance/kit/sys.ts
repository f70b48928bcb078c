import { bind, cstring, vector, type Path } from './libc.js'
import { AT, O, SEEK } from './flags.js'
import { decodeEntries, decodeStatfs, decodeStatx, statfsBytes, statxBytes } from './stat.js'
import type { DirectoryEntry, Stat, StatFs } from './stat.js'

const c = {
  openat: bind('int openat(int, const void *, int, uint)'),
  close: bind('int close(int)'),
  read: bind('int64 read(int, void *, size_t)'),
  pread: bind('int64 pread(int, void *, size_t, int64)'),
  write: bind('int64 write(int, const void *, size_t)'),
  pwrite: bind('int64 pwrite(int, const void *, size_t, int64)'),
  readv: bind('int64 readv(int, const void *, int)'),
  writev: bind('int64 writev(int, const void *, int)'),
  preadv2: bind('int64 preadv2(int, const void *, int, int64, int)'),
  pwritev2: bind('int64 pwritev2(int, const void *, int, int64, int)'),
  lseek: bind('int64 lseek(int, int64, int)'),
  truncate: bind('int truncate(const void *, int64)'),
  ftruncate: bind('int ftruncate(int, int64)'),
  fallocate: bind('int fallocate(int, int, int64, int64)'),
  copy_file_range: bind('int64 copy_file_range(int, void *, int, void *, size_t, uint)'),
  sendfile: bind('int64 sendfile(int, int, void *, size_t)'),
  splice: bind('int64 splice(int, void *, int, void *, size_t, uint)'),
  fsync: bind('int fsync(int)'),
  fdatasync: bind('int fdatasync(int)'),
  syncfs: bind('int syncfs(int)'),
  sync_file_range: bind('int sync_file_range(int, int64, int64, uint)'),
  linkat: bind('int linkat(int, const void *, int, const void *, int)'),
  unlinkat: bind('int unlinkat(int, const void *, int)'),
  symlinkat: bind('int symlinkat(const void *, int, const void *)'),
  readlinkat: bind('int64 readlinkat(int, const void *, void *, size_t)'),
  renameat2: bind('int renameat2(int, const void *, int, const void *, uint)'),
  mkdirat: bind('int mkdirat(int, const void *, uint)'),
  mknodat: bind('int mknodat(int, const void *, uint, uint64)'),
  fchmod: bind('int fchmod(int, uint)'),
  fchmodat: bind('int fchmodat(int, const void *, uint, int)'),
  fchown: bind('int fchown(int, uint, uint)'),
  fchownat: bind('int fchownat(int, const void *, uint, uint, int)'),
  utimensat: bind('int utimensat(int, const void *, const void *, int)'),
  futimens: bind('int futimens(int, const void *)'),
  faccessat: bind('int faccessat(int, const void *, int, int)'),
  statx: bind('int statx(int, const void *, int, uint, void *)'),
  statfs: bind('int statfs(const void *, void *)'),
  fstatfs: bind('int fstatfs(int, void *)'),
  getdents64: bind('int64 getdents64(int, void *, size_t)'),
  flock: bind('int flock(int, int)'),
  fcntl: bind('int fcntl(int, int, int64)'),
  ioctl: bind('int ioctl(int, uint64, void *)'),
  ioctlNumber: bind('int ioctl(int, uint64, int64)'),
  dup: bind('int dup(int)'),
  pipe2: bind('int pipe2(void *, int)'),
  chdir: bind('int chdir(const void *)'),
  fchdir: bind('int fchdir(int)'),
  // the system call: glibc's getcwd answers a pointer, and Node's process.cwd() remembers
  syscall: bind('int64 syscall(int64, void *, size_t)'),
}

const STATX_BASIC_STATS = 0x7ff
const getcwdNumber = process.arch === 'arm64' ? 17 : 79
const bytesOf = (data: string | Uint8Array): Uint8Array => (typeof data === 'string' ? Buffer.from(data) : data)

/** Descriptors that the case in hand opened: a case closes nothing. */
const open = new Set<number>()

function track(fd: number): number {
  open.add(fd)
  return fd
}

export function closeAll(): void {
  for (const fd of open) {
    try {
      c.close(fd)
    } catch {
      // the case broke it; what a close answers is a case of its own
    }
  }
  open.clear()
}

/** A time for utimensat(2): nanoseconds since 1970, or UTIME_NOW, UTIME_OMIT as they are. */
export type Time = bigint | { readonly seconds?: bigint; readonly nanoseconds: number }

function timespec(...times: Time[]): Buffer {
  const buffer = Buffer.alloc(16 * times.length)
  times.forEach((time, i) => {
    const whole = typeof time !== 'bigint'
    const nanoseconds = whole ? BigInt(time.nanoseconds) : ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
    buffer.writeBigInt64LE(whole ? (time.seconds ?? 0n) : (time - nanoseconds) / 1_000_000_000n, 16 * i)
    buffer.writeBigInt64LE(nanoseconds, 16 * i + 8)
  })
  return buffer
}

function offsetCell(offset: number | undefined): Buffer | null {
  if (offset === undefined) return null
  const cell = Buffer.alloc(8)
  cell.writeBigInt64LE(BigInt(offset))
  return cell
}

/** System calls as the manual pages name them; relative paths start in the case's own directory. Failures throw `SysError`. */
export const sys = {
  open: (path: Path, flags: number = O.RDONLY, mode = 0o644): number => sys.openat(AT.FDCWD, path, flags, mode),
  openat: (at: number, path: Path, flags: number = O.RDONLY, mode = 0o644): number =>
    track(c.openat(at, cstring(path), flags | O.CLOEXEC, mode)),
  close(fd: number): void {
    open.delete(fd)
    c.close(fd)
  },
  dup: (fd: number): number => track(c.dup(fd)),
  pipe(): [number, number] {
    const pair = Buffer.alloc(8)
    c.pipe2(pair, O.CLOEXEC | O.NONBLOCK)
    return [track(pair.readInt32LE(0)), track(pair.readInt32LE(4))]
  },

  read(fd: number, size: number): Buffer {
    const buffer = Buffer.alloc(size)
    return buffer.subarray(0, c.read(fd, buffer, size))
  },
  pread(fd: number, size: number, offset: number | bigint): Buffer {
    const buffer = Buffer.alloc(size)
    return buffer.subarray(0, c.pread(fd, buffer, size, offset))
  },
  readv(fd: number, sizes: readonly number[]): { count: number; parts: Buffer[] } {
    const parts = sizes.map(size => Buffer.alloc(size))
    return { count: c.readv(fd, vector(parts), parts.length), parts }
  },
  preadv2(fd: number, size: number, offset: number, flags: number): Buffer {
    const buffer = Buffer.alloc(size)
    return buffer.subarray(0, c.preadv2(fd, vector([buffer]), 1, offset, flags))
  },
  write: (fd: number, data: string | Uint8Array): number => c.write(fd, bytesOf(data), bytesOf(data).length),
  pwrite: (fd: number, data: string | Uint8Array, offset: number | bigint): number =>
    c.pwrite(fd, bytesOf(data), bytesOf(data).length, offset),
  writev: (fd: number, parts: readonly Uint8Array[]): number => c.writev(fd, vector(parts), parts.length),
  pwritev2: (fd: number, parts: readonly Uint8Array[], offset: number, flags: number): number =>
    c.pwritev2(fd, vector(parts), parts.length, offset, flags),
  lseek: (fd: number, offset: number | bigint, whence: number = SEEK.SET): number => c.lseek(fd, offset, whence),
  truncate: (path: Path, size: number | bigint): number => c.truncate(cstring(path), size),
  ftruncate: (fd: number, size: number | bigint): number => c.ftruncate(fd, size),
  fallocate: (fd: number, mode: number, offset: number | bigint, length: number | bigint): number =>
    c.fallocate(fd, mode, offset, length),
  copyFileRange: (
    from: number,
    fromOffset: number | undefined,
    to: number,
    toOffset: number | undefined,
    length: number,
    flags = 0,
  ): number => c.copy_file_range(from, offsetCell(fromOffset), to, offsetCell(toOffset), length, flags),
  sendfile: (to: number, from: number, length: number): number => c.sendfile(to, from, null, length),
  splice: (from: number, to: number, length: number): number => c.splice(from, null, to, null, length, 0),
  fsync: (fd: number): number => c.fsync(fd),
  fdatasync: (fd: number): number => c.fdatasync(fd),
  syncfs: (fd: number): number => c.syncfs(fd),
  syncFileRange: (fd: number, offset: number, length: number, flags: number): number =>
    c.sync_file_range(fd, offset, length, flags),

  link: (from: Path, to: Path): number => sys.linkat(AT.FDCWD, from, AT.FDCWD, to, 0),
  linkat: (fromAt: number, from: Path, toAt: number, to: Path, flags: number): number =>
    c.linkat(fromAt, cstring(from), toAt, cstring(to), flags),
  unlink: (path: Path): number => c.unlinkat(AT.FDCWD, cstring(path), 0),
  unlinkat: (at: number, path: Path, flags: number): number => c.unlinkat(at, cstring(path), flags),
  rmdir: (path: Path): number => c.unlinkat(AT.FDCWD, cstring(path), AT.REMOVEDIR),
  symlink: (target: Path, path: Path): number => c.symlinkat(cstring(target), AT.FDCWD, cstring(path)),
  readlink: (path: Path, size = 4096): Buffer => sys.readlinkat(AT.FDCWD, path, size),
  readlinkat(at: number, path: Path, size = 4096): Buffer {
    const buffer = Buffer.alloc(size)
    return buffer.subarray(0, c.readlinkat(at, cstring(path), buffer, size))
  },
  rename: (from: Path, to: Path): number => sys.renameat2(from, to, 0),
  renameat2: (from: Path, to: Path, flags: number): number =>
    c.renameat2(AT.FDCWD, cstring(from), AT.FDCWD, cstring(to), flags),
  mkdir: (path: Path, mode = 0o755): number => c.mkdirat(AT.FDCWD, cstring(path), mode),
  mkdirat: (at: number, path: Path, mode = 0o755): number => c.mkdirat(at, cstring(path), mode),
  /** `mode` with the type; device numbers of up to 12 and 20 bits. */
  mknod: (path: Path, mode: number, major = 0, minor = 0): number =>
    c.mknodat(AT.FDCWD, cstring(path), mode, ((major << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12)) >>> 0),

  chmod: (path: Path, mode: number): number => c.fchmodat(AT.FDCWD, cstring(path), mode, 0),
  fchmod: (fd: number, mode: number): number => c.fchmod(fd, mode),
  fchmodat: (at: number, path: Path, mode: number, flags: number): number => c.fchmodat(at, cstring(path), mode, flags),
  chown: (path: Path, uid: number, gid: number): number => c.fchownat(AT.FDCWD, cstring(path), uid >>> 0, gid >>> 0, 0),
  lchown: (path: Path, uid: number, gid: number): number =>
    c.fchownat(AT.FDCWD, cstring(path), uid >>> 0, gid >>> 0, AT.SYMLINK_NOFOLLOW),
  fchown: (fd: number, uid: number, gid: number): number => c.fchown(fd, uid >>> 0, gid >>> 0),
  fchownat: (at: number, path: Path, uid: number, gid: number, flags: number): number =>
    c.fchownat(at, cstring(path), uid >>> 0, gid >>> 0, flags),
  utimens: (path: Path, atime: Time, mtime: Time, flags = 0): number =>
    c.utimensat(AT.FDCWD, cstring(path), timespec(atime, mtime), flags),
  futimens: (fd: number, atime: Time, mtime: Time): number => c.futimens(fd, timespec(atime, mtime)),
  /** utimensat(2) with NULL for the times: both become now. */
  touch: (path: Path): number => c.utimensat(AT.FDCWD, cstring(path), null, 0),
  access: (path: Path, mode: number, flags = 0): number => c.faccessat(AT.FDCWD, cstring(path), mode, flags),

  stat: (path: Path): Stat => sys.statx(AT.FDCWD, path, 0),
  lstat: (path: Path): Stat => sys.statx(AT.FDCWD, path, AT.SYMLINK_NOFOLLOW),
  fstat: (fd: number): Stat => sys.statx(fd, '', AT.EMPTY_PATH),
  statx(at: number, path: Path, flags: number): Stat {
    const buffer = Buffer.alloc(statxBytes)
    c.statx(at, cstring(path), flags, STATX_BASIC_STATS, buffer)
    return decodeStatx(buffer)
  },
  statfs(path: Path): StatFs {
    const buffer = Buffer.alloc(statfsBytes)
    c.statfs(cstring(path), buffer)
    return decodeStatfs(buffer)
  },
  fstatfs(fd: number): StatFs {
    const buffer = Buffer.alloc(statfsBytes)
    c.fstatfs(fd, buffer)
    return decodeStatfs(buffer)
  },
  getdents(fd: number, size = 32768): DirectoryEntry[] {
    const buffer = Buffer.alloc(size)
    return decodeEntries(buffer.subarray(0, c.getdents64(fd, buffer, size)))
  },

  flock: (fd: number, operation: number): number => c.flock(fd, operation),
  fcntl: (fd: number, command: number, argument: number | bigint = 0): number => c.fcntl(fd, command, argument),
  ioctl: (fd: number, request: number, argument: Uint8Array | null): number => c.ioctl(fd, request, argument),
  ioctlNumber: (fd: number, request: number, argument: number): number => c.ioctlNumber(fd, request, argument),
  chdir: (path: Path): number => c.chdir(cstring(path)),
  fchdir: (fd: number): number => c.fchdir(fd),
  getcwd(): string {
    const buffer = Buffer.alloc(8192)
    return buffer.toString('latin1', 0, c.syscall(getcwdNumber, buffer, buffer.length) - 1)
  },
}
