import type { Attributes, Entry, Invalidation, NegativeEntry, OpenFile } from '../../src/channel/mount-port.js'
import { type Answer, caller, type Kernel } from './kernel.js'

export const pageBytes = 4096

interface Page {
  readonly bytes: Uint8Array
  /** A program stored something through a mapping. */
  isDirty: boolean
  /** It is locked, or being written back: whoever needs it waits. */
  isLocked: boolean
}

/** A file as the kernel has it: what it takes for its size rules reads, mappings and write-backs. */
export interface CachedFile {
  readonly ino: number
  size: number
  /** The count of changes of attributes, when these were changed last (fuse_inode.attr_version). */
  version: number
  valid: Attributes | undefined
  readonly pages: Map<number, Page>
  handle: number | undefined
  /** Of a write-back that nobody was told of yet (mapping_set_error). */
  errno: number
}

export interface CacheClock {
  readonly now: number
  after(ms: number, task: () => void): void
}

/** What a page fault beyond the end of a file is answered with, as far as the kernel knows that. */
export const SIGBUS = -7

/**
 * The pages of files as Linux keeps them for a mount (fs/fuse/file.c, inode.c, mm/truncate.c): of a file that was opened
 * here. Notifications are taken one after the other, in their own time, and wait for pages that are locked; answers take
 * time, too. So one overtakes the other, as it comes.
 */
export class PageCache {
  readonly files = new Map<number, CachedFile>()
  /** Told when the kernel is about to be told of a change of a file. */
  announced: ((ino: number) => void) | undefined
  readonly #kernel: Kernel
  readonly #clock: CacheClock
  readonly #ms: () => number
  #version = 1
  readonly #queue: ((done: () => void) => void)[] = []
  #isBusy = false
  #unlocked: (() => void)[] = []
  /** When an answer was given last that may be told again. */
  #settledAt = 0
  #answers = 0

  constructor(kernel: Kernel, clock: CacheClock, ms: () => number) {
    this.#kernel = kernel
    this.#clock = clock
    this.#ms = ms
  }

  /** Nothing is under way, and nothing will be told again. */
  get isIdle(): boolean {
    return !this.#isBusy && this.#queue.length === 0 && this.#answers === 0 && this.#clock.now > this.#settledAt
  }

  /** Answers that are on their way to the kernel. */
  get answers(): number {
    return this.#answers
  }

  // ---- notifications ----

  take(items: readonly Invalidation[]): void {
    for (const item of items) {
      const file = 'ino' in item ? this.files.get(item.ino) : undefined
      if (file === undefined || !('ino' in item)) continue
      this.announced?.(item.ino)
      this.#queue.push(done => (item.kind === 'size' ? this.#store(file, item, done) : this.#drop(file, item, done)))
      this.#pump()
    }
  }

  takeAll(): void {
    for (const ino of this.files.keys()) this.take([{ kind: 'inode', ino, offset: 0, length: 0 }])
  }

  settled(done: () => void): void {
    if (!this.#isBusy && this.#queue.length === 0) return done()
    this.#queue.push(next => {
      done()
      next()
    })
  }

  staleAttributes(ino: number): void {
    const file = this.files.get(ino)
    if (file !== undefined) this.#stale(file)
  }

  #pump(): void {
    const next = this.#isBusy ? undefined : this.#queue.shift()
    if (next === undefined) return
    this.#isBusy = true
    this.#clock.after(this.#ms(), () =>
      next(() => {
        this.#isBusy = false
        this.#settledAt = this.#clock.now + 50
        this.#pump()
      }),
    )
  }

  /** An answer is on its way to the kernel. */
  #later(task: () => void): void {
    this.#answers++
    this.#clock.after(this.#ms(), () => {
      this.#answers--
      task()
    })
  }

  #stale(file: CachedFile): void {
    file.version = ++this.#version
    file.valid = undefined
    this.#kernel.attributes.delete(file.ino)
  }

  /** fuse_reverse_inval_inode */
  #drop(file: CachedFile, { offset, length }: { offset: number; length: number }, done: () => void): void {
    this.#stale(file)
    if (offset < 0) return done()
    const first = Math.floor(offset / pageBytes)
    const last = length <= 0 ? Infinity : Math.floor((offset + length - 1) / pageBytes)
    this.#dropPages(file, first, last, done)
  }

  /** invalidate_inode_pages2_range: what is dirty is written back first. */
  #dropPages(file: CachedFile, first: number, last: number, done: () => void): void {
    const index = [...file.pages.keys()].filter(at => at >= first && at <= last).sort((a, b) => a - b)[0]
    if (index === undefined) return done()
    this.#launder(file, index, () => {
      file.pages.delete(index)
      this.#dropPages(file, index + 1, last, done)
    })
  }

  /** fuse_notify_store, of one byte */
  #store(file: CachedFile, { size, last }: { size: number; last: number }, done: () => void): void {
    if (size > file.size) file.size = size
    this.#stale(file)
    const index = Math.floor((size - 1) / pageBytes)
    this.#locked(file, index, page => {
      if (page !== undefined) page.bytes[(size - 1) % pageBytes] = last
      this.#clock.after(this.#ms(), () => this.#drop(file, { offset: size - 1, length: 1 }, done))
    })
  }

  // ---- pages ----

  #locked(file: CachedFile, index: number, then: (page: Page | undefined) => void): void {
    const page = file.pages.get(index)
    if (page?.isLocked === true) this.#unlocked.push(() => this.#locked(file, index, then))
    else then(page)
  }

  #wake(): void {
    const waiting = this.#unlocked
    this.#unlocked = []
    for (const one of waiting) one()
  }

  /** Writes a page back if it is dirty. */
  #launder(file: CachedFile, index: number, done: () => void): void {
    this.#locked(file, index, page => {
      const length = Math.min(pageBytes, file.size - index * pageBytes)
      if (page === undefined || !page.isDirty || length <= 0) return done()
      page.isDirty = false
      page.isLocked = true
      const { frontend } = this.#kernel
      this.#kernel.call<number>(
        `write back ${file.ino} page ${index}`,
        reply => frontend.writeBack(file.ino, 0, index * pageBytes, page.bytes.slice(0, length), reply),
        errno => {
          if (errno !== 0) file.errno = errno
          // fuse_writepage_end: its times may be others now
          file.valid = undefined
          this.#kernel.attributes.delete(file.ino)
          page.isLocked = false
          done()
          // who waited finds it dropped, if it is
          this.#wake()
        },
      )
    })
  }

  /** A page, read if it is not there; undefined where the file ends before it. */
  #fault(file: CachedFile, index: number, then: (errno: number, page: Page | undefined) => void): void {
    if (index * pageBytes >= file.size) return then(SIGBUS, undefined)
    this.#locked(file, index, found => {
      if (found !== undefined) return then(0, found)
      const page = { bytes: new Uint8Array(pageBytes), isDirty: false, isLocked: true }
      file.pages.set(index, page)
      const { frontend } = this.#kernel
      this.#kernel.call<Uint8Array[]>(
        `read ${file.ino} page ${index}`,
        reply => frontend.read(caller, file.ino, file.handle ?? 0, index * pageBytes, pageBytes, reply),
        (errno, parts) =>
          this.#later(() => {
            if (parts === undefined) file.pages.delete(index)
            else page.bytes.set(Buffer.concat(parts))
            // who faulted has it before it can be dropped
            page.isLocked = false
            then(errno, errno === 0 ? page : undefined)
            this.#wake()
          }),
      )
    })
  }

  /** truncate_pagecache */
  #resize(file: CachedFile, size: number): void {
    if (size === file.size) return
    file.size = size
    for (const [index, page] of file.pages) {
      const from = size - index * pageBytes
      // a page that is being read is waited for in truth; here its end is cut off when it is used
      if (from <= 0 && !page.isLocked) file.pages.delete(index)
      else if (from > 0 && from < pageBytes) page.bytes.fill(0, from)
    }
  }

  /** fuse_change_attributes; `asked`: undefined for answers that are taken whatever came meanwhile. */
  #attributes(file: CachedFile, attributes: Attributes, ttlMs: number, asked: number | undefined): void {
    if (asked !== undefined && file.version > asked) return
    file.version = ++this.#version
    file.valid = ttlMs > 0 ? attributes : undefined
    this.#resize(file, attributes.size)
    if (asked === undefined) {
      this.#kernel.attributes.delete(file.ino)
      this.#settledAt = this.#clock.now + 50
    }
  }

  // ---- what programs do ----

  /** Looks a name up and opens the file. */
  open(parent: number, name: string, flags: number, answer: Answer<CachedFile>): void {
    this.lookup(parent, name, (errno, file) => {
      if (file === undefined) return answer(errno, undefined)
      this.#kernel.call<OpenFile>(
        `open ${file.ino}`,
        reply => this.#kernel.frontend.open(caller, file.ino, flags, false, reply),
        (failed, opened) => {
          if (opened === undefined) return answer(failed, undefined)
          file.handle = opened.handle
          if (opened.keepCache) answer(0, file)
          else this.#dropPages(file, 0, Infinity, () => answer(0, file))
        },
      )
    })
  }

  lookup(parent: number, name: string, answer: Answer<CachedFile>): void {
    const asked = this.#version
    this.#kernel.call<Entry | NegativeEntry>(
      `lookup ${parent}/${name}`,
      reply => this.#kernel.frontend.lookup(caller, parent, name, reply),
      (errno, found) =>
        this.#later(() => {
          if (found?.attributes === undefined) return answer(errno, undefined)
          const { ino, size } = found.attributes
          let file = this.files.get(ino)
          if (file === undefined) {
            file = { ino, size, version: asked, valid: undefined, pages: new Map(), handle: undefined, errno: 0 }
            this.files.set(ino, file)
          }
          this.#attributes(file, found.attributes, found.attributesTtlMs, asked)
          answer(0, file)
        }),
    )
  }

  fstat(file: CachedFile, answer: Answer<Attributes>): void {
    if (file.valid !== undefined) return answer(0, file.valid)
    const asked = this.#version
    this.#kernel.call<{ attributes: Attributes; ttlMs: number }>(
      `getattr ${file.ino}`,
      reply => this.#kernel.frontend.getattr(caller, file.ino, reply),
      (errno, shown) =>
        this.#later(() => {
          if (shown !== undefined) this.#attributes(file, shown.attributes, shown.ttlMs, asked)
          answer(errno, shown?.attributes)
        }),
    )
  }

  setattr(file: CachedFile, change: { size?: number; mode?: number }, answer: Answer<Attributes>): void {
    const { handle } = file
    const asked = { killPrivileges: false, ...change, ...(handle === undefined ? {} : { handle }) }
    this.#kernel.call<{ attributes: Attributes; ttlMs: number }>(
      `setattr ${file.ino}`,
      reply => this.#kernel.frontend.setattr(caller, file.ino, asked, reply),
      (errno, shown) =>
        this.#later(() => {
          if (shown === undefined) {
            this.#stale(file)
            return answer(errno, undefined)
          }
          const { size } = file
          this.#attributes(file, shown.attributes, shown.ttlMs, undefined)
          // fuse_do_setattr
          if (size === shown.attributes.size) answer(0, shown.attributes)
          else this.#dropPages(file, 0, Infinity, () => answer(0, shown.attributes))
        }),
    )
  }

  /** pread(2): asks for the size only where it may matter (fuse_cache_read_iter). */
  pread(file: CachedFile, offset: number, length: number, answer: Answer<Uint8Array>): void {
    const read = (): void => this.#copy(file, offset, Math.min(length, file.size - offset), [], answer)
    if (offset + length <= file.size) return read()
    this.fstat(file, errno => (errno === 0 ? read() : answer(errno, undefined)))
  }

  #copy(file: CachedFile, offset: number, length: number, parts: Uint8Array[], answer: Answer<Uint8Array>): void {
    if (length <= 0) return answer(0, Buffer.concat(parts))
    const within = offset % pageBytes
    this.#fault(file, Math.floor(offset / pageBytes), (errno, page) => {
      if (errno === SIGBUS) return answer(0, Buffer.concat(parts))
      if (page === undefined) return answer(errno, undefined)
      const count = Math.min(length, pageBytes - within, file.size - offset)
      if (count <= 0) return answer(0, Buffer.concat(parts))
      this.#copy(file, offset + count, length - count, [...parts, page.bytes.slice(within, within + count)], answer)
    })
  }

  /** write(2) within a page: what is cached of it is changed at once, and locked until the answer. */
  write(file: CachedFile, offset: number, data: Uint8Array, answer: Answer<number>): void {
    const index = Math.floor(offset / pageBytes)
    this.#locked(file, index, page => {
      if (page !== undefined) {
        page.bytes.set(data, offset % pageBytes)
        page.isLocked = true
      }
      const { frontend } = this.#kernel
      const done = (errno: number, count: number | undefined): void => {
        if (errno === 0) file.size = Math.max(file.size, offset + data.length)
        else if (page?.isDirty === false) file.pages.delete(index)
        this.#stale(file)
        if (page !== undefined) page.isLocked = false
        answer(errno, count)
        this.#wake()
      }
      this.#kernel.call<number>(
        `write ${file.ino} offset ${offset}`,
        reply => frontend.write(caller, file.ino, file.handle ?? 0, offset, data, 2, false, reply),
        done,
      )
    })
  }

  /** write(2) with O_APPEND, which passes the pages. */
  append(file: CachedFile, data: Uint8Array, answer: Answer<number>): void {
    const start = file.size
    this.#dropPages(file, Math.floor(start / pageBytes), Math.floor((start + data.length) / pageBytes), () => {
      const { frontend } = this.#kernel
      this.#kernel.call<number>(
        `append ${file.ino}`,
        reply => frontend.write(caller, file.ino, file.handle ?? 0, start, data, 0o2002, false, reply),
        (errno, count) => {
          if (errno === 0) file.size = Math.max(file.size, start + data.length)
          this.#stale(file)
          answer(errno, count)
        },
      )
    })
  }

  /** Stores through a mapping, within a page. Answers SIGBUS beyond the end. */
  store(file: CachedFile, offset: number, data: Uint8Array, answer: (errno: number) => void): void {
    this.#fault(file, Math.floor(offset / pageBytes), (errno, page) => {
      if (page !== undefined) {
        page.bytes.set(data, offset % pageBytes)
        page.isDirty = true
      }
      answer(errno)
    })
  }

  /** Writes back what is dirty, and waits for what is being written back. */
  writeBack(file: CachedFile, done: () => void): void {
    const indexes = [...file.pages.keys()]
    const next = (): void => {
      const index = indexes.shift()
      if (index === undefined) done()
      else this.#launder(file, index, next)
    }
    next()
  }

  /** msync(2), fsync(2) */
  sync(file: CachedFile, answer: (errno: number) => void): void {
    this.writeBack(file, () => {
      const { errno } = file
      file.errno = 0
      this.#kernel.fsync(file.ino, file.handle ?? 0, failed => answer(errno === 0 ? failed : errno))
    })
  }
}
