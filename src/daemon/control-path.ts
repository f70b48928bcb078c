import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { RkfsError } from '../base/errors.js'

/** sockaddr_un.sun_path holds 108 bytes with the final NUL, unix(7). */
const SOCKET_PATH_BYTES_MAX = 100

/**
 * Where the node of this home listens for commands: `control.sock` in the home, or, when that path is too long for a
 * socket, a name made from it in a private folder under /tmp. The same for every caller whatever its environment.
 */
export function controlSocketPath(home: string): string {
  let canonical = resolve(home)
  try {
    canonical = realpathSync(canonical)
  } catch {
    // Not there yet: so is the socket.
  }
  const path = join(canonical, 'control.sock')
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path
  const name = createHash('sha256').update(canonical).digest('hex').slice(0, 32)
  return join(privateFolder(), `${name}.sock`)
}

/** A folder under /tmp that another user could have made first: taken only if it is ours and nobody else can enter. */
function privateFolder(): string {
  const user = process.geteuid?.() ?? 0
  const folder = `/tmp/rkfs-${user}`
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const stats = lstatSync(folder)
  if (!stats.isDirectory() || stats.uid !== user || (stats.mode & 0o077) !== 0) {
    throw new RkfsError(
      'failed',
      `${folder} is not a private folder of yours (mode 0700): remove it, or choose a home with a shorter path`,
    )
  }
  return folder
}
