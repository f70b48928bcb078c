import type { MemberId } from '../base/ids.js'
import type { Operation } from '../fs/operation.js'
import type { ChannelPorts } from './ports.js'
import type { Core } from './core.js'
import type { StagedLog } from './staged-log.js'

/**
 * What a member says before it hands its changes to a leader anew: what it has on its way, and whether it knows that it was
 * silent for longer than the lease.
 */
export interface Resume {
  readonly kind: 'resume'
  readonly session: number
  /** The sequence number of the newest change on its way. */
  readonly last: number
  /** It had applied the order up to here when it was last in touch with a leader; or, if it knows of no silence, when it made the oldest change on its way. */
  readonly since: number
  readonly silent: boolean
  /** What those changes concern that it told its programs of. */
  readonly inodes: readonly number[]
}

/** A leader looks at so many entries at once, and at so many in all: beyond that it takes a conflict for granted. */
const scanStep = 2000
const scanMax = 100_000
/** A new leader looks at all of them at once before it orders its own. */
const scanOwnMax = 20_000

export type Verdict = 'goes-on' | 'not-yet' | 'ends'

interface Scan {
  readonly resume: Resume
  readonly inodes: ReadonlySet<number>
  readonly max: number
  next: number
}

/**
 * Whether a member that was silent for longer than the lease goes on with its session: only if nobody else has changed
 * meanwhile what its uncommitted changes concern (DESIGN §2, promise 5). "Meanwhile" is from the last entry that it had
 * applied when it was last in touch to the end of the log when its changes come: what was begun in that time may have its
 * place later than when it was heard again.
 */
export class Resumptions {
  readonly #ports: ChannelPorts
  readonly #leaseMs: number
  readonly #log: StagedLog
  readonly #heardAt = new Map<MemberId, number>()
  readonly #beganAt: number
  #anyHeardAt: number
  /** Members that were silent, and have handed nothing in since. */
  readonly #silent = new Set<MemberId>()
  readonly #declared = new Map<MemberId, { readonly resume: Resume; readonly at: number }>()
  /** Who goes on after a silence, and up to where the log was looked through for that. */
  readonly #approved = new Map<MemberId, { readonly resume: Resume; readonly upTo: number }>()
  readonly #scans = new Map<MemberId, Scan>()

  constructor({ ports, log, leaseMs }: Core) {
    this.#ports = ports
    this.#leaseMs = leaseMs
    this.#log = log
    this.#beganAt = ports.monotonicMs()
    this.#anyHeardAt = this.#beganAt
  }

  /** Whatever a member says. */
  heard(from: MemberId): void {
    const now = this.#ports.monotonicMs()
    const last = this.#heardAt.get(from) ?? this.#beganAt
    // who has heard nobody was away itself: then it is for the others to know how long they were silent
    const wasAway = now - this.#anyHeardAt > this.#leaseMs
    if (now - last > this.#leaseMs && !wasAway) this.#silent.add(from)
    this.#heardAt.set(from, now)
    this.#anyHeardAt = now
  }

  /** A change of a member's has its place: whoever gave it that has seen to its silence. */
  placed(origin: MemberId): void {
    if (this.#silent.size > 0) this.#silent.delete(origin)
  }

  /** Another leadership. */
  clear(): void {
    this.#declared.clear()
    this.#approved.clear()
    this.#scans.clear()
  }

  /** A member is about to begin a round. */
  declare(from: MemberId, resume: Resume): void {
    this.#declared.set(from, { resume, at: this.#ports.monotonicMs() })
    this.#scans.delete(from)
  }

  /** What a member had on its way when it last began a round, and when that was. */
  declaration(member: MemberId): { readonly resume: Resume; readonly at: number } | undefined {
    return this.#declared.get(member)
  }

  /** A member must say what it has on its way before it goes on. */
  mustDeclare(member: MemberId): boolean {
    return this.#silent.has(member)
  }

  /** It is not yet known whether a member goes on: the log since then is long. */
  isLooking(member: MemberId): boolean {
    return this.#scans.has(member)
  }

  /** What becomes of the session of a member that begins a round. */
  verdict(member: MemberId): Verdict {
    const resume = this.#declared.get(member)?.resume
    if (resume === undefined) return this.#silent.has(member) ? 'not-yet' : 'goes-on'
    if (resume.inodes.length === 0 || (!this.#silent.has(member) && !resume.silent)) {
      return this.#goesOn(member, resume)
    }
    let scan = this.#scans.get(member)
    if (scan === undefined) {
      const approved = this.#approved.get(member)
      const isKnown = approved?.resume.session === resume.session && approved.resume.since === resume.since
      const next = isKnown ? approved.upTo + 1 : resume.since + 1
      scan = { resume, inodes: new Set(resume.inodes), max: next + scanMax, next }
      this.#scans.set(member, scan)
    }
    const found = this.#scan(member, scan)
    if (found === 'not-yet') return found
    this.#scans.delete(member)
    return found === 'goes-on' ? this.#goesOn(member, resume) : found
  }

  /** As a new leader: what becomes of this member's own session. `self`: this member. */
  ownVerdict(self: MemberId, resume: Resume): 'goes-on' | 'ends' {
    if (!resume.silent || resume.inodes.length === 0) return 'goes-on'
    if (this.#log.lastIndex - resume.since > scanOwnMax) return 'ends'
    const scan = { resume, inodes: new Set(resume.inodes), max: Infinity, next: resume.since + 1 }
    for (;;) {
      const found = this.#scan(self, scan)
      if (found !== 'not-yet') return found
    }
  }

  #goesOn(member: MemberId, resume: Resume): Verdict {
    this.#silent.delete(member)
    this.#approved.set(member, { resume, upTo: this.#log.lastIndex })
    return 'goes-on'
  }

  #scan(member: MemberId, scan: Scan): Verdict {
    const { lastIndex, firstIndex } = this.#log
    if (scan.next < firstIndex || lastIndex > scan.max) return 'ends'
    const stop = Math.min(lastIndex, scan.next + scanStep - 1)
    for (; scan.next <= stop; scan.next++) {
      const { entry, operation } = this.#log.described(scan.next)
      if (entry.origin === member) continue
      if (inodesChangedBy(operation).some(ino => scan.inodes.has(ino))) return 'ends'
    }
    return scan.next > lastIndex ? 'goes-on' : 'not-yet'
  }
}

/** The inodes whose content, names or attributes an operation changes, as far as it names them. */
export function inodesChangedBy(operation: Operation): number[] {
  switch (operation.kind) {
    case 'make':
    case 'link':
      return [operation.parent, operation.ino]
    case 'unlink':
    case 'rmdir':
      return [operation.parent]
    case 'rename':
      return [operation.parent, operation.newParent]
    case 'setattr':
    case 'write':
    case 'append':
    case 'allocate':
    case 'write-back':
    case 'clone':
    case 'setxattr':
    case 'removexattr':
      return [operation.ino]
    // nobody's work
    case 'access':
    case 'relocate':
    case 'members':
    case 'mark':
    case 'open-session':
    case 'end-session':
    case 'refuse':
      return []
  }
}
