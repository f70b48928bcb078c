import { ok } from './check.js'
import type { Path } from './libc.js'
import { sys } from './sys.js'

/** 2001-09-09: long past, and a number one recognizes. */
export const past = 1_000_000_000_000_000_000n
const now = (): bigint => BigInt(Date.now()) * 1_000_000n

/** Blocks this thread; a case has no other work. */
export function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Longer than the kernel's coarse clock takes for a step. */
export const tick = (): void => pause(12)

export function isRecent(time: bigint, what: string): void {
  const apart = time - now()
  ok(apart > -5_000_000_000n && apart < 1_000_000_000n, `${what} is now, not ${apart} ns from now`)
}

/**
 * Which times of a file a change marks, in the order `atime mtime ctime`. Access and modification are set to the past
 * first, so that a mark is also found to be the present.
 */
export function marks(path: Path, change: () => unknown): string {
  sys.utimens(path, past, past, 0x100)
  const before = sys.lstat(path)
  tick()
  change()
  return difference(before, sys.lstat(path))
}

/** The same of an open file, which may have no name. */
export function marksOpen(fd: number, change: () => unknown): string {
  sys.futimens(fd, past, past)
  const before = sys.fstat(fd)
  tick()
  change()
  return difference(before, sys.fstat(fd))
}

const stamps = ['atime', 'mtime', 'ctime'] as const
type Stamps = Record<(typeof stamps)[number], bigint>

function difference(before: Stamps, after: Stamps): string {
  const changed = stamps.filter(stamp => before[stamp] !== after[stamp])
  for (const stamp of changed) {
    ok(after[stamp] > before[stamp], `${stamp} does not go back`)
    isRecent(after[stamp], stamp)
  }
  return changed.join(' ')
}
