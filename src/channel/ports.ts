import type { Hasher } from '../base/hash.js'
import type { MemberId } from '../base/ids.js'
import type { Operation } from '../fs/operation.js'
import type { StateStore } from '../fs/store-port.js'
import type { View } from '../fs/view.js'
import type { Role } from '../raft/types.js'
import type { Descriptor } from './descriptor.js'
import type { LogStore } from './log-port.js'
import type { DiskPort } from './disk-port.js'
import type { Invalidation } from './mount-port.js'
import type { StoredEntry } from './stored-entry.js'
import type { Transport } from './transport-port.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** A small text that outlives the process: what was saved last, or shortly before that when the power went. */
export interface MemoryPort {
  load(): string | undefined
  /** Puts it on stable storage soon; what fails is reported, and the text before stays. */
  save(text: string): void
}

/** What one channel's brain needs from outside. */
export interface ChannelPorts {
  readonly log: LogStore
  readonly state: StateStore
  readonly disk: DiskPort
  readonly transport: Transport
  /** What other members told this one. */
  readonly memory: MemoryPort
  readonly hasher: Hasher
  /** Wall clock, nanoseconds since 1970. */
  now(): bigint
  /** A clock for deadlines, milliseconds. */
  monotonicMs(): number
  /** Runs the callback when the events at hand have been dealt with. */
  schedule(callback: () => void): void
  /** Runs the callback in about `ms` milliseconds (at the next tick, where there is no finer clock). */
  delay(ms: number, callback: () => void): void
  report(level: LogLevel, message: string, fields?: Record<string, unknown>): void
}

/** A mount of the channel on this member. */
export interface ChannelObserver {
  /** Names the mount: changes made through it are not announced to it. */
  readonly mount: number
  invalidate(items: readonly Invalidation[]): void
  /** Another state took the place of what was shown: nothing that is cached counts. */
  invalidateAll(): void
  /** Changes that were shown may be gone from the view, or back in it. */
  viewChanged(): void
  /** A change is about to take away the last name of an inode; `view` still shows it. */
  losing(ino: number, view: View): void
}

export interface LostChange {
  readonly operation: Operation
  readonly payload: Uint8Array
  /** When it was made, in nanoseconds since 1970. */
  readonly time: bigint
  readonly cause:
    | { readonly kind: 'refused'; readonly errno: number }
    /** This run's session was ended, with all that it had on its way. */
    | { readonly kind: 'session-ended' }
    /** An earlier run of this member's process made it, and ended before it had its place. */
    | { readonly kind: 'earlier-run' }
}

/** What the daemon hears. Each may be called within any call to the channel. */
export interface ChannelEvents {
  roleChanged(role: Role, term: number, leader: MemberId | undefined): void
  descriptorChanged(descriptor: Descriptor): void
  /** This member's log ends before the leader's begins: fetch a snapshot from `from`, install it, call `restored`. */
  snapshotNeeded(from: MemberId, index: number): void
  entryAppended(entry: StoredEntry): void
  /** The only member's log has grown since its state was last copied: copy what is on disk, and call `stateCopied`. */
  copyState(): void
  /** A `mark` was applied: the state stands exactly at this index. */
  marked(id: number, index: number, origin: MemberId): void
  /** A message of the daemon's own (`note`). */
  note(from: MemberId, topic: string, body: string): void
  /**
   * Changes that programs believed done have no place in the order, and never will: their data is kept here or nowhere. It
   * is kept, on stable storage, when this answers true. Otherwise this is called again, with the same objects and others.
   */
  lostChanges(changes: readonly LostChange[]): boolean
  /** The member stops serving: its state or log differs from the others'. */
  quarantined(reason: string): void
  /** The member stops serving: its own storage failed. The channel may be opened anew. */
  failed(reason: string): void
}

export interface ChangeOptions {
  readonly mount?: number
  /** Gives up after this many milliseconds with EROFS (never ordered) or EIO (outcome unknown). */
  readonly timeoutMs: number
  /** Answer only when a majority holds it. */
  readonly durable: boolean
  /** The answer, once: 0 or an errno. */
  readonly done: (errno: number) => void
  /**
   * It was refused after it was answered. Answers whether it is lost: not where it was made to a file that has lost its last
   * name since, and that programs here keep with it.
   */
  readonly lost?: (errno: number) => boolean
}
