import type { ProgressView } from './types.js'

/** Append messages sent to one member and not yet acknowledged, however small they are. */
const inflightMessagesMax = 256

/** What a leader knows of one member's log, and how it sends to it (etcd-io/raft's Progress). */
export class Progress {
  /** The member holds the leader's log up to here on stable storage. Falls only when its disk is found to be older. */
  match = 0
  /** It acknowledged so much to this leader and was found to have less. */
  owed = 0
  /** It says that it lacks what it acknowledged, to whomever. */
  recovering = false
  /** Tick when it last acknowledged something new, or all that there was. */
  acknowledgedAt: number
  /** The next entry to send. In `replicate` it runs ahead of what is acknowledged. */
  next: number
  /**
   * probe: where the logs part is not known, one message at a time asks. replicate: messages follow each other without
   * waiting. snapshot: the next entry is gone from the leader's log; the member is fetching a snapshot.
   */
  state: ProgressView['state'] = 'probe'
  /** probe: a message is on its way, no other is sent until it is answered or a heartbeat is. */
  paused = false
  /** probe: the first message carries entries, in the hope that it fits; one sent again only asks. */
  carryEntries = true
  /** replicate: the member may have lost an append; an empty one finds out. */
  questionDue = false
  /** The largest commit index that a message in this state told the member. */
  toldCommit = 0
  /** Tick of the last sign of life. */
  heardAt: number
  /** Tick when bytes last came, or were acknowledged, of a message that is still under way. */
  partAt = -Infinity
  /** The last heartbeat round that the member answered. */
  round = 0
  /** The last periodic heartbeat, and the last entry sent before it. */
  heartbeatRound = 0
  heartbeatLast = 0
  /** snapshot: the tick when it was asked for; undefined when that is still to be done. */
  snapshotAskedAt: number | undefined
  #inflight: { readonly last: number; readonly bytes: number }[] = []
  #inflightBytes = 0

  constructor(next: number, now: number) {
    this.next = next
    this.heardAt = now
    this.acknowledgedAt = now
  }

  /** Whether what it acknowledges counts: it holds all that it ever acknowledged. */
  get counts(): boolean {
    return !this.recovering && this.match >= this.owed
  }

  /** It lacks what it acknowledged: asks anew from the place that it names, and counts when it has all of it again. */
  becomeRolledBack(hint: number): void {
    this.owed = Math.max(this.owed, this.match)
    this.match = 0
    this.becomeProbe(hint + 1, true)
  }

  get inflightBytes(): number {
    return this.#inflightBytes
  }

  /** Bytes that may still be sent, of so many in all; 0 or less when the window is full. */
  room(bytesMax: number): number {
    if (this.#inflight.length >= inflightMessagesMax) return 0
    return bytesMax - this.#inflightBytes
  }

  becomeProbe(next: number, carryEntries: boolean): void {
    this.#enter('probe', next)
    this.paused = false
    this.carryEntries = carryEntries
  }

  becomeReplicate(next: number): void {
    this.#enter('replicate', next)
  }

  becomeSnapshot(): void {
    this.#enter('snapshot', this.next)
    this.snapshotAskedAt = undefined
  }

  #enter(state: ProgressView['state'], next: number): void {
    this.state = state
    this.next = Math.max(next, this.match + 1)
    this.questionDue = false
    this.toldCommit = 0
    this.#inflight = []
    this.#inflightBytes = 0
  }

  /** replicate: entries up to `last` were sent. */
  sent(last: number, bytes: number): void {
    this.next = last + 1
    this.#inflight.push({ last, bytes })
    this.#inflightBytes += bytes
  }

  /** The member acknowledged `match`; whether that is news. */
  maybeUpdate(match: number): boolean {
    let freed = 0
    while (freed < this.#inflight.length && this.#inflight[freed]!.last <= match)
      this.#inflightBytes -= this.#inflight[freed++]!.bytes
    if (freed > 0) this.#inflight.splice(0, freed)
    if (match <= this.match) return false
    this.match = match
    this.next = Math.max(this.next, match + 1)
    return true
  }

  /** An append after `rejected` was refused, the logs may agree at `hint`: probes there, unless the refusal is an old one. */
  maybeBackUp(rejected: number, hint: number): void {
    if (rejected <= this.match || this.state === 'snapshot') return
    if (this.state === 'probe' && rejected !== this.next - 1) return
    this.becomeProbe(Math.min(rejected, hint + 1), true)
  }

  /**
   * A heartbeat was answered. All that was sent before that heartbeat should have arrived by then: if the member's
   * match is behind, it is either still syncing or has lost something, or was shown nothing over this connection, and an
   * empty append tells which. `match`: what the answer says.
   */
  heartbeatAnswered(round: number, match: number): void {
    if (this.state === 'probe') {
      if (this.paused) this.becomeProbe(this.next, false)
    } else if (this.state === 'replicate' && round === this.heartbeatRound && match < this.heartbeatLast)
      this.questionDue = true
  }
}
