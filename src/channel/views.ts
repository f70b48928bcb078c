import type { Hasher } from '../base/hash.js'
import { apply, getInode } from '../fs/apply.js'
import { RENAME_WHITEOUT, type Operation } from '../fs/operation.js'
import { OverlayView } from '../fs/overlay-view.js'
import { isDirectory, S_IFDIR, S_IFMT } from '../fs/records.js'
import type { StateStore } from '../fs/store-port.js'
import { TableView } from '../fs/table-view.js'
import type { View } from '../fs/view.js'
import { zeroHash } from '../oplog/codec.js'
import type { EntryHeader } from '../oplog/entry.js'
import { rememberPlace } from './change-number.js'
import { invalidationsOf } from './invalidations.js'
import type { LogAnchor } from './log-port.js'
import type { Invalidation } from './mount-port.js'
import { awaitedBy, type PendingChange } from './pending-changes.js'
import type { ChannelObserver } from './ports.js'
import { ShownInodes } from './shown-inodes.js'

/** Committed changes that the overlay may still show before it is made anew. */
const placedMax = 4096

/**
 * The applied state, what is laid over it, and the mounts that are shown both (DESIGN, "Views").
 *
 * INVARIANT: the table is the state at `applied`. What mounts are shown beyond it is this member's own.
 */
export class Views {
  readonly #hasher: Hasher
  readonly #damaged: (error: unknown) => void
  #table: TableView
  #ordered: OverlayView
  #own: OverlayView
  #applied: LogAnchor
  #leading = false
  #joined = false
  /** The last entry of a leader's log that mounts are not shown before it is applied. */
  #hiddenUpTo = 0
  #stale = true
  #lacks = false
  #watching = false
  /** Where this session's changes that the overlay still shows stand in the log, by sequence number. */
  readonly #placed = new Map<number, number>()
  readonly #observers = new Set<ChannelObserver>()
  readonly #shownInodes = new ShownInodes()

  /** `damaged` is told of each read of the state that failed. */
  constructor(state: StateStore, hasher: Hasher, damaged: (error: unknown) => void) {
    this.#hasher = hasher
    this.#damaged = damaged
    this.#table = this.#open(state)
    this.#ordered = new OverlayView(this.#table)
    this.#own = new OverlayView(this.#table)
    this.#applied = state.position ?? { index: 0, term: 0, hash: zeroHash }
  }

  /** Another state takes the place of this one. */
  replace(state: StateStore, applied: LogAnchor): void {
    this.#table = this.#open(state)
    this.#ordered = new OverlayView(this.#table)
    this.#own = new OverlayView(this.#table)
    this.#applied = applied
    this.#stale = true
  }

  #open(state: StateStore): TableView {
    const opened = new TableView(state, this.#hasher)
    opened.onDamage = this.#damaged
    // a change that was not laid over the state, under one that was: those are laid anew
    opened.onChange = (table, ino, key) => {
      if (this.#watching && this.#own.has(table, ino, key)) this.#stale = true
    }
    return opened
  }

  /** The state as this member's programs see it. */
  get view(): View {
    const overlay = this.#joined ? this.#ordered : this.#own
    return overlay.empty ? this.#table : overlay
  }
  get table(): TableView {
    return this.#table
  }
  /** While leading: the state that all of the log amounts to. Tags are log indexes. */
  get ordered(): OverlayView {
    return this.#ordered
  }
  /** This member's own changes on their way, unless `joined`. Tags are sequence numbers. */
  get own(): OverlayView {
    return this.#own
  }
  get applied(): LogAnchor {
    return this.#applied
  }

  /** There is no state: what comes next is a snapshot, or the log after `anchor`. */
  standAt(anchor: LogAnchor): void {
    this.#applied = anchor
  }

  // ---- leading ----

  get leading(): boolean {
    return this.#leading
  }
  /** This member leads, and nothing in the log behind the applied state is hidden from its mounts: they are shown `ordered`. */
  get joined(): boolean {
    return this.#joined
  }

  /** This member begins to lead; the caller lays the log up to `lastIndex` over the state. */
  lead(lastIndex: number): void {
    this.#leading = true
    this.#ordered.clear()
    this.#hiddenUpTo = lastIndex
  }

  leave(): void {
    this.#leading = false
    this.#ordered.clear()
  }

  /** What was ordered at `index` is not shown to mounts before it is applied. */
  hideUpTo(index: number): void {
    this.#hiddenUpTo = index
  }

  /** Nothing is hidden any more, and what is shown of own changes is exact. */
  get mayJoin(): boolean {
    return this.#leading && !this.#joined && !this.#stale && this.#applied.index >= this.#hiddenUpTo
  }
  /** From now on mounts are shown `ordered`, which must amount to the same. */
  join(): void {
    this.clearOwn()
    this.#joined = true
  }

  // ---- applying ----

  /** Makes a committed change part of the table. `shown`: mounts see it already. */
  apply(entry: EntryHeader, operation: Operation, shown: boolean): number {
    this.#watching = !shown && !this.#own.empty
    const errno = apply(this.#table, operation, { time: entry.time, number: entry.index })
    rememberPlace(this.#table, entry, operation)
    this.#watching = false
    if (this.#lacks) this.#stale = true
    return errno
  }

  /** The table holds this entry, and all before it. */
  reached({ index, term, hash }: EntryHeader): void {
    this.#applied = { index, term, hash }
  }

  /** A change of this session was applied; `visible`: records of it may be shown until newer ones that share them are. */
  reachedOwn(entry: EntryHeader, visible: boolean): void {
    if (this.#joined) return
    this.#own.drop(entry.sequence)
    // others' changes between can have made a list of what was laid over as pages
    if (this.#own.isTorn) this.#stale = true
    if (this.#own.empty) this.#placed.clear()
    else if (visible) {
      this.#placed.set(entry.sequence, entry.index)
      if (this.#placed.size > placedMax) this.#stale = true
    }
  }

  /** The index of this session's change, while records of it may be shown. */
  placeOf(sequence: number): number | undefined {
    return this.#placed.get(sequence)
  }

  // ---- own changes ----

  /** What is shown of own changes must be laid over the state anew. */
  get stale(): boolean {
    return this.#stale
  }
  makeStale(): void {
    this.#stale = true
  }

  /** Shows the state alone; the caller lays own changes over it. */
  clearOwn(): void {
    this.#joined = false
    this.#stale = false
    this.#lacks = false
    this.#own.clear()
    this.#placed.clear()
  }

  /** A change could not be laid over the state as it is: it is tried again when that has moved. */
  lacksOne(): void {
    this.#lacks = true
  }

  // ---- mounts ----

  observe(observer: ChannelObserver): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  /** What an operation will make stale in kernels; asked before it is applied. */
  staleBy(operation: Operation): readonly Invalidation[] {
    return this.#observers.size === 0 ? nothing : invalidationsOf(operation, this.view)
  }

  invalidate(items: readonly Invalidation[], exceptMount: number | undefined): void {
    if (items.length === 0) return
    for (const observer of this.#observers) if (observer.mount !== exceptMount) observer.invalidate(items)
  }

  /** Mounts see a change of this member's own from now on; `stale`: what kernels have cached that it changes. */
  shows(change: PendingChange, stale: readonly Invalidation[]): void {
    // before the change remembers it: the two are compared
    this.invalidate(stale, awaitedBy(change, stale))
    change.visible = true
    change.lacking = false
    change.stale = stale
  }

  /** The state under an own change that kernels were shown is about to move; `stale`: what it made stale. */
  rememberShown(operation: Operation, stale: readonly Invalidation[]): void {
    this.#shownInodes.remember(operation, stale, this.view)
  }

  /** Own changes are laid over the state as it is now: kernels learn what came of those that they were shown. */
  tellDifferences(): void {
    this.invalidate(this.#shownInodes.take(this.view), undefined)
  }

  /** An append stands elsewhere than it was shown: kernels read again from there. */
  appendMoved(ino: number, size: number, shownOffset: number): void {
    this.invalidate([{ kind: 'inode', ino, offset: Math.min(size, shownOffset), length: 0 }], undefined)
  }

  invalidateAll(): void {
    for (const observer of this.#observers) observer.invalidateAll()
  }

  viewChanged(): void {
    for (const observer of this.#observers) observer.viewChanged()
  }

  /** Tells the mounts of an inode that is about to lose its last name, while the view still shows it. */
  announceLosses(operation: Operation): void {
    if (this.#observers.size === 0) return
    let ino: number | undefined
    if (operation.kind === 'unlink' || operation.kind === 'rmdir') {
      const entry = this.view.get('entry', operation.parent, operation.name)
      // only what `apply` will do counts: a name that has come to mean another kind of file is refused
      if (entry === undefined || (entry.type === S_IFDIR) !== (operation.kind === 'rmdir')) return
      ino = entry.ino
    } else if (operation.kind === 'rename' && (operation.flags & ~RENAME_WHITEOUT) === 0) {
      ino = this.view.get('entry', operation.newParent, operation.newName)?.ino
      const moved = this.view.get('entry', operation.parent, operation.name)
      // only what `apply` will do counts: without a source, or with a directory over a file, nothing is lost
      const type = ino === undefined ? undefined : getInode(this.view, ino)?.mode
      if (moved === undefined || moved.ino === ino || type === undefined) return
      if ((moved.type === S_IFDIR) !== ((type & S_IFMT) === S_IFDIR)) return
    }
    if (ino === undefined) return
    const inode = getInode(this.view, ino)
    if (inode === undefined || (isDirectory(inode) ? inode.children > 0 : inode.nlink > 1)) return
    for (const observer of this.#observers) observer.losing(ino, this.view)
  }
}

const nothing: readonly Invalidation[] = []
