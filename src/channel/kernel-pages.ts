import { cutReserved as cutRanges, type Range } from '../fs/reserved.js'
import { type Inode, isRegular } from '../fs/records.js'
import type { Attributes, Invalidation, Mounted } from './mount-port.js'

/** What a kernel keeps of a file, and locks, at once. */
const pageBytes = 4096
/** How long an answer waits until the kernel has given up old pages. Something may hold it up that waits for the answer. */
const waitMsMax = 100
/** What becomes of an answer that the kernel takes whatever it was told meanwhile: it has it after this time at the latest. */
const answerMs = 20
/** Such answers that are remembered. */
const answersMax = 256
/** Files that were announced while no program could map them, and are remembered until one can. */
const closedMax = 256

/** A change of a file's content that the kernel is being told of, and may still hold the pages from before it. */
interface Unanswered {
  readonly batch: number
  /** Bytes that the kernel may have as they were before. */
  changed: readonly Range[]
  /** Another state took the place of what was shown: which of them others have changed is not known. */
  readonly isOther: boolean
  /** The file as those pages show it; undefined: not known, or changed by this mount's own programs since. */
  before: Inode | undefined
}

export interface KernelPagesPorts {
  readonly mounted: () => Mounted | undefined
  readonly inode: (ino: number) => Inode | undefined
  /** Whether a program may have mapped the file: it is open for reading. */
  readonly isMappable: (ino: number) => boolean
  readonly isOpen: (ino: number) => boolean
  /** What is shown of files is about to be brought up to date: `viewChanged` follows. */
  readonly isViewStale: () => boolean
  /** The byte of a file at an offset; undefined: it cannot be read now. `tellSize` follows when it can. */
  readonly byte: (ino: number, offset: number) => number | undefined
  readonly attributes: (ino: number, inode: Inode) => Attributes
  readonly now: () => bigint
  readonly delay: (ms: number, callback: () => void) => void
}

/**
 * What this mount's kernel may hold of the pages of files, and which changes of them it has not been told of yet: a
 * notification is written by a thread of its own, and waits for locks. Two things rest on it:
 *
 * - No answer shows attributes that are newer than the pages. A kernel that takes a new size or time goes on with the old
 *   pages, and shows zeros behind the old end (fuse_change_attributes in the kernel).
 * - What a kernel writes back of a page tells nothing about bytes that others have changed since it had the page.
 */
export class KernelPages {
  readonly #ports: KernelPagesPorts
  /** Files of which the kernel may have pages; with each, how often all was announced when it was last told the size. */
  readonly #held = new Map<number, number>()
  #allAnnounced = 0
  /** Oldest first. */
  readonly #unanswered = new Map<number, Unanswered[]>()
  /** Newest last: what the kernel takes for the size of such a file may be from before it was opened. */
  readonly #closed = new Set<number>()
  /** Files that were announced while what is shown of them was stale: the size that the kernel may have of each. */
  readonly #unjudged = new Map<number, number>()
  /** The batch that is collected now. Those before it are on their way: one at a time. */
  #batch = 0
  #isOnItsWay = false
  #waiting: { readonly batch: number; readonly done: () => void }[] = []
  /** Answers that the kernel takes whatever it was told meanwhile, by inode, and when they were given. */
  readonly #unchecked = new Map<number, bigint>()

  constructor(ports: KernelPagesPorts) {
    this.#ports = ports
  }

  // ---- what the kernel does ----

  /** The kernel gets bytes as they are now, and may keep their pages. `isKept`: surely. */
  given(ino: number, offset: number, length: number, isKept: boolean): void {
    if (!this.#held.has(ino)) this.#held.set(ino, -1)
    if (!isKept) return
    for (const change of this.#unanswered.get(ino) ?? []) {
      change.changed = cutRanges(change.changed, { from: offset, to: offset + length })
    }
  }

  forgotten(ino: number): void {
    if (!this.#ports.isOpen(ino)) this.#held.delete(ino)
  }

  /** A program may map the file from now on: if it has grown before, the kernel was perhaps not told how long it is. */
  opened(ino: number): void {
    if (!this.#ports.isMappable(ino)) return
    const isOld = this.#allAnnounced > 0 && this.#held.get(ino) !== this.#allAnnounced
    this.#held.set(ino, this.#allAnnounced)
    if (this.#closed.delete(ino) || this.isBehind(ino) || isOld) this.tellSize(ino)
  }

  /** A program of this mount appended; the kernel takes `end` for the file's, which others may have moved before that. */
  appended(ino: number, end: number): void {
    if ((this.#ports.inode(ino)?.size ?? 0) > end) this.tellSize(ino)
  }

  /**
   * A program of this mount changed the file, and is shown so, whatever else is on its way. `isContent`: its content, size or
   * times.
   */
  changed(ino: number, isContent: boolean): void {
    const ctime = this.#unanswered.size === 0 ? undefined : this.#ports.inode(ino)?.ctime
    if (ctime === undefined) return
    for (const change of this.#unanswered.get(ino) ?? []) {
      if (isContent || change.before === undefined) change.before = undefined
      else change.before = { ...change.before, ctime }
    }
  }

  // ---- what it is told ----

  announce(items: readonly Invalidation[]): void {
    const mounted = this.#ports.mounted()
    if (mounted === undefined || items.length === 0) return
    const sizes: Invalidation[] = []
    let isTracked = false
    for (const item of items) {
      if (item.kind !== 'inode') continue
      if (this.#unchecked.size > 0) this.#maybeRepeat(item)
      if (item.offset < 0) continue
      this.#maybeRemember(item)
      if (!this.#held.has(item.ino)) continue
      isTracked = true
      this.#track(item)
      this.#maybeJudgeLater(item)
      if (this.#isGrowth(item)) sizes.push(...this.#sizeOf(item.ino))
    }
    mounted.invalidate(sizes.length === 0 ? items : [...items, ...sizes])
    if (isTracked) this.#send(mounted)
  }

  #maybeRemember({ ino, before }: Invalidation & { kind: 'inode' }): void {
    if (this.#ports.isMappable(ino) || (before !== undefined && !isRegular(before))) return
    this.#closed.delete(ino)
    this.#closed.add(ino)
    if (this.#closed.size > closedMax) this.#closed.delete(this.#closed.values().next().value!)
  }

  announceAll(): void {
    const mounted = this.#ports.mounted()
    if (mounted === undefined) return
    this.#allAnnounced++
    // what is read from now on is as it is now: it counts again
    for (const ino of this.#held.keys()) this.#track({ kind: 'inode', ino, offset: 0, length: 0 }, true)
    mounted.invalidateAll()
    const mappable = [...this.#held.keys()].filter(ino => this.#ports.isMappable(ino))
    for (const ino of mappable) this.#held.set(ino, this.#allAnnounced)
    mounted.invalidate(mappable.flatMap(ino => this.#sizeOf(ino)))
    this.#send(mounted)
  }

  #track({ ino, offset, length, changed, before }: Invalidation & { kind: 'inode' }, isOther = false): void {
    const range = { from: offset, to: length === 0 ? Infinity : offset + length }
    const change = { batch: this.#batch, changed: changed ?? [range], isOther, before }
    const others = this.#unanswered.get(ino)
    if (others === undefined) this.#unanswered.set(ino, [change])
    else others.push(change)
  }

  /** What a file's own pending changes show of its size may be from before others' changes, until they are laid over those. */
  #maybeJudgeLater({ ino, changed, before }: Invalidation & { kind: 'inode' }): void {
    if (changed?.length === 0 || !this.#ports.isMappable(ino) || !this.#ports.isViewStale()) return
    const size = Math.min(before?.size ?? 0, this.#ports.inode(ino)?.size ?? 0)
    this.#unjudged.set(ino, Math.min(size, this.#unjudged.get(ino) ?? Infinity))
  }

  /** What is shown is up to date. */
  viewChanged(): void {
    for (const [ino, size] of this.#unjudged) {
      if ((this.#ports.inode(ino)?.size ?? 0) > size) this.tellSize(ino)
    }
    this.#unjudged.clear()
  }

  #isGrowth({ ino, changed, before }: Invalidation & { kind: 'inode' }): boolean {
    if (changed?.length === 0 || !this.#ports.isMappable(ino)) return false
    return before === undefined || (this.#ports.inode(ino)?.size ?? 0) > before.size
  }

  #sizeOf(ino: number): Invalidation[] {
    const size = this.#ports.inode(ino)?.size ?? 0
    const last = size === 0 ? undefined : this.#ports.byte(ino, size - 1)
    // the kernel shows what it is given until it reads the page again: nothing but what is there
    return last === undefined ? [] : [{ kind: 'size', ino, size, last }]
  }

  /** Mappings of a file reach to its end. */
  tellSize(ino: number): void {
    const mounted = this.#ports.mounted()
    if (mounted !== undefined && this.#ports.isMappable(ino)) mounted.invalidate(this.#sizeOf(ino))
  }

  /** Asks to be told when what was announced so far is taken. */
  #send(mounted: Mounted): void {
    if (this.#isOnItsWay) return
    this.#isOnItsWay = true
    const batch = this.#batch++
    mounted.settled(() => {
      this.#isOnItsWay = false
      this.#taken(batch)
      if (this.#unanswered.size > 0) this.#send(mounted)
    })
  }

  #taken(batch: number): void {
    for (const [ino, changes] of this.#unanswered) {
      const left = changes.filter(change => change.batch > batch)
      if (left.length === 0) this.#unanswered.delete(ino)
      else this.#unanswered.set(ino, left)
    }
    const waiting = this.#waiting
    this.#waiting = waiting.filter(one => one.batch > batch)
    for (const one of waiting) if (one.batch <= batch) one.done()
  }

  // ---- what it may be answered ----

  /** The kernel may hold pages of a file that are older than what the mount shows. */
  isBehind(ino: number): boolean {
    return this.#unanswered.has(ino)
  }

  /** The bytes of a file that the kernel may have as they were before others changed them. */
  changedOf(ino: number): readonly Range[] {
    return this.#unanswered.get(ino)?.flatMap(({ changed }) => changed) ?? []
  }

  /** Of these, those of which nobody knows whether others changed them, or a program of this mount. */
  unknownOf(ino: number): readonly Range[] {
    return this.#unanswered.get(ino)?.flatMap(({ isOther, changed }) => (isOther ? changed : [])) ?? []
  }

  /** Calls back when the kernel has given up the pages that are old now, or after a while: at once when there are none. */
  whenTaken(ino: number, done: () => void): void {
    if (!this.isBehind(ino)) return done()
    let isDone = false
    const once = (): void => {
      if (!isDone) done()
      isDone = true
    }
    const { batch } = this.#unanswered.get(ino)!.at(-1)!
    this.#waiting.push({ batch, done: once })
    this.#ports.delay(waitMsMax, once)
  }

  /**
   * A program has written: where that is behind the old end, the kernel takes it for the file's end, and shows zeros for what
   * others wrote before it and is being announced. Calls back when the kernel has given up the old pages; at once where it
   * cannot, since the write holds such a page locked (`isCached`) until it is answered.
   */
  whenExtended(ino: number, offset: number, length: number, isCached: boolean, done: () => void): void {
    const changes = this.#unanswered.get(ino)
    // what the kernel takes for the size is not known where this mount's programs have changed it since
    const size = changes?.[0]?.before?.size ?? 0
    if (changes === undefined || offset + length <= size) return done()
    const pages = { from: pageOf(offset), to: pageOf(offset + length - 1) + 1 }
    const holds = changes.some(({ changed }) => changed.some(range => touches(range, pages)))
    if (isCached && holds) done()
    else this.whenTaken(ino, done)
  }

  /**
   * What an answer to LOOKUP, READDIRPLUS or GETATTR is about to say of a file is nothing for a kernel that has old pages of
   * it: told so, it drops it, and asks again.
   */
  passOver(ino: number): void {
    if (this.isBehind(ino)) this.#ports.mounted()?.staleAttributes(ino)
  }

  /** The file as the pages show it that the kernel may have. */
  asHeld(ino: number, inode: Inode): Inode {
    const before = this.#unanswered.get(ino)?.[0]?.before
    if (before === undefined) return inode
    const { size, allocated, mtime, ctime } = before
    return { ...inode, size, allocated, mtime, ctime }
  }

  /**
   * An answer is given that the kernel takes whatever it was told meanwhile (of SETATTR, LINK, and CREATE of a file that
   * there is): what it is told then is told again.
   */
  answers(ino: number, inode: Inode): { readonly attributes: Attributes; readonly isHeld: boolean } {
    this.#unchecked.delete(ino)
    this.#unchecked.set(ino, this.#ports.now())
    if (this.#unchecked.size > answersMax) this.#unchecked.delete(this.#unchecked.keys().next().value!)
    const isHeld = this.isBehind(ino)
    const held = isHeld ? this.asHeld(ino, inode) : inode
    if (isHeld) this.#repeat(ino, Math.min(held.size, inode.size))
    return { attributes: this.#ports.attributes(ino, { ...inode, size: held.size }), isHeld }
  }

  #maybeRepeat({ ino, offset }: Invalidation & { kind: 'inode' }): void {
    const since = this.#unchecked.get(ino)
    if (since === undefined) return
    this.#unchecked.delete(ino)
    if (this.#ports.now() - since < BigInt(answerMs) * 1_000_000n) this.#repeat(ino, offset)
  }

  #repeat(ino: number, offset: number): void {
    this.#ports.delay(answerMs, () => {
      this.announce([{ kind: 'inode', ino, offset, length: 0, changed: [] }])
      if (offset >= 0) this.tellSize(ino)
    })
  }
}

function pageOf(offset: number): number {
  return Math.floor(offset / pageBytes)
}

/** Whether a range of a file's bytes lies on some of a range of pages. */
function touches({ from, to }: Range, pages: Range): boolean {
  return from < to && pageOf(from) < pages.to && pageOf(to - 1) >= pages.from
}
