import { mountsAt, readMounts, rkfsMountAround } from '../adapters/fuse/mountinfo.js'
import { run } from '../adapters/fuse/run.js'
import { RkfsError } from '../base/errors.js'

const timeoutMs = 10_000
const holdsFiles = 3

/** Makes the directory `$1` where only it is missing; names what it holds. `umask` leaves its owner alone. */
const script = `
if [ -e "$1" ] || [ -L "$1" ]; then
  names=$(ls -A -- "$1/" | head -n 4)
  [ -d "$1/" ] || exit 1
  [ -z "$names" ] || { printf '%s\\n' "$names" >&2; exit ${holdsFiles}; }
else
  mkdir -m 755 -- "$1"
fi`

/**
 * The directory of a mount that comes back: made where only it is missing (a folder in /run, after a reboot), refused where
 * it holds files, which the mount would hide, or is inside another mount of rkfs, perhaps of this node itself. Another
 * process looks: a file system that does not answer holds only that one up.
 */
export async function prepareAgain(directory: string, nonEmpty: boolean): Promise<void> {
  const mounts = readMounts()
  if (mountsAt(directory, mounts).length > 0) return
  const around = rkfsMountAround(directory, mounts)
  if (around !== undefined) {
    throw new RkfsError(
      'failed',
      `the directory is inside the rkfs mount at ${around}: \`rkfs umount\` forgets the mount`,
    )
  }
  const { status, stderr } = await run('/bin/sh', ['-c', script, 'sh', directory], { timeoutMs })
  if (status === 0) return
  if (status !== holdsFiles) {
    throw new RkfsError('failed', `the directory cannot be looked at: ${stderr || 'it is no directory'}`)
  }
  if (nonEmpty) return
  const names = stderr.split('\n')
  throw new RkfsError(
    'failed',
    `the directory holds files, which are not in the channel (${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}): ` +
      `\`rkfs mount\` there says how to bring them in, \`rkfs umount\` forgets the mount`,
  )
}
