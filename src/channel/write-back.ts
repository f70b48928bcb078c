import { concatBytes } from '../base/bytes.js'
import { EIO, ENOENT, ENOSPC, ESTALE } from '../base/errno.js'
import { RkfsError } from '../base/errors.js'
import { storedRunsMax } from '../base/limits.js'
import { isChangedSince } from '../fs/content.js'
import type { StoredRun, WriteBackOperation } from '../fs/operation.js'
import { cutReserved as cutRanges, type Range } from '../fs/reserved.js'
import { DamagedBlob } from './log-port.js'
import type { Reply } from './mount-port.js'
import type { MountState } from './mount-state.js'
import type { OrphanFile } from './orphan-file.js'

/** Runs of stored bytes that are further apart go into changes of their own. */
const gapBytesMax = 4096

/**
 * Pages of a shared mapping that a kernel writes back. They are ordered as what programs stored in them, and nothing else:
 * what differs from what the mount shows, but for what others have changed and the kernel does not know yet. So what others
 * wrote beside it stays, whatever its place in the order.
 */
export function writeBack(
  mount: MountState,
  ino: number,
  offset: number,
  data: Uint8Array,
  reply: Reply<number>,
  leftMs = mount.options.timeoutMs,
): void {
  const inode = mount.inode(ino)
  if (inode === undefined) return reply.fail(ESTALE)
  // a mapping never makes a file longer
  const length = Math.min(data.length, inode.size - offset)
  if (length <= 0) return reply.ok(data.length)
  const written = data.subarray(0, length)
  const orphan = mount.orphans.get(ino)
  if (orphan !== undefined) return storeNameless(mount, orphan, offset, written, data.length, reply)
  let shown: Uint8Array
  try {
    shown = concatBytes(mount.channel.blobs.read(mount.view, ino, offset, length), length)
  } catch (error) {
    if (!(error instanceof RkfsError)) throw error
    if (!(error instanceof DamagedBlob) || leftMs <= 0) return refuse(mount, ino, offset, data.length, EIO, reply)
    mount.channel.heal(error, leftMs, left => {
      if (left !== undefined) writeBack(mount, ino, offset, data, reply, left)
      else refuse(mount, ino, offset, data.length, EIO, reply)
    })
    return
  }
  const changed = mount.pages.changedOf(ino)
  const runs = storedRuns(written, shown, offset, changed)
  // … and where a program may have stored something, and nobody knows, it is told that its store is gone
  const unknown = mount.pages.unknownOf(ino)
  const bytesOf = (all: readonly StoredRun[]): number => all.reduce((sum, { length: bytes }) => sum + bytes, 0)
  const whole = (): StoredRun[] => storedRuns(written, shown, offset, withoutEach(changed, unknown))
  if (unknown.length > 0 && bytesOf(whole()) > bytesOf(runs)) {
    return refuse(mount, ino, offset, data.length, EIO, reply)
  }
  if (runs.length === 0) return reply.ok(data.length)
  let left = 0
  let errno = 0
  const answered = (one: number): void => {
    left--
    if (errno === 0) errno = one
    if (left > 0) return
    const nameless = errno === ENOENT ? mount.orphans.get(ino) : undefined
    if (nameless !== undefined) storeNameless(mount, nameless, offset, written, data.length, reply)
    else if (errno !== 0) refuse(mount, ino, offset, data.length, errno, reply)
    else reply.ok(data.length)
  }
  // what is not stored is the file's own
  for (const { at, length: bytes } of runs) shown.set(written.subarray(at, at + bytes), at)
  const groups = grouped(runs)
  left = groups.length
  const cancels = groups.map(group => order(mount, ino, offset, shown, group, answered))
  if (left > 0) reply.onInterrupt(() => cancels.forEach(cancel => cancel()))
}

/** Makes runs into one change. `bytes`: the file from `offset` on, as it is with them. */
function order(
  mount: MountState,
  ino: number,
  offset: number,
  bytes: Uint8Array,
  runs: readonly StoredRun[],
  done: (errno: number) => void,
): () => void {
  const { channel, options } = mount
  const first = runs[0]!.at
  const last = runs.at(-1)!
  const length = last.at + last.length - first
  const inode = mount.inode(ino)
  const applied = channel.appliedIndex
  // own changes that are on their way may still come to nothing, and what is shown of them with them
  const isSettled = inode !== undefined && !isChangedSince(mount.view, ino, inode, offset + first, length, applied)
  const operation: WriteBackOperation = {
    kind: 'write-back',
    ino,
    offset: offset + first,
    length,
    base: isSettled ? applied : 0,
    stored: runs.map(run => ({ at: run.at - first, length: run.length })),
  }
  return channel.change(operation, bytes.slice(first, first + length), {
    mount: options.mount,
    timeoutMs: options.timeoutMs,
    durable: options.sync === 'always',
    done: errno => {
      if (errno === 0) mount.contentChanged(ino)
      done(errno)
    },
    lost: errno => mount.lost(ino, errno),
  })
}

/** Whose write-back failed must not go on to show it: a kernel keeps the page as if it were clean. */
function refuse(
  mount: MountState,
  ino: number,
  offset: number,
  length: number,
  errno: number,
  reply: Reply<number>,
): void {
  reply.fail(errno)
  mount.pages.announce([{ kind: 'inode', ino, offset, length, changed: [] }])
}

function storeNameless(
  mount: MountState,
  orphan: OrphanFile,
  offset: number,
  data: Uint8Array,
  count: number,
  reply: Reply<number>,
): void {
  const length = Math.min(data.length, orphan.inode.size - offset)
  if (length <= 0) return reply.ok(count)
  try {
    const errno = orphan.write(offset, data.subarray(0, length), false, mount.ports.now())
    if (errno === 0) reply.ok(count)
    else refuse(mount, orphan.ino, offset, count, errno, reply)
  } catch (error) {
    if (!(error instanceof RkfsError) || error.code !== 'disk-full') throw error
    refuse(mount, orphan.ino, offset, count, ENOSPC, reply)
  }
}

function withoutEach(ranges: readonly Range[], others: readonly Range[]): readonly Range[] {
  return others.reduce((left, other) => cutRanges(left, other), ranges)
}

/** Where `written` differs from `shown`, which both begin at `offset` of a file, but for ranges of the file. */
export function storedRuns(
  written: Uint8Array,
  shown: Uint8Array,
  offset: number,
  exceptions: readonly Range[],
): StoredRun[] {
  const runs: StoredRun[] = []
  let rest: readonly Range[] = [{ from: 0, to: written.length }]
  for (const { from, to } of exceptions) {
    if (from < to) rest = cutRanges(rest, { from: from - offset, to: to - offset })
  }
  for (const { from, to } of rest) {
    let start = -1
    for (let at = from; at < to; at++) {
      const differs = written[at] !== shown[at]
      if (differs && start < 0) start = at
      else if (!differs && start >= 0) {
        runs.push({ at: start, length: at - start })
        start = -1
      }
    }
    if (start >= 0) runs.push({ at: start, length: to - start })
  }
  return runs
}

/** Runs that make one change each. */
function grouped(runs: readonly StoredRun[]): StoredRun[][] {
  const groups: StoredRun[][] = []
  let end = -Infinity
  for (const run of runs) {
    const group = groups.at(-1)
    if (group === undefined || group.length === storedRunsMax || run.at - end > gapBytesMax) groups.push([run])
    else group.push(run)
    end = run.at + run.length
  }
  return groups
}
