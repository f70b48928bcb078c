import { EIO, ENOENT, ENOSPC } from '../base/errno.js'
import { RkfsError } from '../base/errors.js'
import { ghostsMax, readableGhostBytesMax, readableGhostsBytesMax, readableGhostsMax } from '../base/limits.js'
import { extentsMaxOf } from '../fs/chunks.js'
import { placeOfBlob } from '../fs/extents.js'
import { getInode } from '../fs/inodes.js'
import { isContentOperation, type Operation, type SetAttributesOperation } from '../fs/operation.js'
import { isRegular, type Inode } from '../fs/records.js'
import type { View } from '../fs/view.js'
import { AccessTimes } from './access-times.js'
import type { ContentPorts } from './content-read.js'
import type { Channel } from './channel.js'
import { isOfPages } from './invalidations.js'
import { KernelPages } from './kernel-pages.js'
import { DamagedBlob } from './log-port.js'
import type { Attributes, Caller, Entry, FileSystemStatistics, Mounted, Reply } from './mount-port.js'
import type { MemberLocks } from './locks/member-locks.js'
import { OpenFiles } from './open-files.js'
import { attributesOf, OrphanFile, type OrphanPorts, type Spill } from './orphan-file.js'

/** The safety net under the invalidations (DESIGN §6). */
const ttlMs = 10_000
const noBytes = new Uint8Array(0)

export interface FrontendOptions {
  readonly mount: number
  readonly sync: 'close' | 'fsync' | 'always'
  readonly timeoutMs: number
  /** `read=latest`: lookups and opens wait for what was committed when they began, and the kernel keeps nothing. */
  readonly latest: boolean
  /** Reading leaves no trace (`noatime`, a read-only mount). */
  readonly noAccessTimes?: boolean
  /** Each read that is seen is told (`strictatime`). */
  readonly strictAccessTimes?: boolean
  /** `locks=channel`: locks hold between the programs of all members. */
  readonly channelLocks?: boolean
}

export interface FrontendPorts {
  /** The locks of all of the member's mounts of the channel. */
  readonly locks: MemberLocks
  now(): bigint
  nextInode(): number
  openSpill(): Spill
  statistics(): FileSystemStatistics
  /** Runs the callback in about `ms` milliseconds. */
  delay(ms: number, callback: () => void): void
}

/** For so long at least, and twice as long at most, the content of a file that has lost its last name can be opened. */
const readableGhostMs = 5000

/** What the calls of one mount share: its open files, and what it shows beyond the channel's view. */
export class MountState {
  #channel: Channel
  readonly options: FrontendOptions
  readonly ports: FrontendPorts
  readonly files = new OpenFiles()
  readonly accessTimes: AccessTimes
  readonly pages: KernelPages
  /** Open files without a name. */
  readonly orphans = new Map<number, OrphanFile>()
  /**
   * Inodes that lost their last name and are not open files: a program may still hold them (a working directory, O_PATH),
   * and the kernel asks for their attributes until it forgets them. It may also be about to open a file that was replaced
   * since it looked the name up: the newest small ones keep their content for a moment.
   */
  readonly #ghosts = new Map<number, OrphanFile>()
  /** The bytes of each whose content is kept, oldest first; those of `#olderGhosts` keep it no longer than this turn. */
  readonly #readableGhosts = new Map<number, number>()
  #readableBytes = 0
  #olderGhosts: number[] = []
  #ageing = false
  /** For reads that take several turns. */
  readonly contentPorts: ContentPorts
  readonly #orphanPorts: OrphanPorts
  /** Where invalidations go; set once the mount stands. */
  mounted: Mounted | undefined

  constructor(channel: Channel, options: FrontendOptions, ports: FrontendPorts) {
    this.#channel = channel
    this.options = options
    this.ports = ports
    this.contentPorts = contentPorts(() => this.#channel)
    this.#orphanPorts = orphanPorts(() => this.#channel, ports, this.contentPorts)
    this.pages = new KernelPages({
      mounted: () => this.mounted,
      inode: ino => this.inode(ino),
      isMappable: ino => this.files.isReadable(ino),
      isOpen: ino => this.files.isOpen(ino),
      isViewStale: () => this.channel.viewIsStale,
      byte: (ino, offset) => this.#byte(ino, offset),
      attributes: (ino, inode) => this.attributes(ino, inode),
      now: () => ports.now(),
      delay: (ms, callback) => ports.delay(ms, callback),
    })
    this.accessTimes = new AccessTimes({
      strict: options.strictAccessTimes === true,
      now: () => ports.now(),
      delay: (ms, callback) => ports.delay(ms, callback),
      change: (operation, done) => {
        const { mount, timeoutMs } = options
        this.#channel.change(operation, noBytes, { mount, timeoutMs, durable: false, done })
      },
    })
  }

  get channel(): Channel {
    return this.#channel
  }

  /**
   * The channel was opened anew: what was accepted before, and is not known to be on a majority, may come to nothing, and
   * who has such a file open is told. Open files without a name stay.
   */
  rebind(channel: Channel): void {
    const before = this.#channel
    const isDurable = (sequence: number): boolean => before.isDurable(sequence)
    if (before.lastSequence > 0 && !isDurable(before.lastSequence)) this.files.spoilDirectories(EIO)
    this.files.restart(isDurable, EIO)
    this.#channel = channel
  }

  get view(): View {
    return this.channel.view
  }

  get ttl(): number {
    return this.options.latest ? 0 : ttlMs
  }

  /**
   * Whether programs are told of a change, unless it is a write, only when a majority has it. With `read=latest` they are:
   * what one was told, another one finds on any member, whatever becomes of the leader.
   */
  get waits(): boolean {
    return this.options.sync === 'always' || this.options.latest
  }

  inode(ino: number): Inode | undefined {
    return this.orphans.get(ino)?.inode ?? getInode(this.channel.view, ino) ?? this.#ghosts.get(ino)?.inode
  }

  /** Where the records of an inode are. */
  viewOf(ino: number): View {
    return this.nameless(ino) ?? this.channel.view
  }

  attributes(ino: number, inode: Inode): Attributes {
    return attributesOf(ino, inode, this.accessTimes.of(ino))
  }

  /** What a lookup answers, or a listing with attributes. */
  entry(ino: number): Entry | undefined {
    const inode = this.inode(ino)
    if (inode === undefined) return undefined
    this.pages.passOver(ino)
    return { attributes: this.attributes(ino, inode), entryTtlMs: this.ttl, attributesTtlMs: this.ttl }
  }

  /** As `entry`, for an answer whose attributes the kernel takes as they are: to LINK, and to CREATE of a file that there is. */
  uncheckedEntry(ino: number): Entry | undefined {
    const inode = this.inode(ino)
    if (inode === undefined) return undefined
    const { attributes, isHeld } = this.pages.answers(ino, inode)
    return { attributes, entryTtlMs: this.ttl, attributesTtlMs: isHeld ? 0 : this.ttl }
  }

  #byte(ino: number, offset: number): number | undefined {
    try {
      const parts = this.orphans.get(ino)?.read(offset, 1) ?? this.channel.blobs.read(this.view, ino, offset, 1)
      return parts[0]?.[0]
    } catch (error) {
      // who reads it is told
      if (!(error instanceof RkfsError)) throw error
      if (error instanceof DamagedBlob) {
        this.channel.heal(error, this.options.timeoutMs, left => left !== undefined && this.pages.tellSize(ino))
      }
      return undefined
    }
  }

  replyEntry(ino: number, reply: Reply<Entry>): void {
    const entry = this.entry(ino)
    if (entry === undefined) reply.fail(ENOENT)
    else reply.ok(entry)
  }

  /** Runs `then` at once, or, with `read=latest`, and while nobody leads, when this member has caught up. */
  current(reply: Reply<never>, then: () => void): void {
    const { channel, options } = this
    if (!channel.usable) return reply.fail(EIO)
    const done = (errno: number): void => {
      if (errno !== 0) reply.fail(errno)
      else if (this.channel.usable) then()
      else reply.fail(EIO)
    }
    if (options.latest) reply.onInterrupt(channel.readBarrier(options.timeoutMs, done))
    else if (channel.isBetweenLeaders) reply.onInterrupt(channel.untilLed(options.timeoutMs, done))
    else then()
  }

  /**
   * Of a change of names or attributes: when a program was told that it is done, and it is lost, open directories tell. A
   * full disk holds the answer back, so that it may be lost first; and who was told EINTR or EIO knows already.
   */
  outcome(): { readonly told: () => void; readonly lost: () => true } {
    let isTold = false
    let isLost = false
    return {
      told: () => {
        isTold = true
        if (isLost) this.files.spoilDirectories(EIO)
      },
      lost: () => {
        isLost = true
        if (isTold) this.files.spoilDirectories(EIO)
        return true
      },
    }
  }

  /**
   * The open file whose close waits for a change of attributes that names none (fchmod(2), fchown(2), futimens(3)): the
   * caller's own. Not of the size: who has the file open truncates it through that.
   */
  handleFor({ pid }: Caller, { ino, size }: SetAttributesOperation): number | undefined {
    return size === undefined && this.options.sync === 'close' ? this.files.openedBy(pid, ino) : undefined
  }

  /**
   * Of a change of attributes for which no close will wait: whether its program is told only when a majority has it. One of
   * the size waits as a close does. On a leader any other has its place in the order at once; elsewhere what another member
   * does later could come before it.
   */
  waitsFor({ size }: SetAttributesOperation): boolean {
    if (this.waits || (size !== undefined && this.options.sync === 'close')) return true
    return this.channel.role !== 'leader'
  }

  /** Makes a change for a program that waits (for a majority, if `durable`); `refused` may take a refusal over. */
  change(
    operation: Operation,
    reply: Reply<never>,
    done: () => void,
    { durable = this.waits, refused }: { durable?: boolean; refused?: (errno: number) => boolean } = {},
  ): void {
    const outcome = this.outcome()
    const cancel = this.channel.change(operation, noBytes, {
      mount: this.options.mount,
      timeoutMs: this.options.timeoutMs,
      durable,
      done: errno => {
        const failure = errno === ENOENT ? this.#applyNameless(operation) : errno
        if (errno === 0) outcome.told()
        if (failure === 0) {
          if ('ino' in operation) this.pages.changed(operation.ino, concernsContent(operation))
          done()
        } else if (!refused?.(failure)) reply.fail(failure)
      },
      lost: errno => {
        if (isContentOperation(operation) && this.#keeps(operation.ino, errno)) return false
        if (concernsOpenFiles(operation)) this.files.spoil(operation.ino, EIO)
        return outcome.lost()
      },
    })
    reply.onInterrupt(cancel)
  }

  /** A change of a file's content was refused after its program had been told (`ChangeOptions.lost`). */
  lost(ino: number, errno: number): boolean {
    if (this.#keeps(ino, errno)) return false
    this.files.spoil(ino, errno === ENOSPC ? ENOSPC : EIO)
    return true
  }

  /** Whether a change was refused, since its file has no name any more, and who has it open here has it with the change. */
  #keeps(ino: number, errno: number): boolean {
    return errno === ENOENT && this.orphans.get(ino)?.isNew === false
  }

  /** A change was refused: if another member's took the inode's last name meanwhile, it is made to the nameless file. */
  #applyNameless(operation: Operation): number {
    if (!('ino' in operation) || operation.kind === 'link' || operation.kind === 'clone') return ENOENT
    return this.nameless(operation.ino)?.apply(operation, this.ports.now()) ?? ENOENT
  }

  /** A change made through an open file is what its close waits for. */
  changed(handle: number | undefined): void {
    const file = handle === undefined ? undefined : this.files.file(handle)
    if (file !== undefined) file.sequence = this.channel.lastSequence
  }

  /** A program of this mount changed a file's content. */
  contentChanged(ino: number): void {
    this.pages.changed(ino, true)
  }

  /**
   * A call of this mount has changed a file that was `before`. It may have taken set-user-ID away, which is not what the
   * kernel asked for: it would go on to run the file as its owner.
   */
  maybeLostPrivileges(ino: number, before: Inode | undefined): void {
    if (before !== undefined && this.inode(ino)?.mode !== before.mode) this.mounted?.staleAttributes(ino)
  }

  /** The kernel gives the pages and the attributes of a file up; they may be as they are here. */
  forgetPages(ino: number): void {
    this.pages.announce([{ kind: 'inode', ino, offset: 0, length: 0, changed: [] }])
  }

  /** A program reads an inode; `quietly`: it was opened with O_NOATIME. */
  accessed(ino: number, inode: Inode, quietly: boolean): void {
    if (quietly || this.options.noAccessTimes) return
    const orphan = this.orphans.get(ino)
    if (orphan === undefined) this.accessTimes.read(ino, inode)
    else if (this.accessTimes.isDue(ino, inode)) orphan.accessed(this.ports.now())
  }

  /** A number for a new file; a negative errno: the disk cannot note that it is taken. */
  nextInode(): number {
    try {
      return this.ports.nextInode()
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      if (error.code === 'disk-full') return -ENOSPC
      this.channel.fail(error)
      return -EIO
    }
  }

  // ---- files without a name ----

  newOrphan(ino: number, inode: Inode, view: View | undefined): OrphanFile {
    const orphan = new OrphanFile(ino, inode, view, this.#orphanPorts)
    this.orphans.set(ino, orphan)
    return orphan
  }

  /** The last close of a file. One without a name is gone with what was on its way to it. */
  closeOrphan(ino: number): void {
    const orphan = this.orphans.get(ino)
    if (orphan === undefined) return
    if (!orphan.isNew) this.channel.closedNameless(ino)
    this.dropOrphan(ino)
  }

  dropOrphan(ino: number): void {
    this.orphans.get(ino)?.close()
    this.orphans.delete(ino)
  }

  /** A file that had no name for this member's programs is one of the channel's: kernels forget what they were told. */
  orphanReturns(ino: number): void {
    this.dropOrphan(ino)
    this.pages.announce([{ kind: 'inode', ino, offset: 0, length: 0 }])
  }

  /** See `ChannelObserver.losing`. */
  losing(ino: number, view: View): void {
    if (this.orphans.has(ino)) return
    const found = getInode(view, ino)
    if (found === undefined) return
    const inode = { ...found, nlink: 0, ctime: this.ports.now() }
    if (isRegular(inode) && this.files.isOpen(ino)) {
      this.newOrphan(ino, inode, view)
      return
    }
    const readable = isRegular(inode) && inode.size <= readableGhostBytesMax
    // it may have got a name back meanwhile, and lost that, too
    this.#ghosts.get(ino)?.close()
    this.#forgetReadable(ino)
    this.#ghosts.set(ino, new OrphanFile(ino, inode, readable ? view : undefined, this.#orphanPorts))
    if (readable) this.#keepReadable(ino, inode.size)
    if (this.#ghosts.size > ghostsMax) this.forget(this.#ghosts.keys().next().value!)
  }

  #keepReadable(ino: number, bytes: number): void {
    this.#readableGhosts.set(ino, bytes)
    this.#readableBytes += bytes
    while (this.#readableGhosts.size > readableGhostsMax || this.#readableBytes > readableGhostsBytesMax) {
      this.#dropContent(this.#readableGhosts.keys().next().value!)
    }
    if (!this.#ageing) this.#age()
  }

  /** Who looked a name up before it was lost opens it within a moment, or is told ESTALE, and looks it up again. */
  #age(): void {
    this.#ageing = true
    this.ports.delay(readableGhostMs, () => {
      for (const ino of this.#olderGhosts) this.#dropContent(ino)
      this.#olderGhosts = [...this.#readableGhosts.keys()]
      if (this.#olderGhosts.length > 0) this.#age()
      else this.#ageing = false
    })
  }

  /** Answers whether there was any. */
  #forgetReadable(ino: number): boolean {
    const bytes = this.#readableGhosts.get(ino)
    if (bytes === undefined) return false
    this.#readableBytes -= bytes
    return this.#readableGhosts.delete(ino)
  }

  #dropContent(ino: number): void {
    const ghost = this.#ghosts.get(ino)
    if (!this.#forgetReadable(ino) || ghost === undefined) return
    ghost.close()
    this.#ghosts.set(ino, new OrphanFile(ino, ghost.inode, undefined, this.#orphanPorts))
  }

  forget(ino: number): void {
    this.pages.forgotten(ino)
    this.#ghosts.get(ino)?.close()
    this.#ghosts.delete(ino)
    this.#forgetReadable(ino)
  }

  /** Whether an inode can be opened: one that has just lost its last name becomes an open file without a name. */
  revive(ino: number): boolean {
    const ghost = this.#ghosts.get(ino)
    if (ghost === undefined || getInode(this.channel.view, ino) !== undefined) return true
    if (!this.#forgetReadable(ino)) return false
    this.#ghosts.delete(ino)
    this.orphans.set(ino, ghost)
    return true
  }

  /** An inode without a name, open or not. */
  nameless(ino: number): OrphanFile | undefined {
    const orphan = this.orphans.get(ino)
    if (orphan !== undefined || this.#ghosts.size === 0) return orphan
    return getInode(this.channel.view, ino) === undefined ? this.#ghosts.get(ino) : undefined
  }

  /** See `ChannelObserver.viewChanged`. */
  viewChanged(): void {
    for (const [ino, orphan] of this.orphans) {
      // one that was made without a name comes into the view only to be given one
      if (orphan.isNew || getInode(this.channel.view, ino) === undefined) continue
      // the unlink was refused after all: the file is one of the channel's again, and what was written to it meanwhile has
      // no place in the order
      if (orphan.changes > 0) this.files.spoil(ino, EIO)
      this.orphanReturns(ino)
    }
    this.pages.viewChanged()
  }

  /** The mount has ended: what only it could reach goes. */
  close(): void {
    this.accessTimes.flush()
    for (const ino of this.orphans.keys()) this.dropOrphan(ino)
    for (const ino of this.#ghosts.keys()) this.forget(ino)
  }
}

/**
 * Whether a set-gid bit without group execute goes, too, when privileges go: it does where the caller is not in the file's
 * group (setattr_should_drop_sgid in the kernel). Its supplementary groups are not known here: they do not count.
 */
export function losesSetGid(inode: Inode, caller: Caller): boolean {
  return (inode.mode & 0o2010) === 0o2000 && isRegular(inode) && caller.uid !== 0 && caller.gid !== inode.gid
}

/** Whether it changes what a file holds, how long it is, or when that was. */
function concernsContent(operation: Operation): boolean {
  if (operation.kind === 'setattr') return operation.size !== undefined || operation.mtime !== undefined
  return isOfPages(operation)
}

/** Whether what was done through an open file rests on it. */
function concernsOpenFiles(operation: Operation): operation is Operation & { readonly ino: number } {
  const { kind } = operation
  return (
    kind === 'make' || kind === 'clone' || kind === 'allocate' || (kind === 'setattr' && operation.size !== undefined)
  )
}

function contentPorts(current: () => Channel): ContentPorts {
  // the same ones in all its channels
  const { pinned } = current()
  return {
    peek: id => current().blobs.peek(id),
    get: id => current().blobs.get(id),
    isSettled: id => id >= 0 && placeOfBlob(id).number <= current().appliedIndex,
    pin: ids => {
      for (const id of ids) pinned.set(id, (pinned.get(id) ?? 0) + 1)
    },
    release: ids => {
      for (const id of ids) {
        const count = (pinned.get(id) ?? 0) - 1
        if (count > 0) pinned.set(id, count)
        else pinned.delete(id)
      }
    },
  }
}

function orphanPorts(current: () => Channel, ports: FrontendPorts, content: ContentPorts): OrphanPorts {
  const { get, isSettled, pin, release } = content
  return {
    blob: get,
    extentsMax: () => extentsMaxOf(current().table),
    isSettled,
    openSpill: () => ports.openSpill(),
    pin,
    release,
  }
}
