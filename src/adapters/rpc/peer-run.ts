import { secondRunGraceMs, secondRunSilentPings } from './tuning.js'

/** Runs that were refused and are remembered: a sound member has none. */
const refusedMax = 16
const forgetMs = 60_000

/**
 * Which run of a peer's home this node talks to. A home that was copied makes two nodes of one identity: only one of them
 * is let in, and as long as that is heard no other. After an ordinary restart the connection of the run before may look
 * alive for some seconds; but a run that was refused once comes in only when the other has not come back for a while, so
 * that two that both live do not throw each other out in turn.
 */
export class PeerRun {
  #run = ''
  #closedAt = -Infinity
  readonly #refused = new Map<string, number>()

  get run(): string {
    return this.#run
  }

  /**
   * Whether this run may connect. `silentPings`: since the one that is connected was heard; undefined: none is. `run` is
   * empty for a peer that does not tell.
   */
  admit(run: string, silentPings: number | undefined, nowMs: number): boolean {
    if (run === '' || run === this.#run || this.#run === '' || this.#hasEnded(run, silentPings, nowMs)) {
      this.#run = run
      this.#refused.delete(run)
      return true
    }
    for (const [other, at] of this.#refused) if (nowMs - at > forgetMs) this.#refused.delete(other)
    if (this.#refused.size < refusedMax) this.#refused.set(run, nowMs)
    return false
  }

  #hasEnded(run: string, silentPings: number | undefined, nowMs: number): boolean {
    if (!this.#refused.has(run)) return silentPings === undefined || silentPings >= secondRunSilentPings
    return silentPings === undefined && nowMs - this.#closedAt >= secondRunGraceMs
  }

  /** A run takes the place of another, which counts as refused. */
  take(run: string, before: string, nowMs: number): void {
    this.#run = run
    this.#refused.delete(run)
    this.#refused.set(before, nowMs)
  }

  /** The connection has ended. */
  closed(nowMs: number): void {
    this.#closedAt = nowMs
  }
}
