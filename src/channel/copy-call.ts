import { EAGAIN, EFBIG, EINVAL, ENOENT, EOPNOTSUPP, ESTALE } from '../base/errno.js'
import { cloneBytesMax, fileSizeMax, KiB } from '../base/limits.js'
import { lengthOfExtents } from '../fs/extents.js'
import type { Operation } from '../fs/operation.js'
import type { View } from '../fs/view.js'
import type { Reply } from './mount-port.js'
import type { MountState } from './mount-state.js'
import { O_NOATIME, takeError } from './open-files.js'

/** Extents that one change shares: it bounds its work where a file is made of very small ones. */
const extentsMax = 2048
/** A member that does not lead copies less than this faster than it waits for the order. */
const worthwhileBytes = 64 * KiB
/** The source is being made shorter by others. */
const tries = 4

export interface CopyEnd {
  readonly ino: number
  readonly handle: number
  readonly offset: number
}

/** copy_file_range(2): the target shares the source's content. EOPNOTSUPP makes the kernel copy the bytes. */
export function copyFileRange(
  mount: MountState,
  from: CopyEnd,
  to: CopyEnd,
  length: number,
  reply: Reply<number>,
  left = tries,
): void {
  const file = mount.files.file(to.handle)
  if (file !== undefined && file.error !== 0) return reply.fail(takeError(file))
  const source = mount.inode(from.ino)
  if (source === undefined || mount.inode(to.ino) === undefined) return reply.fail(ESTALE)
  // what has no name is not in the channel, so that nothing can be shared with it
  if (mount.orphans.has(from.ino) || mount.orphans.has(to.ino)) return reply.fail(EOPNOTSUPP)
  const wanted = Math.min(length, source.size - from.offset, cloneBytesMax)
  if (wanted <= 0) return reply.ok(0)
  if (to.offset + wanted > fileSizeMax) return reply.fail(EFBIG)
  if (wanted < worthwhileBytes && mount.channel.role !== 'leader') return reply.fail(EOPNOTSUPP)
  const count = sharable(mount.view, from, to, wanted)
  // made of so many small parts that a copy of the bytes is less work, here and for who reads it later
  if (count < Math.min(wanted, worthwhileBytes)) return reply.fail(EOPNOTSUPP)
  const operation: Operation = {
    kind: 'clone',
    source: from.ino,
    sourceOffset: from.offset,
    ino: to.ino,
    offset: to.offset,
    length: count,
  }
  mount.change(
    operation,
    reply as Reply<never>,
    () => {
      mount.changed(to.handle)
      const inode = mount.inode(from.ino)
      const flags = mount.files.file(from.handle)?.flags ?? 0
      if (inode !== undefined) mount.accessed(from.ino, inode, (flags & O_NOATIME) !== 0)
      reply.ok(count)
    },
    {
      refused: errno => {
        // one of them has lost its last name meanwhile
        const nameless = errno === ENOENT && (mount.orphans.has(from.ino) || mount.orphans.has(to.ino))
        if (nameless) reply.fail(EOPNOTSUPP)
        if (nameless || (errno !== EAGAIN && errno !== EINVAL)) return nameless
        if (errno === EAGAIN && left > 1) copyFileRange(mount, from, to, length, reply, left - 1)
        else reply.fail(errno === EAGAIN ? EOPNOTSUPP : errno)
        return true
      },
    },
  )
}

/** How much of the range one change shares: it bounds the extents that come, and those that go for them. */
function sharable(view: View, from: CopyEnd, to: CopyEnd, length: number): number {
  const coming = lengthOfExtents(view, from.ino, from.offset, from.offset + length, extentsMax)
  return lengthOfExtents(view, to.ino, to.offset, to.offset + coming, extentsMax)
}
