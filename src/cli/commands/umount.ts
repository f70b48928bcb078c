import type { Command } from 'commander'
import { abortConnection } from '../../adapters/fuse/abort.js'
import { mountsAt, RKFS_TYPE } from '../../adapters/fuse/mountinfo.js'
import { runUnmount } from '../../adapters/fuse/mount-point.js'
import { messageOf, RkfsError } from '../../base/errors.js'
import { isNoNode } from '../../daemon/control-client.js'
import { forgetMount } from '../../daemon/mount-record.js'
import { parseDuration, timeForms } from '../arguments.js'
import { ask, homeOf } from '../context.js'
import { locateMountPoint } from '../mount-point.js'
import { usersOf } from '../mount-users.js'
import { hint, printable, say } from '../output.js'

const DRAIN_SECONDS = 30
/** The node gives up at its limit and says what is pending; while it answers we wait a little longer for that. */
const GRACE_SECONDS = 30
/** A node that works takes a mount away by force within about three seconds; one that does not answer is not waited for. */
const FORCE_SECONDS = 6

export function addUmount(program: Command): void {
  program
    .command('umount')
    .alias('unmount')
    .description('commit what is pending, then unmount; also clears the mount of a node that is gone')
    .argument('<dir>', 'the mount point')
    .option('--force', 'detach the mount at once, even while programs use it; pending changes stay in the journal')
    .option('--timeout <time>', `how long to wait for pending changes, ${timeForms} (default: 30s)`, parseDuration)
    .addHelpText('after', '\nExamples:\n  rkfs umount ~/photos\n  rkfs umount /mnt/demo --force')
    .action(umount)
}

async function umount(dir: string, options: { force?: boolean; timeout?: number }, command: Command): Promise<void> {
  const home = homeOf(command)
  const force = options.force === true
  const point = locateMountPoint(dir)
  if (point.inside !== undefined) {
    throw new RkfsError('not-found', `nothing is mounted at ${point.path}: the mount around it is ${point.inside}`)
  }
  try {
    const timeout = options.timeout ?? DRAIN_SECONDS
    const args = { directory: point.path, force, timeout }
    const patience = { timeoutSeconds: Math.max(1, timeout), graceSeconds: GRACE_SECONDS }
    await ask(home, 'umount', args, force ? { timeoutSeconds: FORCE_SECONDS } : patience)
  } catch (error) {
    const code = error instanceof RkfsError ? error.code : undefined
    const notOfThisNode = isNoNode(error) || code === 'not-found' || code === 'version'
    if (code === 'busy') nameUsers(point.path)
    // A node that is stopped, or dies over it, must not keep its mount for ever.
    if (!notOfThisNode && !force) throw error
    await detach(home, point.path, isNoNode(error) || force, force, error)
    if (isNoNode(error)) forgetMount(home, point.path)
  }
  say(`${point.path} is unmounted`)
}

function nameUsers(path: string): void {
  const users = usersOf(path)
  if (users.length === 0) return
  hint(`rkfs: ${path} is used by ${users.map(({ name, pid }) => `${printable(name)} (${pid})`).join(', ')}`)
}

/**
 * Without a node's help, by umount -l, which never looks into the mount. `abort`: programs that wait for the node are told
 * at once; without it they would wait on, in a mount that nobody can find any more.
 */
async function detach(home: string, path: string, allowed: boolean, abort: boolean, cause: unknown): Promise<void> {
  const mounts = mountsAt(path).filter(m => m.type === RKFS_TYPE)
  const count = mounts.length
  if (count === 0 && allowed && forgetMount(home, path)) {
    hint(`rkfs: nothing is mounted at ${path}, and nothing will be when the node starts`)
    return
  }
  if (count === 0) throw new RkfsError('not-found', `no rkfs mount is at ${path}: \`rkfs status\` lists the mounts`)
  if (!allowed) {
    throw new RkfsError(
      'not-found',
      `the rkfs mount at ${path} is not one of this node: use the home of its node (--home), or --force to detach it`,
      { cause },
    )
  }
  for (const { device } of abort ? mounts : []) {
    try {
      await abortConnection(device)
    } catch (error) {
      hint(`rkfs: programs inside ${path} may wait until its node ends: ${messageOf(error)}`)
    }
  }
  for (let i = 0; i < count; i++) {
    const { status, stderr } = await runUnmount(path, true)
    if (status !== 0 && mountsAt(path).some(m => m.type === RKFS_TYPE)) {
      throw new RkfsError('failed', `${path} cannot be unmounted: ${stderr.split('\n')[0]}`)
    }
  }
}
