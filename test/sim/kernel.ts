import { EINTR, EIO } from '../../src/base/errno.js'
import type { CopyEnd } from '../../src/channel/copy-call.js'
import type { Frontend } from '../../src/channel/frontend.js'
import type {
  Attributes,
  Caller,
  DirectoryItem,
  Entry,
  Invalidation,
  Mounted,
  NegativeEntry,
  OpenFile,
  Reply,
} from '../../src/channel/mount-port.js'
import { RENAME_EXCHANGE } from '../../src/fs/operation.js'
import { DirectoryLocks } from './directory-locks.js'
import type { PageCache } from './page-cache.js'

export const caller: Caller = { uid: 0, gid: 0, pid: 1 }

/** `value` is there when `errno` is 0. */
export type Answer<T> = (errno: number, value: T | undefined) => void

/** A call that is not answered yet. */
export interface Outstanding {
  readonly what: string
  readonly since: number
  interrupted: boolean
  /** Gives up what it waits for now. */
  interrupt: (() => void) | undefined
  /** What became stale meanwhile: an answer that says otherwise is older (fuse_change_attributes, and directory locks). */
  readonly stale: Set<string>
}

export interface KernelClock {
  readonly now: number
  /** Runs a task when the one that runs now has ended. */
  soon(task: () => void): void
}

/** Cached files up to this size. */
const pagesMax = 64 * 1024

/**
 * What Linux keeps of a mount (fs/fuse/dir.c, file.c): names, attributes and pages that it was given, until it is told
 * otherwise or does something to them itself. Their time-to-live is not counted: it is the net under the invalidations
 * that are looked at here.
 */
export class Kernel implements Mounted {
  readonly attached = true
  readonly device = undefined
  readonly directory = ''
  readonly operations = 0
  readonly errors = 0
  readonly ended = new Promise<void>(() => {})
  /** By `parent/name`: the inode, or undefined for a name that is known not to be there. */
  readonly entries = new Map<string, { parent: number; name: string; ino: number | undefined }>()
  readonly attributes = new Map<number, Attributes>()
  readonly pages = new Map<number, Uint8Array>()
  readonly outstanding = new Set<Outstanding>()
  /** Of files that are used page by page, where there are such. */
  cache: PageCache | undefined
  readonly #locks = new DirectoryLocks()
  readonly #frontend: Frontend
  readonly #clock: KernelClock

  get frontend(): Frontend {
    return this.#frontend
  }

  constructor(frontend: Frontend, clock: KernelClock) {
    this.#frontend = frontend
    this.#clock = clock
    frontend.mounted = this
  }

  /** Calls whose answer has not come, or is on its way from the file system to the caches. */
  get waiting(): number {
    return this.outstanding.size + (this.cache?.answers ?? 0)
  }

  // ---- what the file system says ----

  invalidate(items: readonly Invalidation[]): void {
    this.cache?.take(items)
    for (const item of items) {
      if (item.kind === 'size') continue
      for (const { stale } of this.outstanding) {
        stale.add(item.kind === 'inode' ? String(item.ino) : `${item.parent}/${item.name}`)
        if (item.kind === 'delete') stale.add(String(item.child))
      }
      if (item.kind !== 'inode') {
        this.#dropEntry(item.parent, item.name)
        if (item.kind === 'delete') this.attributes.delete(item.child)
        continue
      }
      this.attributes.delete(item.ino)
      const pages = this.pages.get(item.ino)
      // fuse_reverse_inval_inode: whole pages
      const from = item.offset - (item.offset % 4096)
      if (pages !== undefined && item.offset >= 0 && from < pages.length) this.pages.delete(item.ino)
    }
  }

  /** FUSE_NOTIFY_INC_EPOCH: each name is looked up again, attributes come with it; and each file that was opened by itself. */
  invalidateAll(): void {
    this.entries.clear()
    this.attributes.clear()
    this.pages.clear()
    this.cache?.takeAll()
  }

  staleAttributes(ino: number): void {
    this.cache?.staleAttributes(ino)
  }

  settled(done: () => void): void {
    if (this.cache === undefined) done()
    else this.cache.settled(done)
  }

  unmount(): Promise<void> {
    return Promise.resolve()
  }

  #dropEntry(parent: number, name: string): void {
    this.entries.delete(`${parent}/${name}`)
  }

  #keepEntry(parent: number, name: string, { attributes, entryTtlMs, attributesTtlMs }: Entry): void {
    if (entryTtlMs > 0) this.entries.set(`${parent}/${name}`, { parent, name, ino: attributes.ino })
    this.#keepAttributes(attributes, attributesTtlMs)
  }

  #keepAttributes(attributes: Attributes, ttlMs: number): void {
    if (ttlMs > 0) this.attributes.set(attributes.ino, attributes)
    const pages = this.pages.get(attributes.ino)
    // fuse_change_attributes: a file that became shorter loses its pages behind the end
    if (pages !== undefined && attributes.size < pages.length) this.pages.delete(attributes.ino)
  }

  // ---- what programs ask ----

  /** Makes a call; `changes` is done to the caches when it has succeeded, `unknown` when a signal ended it. */
  call<T>(
    what: string,
    make: (reply: Reply<T>) => void,
    answer: Answer<T>,
    changes?: (value: T) => void,
    unknown?: () => void,
  ): void {
    const outstanding: Outstanding = {
      what,
      since: this.#clock.now,
      interrupted: false,
      interrupt: undefined,
      stale: new Set(),
    }
    let answered = false
    const end = (errno: number, value: T | undefined): void => {
      if (answered) throw new Error(`${what} was answered twice`)
      answered = true
      this.outstanding.delete(outstanding)
      if (errno === 0) changes?.(value as T)
      else if (errno === EINTR) unknown?.()
      for (const key of outstanding.stale) {
        this.entries.delete(key)
        this.attributes.delete(Number(key))
      }
      answer(errno, value)
    }
    this.outstanding.add(outstanding)
    make({
      ok: value => end(0, value),
      fail: errno => end(errno, undefined),
      onInterrupt: listener => {
        if (answered) return
        if (outstanding.interrupted) this.#clock.soon(listener)
        else outstanding.interrupt = listener
      },
    })
  }

  /** A signal reaches one of the programs that wait (FUSE_INTERRUPT): its call is given up, whatever it waits for in turn. */
  signal(pick: (below: number) => number): void {
    const waiting = [...this.outstanding].filter(call => !call.interrupted)
    if (waiting.length === 0) return
    const call = waiting[pick(waiting.length)]!
    call.interrupted = true
    const { interrupt } = call
    call.interrupt = undefined
    interrupt?.()
  }

  lookup(parent: number, name: string, answer: Answer<Entry | NegativeEntry>): void {
    this.#locked([parent], true, answer, answered => this.#lookup(parent, name, answered))
  }

  /** Makes a call on names of directories, which are locked until it is answered. */
  #locked<T>(directories: number[], shared: boolean, answer: Answer<T>, make: (answered: Answer<T>) => void): void {
    this.#locks.take(directories, shared, release =>
      make((errno, value) => {
        release()
        answer(errno, value)
      }),
    )
  }

  #lookup(parent: number, name: string, answer: Answer<Entry | NegativeEntry>): void {
    this.call<Entry | NegativeEntry>(
      `lookup ${parent}/${name}`,
      reply => this.#frontend.lookup(caller, parent, name, reply),
      answer,
      found => {
        if (found.attributes !== undefined) this.#keepEntry(parent, name, found)
        else if (found.negativeTtlMs > 0) this.entries.set(`${parent}/${name}`, { parent, name, ino: undefined })
      },
    )
  }

  getattr(ino: number, answer: Answer<{ attributes: Attributes; ttlMs: number }>): void {
    this.call<{ attributes: Attributes; ttlMs: number }>(
      `getattr ${ino}`,
      reply => this.#frontend.getattr(caller, ino, reply),
      answer,
      found => this.#keepAttributes(found.attributes, found.ttlMs),
    )
  }

  truncate(ino: number, size: number, handle: number | undefined, answer: Answer<unknown>): void {
    const change = { size, killPrivileges: false, ...(handle === undefined ? {} : { handle }) }
    this.call<{ attributes: Attributes; ttlMs: number }>(
      `truncate ${ino} to ${size}`,
      reply => this.#frontend.setattr(caller, ino, change, reply),
      answer,
      changed => {
        this.#touched(ino)
        this.#keepAttributes(changed.attributes, changed.ttlMs)
      },
      () => this.attributes.delete(ino),
    )
  }

  chmod(ino: number, mode: number, answer: Answer<unknown>): void {
    this.call<{ attributes: Attributes; ttlMs: number }>(
      `chmod ${ino}`,
      reply => this.#frontend.setattr(caller, ino, { mode, killPrivileges: false }, reply),
      answer,
      changed => {
        this.attributes.delete(ino)
        this.#keepAttributes(changed.attributes, changed.ttlMs)
      },
      () => this.attributes.delete(ino),
    )
  }

  /** The inode's content was changed through this mount. */
  #touched(ino: number): void {
    this.attributes.delete(ino)
    this.pages.delete(ino)
  }

  /** A name was made here. */
  #made(parent: number, name: string, entry: Entry): void {
    this.attributes.delete(parent)
    this.#keepEntry(parent, name, entry)
  }

  create(parent: number, name: string, flags: number, answer: Answer<{ entry: Entry; file: OpenFile }>): void {
    this.#locked([parent], false, answer, answered =>
      this.call<{ entry: Entry; file: OpenFile }>(
        `create ${parent}/${name}`,
        reply => this.#frontend.create(caller, parent, name, 0o100644, flags, reply),
        answered,
        made => {
          this.#made(parent, name, made.entry)
          if (!made.file.keepCache) this.pages.delete(made.entry.attributes.ino)
        },
      ),
    )
  }

  mkdir(parent: number, name: string, answer: Answer<Entry>): void {
    this.#locked([parent], false, answer, answered =>
      this.call<Entry>(
        `mkdir ${parent}/${name}`,
        reply => this.#frontend.mkdir(caller, parent, name, 0o755, reply),
        answered,
        entry => this.#made(parent, name, entry),
      ),
    )
  }

  symlink(parent: number, name: string, target: string, answer: Answer<Entry>): void {
    this.#locked([parent], false, answer, answered =>
      this.call<Entry>(
        `symlink ${parent}/${name}`,
        reply => this.#frontend.symlink(caller, parent, name, target, reply),
        answered,
        entry => this.#made(parent, name, entry),
      ),
    )
  }

  link(ino: number, parent: number, name: string, answer: Answer<Entry>): void {
    this.#locked([parent], false, answer, answered =>
      this.call<Entry>(
        `link ${ino} as ${parent}/${name}`,
        reply => this.#frontend.link(caller, ino, parent, name, reply),
        answered,
        entry => {
          this.attributes.delete(ino)
          this.#made(parent, name, entry)
        },
        () => this.attributes.delete(ino),
      ),
    )
  }

  tmpfile(parent: number, answer: Answer<{ entry: Entry; file: OpenFile }>): void {
    this.call<{ entry: Entry; file: OpenFile }>(
      `tmpfile in ${parent}`,
      reply => this.#frontend.tmpfile(caller, parent, 0o100644, 2, reply),
      answer,
    )
  }

  #lost(parent: number, name: string, ino: number | undefined): void {
    if (ino !== undefined) this.attributes.delete(ino)
    this.attributes.delete(parent)
    this.#dropEntry(parent, name)
  }

  /** What a name leads to: the kernel looks it up before it takes it away, and fails if it cannot. */
  #find(parent: number, name: string, answered: Answer<void>, then: (ino: number | undefined) => void): void {
    this.#lookup(parent, name, (errno, found) => {
      if (errno === 0) then(found?.attributes?.ino)
      else answered(errno, undefined)
    })
  }

  remove(kind: 'unlink' | 'rmdir', parent: number, name: string, answer: Answer<void>): void {
    this.#locked([parent], false, answer, answered => {
      this.#find(parent, name, answered, ino => {
        this.call<void>(
          `${kind} ${parent}/${name}`,
          reply => this.#frontend[kind](caller, parent, name, reply),
          answered,
          () => this.#lost(parent, name, ino),
          () => this.#dropEntry(parent, name),
        )
      })
    })
  }

  #place(parent: number, name: string, moved: { ino: number | undefined } | undefined): void {
    if (moved?.ino !== undefined) this.entries.set(`${parent}/${name}`, { parent, name, ino: moved.ino })
  }

  rename(
    [parent, name]: readonly [number, string],
    [newParent, newName]: readonly [number, string],
    flags: number,
    answer: Answer<void>,
  ): void {
    this.#locked([parent, newParent], false, answer, answered => {
      this.#find(parent, name, answered, moved => {
        this.#find(newParent, newName, answered, replaced => {
          // invalidations of names wait for the lock
          const kept = this.entries.get(`${parent}/${name}`)
          const other = this.entries.get(`${newParent}/${newName}`)
          this.call<void>(
            `rename ${parent}/${name} to ${newParent}/${newName} flags ${flags}`,
            reply => this.#frontend.rename(caller, parent, name, newParent, newName, flags, reply),
            answered,
            () => {
              this.#lost(parent, name, moved)
              this.#lost(newParent, newName, replaced)
              // d_move, d_exchange: what the kernel took for the files stands at the new places
              if (moved === replaced) return
              this.#place(newParent, newName, kept)
              if ((flags & RENAME_EXCHANGE) !== 0) this.#place(parent, name, other)
            },
            () => {
              this.#dropEntry(parent, name)
              // a name that is known not to be there stays so
              if (other?.ino !== undefined) this.#dropEntry(newParent, newName)
            },
          )
        })
      })
    })
  }

  open(ino: number, flags: number, answer: Answer<OpenFile>): void {
    this.call<OpenFile>(
      `open ${ino} flags ${flags.toString(8)}`,
      reply => this.#frontend.open(caller, ino, flags, false, reply),
      answer,
      file => {
        if (!file.keepCache || (flags & 0o1000) !== 0) this.#touched(ino)
      },
    )
  }

  /** A program writes until all is written, as cat(1) does; if it fails after a part, nobody knows how much is there: EIO. */
  write(ino: number, handle: number, offset: number, data: Uint8Array, flags: number, answer: Answer<number>): void {
    let written = 0
    const next = (): void => {
      this.#writeOnce(ino, handle, offset + written, data.subarray(written), flags, (errno, count = 0) => {
        if (errno !== 0) return answer(written > 0 ? EIO : errno, undefined)
        written += count
        if (written < data.length) next()
        else answer(0, written)
      })
    }
    next()
  }

  #writeOnce(
    ino: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    flags: number,
    answer: Answer<number>,
  ): void {
    this.call<number>(
      `write ${ino} offset ${offset} length ${data.length} flags ${flags.toString(8)}`,
      reply => this.#frontend.write(caller, ino, handle, offset, data, flags, false, reply),
      (errno, written) => {
        this.#touched(ino)
        answer(errno, written)
      },
    )
  }

  /** Reads a file from its beginning; what comes is kept if that was all of it. */
  read(ino: number, handle: number, size: number, answer: Answer<Uint8Array>): void {
    this.call<Uint8Array[]>(
      `read ${ino}`,
      reply => this.#frontend.read(caller, ino, handle, 0, size, reply),
      (errno, parts) => {
        if (parts === undefined) return answer(errno, undefined)
        const content = Buffer.concat(parts)
        if (content.length > 0 && content.length <= pagesMax) this.pages.set(ino, content)
        answer(0, content)
      },
    )
  }

  flush(ino: number, handle: number, answer: Answer<void>): void {
    this.call<void>(`flush ${ino}`, reply => this.#frontend.flush(caller, ino, handle, 0n, reply), answer)
  }

  release(ino: number, handle: number): void {
    this.call<void>(
      `release ${ino}`,
      reply => this.#frontend.release(ino, handle, undefined, reply),
      () => {},
    )
  }

  fsync(ino: number, handle: number, answer: Answer<void>): void {
    this.call<void>(`fsync ${ino}`, reply => this.#frontend.fsync(caller, ino, handle, false, reply), answer)
  }

  opendir(ino: number, answer: Answer<OpenFile>): void {
    this.call<OpenFile>(`opendir ${ino}`, reply => this.#frontend.opendir(caller, ino, 0, reply), answer)
  }

  fsyncdir(ino: number, handle: number, answer: Answer<void>): void {
    this.call<void>(`fsyncdir ${ino}`, reply => this.#frontend.fsyncdir(caller, ino, handle, false, reply), answer)
  }

  setxattr(ino: number, name: string, value: Uint8Array, answer: Answer<void>): void {
    this.call<void>(
      `setxattr ${ino} ${name}`,
      reply => this.#frontend.setxattr(caller, ino, name, value, 0, reply),
      answer,
      () => this.attributes.delete(ino),
    )
  }

  getxattr(ino: number, name: string, answer: Answer<Uint8Array>): void {
    this.call<Uint8Array>(`getxattr ${ino} ${name}`, reply => this.#frontend.getxattr(caller, ino, name, reply), answer)
  }

  listxattr(ino: number, answer: Answer<readonly string[]>): void {
    this.call<readonly string[]>(`listxattr ${ino}`, reply => this.#frontend.listxattr(caller, ino, reply), answer)
  }

  removexattr(ino: number, name: string, answer: Answer<void>): void {
    this.call<void>(
      `removexattr ${ino} ${name}`,
      reply => this.#frontend.removexattr(caller, ino, name, reply),
      answer,
      () => this.attributes.delete(ino),
    )
  }

  fallocate(ino: number, handle: number, mode: number, offset: number, length: number, answer: Answer<void>): void {
    this.call<void>(
      `fallocate ${ino} mode ${mode} offset ${offset} length ${length}`,
      reply => this.#frontend.fallocate(caller, ino, handle, mode, offset, length, reply),
      answer,
      () => this.#touched(ino),
    )
  }

  /** lseek(2) with SEEK_HOLE. */
  seekHole(ino: number, handle: number, answer: Answer<number>): void {
    this.call<number>(`seek ${ino}`, reply => this.#frontend.lseek(caller, ino, handle, 0, 4, reply), answer)
  }

  /** copy_file_range(2); where it is told to, the kernel would copy the bytes itself, as any program might. */
  copy(from: CopyEnd, to: CopyEnd, length: number, answer: Answer<number>): void {
    this.call<number>(
      `copy ${length} bytes of ${from.ino} from ${from.offset} to ${to.ino} at ${to.offset}`,
      reply => this.#frontend.copyFileRange(caller, from, to, length, reply),
      answer,
      () => this.#touched(to.ino),
    )
  }

  /** getdents(2) with the attributes of each name: what follows a position, as many names as there is `room` for. */
  getdents(ino: number, handle: number, position: bigint, room: number, answer: Answer<DirectoryItem[]>): void {
    const items: DirectoryItem[] = []
    const add = (item: DirectoryItem): boolean => {
      if (items.length === room) return false
      items.push(item)
      if (item.entry !== undefined) this.#keepEntry(ino, item.name, item.entry)
      return true
    }
    this.#locked([ino], true, answer, answered =>
      this.call<void>(
        `readdir ${ino} from ${position}`,
        reply => this.#frontend.readdir(caller, ino, handle, position, true, add, reply),
        errno => answered(errno, items),
      ),
    )
  }

  closedir(ino: number, handle: number): void {
    this.#frontend.releasedir(ino, handle, { ok: () => {}, fail: () => {}, onInterrupt: () => {} })
  }

  /** Lists a directory at once. Answers the names. */
  list(ino: number, answer: Answer<string[]>): void {
    this.opendir(ino, (errno, opened) => {
      if (opened === undefined) return answer(errno, undefined)
      this.getdents(ino, opened.handle, 0n, Infinity, (failed, items) => {
        this.closedir(ino, opened.handle)
        answer(
          failed,
          items?.map(({ name }) => name),
        )
      })
    })
  }
}
