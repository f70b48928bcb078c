import { EIO } from '../../base/errno.js'
import type { FileLock, Reply } from '../mount-port.js'
import type { ChannelLocks } from './channel-locks.js'
import { endOfFile, placeKey, type Lock, type LockPlace, type LockSpace } from './lock.js'
import type { LockReach, MemberLocks } from './member-locks.js'
import type { Segments } from './segments.js'

const wholeFile = { start: 0, end: endOfFile }

/** What a mount gives. */
export interface MountLocksPorts {
  /** Calls back when the kernel has heard of all that became stale so far. */
  settled(done: () => void): void
  /** The kernel's cached pages of a file are void: reads come to us. */
  dropPages(ino: number): void
  serving(): boolean
}

/**
 * The locks of one mount's programs. Each is one of the member's table first, which all of its mounts share, and then, with
 * `-o locks=channel`, one of the leader's.
 *
 * An owner is what the kernel says: for flock(2) the open file, for fcntl(2) a process's table of files, or, for
 * F_OFD_SETLK, an open file again, which the request does not tell apart. Those of a process go with the close of any
 * descriptor of the file (FLUSH). What is left of an open file's owner when that is released (RELEASE) was its own.
 */
export class MountLocks {
  readonly #mount: number
  readonly #timeoutMs: number
  readonly #member: MemberLocks
  /** With `locks=channel`. */
  #locks: ChannelLocks | undefined
  readonly #reach: LockReach
  readonly #ports: MountLocksPorts
  /** The open files through which an owner has locked. */
  readonly #handles = new Map<string, { readonly place: LockPlace; readonly handles: Set<number> }>()
  /** Open files whose lock was lost: nothing more is done through them. */
  readonly #spoilt = new Set<number>()
  #leave: (() => void) | undefined

  constructor(
    mount: number,
    timeoutMs: number,
    member: MemberLocks,
    locks: ChannelLocks | undefined,
    ports: MountLocksPorts,
  ) {
    this.#mount = mount
    this.#timeoutMs = timeoutMs
    this.#member = member
    this.#locks = locks
    this.#reach = locks === undefined ? 'local' : 'channel'
    this.#ports = ports
    this.#leave = locks?.onLost(lost => this.#lost(lost))
  }

  /** The channel was opened anew: it knows of no lock, so all that it gave are lost. */
  rebind(locks: ChannelLocks): void {
    if (this.#locks === undefined) return
    this.#leave?.()
    this.#lost([...this.#handles.values()].map(({ place }) => place))
    this.#handles.clear()
    this.#locks = locks
    this.#leave = locks.onLost(lost => this.#lost(lost))
  }

  #place(space: LockSpace, ino: number, handle: number, owner: bigint): LockPlace {
    const number = space === 'flock' ? handle.toString(16) : owner.toString(16)
    return { space, ino, owner: `${space === 'flock' ? 'f' : 'p'}:${this.#mount}:${number}` }
  }

  /** Whether a lock was lost that this open file was used for: reading and writing through it fails with EIO. */
  isSpoilt(handle: number): boolean {
    this.#locks?.check()
    return this.#spoilt.size > 0 && this.#spoilt.has(handle)
  }

  getlk(ino: number, handle: number, owner: bigint, lock: FileLock, reply: Reply<FileLock>): void {
    if (this.#isVoid(handle)) return reply.fail(EIO)
    const wanted = wantedLock(this.#place('posix', ino, handle, owner), lock)
    const near = this.#member.test(this.#reach, wanted)
    if (near !== undefined) return reply.ok(near)
    if (this.#locks === undefined) return reply.ok({ ...lock, type: 'unlock' })
    this.#locks.test(wanted, this.#timeoutMs, (errno, _index, found) => {
      if (errno !== 0) reply.fail(errno)
      else if (found === undefined) reply.ok({ ...lock, type: 'unlock' })
      else reply.ok(found)
    })
  }

  setlk(
    ino: number,
    handle: number,
    owner: bigint,
    lock: FileLock,
    flock: boolean,
    wait: boolean,
    reply: Reply<void>,
  ): void {
    if (this.#isVoid(handle)) return reply.fail(EIO)
    const place = this.#place(flock ? 'flock' : 'posix', ino, handle, owner)
    const wanted = wantedLock(place, flock ? { ...lock, ...wholeFile } : lock)
    if (lock.type === 'unlock') {
      this.#member.release(this.#reach, place, wanted)
      if (this.#locks?.concerns(place)) this.#locks.release(wanted, this.#timeoutMs, () => reply.ok())
      else reply.ok()
      return
    }
    const key = placeKey(place)
    const used = this.#handles.get(key) ?? { place, handles: new Set() }
    used.handles.add(handle)
    this.#handles.set(key, used)
    const before = this.#member.held(this.#reach, place)
    let isSettled = false
    const cancel = this.#member.acquire(this.#reach, wanted, wait, errno => {
      isSettled = true
      if (errno !== 0) reply.fail(errno)
      else if (this.#locks === undefined) reply.ok()
      else this.#acquireOfAll(this.#locks, wanted, handle, wait, before, reply)
    })
    if (!isSettled) reply.onInterrupt(cancel)
  }

  /** A lock that the member's own table grants is asked of the leader. */
  #acquireOfAll(
    locks: ChannelLocks,
    wanted: Lock,
    handle: number,
    wait: boolean,
    before: Segments,
    reply: Reply<void>,
  ): void {
    const cancel = locks.acquire(wanted, wait, this.#timeoutMs, errno => {
      if (errno !== 0) {
        this.#member.undo(this.#reach, wanted, before)
        return reply.fail(errno)
      }
      this.#ports.settled(() => (this.isSpoilt(handle) ? reply.fail(EIO) : reply.ok()))
    })
    reply.onInterrupt(cancel)
  }

  /** Nothing can be said of the channel's locks, or not of this open file's. */
  #isVoid(handle: number): boolean {
    return this.#locks !== undefined && (!this.#ports.serving() || this.isSpoilt(handle))
  }

  /** close(2): the answer to FLUSH comes when the owner's locks on the file are given back. A signal ends the wait only. */
  flushing(ino: number, handle: number, owner: bigint, reply: Reply<void>): Reply<void> {
    let listener: (() => void) | undefined
    let waits: (() => void) | undefined
    reply.onInterrupt(() => {
      listener?.()
      waits?.()
    })
    const drop = (errno: number): void => {
      listener = undefined
      const error = errno === 0 && this.isSpoilt(handle) ? EIO : errno
      let answered = false
      waits = () => {
        if (answered) return
        answered = true
        if (error === 0) reply.ok()
        else reply.fail(error)
      }
      if (this.#holdsNone) waits()
      else this.#drop(this.#place('posix', ino, handle, owner), waits)
    }
    return { ok: () => drop(0), fail: drop, onInterrupt: each => (listener = each) }
  }

  /** The last close of an open file. */
  released(ino: number, handle: number): void {
    this.#spoilt.delete(handle)
    if (this.#holdsNone) return
    this.#drop(this.#place('flock', ino, handle, 0n), () => {})
    for (const { place, handles } of this.#handles.values()) {
      if (place.ino === ino && handles.has(handle)) this.#drop(place, () => {})
    }
  }

  /** No program has locked anything through this mount: as a rule, and each close asks. */
  get #holdsNone(): boolean {
    return this.#locks === undefined && this.#handles.size === 0
  }

  #drop(place: LockPlace, done: () => void): void {
    this.#handles.delete(placeKey(place))
    this.#member.release(this.#reach, place, wholeFile)
    if (!this.#locks?.concerns(place)) return done()
    this.#locks.release({ ...place, ...wholeFile, type: 'read', pid: 0 }, this.#timeoutMs, done)
  }

  #lost(lost: readonly LockPlace[]): void {
    for (const place of lost) {
      this.#member.release(this.#reach, place, wholeFile)
      const used = this.#handles.get(placeKey(place))
      if (used === undefined) continue
      for (const handle of used.handles) this.#spoilt.add(handle)
      this.#ports.dropPages(place.ino)
    }
  }

  /** The mount has ended, and its programs' open files with it. */
  close(): void {
    this.#leave?.()
    for (const { place } of this.#handles.values()) this.#drop(place, () => {})
  }
}

function wantedLock(place: LockPlace, { start, end, type, pid }: FileLock): Lock {
  return { ...place, start, end, type: type === 'write' ? 'write' : 'read', pid }
}
