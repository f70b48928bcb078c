import { existsSync, readdirSync, realpathSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fsyncDirectory } from '../adapters/host/atomic-file.js'
import { messageOf, RkfsError } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import type { Descriptor } from '../channel/descriptor.js'
import {
  begin,
  channelNames,
  finish,
  hasAny,
  identityPaths,
  incompleteness,
  mayCreate,
  tracesOf,
} from './channel-traces.js'
import { channelFolder, channelsFolder, readDescriptor } from './channels-on-disk.js'
import { matching } from './matching.js'

/** Something that the deletion of a channel removes for good. */
export interface Removal {
  readonly path: string
  readonly what: string
  readonly bytes: number
}

/**
 * What deleting a channel of a home removes. Throws why it must not be deleted: others are in it, or may be. `self`: this
 * node; `descriptor`: what the open channel says of its members, which is newer than the file.
 */
export function removalsOf(home: string, name: string, self: MemberId, descriptor?: Descriptor): Removal[] {
  const traces = tracesOf(home, name)
  if (!hasAny(traces)) throw unknownChannel(home, name)
  const { folder, folderProblem, begun, hasFolder, hasAuthority, identity } = traces
  const attempt = mayCreate(traces) || (begun.has('joining') && !hasFolder && !hasAuthority)
  if (folderProblem === undefined && !begun.has('deleting')) {
    assertAlone(descriptor ?? readDescriptor(folder), self)
  } else if (!attempt && !begun.has('deleting')) {
    const files = [...(hasFolder ? [folder] : []), ...identity].join(', ')
    throw new RkfsError(
      'failed',
      `whether others are in ${name} cannot be known here: ${incompleteness(home, traces) ?? ''}. If you know that nobody ` +
        `needs it, move this away: ${files}`,
    )
  }
  return listRemovals(home, name)
}

/** The other commands take the beginning of a name, or an id. What cannot be undone does not. */
function unknownChannel(home: string, given: string): RkfsError {
  const meant = matching(
    channelNames(home).map(name => ({ name, id: idOf(home, name) })),
    given,
  )
  const words = `this node has nothing of a channel ${given}`
  if (meant.length === 0) return new RkfsError('not-found', words)
  const names = meant.map(({ name }) => name).join(' or ')
  return new RkfsError('not-found', `${words}; deleting takes the whole name alone, on purpose. Is ${names} meant?`)
}

function idOf(home: string, name: string): string {
  try {
    return readDescriptor(channelFolder(home, name)).id
  } catch {
    return ''
  }
}

function assertAlone({ name, owner, members }: Descriptor, self: MemberId): void {
  const others = members.filter(member => member.id !== self)
  if (others.length === 0) return
  const who = others.map(member => member.name).join(', ')
  const remedy =
    owner === self
      ? `remove them first (\`rkfs member remove ${name} MEMBER\`)`
      : `take no part in it (\`rkfs channel close ${name}\`), or have its owner remove this node (\`rkfs member remove\`) and move its home away`
  throw new RkfsError(
    'refused',
    `${name} has other members (${who}), and only a channel that nobody else is in is deleted: ${remedy}`,
  )
}

function listRemovals(home: string, name: string): Removal[] {
  const folder = channelFolder(home, name)
  const [authority, certificate, ca] = identityPaths(home, name)
  const found: [string, string][] = [
    [folder, 'its files, and their history'],
    [join(channelsFolder(home), `.building-${name}`), 'what was being made of it'],
    [authority, 'the key of its authority'],
    [certificate, "this node's certificate"],
    [ca, 'the certificate of its authority'],
  ]
  return found
    .filter(([path]) => existsSync(path))
    .map(([path, what]) => ({ path: realpathSync(path), what, bytes: sizeOf(path) }))
}

/** Bytes of all files below a path. */
function sizeOf(path: string): number {
  const stats = statSync(path)
  if (!stats.isDirectory()) return stats.size
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0)
}

/**
 * Removes all that a home has of a channel, which is not open. Cut short by a crash it is finished by another call: that it
 * has begun is noted first, and the note goes last.
 */
export function deleteChannel(home: string, name: string): void {
  begin(home, name, 'deleting')
  try {
    for (const { path } of listRemovals(home, name)) empty(path)
    // a link to what was removed
    rmSync(channelFolder(home, name), { recursive: true, force: true })
  } catch (error) {
    throw new RkfsError('failed', `${name} could not be deleted as a whole: ${messageOf(error)}. Try again`, {
      cause: error,
    })
  }
  for (const folder of ['keystore', 'signcerts', 'cacerts']) fsyncDirectory(join(home, 'csp', folder))
  fsyncDirectory(channelsFolder(home))
  for (const what of ['creating', 'joining', 'deleting'] as const) finish(home, name, what)
}

/**
 * Removes what was made of a channel that could not be made, and that nobody has been in. The folder goes first: without it
 * the making counts as cut short, and is begun anew.
 */
export function discardChannel(home: string, name: string): void {
  const ofMaking = [channelFolder(home, name), join(channelsFolder(home), `.building-${name}`)]
  for (const path of [...ofMaking, ...identityPaths(home, name)]) rmSync(path, { recursive: true, force: true })
  finish(home, name, 'creating')
}

/** A folder that is the mount point of a disk stays, empty. */
function empty(path: string): void {
  if (!statSync(path).isDirectory()) return rmSync(path, { force: true })
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true })
  try {
    rmdirSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
  }
}
