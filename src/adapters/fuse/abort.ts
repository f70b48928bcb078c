import { RkfsError } from '../../base/errors.js'
import { run } from './run.js'

const ABORT_TIMEOUT_MS = 10_000

/**
 * Shell: ends a FUSE connection whatever state its requests are in, through fusectl (Documentation/filesystems/fuse.rst);
 * `$minor` is that of the mount's device. The mount stays in the table, and is dead. Where nobody has mounted fusectl, root
 * mounts it in a mount namespace of its own, which nobody else sees and which is gone with this shell.
 */
export const ABORT_SCRIPT = `
connections=/sys/fs/fuse/connections
if grep -q " / $connections .* fusectl " /proc/self/mountinfo; then
  [ ! -e "$connections/$minor" ] || echo 1 >"$connections/$minor/abort"
else
  unshare -m --propagation private /bin/sh -c '
    mount -i -t fusectl fusectl "$1" && { [ ! -e "$1/$2" ] || echo 1 >"$1/$2/abort"; }' sh "\${TMPDIR:-/tmp}" "$minor"
fi`

export function minorOf(device: string): string {
  return device.slice(device.indexOf(':') + 1)
}

/**
 * Ends a FUSE connection: all waiting callers get an error, and the reader ENODEV. `device`: the mount's `major:minor`.
 * Fails where it is not permitted: for a user, where fusectl is not mounted.
 */
export async function abortConnection(device: string): Promise<void> {
  const args = ['-c', `minor=$1${ABORT_SCRIPT}`, 'rkfs-abort', minorOf(device)]
  const { status, stderr } = await run('/bin/sh', args, { timeoutMs: ABORT_TIMEOUT_MS })
  if (status !== 0) throw new RkfsError('failed', `the FUSE connection cannot be aborted: ${stderr}`)
}
