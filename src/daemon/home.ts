import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { fsyncDirectory, isLeftOver, writeFileAtomic } from '../adapters/host/atomic-file.js'
import { messageOf, RkfsError } from '../base/errors.js'

/** The layout on disk that this program reads and writes, as in the home's `version` file. */
export const homeVersion = '1'

/** What may stand in a home before its first start: certificates and settings that the user brought, and our log. */
const broughtAlong = new Set(['config.toml', 'csp', 'node.log', 'lost+found'])

/** Which folder is the node's home: `--home`, `RKFS_HOME`, `$XDG_DATA_HOME/rkfs`, `~/.local/share/rkfs`. */
export function chooseHome(flag: string | undefined, environment: NodeJS.ProcessEnv): string {
  if (flag !== undefined) {
    if (flag === '') throw new RkfsError('usage', '--home needs a directory')
    return resolve(flag)
  }
  if (environment['RKFS_HOME']) return resolve(environment['RKFS_HOME'])
  const data = environment['XDG_DATA_HOME']
  // The XDG specification: a relative path is to be ignored.
  if (data !== undefined && data.startsWith('/')) return join(data, 'rkfs')
  return join(environment['HOME'] || homedir(), '.local', 'share', 'rkfs')
}

/**
 * Makes the home ready for a node, creating it when missing, and answers its canonical path. Nothing is touched when it
 * is of another version, of another user, or no home at all.
 */
export function openHome(path: string): string {
  const found = inspectHome(path)
  if (found === undefined) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw new RkfsError(
        'failed',
        `the home ${path} cannot be created: ${reason(error)}; choose another one with --home`,
        { cause: error },
      )
    }
  }
  const home = realpathSync(path)
  if ((lstatSync(home).mode & 0o777) !== 0o700) chmodSync(home, 0o700)
  if (found?.version === undefined) {
    writeFileAtomic(join(home, 'version'), `${homeVersion}\n`)
    fsyncDirectory(join(home, '..'))
  }
  return home
}

/** The home as it is, checked and unchanged: undefined when it does not exist; `version` undefined before its first start. */
export function inspectHome(path: string): { path: string; version: string | undefined } | undefined {
  let home: string
  try {
    home = realpathSync(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return undefined
    if (code === 'ENOTDIR') throw notDirectory(path)
    throw new RkfsError('failed', `the home ${path} cannot be reached: ${reason(error)}`, { cause: error })
  }
  const stats = lstatSync(home)
  if (!stats.isDirectory()) throw notDirectory(path)
  const user = process.geteuid?.() ?? stats.uid
  if (stats.uid !== user) {
    throw new RkfsError(
      'failed',
      `the home ${path} belongs to user ${stats.uid}, not to you (${user}): run rkfs as its owner or choose another home with --home`,
    )
  }
  try {
    accessSync(home, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new RkfsError('failed', `the home ${path} is not writable: ${reason(error)}`, { cause: error })
  }
  return { path: home, version: readVersion(path, home) }
}

function readVersion(path: string, home: string): string | undefined {
  let version: string
  try {
    version = readFileSync(join(home, 'version'), 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new RkfsError('failed', `the home's version ${join(home, 'version')} cannot be read: ${reason(error)}`, {
        cause: error,
      })
    }
    // a first start that was cut short is begun anew
    const stranger = readdirSync(home).find(name => !broughtAlong.has(name) && !isLeftOver(name, 'version'))
    if (stranger === undefined) return undefined
    throw new RkfsError(
      'failed',
      `${path} is not a home of rkfs: it holds ${stranger} but no version file; choose an empty directory with --home`,
    )
  }
  if (version !== homeVersion) {
    throw new RkfsError(
      'version',
      `the home ${path} has version ${JSON.stringify(version.slice(0, 40))}, this rkfs reads version "${homeVersion}": ` +
        'use the rkfs that made it, or another home with --home (nothing was changed)',
    )
  }
  return version
}

function notDirectory(path: string): RkfsError {
  return new RkfsError('failed', `the home ${path} is not a directory: choose another one with --home`)
}

/** A system error's own words without the path, which our sentence names already. */
function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return 'permission denied'
    case 'EROFS':
      return 'its file system is read-only'
    case 'ENOSPC':
      return 'no space left on the disk'
    case 'ENOTDIR':
    case 'EEXIST':
      return 'a part of the path is not a directory'
    case 'ELOOP':
      return 'too many symbolic links'
    default:
      return messageOf(error)
  }
}
