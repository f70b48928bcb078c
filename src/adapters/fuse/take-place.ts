import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MountOptions } from '../../channel/mount-port.js'
import { mountMover } from './mount-beneath.js'
import { clearDeadMounts, runUnmount, type MountPoint } from './mount-point.js'
import { mountsAt } from './mountinfo.js'

/**
 * Mounts at a mount point by `mountAt`, which is given a directory. A dead mount that is there is replaced without a moment
 * in which the bare directory shows: programs that try again and again would write into it. For that the new mount is made
 * elsewhere and put beneath the dead one, which then goes. Where the kernel has no such call (before Linux 6.5) the new one
 * comes over the dead one, which goes after it (`clearDeadMounts`); a user without root has neither, and the dead one goes
 * first. `undo` ends what `mountAt` has made.
 */
export async function takePlace<T>(
  { path, dead }: MountPoint,
  log: MountOptions['log'],
  mountAt: (directory: string) => Promise<T>,
  undo: (made: T) => Promise<void>,
): Promise<T> {
  if (dead === 0) return mountAt(path)
  log('warn', 'taking the place of the mount of a daemon that is gone', { directory: path })
  const move = await mountMover()
  if (move === undefined) {
    await clearDeadMounts(path)
    return mountAt(path)
  }
  await clearDeadMounts(path, 1)
  const staging = await mkdtemp(join(tmpdir(), 'rkfs-staging-'))
  const detach = async (): Promise<void> => {
    while (mountsAt(staging).length > 0 && (await runUnmount(staging, true)).status === 0);
    await rmdir(staging)
  }
  let made: T
  try {
    made = await mountAt(staging)
  } catch (error) {
    await detach()
    throw error
  }
  try {
    const beneath = await move(staging, detach, path)
    if (beneath) await runUnmount(path, true)
    return made
  } catch (error) {
    await undo(made)
    throw error
  }
}
