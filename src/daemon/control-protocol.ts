/**
 * What the command line and the daemon say to each other over the control socket: lines of JSON. A request is one line,
 * `{ verb, args }`; the daemon answers with any number of `{ progress }` and `{ item }` lines and ends with one
 * `{ result }` or `{ error }`. Closing the connection cancels the request.
 */
import type { MemoryUse } from '../adapters/host/allocator.js'
import type { ErrorCode } from '../base/errors.js'
import type { DiskStanding } from './disk-standing.js'
import type { Redundancy } from './redundancy.js'

/** Arguments and result of each verb. Times in seconds, unless the name says otherwise. */
export interface ControlVerbs {
  ping: { args: Record<string, never>; result: { version: string; pid: number } }
  /** The name of the channel that is meant by a name or an id, or the beginning of either; what fits none as it is. */
  'channel.meant': { args: { channel: string }; result: { channel: string } }
  status: { args: { channel?: string }; result: StatusReport }
  /** Makes the channel with this node as its owner and only member. */
  'channel.create': { args: { channel: string }; result: { channel: string; id: string; address: string } }
  'channel.list': { args: Record<string, never>; result: { channels: ChannelSummary[] } }
  'channel.show': { args: { channel: string }; result: ChannelDescription }
  /** Stops taking part: unmounts and forgets nothing on disk; `channel.list` shows it as closed. Mounting it opens it again. */
  'channel.close': { args: { channel: string; force: boolean }; result: Record<string, never> }
  /**
   * Removes a channel that nobody else is in, and answers what it has removed; `dryRun`: what it would remove. Fails where
   * others are in it, or may be, and where it is mounted.
   */
  'channel.delete': {
    args: { channel: string; dryRun: boolean }
    result: { removed: readonly { readonly path: string; readonly what: string; readonly bytes: number }[] }
  }
  /** `address`: where the token sends the new member. */
  'member.invite': {
    args: { channel: string; expires: number }
    result: { token: string; expires: number; address: string }
  }
  /** Admits a member with a certificate of its own (PEM), issued by the channel's authority. */
  'member.add': {
    args: { channel: string; certificatePem: string; address: string; name?: string }
    result: { member: string }
  }
  /** `member`: an id, a unique prefix of one, or a name. */
  'member.remove': { args: { channel: string; member: string }; result: { member: string } }
  /** Of two voters the other one is gone for good: this node decides alone. */
  'member.lost': { args: { channel: string; member: string }; result: { member: string } }
  /** Ends the member's session: what it has on its way is refused. */
  'member.fence': { args: { channel: string; member: string }; result: { member: string } }
  /** Where a member is to be connected to, whatever the others say, until the channel's members say so, too. */
  'member.address': {
    args: { channel: string; member: string; address: string }
    result: { member: string; name: string; self: boolean; agreed: boolean }
  }
  'member.list': { args: { channel: string }; result: { members: MemberDescription[] } }
  /** `voters`: how many the channel has now. On a member: a new certificate, valid until `renewedUntil` (ISO date). */
  join: { args: { token: string }; result: { channel: string; member: string; voters: number; renewedUntil?: string } }
  /** On a node without that channel: an error `not-found`, unless `create`: then a channel of one is made. Harmless when it is mounted
   * there already (`already`). `wait`: for how many seconds, where this member is still fetching the files; 0 when it is left out.
   * `temporary`: it does not come back when the node is started again. */
  mount: {
    args: { channel: string; directory: string; options: string[]; create: boolean; wait?: number; temporary?: boolean }
    /** `conflicts`: how many of the changes that the node had taken in its last run are kept as copies now. */
    result: { directory: string; driver: string; created: boolean; already: boolean; conflicts: number }
  }
  /** `timeout`: how long pending changes are waited for; 30 when it is left out. Fails with `no-quorum` when they remain. */
  umount: { args: { directory: string; force: boolean; timeout?: number }; result: { directory: string } }
  /** `timeout` 0: no limit. */
  sync: { args: { channel: string; all: boolean; timeout: number }; result: { index: number } }
  verify: { args: { channel: string; deep: boolean }; result: VerifyReport }
  /** Items: `LogItem`. `from`: the first index, or undefined for the last `limit` ones. */
  log: { args: { channel: string; follow: boolean; from?: number; limit: number }; result: Record<string, never> }
  conflicts: { args: { channel: string }; result: { conflicts: ConflictDescription[] } }
  /** Writes the data of conflicts into new files beside those that it was written to, and forgets them. No ids: all that have data. */
  'conflicts.restore': {
    args: { channel: string; ids: number[] }
    result: { restored: { id: number; path: string }[] }
  }
  /** Forgets conflicts, with their copies. No ids: all. */
  'conflicts.discard': { args: { channel: string; ids: number[] }; result: { discarded: number } }
  stop: { args: { force: boolean }; result: Record<string, never> }
}
export type ControlVerb = keyof ControlVerbs

export interface ControlRequest<V extends ControlVerb = ControlVerb> {
  readonly verb: V
  readonly args: ControlVerbs[V]['args']
}

/** `total` 0: not known. `unit`: `entries`, `bytes`, `files`… */
export interface Progress {
  readonly what: string
  readonly done: number
  readonly total: number
  readonly unit: string
}

export type ControlReply =
  | { readonly progress: Progress }
  | { readonly item: unknown }
  | { readonly result: unknown }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } }

/** DESIGN §8. */
export interface StatusReport {
  readonly node: {
    readonly id: string
    readonly version: string
    readonly listen: string
    readonly home: string
    readonly name: string
    readonly pid: number
    readonly uptimeSeconds: number
    /** Null where no node runs. */
    readonly memory: MemoryUse | null
  }
  readonly channels: readonly ChannelStatus[]
  /** The names of channels that were closed on this node; empty when one channel was asked for. */
  readonly closed: readonly string[]
}

export type ChannelState =
  'leader' | 'follower' | 'candidate' | 'learner' | 'no-quorum' | 'quarantined' | 'closed' | 'failed'

export interface ChannelStatus {
  readonly name: string
  readonly id: string
  readonly role: 'owner' | 'member'
  readonly state: ChannelState
  /** How many copies are complete, and how many machines may fail, in words. */
  readonly summary: string
  readonly redundancy: Redundancy
  /** Of this member's copy; null where it does not say. */
  readonly disk: DiskStanding | null
  /** Why the state is `quarantined`, `failed` or `no-quorum`, or what else a user must know (disk full, expired certificate); empty when all is well. */
  readonly problems: readonly string[]
  /** Those of the problems that say what is wrong with the home of a member, this one's or another's. */
  readonly findings: readonly string[]
  readonly leader: string | null
  readonly term: number
  readonly lastIndex: number
  readonly durableIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** The files are here; else reads and changes fail until a snapshot is fetched. */
  readonly complete: boolean
  /** What must come before programs may see the files: until then nothing is mounted, and all calls of mounts fail. */
  readonly fetching: Progress | null
  readonly quorum: {
    readonly voters: number
    readonly needed: number
    readonly reachable: number
    readonly ok: boolean
  }
  readonly members: readonly MemberStatus[]
  /** Members that are to vote and are not there, as far as this node knows. */
  readonly missing: number
  readonly digest: { readonly index: number; readonly hash: string }
  readonly pending: { readonly operations: number; readonly bytes: number }
  readonly conflicts: number
  /** Damaged parts of files on this member's disk: `wanted` are asked for, `healed` came from others since the node started. */
  readonly healing: { readonly wanted: number; readonly healed: number }
  /** Ranges that programs here hold through mounts with `locks=channel`. */
  readonly locks: number
  /**
   * `data`: what files hold; `log`: the log with their content; `disk`: what all of the channel's files take (du); `free`: on
   * the disk; `writable`: what can really be written, here and on the members that order it.
   */
  readonly bytes: {
    readonly log: number
    readonly data: number
    readonly disk: number
    readonly free: number
    readonly writable: number
  }
  readonly mounts: readonly MountStatus[]
}

export interface MountStatus {
  readonly dir: string
  readonly driver: string
  /**
   * `detached`: no longer at its directory (umount -l), and served for programs, or another mount namespace, that still use
   * it. `dead`: at its directory, and served by nobody, so that all calls fail with ENOTCONN. `waiting`: remembered, and not
   * there yet.
   */
  readonly state: 'mounted' | 'detached' | 'dead' | 'waiting'
  /** Why it is dead, or not there yet. */
  readonly problem: string | null
  /** What programs cannot do in this mount, and can with the usual driver. */
  readonly limits: readonly string[]
  readonly options: string
  readonly operations: number
  readonly errors: number
  /** Calls of programs that have no answer yet. */
  readonly waiting: number
  readonly openFiles: number
}

export interface MemberStatus {
  readonly id: string
  readonly name: string
  readonly role: 'voter' | 'learner'
  readonly address: string
  readonly self: boolean
  readonly connected: boolean
  readonly matchIndex: number | null
  readonly lagEntries: number | null
  readonly lagBytes: number | null
  readonly rttMs: number | null
  /** ISO date. */
  readonly certExpires: string | null
  /** Why it is not connected, when something more than silence is known. */
  readonly problem: string | null
}

export interface ChannelSummary {
  readonly name: string
  readonly id: string
  readonly role: 'owner' | 'member'
  readonly state: ChannelState
  /** Why it is `failed`, or what else is missing. */
  readonly problem: string | null
  readonly members: number
  readonly mounts: readonly string[]
}

export interface ChannelDescription {
  readonly name: string
  readonly id: string
  readonly owner: string
  readonly folder: string
  readonly authorityFingerprint: string
  readonly descriptorVersion: number
  readonly members: readonly MemberDescription[]
}

export interface MemberDescription {
  readonly id: string
  readonly name: string
  readonly role: 'voter' | 'learner'
  readonly address: string
  readonly certExpires: string | null
}

export interface VerifyReport {
  readonly ok: boolean
  readonly index: number
  readonly entriesChecked: number
  /** With `deep`. */
  readonly filesChecked: number
  readonly bytesChecked: number
  readonly members: readonly {
    readonly id: string
    readonly name: string
    readonly ok: boolean
    readonly digest: string
    readonly content: string
    /** What differs or failed; empty when all is well. */
    readonly problems: readonly string[]
    /** Damaged parts of its files that came from another member meanwhile. */
    readonly healed: number
  }[]
  /** Members that could not be asked. */
  readonly unreachable: readonly string[]
}

export interface LogItem {
  readonly index: number
  readonly term: number
  readonly time: string
  readonly origin: string
  readonly kind: string
  /** One line of plain text, e.g. `write ino 17 offset 0 length 4096`. */
  readonly operation: string
  readonly bytes: number
  readonly hash: string
  readonly committed: boolean
}

export interface ConflictDescription {
  readonly id: number
  /** When the program made the change, or the last of them. */
  readonly time: string
  /** From the channel's root; or `inode N` where its name is not known. */
  readonly path: string
  /** Bytes of the file, in ascending order; of what was appended, as they stand in the copy. Empty for names and attributes. */
  readonly ranges: readonly { readonly offset: number; readonly length: number }[]
  /** What was done to it. */
  readonly what: string
  readonly reason: string
  /** Where the data is kept, a path on this machine. */
  readonly copy: string
}
