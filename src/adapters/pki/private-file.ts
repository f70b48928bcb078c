import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { RkfsError } from '../../base/errors.js'
import { readError } from '../../base/system-error.js'
import { wrongMode } from './lost-keys.js'

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Replaces a file as a whole: old or new content after a crash, never a part. On stable storage when it returns. */
export async function replaceFile(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  const fresh = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const handle = await open(fresh, 'wx', mode)
    try {
      await handle.chmod(mode) // whatever the umask is
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(fresh, path)
  } catch (error) {
    await rm(fresh, { force: true })
    throw error
  }
  await syncDirectory(dirname(path))
}

/** A text file's content; undefined when there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw new RkfsError('failed', `${path} cannot be read: ${readError(error)}`, { cause: error })
  }
}

/** A secret file's content; undefined when there is none. Throws `refused` when others may read or write it. */
export async function readPrivate(path: string): Promise<string | undefined> {
  const content = await readIfThere(path)
  if (content === undefined) return undefined
  const mode = (await stat(path)).mode & 0o777
  if (mode !== 0o600) {
    throw new RkfsError('refused', `${wrongMode(path, mode)}: chmod 600 ${path}`)
  }
  return content
}
