import { assert } from '../../base/assert.js'

/** An open file of the mount: the inode it is pinned to, whatever becomes of its path, and the handler's handle. */
export interface PinnedFile {
  readonly ino: number
  readonly handle: number
}

/** The native part passes file numbers as signed 32-bit integers, and 0 means none. */
const FILE_NUMBER_MAX = 2 ** 31 - 1

/** The open files by the number that libfuse knows. */
export class OpenTable {
  readonly #files = new Map<number, PinnedFile>()
  readonly #counts = new Map<number, number>()
  #last = 0

  add(file: PinnedFile): number {
    assert(this.#files.size < FILE_NUMBER_MAX, 'no file number is left')
    do this.#last = this.#last === FILE_NUMBER_MAX ? 1 : this.#last + 1
    while (this.#files.has(this.#last))
    this.#files.set(this.#last, file)
    this.#counts.set(file.ino, (this.#counts.get(file.ino) ?? 0) + 1)
    return this.#last
  }

  get(number: number): PinnedFile | undefined {
    return this.#files.get(number)
  }

  isOpen(ino: number): boolean {
    return this.#counts.has(ino)
  }

  remove(number: number): PinnedFile | undefined {
    const file = this.#files.get(number)
    if (file === undefined) return undefined
    this.#files.delete(number)
    const count = this.#counts.get(file.ino)! - 1
    if (count === 0) this.#counts.delete(file.ino)
    else this.#counts.set(file.ino, count)
    return file
  }
}
