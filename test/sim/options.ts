import { KiB, MiB } from '../../src/base/limits.js'
import type { Rng } from '../../src/base/rng.js'

/** What a seed decides before a run: how large, what is done, and what fails. */
export interface SimOptions {
  readonly members: number
  readonly learners: number
  /** `sqlite`: the production stores, on files. */
  readonly disk: 'memory' | 'sqlite'
  readonly users: number
  /** All programs together make one call in about so many milliseconds. */
  readonly callMs: number
  readonly writeBytesMax: number
  readonly rawChanges: boolean
  readonly sync: 'close' | 'fsync' | 'always'
  readonly latest: boolean
  readonly timeoutMs: number
  readonly delayMsMax: number
  readonly syncMsMax: number
  /** One message in so many is lost, with the connection; 0: none. */
  readonly lossOneIn: number
  /** Entries of the log that are kept for members that are away; undefined: as always. */
  readonly retainedEntries: number | undefined
  /** A fault comes about every so many milliseconds. */
  readonly faultMs: number
  readonly faults: readonly FaultKind[]
  /** The liveness phase begins with so many voters out of reach, fewer than half. */
  readonly leftOut: boolean
  /** A program on each member reads back at once what it writes. */
  readonly byteUsers: boolean
  /** How long a member may be silent before its session is in doubt. */
  readonly leaseMs: number
  /** Chunks of more extents are kept as pages. */
  readonly chunkExtents: number
  /** Programs on all members change one file in turn. */
  readonly turnTakers: boolean
  /** Programs that map files, and tell what they see of each other. */
  readonly pageUsers: boolean
  /** What a member's disk holds; undefined: any amount. */
  readonly diskMiB: number | undefined
  /** Log and dead bytes beside the live data; undefined: as always. */
  readonly keepBytes: number | undefined
}

export const faultKinds = [
  'break',
  'silence',
  'mute',
  'partition',
  'power',
  'kill',
  'stop',
  'bare',
  'rot',
  'eio',
  'stall',
  'slow',
  'freeze',
  'full',
  'clock',
  'transfer',
  'admit',
  'remove',
  'loss',
  'fence',
  'old-disk',
  'no-disk',
  'lie',
  'short',
] as const
/** `copied-disk` comes about in place of `old-disk`, now and then (`OldDisks`). */
export type FaultKind = (typeof faultKinds)[number] | 'copied-disk'

function pick<T>(rng: Rng, from: readonly T[]): T {
  return from[rng.below(from.length)]!
}

/** Swarm testing (Groce et al. 2012): each run leaves much out, so that what is left comes often. */
export function drawOptions(rng: Rng): SimOptions {
  const members = pick(rng, [1, 2, 3, 3, 3, 3, 4, 5, 5])
  const learners = members > 2 && rng.below(4) === 0 ? 1 : 0
  const faults = rng.below(12) === 0 ? [] : faultKinds.filter(() => rng.below(3) === 0)
  return {
    members,
    learners,
    disk: rng.below(16) === 0 ? 'sqlite' : 'memory',
    users: pick(rng, [0, 1, 2, 3, 4, 6]),
    callMs: pick(rng, [5, 15, 15, 40, 40]),
    writeBytesMax: pick(rng, [40, 40, 200, 5000, 5000, 300_000]),
    rawChanges: rng.below(3) > 0,
    sync: pick(rng, ['close', 'close', 'fsync', 'always'] as const),
    latest: rng.below(4) === 0,
    timeoutMs: pick(rng, [1000, 4000, 10_000, 30_000]),
    delayMsMax: pick(rng, [2, 3, 10, 60]),
    syncMsMax: pick(rng, [2, 4, 10, 60]),
    lossOneIn: faults.includes('loss') ? pick(rng, [30, 100, 400]) : 0,
    retainedEntries: rng.below(2) === 0 ? pick(rng, [2, 4, 20, 60]) : undefined,
    faultMs: pick(rng, [100, 300, 1000]),
    faults,
    leftOut: rng.below(3) === 0,
    byteUsers: rng.below(2) === 0,
    leaseMs: pick(rng, [3000, 3000, 5000, 10_000]),
    turnTakers: rng.below(2) === 0,
    pageUsers: rng.below(2) === 0,
    chunkExtents: pick(rng, [1, 4, 40, 70, 512]),
    diskMiB: faults.includes('short') ? pick(rng, [4, 8, 32]) : undefined,
    keepBytes: rng.below(2) === 0 ? pick(rng, [10 * KiB, 100 * KiB, MiB]) : undefined,
  }
}
