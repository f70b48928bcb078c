/** Flags of open(2) that reach the handler (asm-generic/fcntl.h). */
export const O_ACCMODE = 3
export const O_WRONLY = 1
export const O_EXCL = 0o200
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
export const O_DSYNC = 0o10000
export const O_DIRECT = 0o40000
export const O_NOATIME = 0o1000000

/** One open file description (open(2)) on a mount. */
export interface OpenFileState {
  readonly ino: number
  readonly flags: number
  /** The thread that opened it (`Caller.pid`). */
  readonly opener: number
  /** The newest change made through it: what its close waits for. 0: none. */
  sequence: number
  /** A write that was accepted and refused later: told at the next write, fsync or close (as write(2) says of EIO). */
  error: number
  /** When the kernel's pages were last given up so that the next read is seen, in nanoseconds since 1970. */
  pagesForgotten: bigint
}

export interface ListedName {
  readonly name: string
  readonly ino: number
  readonly type: number
}

/**
 * One open directory: the names that were read so far, in order. An offset in it is a place in this list, so it stays what
 * it is, whatever comes and goes.
 */
export interface OpenDirectoryState {
  readonly ino: number
  readonly flags: number
  /** Undefined: reading has not begun. */
  items: ListedName[] | undefined
  /** All names are in `items`. */
  complete: boolean
  /** Changes of names that were accepted were refused later: told at the next fsync. */
  error: number
}

/** The open files of one mount, by handle and by inode. */
export class OpenFiles {
  readonly #files = new Map<number, OpenFileState>()
  readonly #directories = new Map<number, OpenDirectoryState>()
  readonly #counts = new Map<number, number>()
  /** Of those that may be read, and so mapped (mmap(2)). */
  readonly #readable = new Map<number, number>()
  /** What no open directory has told yet: the next one that is opened does, too. */
  #untold = 0
  #next = 1

  open(ino: number, flags: number, opener: number): number {
    const handle = this.#next++
    this.#files.set(handle, { ino, flags, opener, sequence: 0, error: 0, pagesForgotten: 0n })
    this.#counts.set(ino, (this.#counts.get(ino) ?? 0) + 1)
    if (mayRead(flags)) this.#readable.set(ino, (this.#readable.get(ino) ?? 0) + 1)
    return handle
  }

  file(handle: number): OpenFileState | undefined {
    return this.#files.get(handle)
  }

  /** A file that a thread has opened, and not closed, of an inode. */
  openedBy(thread: number, ino: number): number | undefined {
    if (thread === 0 || !this.#counts.has(ino)) return undefined
    for (const [handle, file] of this.#files) if (file.ino === ino && file.opener === thread) return handle
    return undefined
  }

  get size(): number {
    return this.#files.size + this.#directories.size
  }

  isOpen(ino: number): boolean {
    return this.#counts.has(ino)
  }

  isReadable(ino: number): boolean {
    return this.#readable.has(ino)
  }

  /** Whether it is open more than once. */
  isShared(ino: number): boolean {
    return (this.#counts.get(ino) ?? 0) > 1
  }

  /** Whether it was the last one of its inode. */
  close(handle: number): boolean {
    const file = this.#files.get(handle)
    if (file === undefined) return false
    this.#files.delete(handle)
    if (mayRead(file.flags)) countDown(this.#readable, file.ino)
    return countDown(this.#counts, file.ino) === 0
  }

  /** Notes an error for all who have the inode open. */
  spoil(ino: number, errno: number): void {
    for (const file of this.#files.values()) if (file.ino === ino) file.error = errno
  }

  /** Sequence numbers begin anew: what is not durable of those before counts as lost. */
  restart(isDurable: (sequence: number) => boolean, errno: number): void {
    for (const file of this.#files.values()) {
      if (file.sequence > 0 && !isDurable(file.sequence)) file.error = errno
      file.sequence = 0
    }
  }

  /** A change was made to an inode that is not one of a single open file. */
  changed(ino: number, sequence: number): void {
    for (const file of this.#files.values()) if (file.ino === ino) file.sequence = sequence
  }

  openDirectory(ino: number, flags: number): number {
    const handle = this.#next++
    this.#directories.set(handle, { ino, flags, items: undefined, complete: false, error: this.#untold })
    return handle
  }

  directory(handle: number): OpenDirectoryState | undefined {
    return this.#directories.get(handle)
  }

  /**
   * A change of names or attributes was accepted and refused later. A directory's fsync covers all changes of its mount, so
   * each one that is open tells, as each open file does of a write that failed (errseq_t in the kernel).
   */
  spoilDirectories(errno: number): void {
    this.#untold = errno
    for (const directory of this.#directories.values()) directory.error = errno
  }

  /** The error that an open directory has to tell, once. */
  takeDirectoryError(handle: number): number {
    const directory = this.#directories.get(handle)
    if (directory === undefined) return 0
    const { error } = directory
    if (error !== 0) this.#untold = directory.error = 0
    return error
  }

  closeDirectory(handle: number): void {
    this.#directories.delete(handle)
  }
}

function mayRead(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_WRONLY
}

function countDown(counts: Map<number, number>, ino: number): number {
  const count = counts.get(ino)! - 1
  if (count > 0) counts.set(ino, count)
  else counts.delete(ino)
  return count
}

/** The error that an open file has to tell, once. */
export function takeError(file: OpenFileState): number {
  const { error } = file
  file.error = 0
  return error
}
