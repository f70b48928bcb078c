import { chmodSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { mountsAt } from '../adapters/fuse/mountinfo.js'
import { RkfsError } from '../base/errors.js'

/**
 * The directory of a mount that comes back: made where only it is missing (a folder in /run, after a reboot), refused where
 * it holds files, which the mount would hide.
 */
export function prepareAgain(directory: string, nonEmpty: boolean): void {
  if (mountsAt(directory).length > 0) return
  if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) {
    mkdirSync(directory)
    // the node's umask leaves its owner alone
    chmodSync(directory, 0o755)
    return
  }
  if (nonEmpty) return
  const names = readdirSync(directory)
  if (names.length === 0) return
  throw new RkfsError(
    'failed',
    `the directory holds files, which are not in the channel (${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}): ` +
      `\`rkfs mount\` there says how to bring them in, \`rkfs umount\` forgets the mount`,
  )
}
