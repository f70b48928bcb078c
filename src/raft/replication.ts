import type { MemberId } from '../base/ids.js'
import type { Progress } from './progress.js'
import { RecentSizes } from './recent-sizes.js'
import type { State } from './state.js'
import type { LinkBounds } from './types.js'

/** Turns what a leader knows of a member's log into messages to it. */
export class Replication<D> {
  readonly sizes: RecentSizes
  readonly #state: State<D>

  constructor(state: State<D>) {
    this.#state = state
    this.sizes = new RecentSizes(state.options.appendBytesMax)
  }

  sendEntries(to: MemberId, progress: Progress): void {
    const { lastIndex } = this.#state.log
    if (progress.state === 'probe' && !progress.paused) this.#sendProbe(to, progress)
    if (progress.state === 'replicate' && progress.next <= lastIndex) {
      const bounds = this.#boundsFor(to)
      while (progress.next <= lastIndex) if (!this.#sendSlice(to, progress, bounds)) break
    }
    if (progress.state === 'replicate' && progress.questionDue) {
      progress.questionDue = false
      this.#sendAppend(to, progress, progress.next - 1, 0)
    }
    if (progress.state === 'snapshot' && progress.snapshotAskedAt === undefined) this.#sendSnapshot(to, progress)
  }

  #sendProbe(to: MemberId, progress: Progress): void {
    const { log, commitIndex } = this.#state
    const carry = progress.carryEntries && progress.next <= log.lastIndex && progress.next >= log.firstIndex
    progress.paused = true
    if (carry) this.#sendAppend(to, progress, log.sliceEnd(progress.next, this.#boundsFor(to).appendBytes), commitIndex)
    // Commit 0 marks a question: the member always answers it.
    else this.#sendAppend(to, progress, progress.next - 1, 0)
  }

  /** One message of entries, if the window has room for it; an empty window takes any one message. */
  #sendSlice(to: MemberId, progress: Progress, { appendBytes, inflightBytes: bytesMax }: LinkBounds): boolean {
    const { log, options, commitIndex } = this.#state
    const { next, inflightBytes } = progress
    const isThin = appendBytes < options.appendBytesMax
    const room = progress.room(bytesMax)
    if (room <= 0) return false
    if (next < log.firstIndex) return this.#sendAppend(to, progress, next, commitIndex)
    const limit = Math.min(appendBytes, room)
    const last = log.sliceEnd(next, limit)
    const bytes = this.sizes.bytes(next, last) ?? (isThin && last === next ? this.#entryBytes(next, limit) : limit)
    if (inflightBytes > 0 && bytes > room) return false
    if (!this.#sendAppend(to, progress, last, commitIndex)) return false
    progress.sent(last, bytes)
    return true
  }

  #boundsFor(to: MemberId): LinkBounds {
    const { appendBytesMax, inflightBytesMax, link } = this.#state.options
    const bounds = link?.(to)
    if (bounds === undefined) return { appendBytes: appendBytesMax, inflightBytes: inflightBytesMax }
    const { appendBytes, inflightBytes } = bounds
    return {
      appendBytes: Math.min(appendBytesMax, appendBytes),
      inflightBytes: Math.min(inflightBytesMax, inflightBytes),
    }
  }

  /** About how long an entry is that makes a message alone: up to twice too much, `limit` at least. */
  #entryBytes(index: number, limit: number): number {
    const { log, options } = this.#state
    let bytes = limit
    while (bytes < options.appendBytesMax && log.sliceEnd(index, bytes) === index && index < log.lastIndex) bytes *= 2
    return Math.min(bytes, options.appendBytesMax)
  }

  /** Sends `next..last` (empty if last < next); false when the log no longer reaches back that far. */
  #sendAppend(to: MemberId, progress: Progress, last: number, commit: number): boolean {
    const { log, term } = this.#state
    const first = progress.next
    const previousIndex = first - 1
    const previousTerm = log.term(previousIndex)
    if (previousTerm === undefined) {
      progress.becomeSnapshot()
      return false
    }
    this.#state.send(to, { kind: 'append', term, previousIndex, previousTerm, first, last, entries: [], commit })
    if (progress.state === 'replicate') progress.toldCommit = Math.max(progress.toldCommit, Math.min(commit, last))
    return true
  }

  #sendSnapshot(to: MemberId, progress: Progress): void {
    const { log, term, now } = this.#state
    progress.snapshotAskedAt = now
    this.#state.send(to, { kind: 'snapshot', term, index: log.firstIndex - 1 })
  }

  /** The commit index goes no further than what the member has for certain (etcd-io/raft, bcastHeartbeat). */
  sendHeartbeat(to: MemberId, progress: Progress, round: number, periodic: boolean, acknowledging: number): void {
    const { term, commitIndex, log, durableIndex } = this.#state
    const commit = Math.min(progress.match, commitIndex)
    const { lastIndex: last } = log
    this.#state.send(to, { kind: 'heartbeat', term, commit, round, last, durable: durableIndex, acknowledging })
    if (progress.state !== 'replicate') return
    progress.toldCommit = Math.max(progress.toldCommit, commit)
    if (!periodic) return
    progress.heartbeatRound = round
    progress.heartbeatLast = progress.next - 1
  }

  /** The commit index moved and no message with entries carried it. */
  maybeTellCommit(to: MemberId, progress: Progress): void {
    if (progress.state !== 'replicate') return
    const commit = Math.min(this.#state.commitIndex, progress.next - 1)
    if (progress.toldCommit < commit) this.#sendAppend(to, progress, progress.next - 1, commit)
  }
}
