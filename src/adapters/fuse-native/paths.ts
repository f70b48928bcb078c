import { ENOENT, EPERM } from '../../base/errno.js'
import type { Attributes, Caller, Entry, FileSystemHandler, NegativeEntry } from '../../channel/mount-port.js'
import type { NativeCall } from './native-call.js'
import type { OpenTable } from './open-table.js'

const ROOT = 1

/** hidden_name() in fuse.c of libfuse 2: a file that is deleted while it is open is renamed to this. */
const HIDDEN = /^\.fuse_hidden[0-9a-f]{16}$/

export interface Place {
  readonly parent: number
  readonly name: string
}

/**
 * libfuse 2 names files by their path, the handler by inode: each call walks its path through the handler's `lookup`.
 *
 * The names to which libfuse hides what is deleted while open exist only here, and stand for an inode: the file itself is
 * deleted at once, and stays with the handler until its last close. So no such name reaches the log. They are unique
 * within a mount, so the directory does not matter: it may be renamed meanwhile.
 */
export class Paths {
  readonly #handler: FileSystemHandler
  readonly #caller: Caller
  readonly #files: OpenTable
  readonly #hidden = new Map<string, number>()

  constructor(handler: FileSystemHandler, caller: Caller, files: OpenTable) {
    this.#handler = handler
    this.#caller = caller
    this.#files = files
  }

  /** The inode at `path`, with its attributes. */
  resolve(call: NativeCall, path: string, then: (attributes: Attributes) => void): void {
    const names = split(path)
    const hidden = this.#hidden.get(names.at(-1) ?? '')
    if (hidden !== undefined || names.length === 0) return this.#attributes(call, hidden ?? ROOT, then)
    this.#walk(call, ROOT, names, then)
  }

  /** The directory of `path`, and the name in it. `create`: the name is to be made, and must not be one of libfuse's. */
  place(call: NativeCall, path: string, create: boolean, then: (place: Place) => void): void {
    const names = split(path)
    const name = names.pop()
    // The root has no name: none of these calls can come for it.
    if (name === undefined) return call.fail(EPERM)
    if (create && HIDDEN.test(name)) return call.fail(EPERM)
    if (names.length === 0) then({ parent: ROOT, name })
    else this.#walk(call, ROOT, names, ({ ino }) => then({ parent: ino, name }))
  }

  static isHidden(path: string): boolean {
    return HIDDEN.test(path.slice(directoryOf(path).length))
  }

  /**
   * libfuse hides `path`, which is open, as `hiddenPath`, in the same directory: it is deleted. Whoever renames another
   * file to such a name is refused.
   */
  hide(call: NativeCall, path: string, hiddenPath: string): void {
    if (directoryOf(path) !== directoryOf(hiddenPath)) return call.fail(EPERM)
    this.place(call, path, false, ({ parent, name }) => {
      this.#walk(call, parent, [name], ({ ino }) => {
        if (!this.#files.isOpen(ino)) return call.fail(EPERM)
        const done = (): void => void this.#hidden.set(split(hiddenPath).at(-1)!, ino)
        const reply = call.reply<void>(() => {
          done()
          call.succeed()
        })
        this.#handler.unlink(this.#caller, parent, name, reply)
      })
    })
  }

  /** Whether libfuse calls a file by this path that it has hidden. */
  isHiding(path: string): boolean {
    return this.#hidden.has(split(path).at(-1) ?? '')
  }

  /** The last close of a hidden file: libfuse deletes its name. Answers whether it was one. */
  unhide(path: string): boolean {
    return this.#hidden.delete(split(path).at(-1) ?? '')
  }

  #walk(call: NativeCall, parent: number, names: readonly string[], then: (attributes: Attributes) => void): void {
    const step = (parent: number, at: number): void => {
      const reply = call.reply<Entry | NegativeEntry>(
        ({ attributes }) => {
          if (attributes === undefined) return call.fail(ENOENT)
          call.noteEntry(attributes.ino)
          if (at + 1 === names.length) then(attributes)
          else step(attributes.ino, at + 1)
        },
        ({ attributes }) => attributes && call.noteEntry(attributes.ino),
      )
      this.#handler.lookup(this.#caller, parent, names[at]!, reply)
    }
    step(parent, 0)
  }

  #attributes(call: NativeCall, ino: number, then: (attributes: Attributes) => void): void {
    this.#handler.getattr(
      this.#caller,
      ino,
      call.reply(({ attributes }) => then(attributes)),
    )
  }
}

/** With its slash at the end. */
function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1)
}

function split(path: string): string[] {
  return path.split('/').filter(name => name !== '')
}
