import { madeInode } from '../../../src/fs/operation.js'
import type { StoredEntry } from '../../../src/channel/stored-entry.js'
import { check } from './violation.js'

/** An inode number is given out once, whatever disk was put back meanwhile: kernels and open files know files by it. */
export class InodeNumbersOnce {
  readonly #made = new Map<number, number>()

  committed({ entry, operation }: StoredEntry): void {
    const ino = madeInode(operation)
    if (ino === undefined) return
    const before = this.#made.get(ino)
    check('inode-numbers', before === undefined, () => {
      return `entry ${entry.index} of ${entry.origin} makes inode ${ino}, which entry ${before} made`
    })
    this.#made.set(ino, entry.index)
  }
}
