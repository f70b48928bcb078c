/**
 * The port between a mount driver and the file system behind it: operations by inode number, with the caller's
 * identity, whose replies may come later and from anywhere. Drivers: `adapters/fuse`. The handler: `channel/frontend.ts`.
 *
 * Names and link targets are binary strings (one char a byte). Inode 1 is the root. Times are nanoseconds since 1970.
 */
import type { Inode } from '../fs/records.js'
import type { Range } from '../fs/reserved.js'

/** Who made the system call. `pid` 0: the kernel itself. */
export interface Caller {
  readonly uid: number
  readonly gid: number
  readonly pid: number
  /** A supplementary group of the caller that owns the parent directory (FUSE_CREATE_SUPP_GROUP), when the kernel says so. */
  readonly supplementaryGroup?: number
  /**
   * Of a call that makes a file: the umask, which the handler applies unless a default ACL takes its place. Undefined: it is
   * applied already, and there are no ACLs.
   */
  readonly umask?: number
}

/** A file's attributes as stat(2) shows them. `size` and `ino` are safe integers. */
export interface Attributes {
  readonly ino: number
  /** Type and permission bits, as st_mode. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  /** As the kernel's new_encode_dev: 32 bits. */
  readonly rdev: number
  readonly size: number
  /** Allocated space in units of 512 bytes. */
  readonly blocks: number
  readonly atime: bigint
  readonly mtime: bigint
  readonly ctime: bigint
}

/** A name's answer: attributes and how long the kernel may keep the name and the attributes (milliseconds). */
export interface Entry {
  readonly attributes: Attributes
  readonly entryTtlMs: number
  readonly attributesTtlMs: number
}

/** A lookup that found nothing, which the kernel may remember for `negativeTtlMs`. */
export interface NegativeEntry {
  readonly attributes: undefined
  readonly negativeTtlMs: number
}

export interface OpenFile {
  /** Chosen by the handler; comes back with every operation on the open file. A safe integer. */
  readonly handle: number
  /** The kernel keeps what it has cached of this file (FOPEN_KEEP_CACHE). */
  readonly keepCache: boolean
  /** Every read and write reaches the handler (FOPEN_DIRECT_IO). */
  readonly directIo: boolean
  /** The kernel may cache the listing (FOPEN_CACHE_DIR); directories only. */
  readonly cacheDirectory?: boolean
}

export interface DirectoryItem {
  readonly name: string
  readonly ino: number
  /** File type bits of the mode (S_IFMT). */
  readonly type: number
  /** Where a listing continues after this item: a stable, non-zero cookie below 2^63. */
  readonly offset: bigint
  /** For readdirplus: what a lookup of the name would have answered; each one counts as a lookup. `.` and `..` have none. */
  readonly entry?: Entry
}

export interface AttributeChange {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  /** `'now'`: the time of the call (UTIME_NOW). */
  readonly atime?: bigint | 'now'
  readonly mtime?: bigint | 'now'
  readonly ctime?: bigint
  /** The open file that an ftruncate came through. */
  readonly handle?: number
  /** HANDLE_KILLPRIV_V2: clear set-uid, and set-gid where group-executable. */
  readonly killPrivileges: boolean
}

export interface FileLock {
  readonly start: number
  /** Inclusive; `Number.MAX_SAFE_INTEGER` and above stand for the end of the file. */
  readonly end: number
  readonly type: 'read' | 'write' | 'unlock'
  readonly pid: number
}

export interface FileSystemStatistics {
  readonly blockSize: number
  readonly blocks: number
  readonly blocksFree: number
  readonly blocksAvailable: number
  readonly files: number
  readonly filesFree: number
  readonly nameMax: number
}

/**
 * One reply, given exactly once, at any later time. A handler that throws before it replied is answered EIO by the
 * driver; a second answer is an assertion failure.
 */
export interface Reply<T> {
  ok(value: T): void
  /** `errno`: positive, from `base/errno.ts`. */
  fail(errno: number): void
  /**
   * Called at most once, when the caller dies of a signal while it waits, or, in a wait for a lock, gets any. The handler may
   * then fail with EINTR or go on.
   */
  onInterrupt(listener: () => void): void
}

/** What the kernel asks. Each method names the system call that brings it about. */
export interface FileSystemHandler {
  /** Path resolution: any call with a path. */
  lookup(caller: Caller, parent: number, name: string, reply: Reply<Entry | NegativeEntry>): void
  /** The kernel dropped `count` of its references to each inode (no answer). */
  forget(inodes: readonly { ino: number; count: number }[]): void
  /** stat(2), fstat(2). */
  getattr(caller: Caller, ino: number, reply: Reply<{ attributes: Attributes; ttlMs: number }>): void
  /** chmod(2), chown(2), truncate(2), utimensat(2). */
  setattr(
    caller: Caller,
    ino: number,
    change: AttributeChange,
    reply: Reply<{ attributes: Attributes; ttlMs: number }>,
  ): void
  readlink(caller: Caller, ino: number, reply: Reply<string>): void
  symlink(caller: Caller, parent: number, name: string, target: string, reply: Reply<Entry>): void
  /** mknod(2), and creat(2) of fifos and sockets. `mode` has the type bits; see `Caller.umask`. */
  mknod(caller: Caller, parent: number, name: string, mode: number, rdev: number, reply: Reply<Entry>): void
  mkdir(caller: Caller, parent: number, name: string, mode: number, reply: Reply<Entry>): void
  unlink(caller: Caller, parent: number, name: string, reply: Reply<void>): void
  rmdir(caller: Caller, parent: number, name: string, reply: Reply<void>): void
  /** rename(2), renameat2(2); `flags`: 1 NOREPLACE, 2 EXCHANGE, 4 WHITEOUT. */
  rename(
    caller: Caller,
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    reply: Reply<void>,
  ): void
  link(caller: Caller, ino: number, newParent: number, newName: string, reply: Reply<Entry>): void
  /** open(2) without O_CREAT, or of a file that exists. O_TRUNC arrives here (FUSE_ATOMIC_O_TRUNC). `killPrivileges`: with O_TRUNC, by an unprivileged caller. */
  open(caller: Caller, ino: number, flags: number, killPrivileges: boolean, reply: Reply<OpenFile>): void
  /** open(2) with O_CREAT of a name the kernel does not know. Answer EEXIST only for O_EXCL. */
  create(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void
  /** O_TMPFILE. */
  tmpfile(
    caller: Caller,
    parent: number,
    mode: number,
    flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void
  /** Answers up to `size` bytes as the parts to send one after the other, fewer only at the end of the file. */
  read(caller: Caller, ino: number, handle: number, offset: number, size: number, reply: Reply<Uint8Array[]>): void
  /**
   * write(2). `data` belongs to the handler from here on (its buffer is not reused).
   * `flags`: the open flags in force (O_APPEND, O_SYNC, O_DSYNC); `killPrivileges`: clear set-uid and set-gid.
   * Answers the count of bytes written.
   */
  write(
    caller: Caller,
    ino: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    flags: number,
    killPrivileges: boolean,
    reply: Reply<number>,
  ): void
  /**
   * The kernel writes pages of a shared mapping back (msync(2), munmap(2), sync(2), for want of memory, or because it was told
   * to drop them): whole pages up to the size that it knows, with the bytes that it was given wherever programs stored none.
   * Answers the count of bytes.
   */
  writeBack(ino: number, handle: number, offset: number, data: Uint8Array, reply: Reply<number>): void
  /** close(2) of one descriptor; `lockOwner` identifies the process's POSIX locks, all dropped by it. */
  flush(caller: Caller, ino: number, handle: number, lockOwner: bigint, reply: Reply<void>): void
  /** The last reference to the open file went; `flockOwner` when a flock(2) is to be dropped. */
  release(ino: number, handle: number, flockOwner: bigint | undefined, reply: Reply<void>): void
  fsync(caller: Caller, ino: number, handle: number, dataOnly: boolean, reply: Reply<void>): void
  opendir(caller: Caller, ino: number, flags: number, reply: Reply<OpenFile>): void
  /**
   * getdents(2). Calls `add` with items after `offset` (0: from the start) until it answers false (full) or there are no
   * more, then `reply.ok()`. With `plus`, each item that has an `entry` counts as a lookup when `add` answered true.
   */
  readdir(
    caller: Caller,
    ino: number,
    handle: number,
    offset: bigint,
    plus: boolean,
    add: (item: DirectoryItem) => boolean,
    reply: Reply<void>,
  ): void
  releasedir(ino: number, handle: number, reply: Reply<void>): void
  fsyncdir(caller: Caller, ino: number, handle: number, dataOnly: boolean, reply: Reply<void>): void
  statfs(caller: Caller, reply: Reply<FileSystemStatistics>): void
  /** setxattr(2); `flags`: 1 XATTR_CREATE, 2 XATTR_REPLACE, 256 with an access ACL: clear set-gid. */
  setxattr(caller: Caller, ino: number, name: string, value: Uint8Array, flags: number, reply: Reply<void>): void
  getxattr(caller: Caller, ino: number, name: string, reply: Reply<Uint8Array>): void
  listxattr(caller: Caller, ino: number, reply: Reply<readonly string[]>): void
  removexattr(caller: Caller, ino: number, name: string, reply: Reply<void>): void
  /** fallocate(2); `mode`: FALLOC_FL_*. */
  fallocate(
    caller: Caller,
    ino: number,
    handle: number,
    mode: number,
    offset: number,
    length: number,
    reply: Reply<void>,
  ): void
  /** lseek(2) with SEEK_DATA (3) or SEEK_HOLE (4). Answers the offset. */
  lseek(caller: Caller, ino: number, handle: number, offset: number, whence: number, reply: Reply<number>): void
  /** copy_file_range(2). Answers the count of bytes copied; EOPNOTSUPP makes the kernel copy this range itself. */
  copyFileRange(
    caller: Caller,
    from: { ino: number; handle: number; offset: number },
    to: { ino: number; handle: number; offset: number },
    length: number,
    reply: Reply<number>,
  ): void
  /** fcntl(2) F_GETLK: the lock that would conflict, or type `unlock`. */
  getlk(caller: Caller, ino: number, handle: number, owner: bigint, lock: FileLock, reply: Reply<FileLock>): void
  /** fcntl(2) F_SETLK and F_SETLKW (`wait`), flock(2) (`flock`). */
  setlk(
    caller: Caller,
    ino: number,
    handle: number,
    owner: bigint,
    lock: FileLock,
    flock: boolean,
    wait: boolean,
    reply: Reply<void>,
  ): void
}

/** What became stale in the kernel's caches because of a change that did not come through this mount. */
export type Invalidation =
  /** Attributes, and the cached pages from `offset` for `length` bytes (`length` 0: to the end; `offset` -1: attributes only). For a directory: its cached listing. */
  | {
      readonly kind: 'inode'
      readonly ino: number
      readonly offset: number
      readonly length: number
      /** The bytes that are others now; absent: all of these. */
      readonly changed?: readonly Range[]
      /** The file before that, if it is known. */
      readonly before?: Inode
    }
  /** A file has become longer than the kernel may think: its mappings reach so far, too. `last`: its last byte. */
  | { readonly kind: 'size'; readonly ino: number; readonly size: number; readonly last: number }
  /** A name appeared, changed or went. */
  | { readonly kind: 'entry'; readonly parent: number; readonly name: string }
  /** A name of `child` went and the kernel may drop its inode. */
  | { readonly kind: 'delete'; readonly parent: number; readonly child: number; readonly name: string }

export interface MountOptions {
  /** The absolute mount point: an existing directory. */
  readonly directory: string
  /** Shown as the source in /proc/mounts. */
  readonly source: string
  readonly readOnly: boolean
  readonly allowOther: boolean
  /** Set-uid and set-gid bits and file capabilities count (root only). */
  readonly suid: boolean
  /** Device nodes work (root only). */
  readonly dev: boolean
  /** Nothing in it can be executed. */
  readonly noExec?: boolean
  /** Threads of the driver write their problems here. */
  readonly log: (level: 'debug' | 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>) => void
  /** Called before the first call is served: from then on the kernel may keep what it is answered, and must be told of changes. */
  readonly started?: (mounted: Mounted) => void
}

export interface Mounted {
  readonly directory: string
  /** Requests answered and requests answered with EIO for a fault of ours, since the start. */
  readonly operations: number
  readonly errors: number
  /** Requests that were read and not answered yet. */
  readonly waiting: number
  /** Whether the kernel's table of mounts has it at its directory; not after `umount -l`. True for one that has ended: it is dead. */
  readonly attached: boolean
  /** `major:minor` in that table, while it is known. */
  readonly device: string | undefined
  /** Queues a notification for the kernel; never blocks, never fails. */
  invalidate(items: readonly Invalidation[]): void
  /**
   * What the kernel is answered about an inode's attributes, in requests that it has made already, is dropped by it if it
   * knows the inode. At once; never blocks.
   */
  staleAttributes(ino: number): void
  /** Calls back when the kernel has taken all that was queued before; at once when the mount has ended. */
  settled(done: () => void): void
  /** Drops all that the kernel has cached: names (where it has INC_EPOCH; else they expire), and what open files hold. */
  invalidateAll(): void
  /**
   * Unmounts: `force` false fails with `busy` while programs use the mount; `force` true detaches it (umount -l), so it
   * always ends. Resolves when the reader thread has ended.
   */
  unmount(force: boolean): Promise<void>
  /**
   * Resolves when nobody serves the mount any more, whoever ended it (umount(8) by hand, too). Where nobody has unmounted
   * it (its connection was aborted, the reader failed) it stays in the table, dead: all calls get ENOTCONN.
   */
  readonly ended: Promise<void>
}

export interface MountDriver {
  readonly name: string
  /** Mounts and starts to serve. Fails with a clear `RkfsError` (busy mount point, no permission, no /dev/fuse …). */
  mount(options: MountOptions, handler: FileSystemHandler): Promise<Mounted>
}
