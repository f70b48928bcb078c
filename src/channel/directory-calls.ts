import { EBADF, ESTALE } from '../base/errno.js'
import { S_IFDIR } from '../fs/records.js'
import type { DirectoryItem, Entry, OpenFile, Reply } from './mount-port.js'
import type { MountState } from './mount-state.js'
import { O_NOATIME, type OpenDirectoryState } from './open-files.js'

/** Names that are read from the state at once: a listing of any length holds nobody up for long. */
const pageNames = 2048

/** The calls on open directories. */
export class DirectoryCalls {
  readonly #mount: MountState

  constructor(mount: MountState) {
    this.#mount = mount
  }

  opendir(ino: number, flags: number, reply: Reply<OpenFile>): void {
    const mount = this.#mount
    mount.current(reply as Reply<never>, () => {
      if (mount.inode(ino) === undefined) return reply.fail(ESTALE)
      reply.ok({ handle: mount.files.openDirectory(ino, flags), keepCache: false, directIo: false })
    })
  }

  readdir(
    ino: number,
    handle: number,
    offset: bigint,
    plus: boolean,
    add: (item: DirectoryItem) => boolean,
    reply: Reply<void>,
  ): void {
    const mount = this.#mount
    const state = mount.files.directory(handle)
    if (state === undefined) return reply.fail(EBADF)
    if (offset === 0n || state.items === undefined) this.#begin(state)
    for (let at = Number(offset); ; at++) {
      while (at >= state.items!.length && !state.complete) this.#readOn(state)
      const item = state.items![at]
      if (item === undefined) break
      const { name } = item
      const entry = plus && name !== '.' && name !== '..' ? this.#found(ino, name, item.ino) : undefined
      if (!add({ ...item, offset: BigInt(at + 1), ...(entry === undefined ? {} : { entry }) })) break
    }
    const inode = mount.inode(ino)
    if (inode !== undefined) mount.accessed(ino, inode, (state.flags & O_NOATIME) !== 0)
    reply.ok()
  }

  /**
   * What the kernel takes for the answer to a LOOKUP. Since the name was read it may have come to lead elsewhere: a kernel
   * that believed what was so then would take two names for one file, and a rename of one to the other for done.
   */
  #found(directory: number, name: string, ino: number): Entry | undefined {
    return this.#mount.view.get('entry', directory, name)?.ino === ino ? this.#mount.entry(ino) : undefined
  }

  /** opendir(3), rewinddir(3). A directory that was removed has no names, not even its own (rmdir(2)). */
  #begin(state: OpenDirectoryState): void {
    const { ino } = state
    const inode = this.#mount.inode(ino)
    state.complete = inode === undefined || inode.nlink === 0
    state.items = state.complete
      ? []
      : [
          { name: '.', ino, type: S_IFDIR },
          { name: '..', ino: inode!.parent, type: S_IFDIR },
        ]
  }

  /** The next names after the last one read: what came before it meanwhile is not seen, what went after it neither. */
  #readOn(state: OpenDirectoryState): void {
    const items = state.items!
    const after = items.length > 2 ? items.at(-1)!.name : undefined
    const found = this.#mount.view.scan('entry', state.ino, after, pageNames)
    for (const [name, { ino, type }] of found) items.push({ name, ino, type })
    if (found.length < pageNames) state.complete = true
  }

  releasedir(handle: number, reply: Reply<void>): void {
    this.#mount.files.closeDirectory(handle)
    reply.ok()
  }
}
