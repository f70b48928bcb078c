import { constants } from 'node:fs'

const c = constants

/** open(2); the values differ between architectures, Node knows most of them. */
export const O = {
  RDONLY: c.O_RDONLY,
  WRONLY: c.O_WRONLY,
  RDWR: c.O_RDWR,
  CREAT: c.O_CREAT,
  EXCL: c.O_EXCL,
  TRUNC: c.O_TRUNC,
  APPEND: c.O_APPEND,
  DIRECTORY: c.O_DIRECTORY,
  NOFOLLOW: c.O_NOFOLLOW,
  SYNC: c.O_SYNC,
  DSYNC: c.O_DSYNC,
  DIRECT: c.O_DIRECT,
  NOATIME: c.O_NOATIME,
  NONBLOCK: c.O_NONBLOCK,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
  TMPFILE: 0o20000000 | c.O_DIRECTORY,
  ACCMODE: 3,
} as const

export const AT = {
  FDCWD: -100,
  SYMLINK_NOFOLLOW: 0x100,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  EACCESS: 0x200,
  EMPTY_PATH: 0x1000,
} as const

export const S = {
  IFMT: c.S_IFMT,
  IFREG: c.S_IFREG,
  IFDIR: c.S_IFDIR,
  IFLNK: c.S_IFLNK,
  IFIFO: c.S_IFIFO,
  IFSOCK: c.S_IFSOCK,
  IFCHR: c.S_IFCHR,
  IFBLK: c.S_IFBLK,
  ISUID: 0o4000,
  ISGID: 0o2000,
  ISVTX: 0o1000,
} as const

export const SEEK = { SET: 0, CUR: 1, END: 2, DATA: 3, HOLE: 4 } as const
export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const
export const FALLOC = { KEEP_SIZE: 1, PUNCH_HOLE: 2, ZERO_RANGE: 16 } as const
export const XATTR = { CREATE: 1, REPLACE: 2 } as const
export const RWF = { HIPRI: 1, DSYNC: 2, SYNC: 4, NOWAIT: 8, APPEND: 16 } as const
export const ACCESS = { F: 0, X: 1, W: 2, R: 4 } as const
export const LOCK = { SH: 1, EX: 2, NB: 4, UN: 8 } as const
export const F = {
  GETFL: 3,
  SETFL: 4,
  GETLK: 5,
  SETLK: 6,
  SETLKW: 7,
  OFD_GETLK: 36,
  OFD_SETLK: 37,
  OFD_SETLKW: 38,
} as const
export const PROT = { READ: 1, WRITE: 2 } as const
export const MAP = { SHARED: 1, PRIVATE: 2, ANONYMOUS: 0x20 } as const
export const MS = { ASYNC: 1, INVALIDATE: 2, SYNC: 4 } as const
/** Special values of a time's nanoseconds (utimensat(2)). */
export const UTIME_NOW = 0x3fffffff
export const UTIME_OMIT = 0x3ffffffe
/** File types in a directory entry (readdir(3)). */
export const DT = { FIFO: 1, CHR: 2, DIR: 4, BLK: 6, REG: 8, LNK: 10, SOCK: 12 } as const
