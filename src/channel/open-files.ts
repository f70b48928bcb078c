/** One open file description (open(2)) on a mount. */
export interface OpenFileState {
  readonly ino: number
  readonly flags: number
  /** The newest change made through it: what its close waits for. 0: none. */
  sequence: number
  /** A write that was accepted and refused later: told at the next write, fsync or close (as write(2) says of EIO). */
  error: number
}

/** One open directory: what it listed when reading began. */
export interface OpenDirectoryState {
  readonly ino: number
  items: { readonly name: string; readonly ino: number; readonly type: number }[] | undefined
}

/** The open files of one mount, by handle and by inode. */
export class OpenFiles {
  readonly #files = new Map<number, OpenFileState>()
  readonly #directories = new Map<number, OpenDirectoryState>()
  readonly #counts = new Map<number, number>()
  #next = 1

  open(ino: number, flags: number): number {
    const handle = this.#next++
    this.#files.set(handle, { ino, flags, sequence: 0, error: 0 })
    this.#counts.set(ino, (this.#counts.get(ino) ?? 0) + 1)
    return handle
  }

  file(handle: number): OpenFileState | undefined {
    return this.#files.get(handle)
  }

  isOpen(ino: number): boolean {
    return this.#counts.has(ino)
  }

  /** Whether it was the last one of its inode. */
  close(handle: number): boolean {
    const file = this.#files.get(handle)
    if (file === undefined) return false
    this.#files.delete(handle)
    const count = this.#counts.get(file.ino)! - 1
    if (count > 0) this.#counts.set(file.ino, count)
    else this.#counts.delete(file.ino)
    return count === 0
  }

  /** Notes an error for all who have the inode open. */
  spoil(ino: number, errno: number): void {
    for (const file of this.#files.values()) if (file.ino === ino) file.error = errno
  }

  openDirectory(ino: number): number {
    const handle = this.#next++
    this.#directories.set(handle, { ino, items: undefined })
    return handle
  }

  directory(handle: number): OpenDirectoryState | undefined {
    return this.#directories.get(handle)
  }

  closeDirectory(handle: number): void {
    this.#directories.delete(handle)
  }
}
