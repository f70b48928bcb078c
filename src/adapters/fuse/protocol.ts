/**
 * Constants of the FUSE kernel protocol 7.45: include/uapi/linux/fuse.h. Nothing here knows of rkfs.
 */

export const FUSE_MAJOR = 7
/** The newest minor version whose structures are encoded here; the kernel's own is used if it is lower. */
export const FUSE_MINOR_MAX = 45
/** Linux 5.4 (2019): everything older lacks what a mount that caches needs (EXPLICIT_INVAL_DATA, MAX_PAGES). */
export const FUSE_MINOR_MIN = 31
/** Since 7.44 FUSE_NOTIFY_INC_EPOCH makes every dentry of the mount revalidate. */
export const FUSE_MINOR_INC_EPOCH = 44

export const IN_HEADER_BYTES = 40
export const OUT_HEADER_BYTES = 16
export const WRITE_IN_BYTES = 40
export const ENTRY_OUT_BYTES = 128
export const DIRENT_BYTES = 24

/** The most a WRITE carries, and the pages that makes (sysctl fs.fuse.max_pages_limit is 256 by default). */
export const WRITE_BYTES_MAX = 1 << 20
export const PAGES_MAX = 256
/** A read buffer must hold the largest request, at least max_write + 80 bytes, or read(2) fails with EINVAL. */
export const REQUEST_BYTES_MAX = WRITE_BYTES_MAX + 8192

/** enum fuse_opcode */
export const Op = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const

/** enum fuse_notify_code */
export const Notify = {
  INVAL_INODE: 2,
  INVAL_ENTRY: 3,
  STORE: 4,
  DELETE: 6,
  INC_EPOCH: 8,
} as const

/** INIT flags 0–31 (`flags`). */
export const Flag = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  FLOCK_LOCKS: 1 << 10,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  EXPLICIT_INVAL_DATA: 1 << 25,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const

/** INIT flags 32–63, shifted down (`flags2`). */
export const Flag2 = {
  CREATE_SUPP_GROUP: 1 << 2,
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
} as const

/** fuse_setattr_in.valid */
export const Fattr = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  LOCKOWNER: 1 << 9,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const

/** fuse_open_out.open_flags */
export const FOPEN_DIRECT_IO = 1 << 0
export const FOPEN_KEEP_CACHE = 1 << 1
export const FOPEN_CACHE_DIR = 1 << 3
/** close(2) sends no FLUSH (since 7.35; older kernels ignore it). */
export const FOPEN_NOFLUSH = 1 << 5

/** fuse_write_in.write_flags: pages of the kernel's, and not what a program is writing. */
export const WRITE_CACHE = 1 << 0
export const WRITE_KILL_SUIDGID = 1 << 2
export const OPEN_KILL_SUIDGID = 1 << 0
export const RELEASE_FLOCK_UNLOCK = 1 << 1
export const FSYNC_FDATASYNC = 1 << 0
export const LK_FLOCK = 1 << 0
/** fuse_setxattr_in.setxattr_flags (FUSE_SETXATTR_EXT): an access ACL is set by one who may not keep set-gid. */
export const SETXATTR_ACL_KILL_SGID = 1 << 0

/** enum fuse_ext_type: FUSE_EXT_GROUPS, a struct fuse_supp_groups. */
export const EXT_GROUPS = 32

/** fuse_file_lock.type: F_RDLCK, F_WRLCK, F_UNLCK of fcntl(2). */
export const LOCK_TYPES = ['read', 'write', 'unlock'] as const
