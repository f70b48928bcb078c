import { EIO } from '../base/errno.js'
import { isContentOperation, namelessKey, nowhere, type Operation } from '../fs/operation.js'
import type { View } from '../fs/view.js'
import { AttributeCalls } from './attribute-calls.js'
import type { Channel } from './channel.js'
import { copyFileRange } from './copy-call.js'
import { DirectoryCalls } from './directory-calls.js'
import { FileCalls } from './file-calls.js'
import { MountLocks } from './locks/mount-locks.js'
import type {
  AttributeChange,
  Attributes,
  Caller,
  DirectoryItem,
  Entry,
  FileLock,
  FileSystemHandler,
  FileSystemStatistics,
  Invalidation,
  Mounted,
  NegativeEntry,
  OpenFile,
  Reply,
} from './mount-port.js'
import { MountState, type FrontendOptions, type FrontendPorts } from './mount-state.js'
import { NameCalls } from './name-calls.js'
import type { ChannelObserver } from './ports.js'
import { writeBack } from './write-back.js'

export type { FrontendOptions, FrontendPorts } from './mount-state.js'

/**
 * One mount's file system calls, answered from a channel's view and turned into its changes: each is passed on to the
 * part it belongs to (`name-calls.ts`, `file-calls.ts`, `attribute-calls.ts`, `directory-calls.ts`).
 */
export class Frontend implements FileSystemHandler, ChannelObserver {
  readonly mount: number
  readonly #state: MountState
  readonly #names: NameCalls
  readonly #files: FileCalls
  readonly #attributes: AttributeCalls
  readonly #directories: DirectoryCalls
  readonly #locks: MountLocks

  constructor(channel: Channel, options: FrontendOptions, ports: FrontendPorts) {
    this.mount = options.mount
    this.#state = new MountState(channel, options, ports)
    this.#names = new NameCalls(this.#state)
    this.#files = new FileCalls(this.#state, this.#names)
    this.#attributes = new AttributeCalls(this.#state)
    this.#directories = new DirectoryCalls(this.#state)
    this.#locks = new MountLocks(
      options.mount,
      options.timeoutMs,
      ports.locks,
      options.channelLocks ? channel.locks : undefined,
      {
        settled: done => (this.mounted === undefined ? done() : this.mounted.settled(done)),
        dropPages: ino => this.#state.forgetPages(ino),
        serving: () => this.#state.channel.usable,
      },
    )
  }

  /** Where invalidations go; set once the mount stands. */
  get mounted(): Mounted | undefined {
    return this.#state.mounted
  }
  set mounted(mounted: Mounted | undefined) {
    this.#state.mounted = mounted
  }

  /** Open files and directories of programs. */
  get openFiles(): number {
    return this.#state.files.size
  }
  /** Of those, files without a name. */
  get namelessFiles(): number {
    return this.#state.orphans.size
  }

  /** The mount goes on with `channel`. If it was opened in place of another, after a fault of the disk, kernel caches are void. */
  bind(channel: Channel): void {
    if (channel === this.#state.channel) return
    this.#state.rebind(channel)
    this.#locks.rebind(channel.locks)
    this.viewChanged()
    this.invalidateAll()
  }

  // ---- what the channel says ----

  /** A change that programs here were told of, through a channel that failed since, is given up: they are told of that. */
  lost(operation: Operation): void {
    if (isContentOperation(operation)) this.#state.files.spoil(operation.ino, EIO)
    else this.#state.files.spoilDirectories(EIO)
  }

  invalidate(items: readonly Invalidation[]): void {
    this.#state.pages.announce(items)
  }

  invalidateAll(): void {
    this.#state.pages.announceAll()
  }

  viewChanged(): void {
    this.#state.viewChanged()
  }

  losing(ino: number, view: View): void {
    this.#state.losing(ino, view)
  }

  /** The mount has ended: what only it could reach goes. */
  close(): void {
    this.#locks.close()
    this.#state.close()
  }

  /** Removes what an earlier run of this member left on its way to a name (`nameless-file.ts`): its numbers are told by `isOurs`. */
  clearLeftOvers(isOurs: (ino: number) => boolean): void {
    const { channel, options } = this.#state
    for (const [, { ino }] of channel.view.scan('entry', nowhere, undefined, 10_000)) {
      if (!isOurs(ino)) continue
      const { mount, timeoutMs } = options
      const done = (): void => {}
      channel.change({ kind: 'unlink', parent: nowhere, name: namelessKey(ino) }, new Uint8Array(0), {
        mount,
        timeoutMs,
        durable: false,
        done,
      })
    }
  }

  /** A call on a member that cannot show all that there is fails: its program would take what is here for all. */
  #isRefused(reply: Reply<never>): boolean {
    if (this.#state.channel.usable) return false
    reply.fail(EIO)
    return true
  }

  // ---- names ----

  lookup(_caller: Caller, parent: number, name: string, reply: Reply<Entry | NegativeEntry>): void {
    if (this.#isRefused(reply)) return
    this.#names.lookup(parent, name, reply)
  }

  /** Inode numbers are the channel's own: the kernel's references need no table. */
  forget(inodes: readonly { ino: number }[]): void {
    for (const { ino } of inodes) this.#state.forget(ino)
  }

  readlink(_caller: Caller, ino: number, reply: Reply<string>): void {
    if (this.#isRefused(reply)) return
    this.#names.readlink(ino, reply)
  }

  symlink(caller: Caller, parent: number, name: string, target: string, reply: Reply<Entry>): void {
    if (this.#isRefused(reply)) return
    this.#names.symlink(caller, parent, name, target, reply)
  }

  mknod(caller: Caller, parent: number, name: string, mode: number, rdev: number, reply: Reply<Entry>): void {
    if (this.#isRefused(reply)) return
    this.#names.mknod(caller, parent, name, mode, rdev, reply)
  }

  mkdir(caller: Caller, parent: number, name: string, mode: number, reply: Reply<Entry>): void {
    if (this.#isRefused(reply)) return
    this.#names.mkdir(caller, parent, name, mode, reply)
  }

  unlink(_caller: Caller, parent: number, name: string, reply: Reply<void>): void {
    if (this.#isRefused(reply)) return
    this.#names.remove('unlink', parent, name, reply)
  }

  rmdir(_caller: Caller, parent: number, name: string, reply: Reply<void>): void {
    if (this.#isRefused(reply)) return
    this.#names.remove('rmdir', parent, name, reply)
  }

  rename(
    _caller: Caller,
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    reply: Reply<void>,
  ): void {
    if (this.#isRefused(reply)) return
    this.#names.rename(parent, name, newParent, newName, flags, reply)
  }

  link(_caller: Caller, ino: number, newParent: number, newName: string, reply: Reply<Entry>): void {
    if (this.#isRefused(reply)) return
    this.#names.link(ino, newParent, newName, reply)
  }

  // ---- attributes ----

  getattr(_caller: Caller, ino: number, reply: Reply<{ attributes: Attributes; ttlMs: number }>): void {
    if (this.#isRefused(reply)) return
    this.#attributes.getattr(ino, reply)
  }

  setattr(
    caller: Caller,
    ino: number,
    change: AttributeChange,
    reply: Reply<{ attributes: Attributes; ttlMs: number }>,
  ): void {
    if (this.#isRefused(reply)) return
    if (change.handle !== undefined && this.#isSpoilt(change.handle)) return reply.fail(EIO)
    this.#attributes.setattr(caller, ino, change, reply)
  }

  setxattr(_caller: Caller, ino: number, name: string, value: Uint8Array, flags: number, reply: Reply<void>): void {
    if (this.#isRefused(reply)) return
    this.#attributes.setxattr(ino, name, value, flags, reply)
  }

  getxattr(_caller: Caller, ino: number, name: string, reply: Reply<Uint8Array>): void {
    if (this.#isRefused(reply)) return
    this.#attributes.getxattr(ino, name, reply)
  }

  listxattr(caller: Caller, ino: number, reply: Reply<readonly string[]>): void {
    if (this.#isRefused(reply)) return
    this.#attributes.listxattr(caller, ino, reply)
  }

  removexattr(_caller: Caller, ino: number, name: string, reply: Reply<void>): void {
    if (this.#isRefused(reply)) return
    this.#attributes.removexattr(ino, name, reply)
  }

  // ---- files ----

  open(caller: Caller, ino: number, flags: number, killPrivileges: boolean, reply: Reply<OpenFile>): void {
    if (this.#isRefused(reply)) return
    this.#files.open(caller, ino, flags, killPrivileges, reply)
  }

  create(
    caller: Caller,
    parent: number,
    name: string,
    mode: number,
    flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void {
    if (this.#isRefused(reply)) return
    this.#files.create(caller, parent, name, mode, flags, reply)
  }

  tmpfile(
    caller: Caller,
    parent: number,
    mode: number,
    flags: number,
    reply: Reply<{ entry: Entry; file: OpenFile }>,
  ): void {
    if (this.#isRefused(reply)) return
    this.#files.tmpfile(caller, parent, mode, flags, reply)
  }

  read(_caller: Caller, ino: number, handle: number, offset: number, size: number, reply: Reply<Uint8Array[]>): void {
    if (this.#isRefused(reply)) return
    if (this.#isSpoilt(handle)) return reply.fail(EIO)
    this.#files.read(ino, handle, offset, size, reply)
  }

  write(
    caller: Caller,
    ino: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    flags: number,
    killPrivileges: boolean,
    reply: Reply<number>,
  ): void {
    if (this.#isRefused(reply)) return
    if (this.#isSpoilt(handle)) return reply.fail(EIO)
    this.#files.write(caller, ino, handle, offset, data, flags, killPrivileges, reply)
  }

  writeBack(ino: number, _handle: number, offset: number, data: Uint8Array, reply: Reply<number>): void {
    if (this.#isRefused(reply)) return
    writeBack(this.#state, ino, offset, data, reply)
  }

  flush(_caller: Caller, ino: number, handle: number, lockOwner: bigint, reply: Reply<void>): void {
    this.#files.flush(handle, this.#locks.flushing(ino, handle, lockOwner, reply))
  }

  release(ino: number, handle: number, _flockOwner: bigint | undefined, reply: Reply<void>): void {
    this.#locks.released(ino, handle)
    this.#files.release(ino, handle, reply)
  }

  fsync(_caller: Caller, _ino: number, handle: number, _dataOnly: boolean, reply: Reply<void>): void {
    if (this.#isSpoilt(handle)) return reply.fail(EIO)
    this.#files.fsync(handle, reply)
  }

  fallocate(
    _caller: Caller,
    ino: number,
    handle: number,
    mode: number,
    offset: number,
    length: number,
    reply: Reply<void>,
  ): void {
    if (this.#isRefused(reply)) return
    if (this.#isSpoilt(handle)) return reply.fail(EIO)
    this.#files.fallocate(ino, handle, mode, offset, length, reply)
  }

  lseek(_caller: Caller, ino: number, _handle: number, offset: number, whence: number, reply: Reply<number>): void {
    if (this.#isRefused(reply)) return
    this.#files.lseek(ino, offset, whence, reply)
  }

  copyFileRange(
    _caller: Caller,
    from: { ino: number; handle: number; offset: number },
    to: { ino: number; handle: number; offset: number },
    length: number,
    reply: Reply<number>,
  ): void {
    if (this.#isRefused(reply)) return
    if (this.#isSpoilt(from.handle) || this.#isSpoilt(to.handle)) return reply.fail(EIO)
    copyFileRange(this.#state, from, to, length, reply)
  }

  // ---- directories ----

  opendir(_caller: Caller, ino: number, flags: number, reply: Reply<OpenFile>): void {
    if (this.#isRefused(reply)) return
    this.#directories.opendir(ino, flags, reply)
  }

  readdir(
    _caller: Caller,
    ino: number,
    handle: number,
    offset: bigint,
    plus: boolean,
    add: (item: DirectoryItem) => boolean,
    reply: Reply<void>,
  ): void {
    if (this.#isRefused(reply)) return
    this.#directories.readdir(ino, handle, offset, plus, add, reply)
  }

  releasedir(_ino: number, handle: number, reply: Reply<void>): void {
    this.#directories.releasedir(handle, reply)
  }

  fsyncdir(_caller: Caller, _ino: number, handle: number, _dataOnly: boolean, reply: Reply<void>): void {
    this.#files.fsyncdir(handle, reply)
  }

  statfs(_caller: Caller, reply: Reply<FileSystemStatistics>): void {
    reply.ok(this.#state.ports.statistics())
  }

  // ---- locks ----

  /** Whether a lock that the open file was used for is lost. */
  #isSpoilt(handle: number): boolean {
    return this.#locks.isSpoilt(handle)
  }

  getlk(_c: Caller, ino: number, handle: number, owner: bigint, lock: FileLock, reply: Reply<FileLock>): void {
    this.#locks.getlk(ino, handle, owner, lock, reply)
  }

  setlk(
    _c: Caller,
    ino: number,
    handle: number,
    owner: bigint,
    lock: FileLock,
    flock: boolean,
    wait: boolean,
    reply: Reply<void>,
  ): void {
    this.#locks.setlk(ino, handle, owner, lock, flock, wait, reply)
  }
}
