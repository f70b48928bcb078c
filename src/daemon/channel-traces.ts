import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fsyncDirectory, writeFileAtomic } from '../adapters/host/atomic-file.js'
import { lostAuthorityKey } from '../adapters/pki/lost-keys.js'
import { isChannelName } from '../base/ids.js'
import { readError } from '../base/system-error.js'
import { channelFolder, channelsFolder } from './channels-on-disk.js'

/** Work on a channel that a crash, or a refusal, may leave unfinished; noted beside the channels' folders meanwhile. */
export type Undertaking = 'creating' | 'joining' | 'deleting'
const undertakings = ['creating', 'joining', 'deleting'] as const

/** What a home has of a channel of one name. */
export interface ChannelTraces {
  readonly name: string
  readonly folder: string
  /** Whether anything is at the folder's path; a link that leads nowhere counts. */
  readonly hasFolder: boolean
  /** What is wrong with the folder; undefined: it is whole. */
  readonly folderProblem: string | undefined
  /** The paths of the certificates and of the authority's key that are there. */
  readonly identity: readonly string[]
  /** This node owns the channel. */
  readonly hasAuthority: boolean
  readonly begun: ReadonlySet<Undertaking>
  /** Why the last attempt to join came to nothing, if that is known. */
  readonly joinFailure: string
}

/** Where the identity files of a channel lie below a home (`CspHome`), the authority's key first. */
export function identityPaths(home: string, channel: string): [string, string, string] {
  const csp = join(home, 'csp')
  return [
    join(csp, 'keystore', `${channel}-ca.pem`),
    join(csp, 'signcerts', `${channel}.pem`),
    join(csp, 'cacerts', `${channel}.pem`),
  ]
}

function notePath(home: string, channel: string, what: Undertaking): string {
  return join(channelsFolder(home), `.${what}-${channel}`)
}

/** The names of all channels of which this home has anything: a folder, a certificate, an authority, an attempt. */
export function channelNames(home: string): string[] {
  const names = new Set<string>()
  const take = (folder: string, pattern: RegExp): void => {
    for (const entry of entriesOf(folder)) {
      const name = pattern.exec(entry)?.[1]
      if (name !== undefined && isChannelName(name)) names.add(name)
    }
  }
  take(channelsFolder(home), /^([^.].*)$/s)
  // not the temporary file of a note
  take(channelsFolder(home), new RegExp(`^\\.(?:${undertakings.join('|')})-(.*?)(?<!\\.tmp-\\d+)$`, 's'))
  take(join(home, 'csp', 'keystore'), /^(.*)-ca\.pem$/s)
  for (const folder of ['signcerts', 'cacerts']) take(join(home, 'csp', folder), /^(.*)\.pem$/s)
  return [...names].sort()
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

export function tracesOf(home: string, name: string): ChannelTraces {
  const paths = identityPaths(home, name)
  const identity = paths.filter(isThere)
  const hasAuthority = identity.includes(paths[0])
  const folder = channelFolder(home, name)
  return {
    name,
    folder,
    hasFolder: isThere(folder),
    folderProblem: folderProblem(folder, hasAuthority),
    identity,
    hasAuthority,
    begun: new Set(undertakings.filter(what => isThere(notePath(home, name, what)))),
    joinFailure: readOr(notePath(home, name, 'joining'), '').trim(),
  }
}

export function hasAny({ hasFolder, identity, begun }: ChannelTraces): boolean {
  return hasFolder || identity.length > 0 || begun.size > 0
}

/** Whether a channel may be made: there is nothing of that name, or what is there is of a making that was cut short. */
export function mayCreate(traces: ChannelTraces): boolean {
  return !hasAny(traces) || (traces.begun.has('creating') && !traces.hasFolder)
}

/** What the folder lacks. The owner's has a log from the start; a newcomer's has none before it is opened. */
function folderProblem(folder: string, owned: boolean): string | undefined {
  try {
    if (lstatSync(folder).isSymbolicLink() && !isReachable(folder)) {
      return `${folder} is a link to ${readlinkSync(folder)}, which is not there`
    }
    if (!statSync(folder).isDirectory()) return `${folder} is not a folder`
    const entries = readdirSync(folder)
    if (entries.length === 0) return `${folder} is empty`
    const lacking = ['descriptor.json', ...(owned ? ['log.db'] : [])].filter(name => !entries.includes(name))
    return lacking.length === 0 ? undefined : `${folder} has no ${lacking.join(' and no ')}`
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return `${folder} is missing`
    return `${folder} cannot be read: ${readError(error)}`
  }
}

function isThere(path: string): boolean {
  try {
    lstatSync(path)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ENOTDIR'
  }
}

function isReachable(path: string): boolean {
  try {
    statSync(path)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return otherwise
  }
}

export interface Incompleteness {
  readonly found: string
  readonly remedy: string
}

/** As one sentence. */
export function incompleteness(home: string, traces: ChannelTraces): string | undefined {
  const lack = lackOf(home, traces)
  return lack === undefined ? undefined : `${lack.found}: ${lack.remedy}`
}

/** Why a channel cannot be opened: something of it is there, and the rest is missing. Undefined: all that it needs is there. */
export function lackOf(home: string, traces: ChannelTraces): Incompleteness | undefined {
  const { name, folderProblem, begun, hasFolder, identity, hasAuthority } = traces
  if (begun.has('deleting')) {
    return { found: 'its deletion was cut short', remedy: `\`rkfs channel delete ${name}\` finishes it` }
  }
  if (!hasAny(traces)) return undefined
  if (folderProblem === undefined) return lackOfIdentity(home, traces)
  if (mayCreate(traces)) {
    const remedy = `\`rkfs channel create ${name}\` makes it anew, \`rkfs channel delete ${name}\` clears it away`
    return { found: 'its making was cut short', remedy }
  }
  if (begun.has('joining') && !hasFolder && !hasAuthority) return unfinishedJoin(traces)
  if (identity.length === 0) {
    return {
      found: folderProblem,
      remedy: 'put the files of the channel there (is their disk mounted?), or remove that',
    }
  }
  const has = hasAuthority ? 'the key of its authority' : 'a certificate of it'
  const anew = hasAuthority ? '' : '; or, if they are lost, `rkfs join` with a token of its owner fetches them'
  return {
    found: `${folderProblem}, while this node has ${has}`,
    remedy:
      `mount the disk that the channel's files are on, or put them back; then \`rkfs mount ${name} <dir>\` opens it${anew}. ` +
      'No new channel is made in its place: others may go on with the old one',
  }
}

function unfinishedJoin({ name, identity, joinFailure }: ChannelTraces): Incompleteness {
  const why = joinFailure === '' ? '' : ` (${joinFailure})`
  return {
    found:
      identity.length > 0
        ? 'this node was admitted to it, and its `rkfs join` was cut short'
        : `this node has tried to join it, and was not admitted${why}`,
    remedy: `\`rkfs join\` with another token goes on, \`rkfs channel delete ${name}\` forgets the attempt`,
  }
}

function lackOfIdentity(home: string, { name, identity }: ChannelTraces): Incompleteness | undefined {
  const [, certificate, ca] = identityPaths(home, name)
  const lacking = identity.includes(certificate) ? (identity.includes(ca) ? undefined : ca) : certificate
  if (lacking === undefined) return undefined
  const what = lacking === ca ? "the channel's CA certificate" : "this node's certificate"
  return {
    found: `${lacking} is missing`,
    remedy: `put ${what} there, or \`rkfs join\` with a token of the owner, which issues another`,
  }
}

/** On its owner, a channel without a sound key of its authority: it goes on, but admits nobody. Undefined: all is well. */
export function lackOfAuthority(home: string, name: string): string | undefined {
  const lost = lostAuthorityKey(home, name)
  return lost && `${lost.found}: ${lost.remedy}`
}

/** Notes that work on a channel begins, on stable storage. `text`: for an attempt to join, why it came to nothing. */
export function begin(home: string, channel: string, what: Undertaking, text = ''): void {
  mkdirSync(channelsFolder(home), { recursive: true, mode: 0o700 })
  fsyncDirectory(home)
  writeFileAtomic(notePath(home, channel, what), text)
}

/** The work is done, or forgotten. */
export function finish(home: string, channel: string, what: Undertaking): void {
  const path = notePath(home, channel, what)
  if (!isThere(path)) return
  rmSync(path, { force: true })
  fsyncDirectory(channelsFolder(home))
}
