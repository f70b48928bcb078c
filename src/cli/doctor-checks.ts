import { accessSync, closeSync, constants, existsSync, openSync, readFileSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fuseNativeProblem } from '../adapters/fuse-native/binding.js'
import { describeLimit, fuseNativeLimits } from '../adapters/fuse-native/driver-limits.js'
import { readMounts, RKFS_TYPE, type MountEntry } from '../adapters/fuse/mountinfo.js'
import { run, type RunResult } from '../adapters/fuse/run.js'
import { diskSpace } from '../adapters/host/machine.js'
import { nativeModuleProblem, nativeModules } from '../adapters/host/native-modules.js'
import { lostAuthorityKey, lostNodeKey, strangeCertificate } from '../adapters/pki/lost-keys.js'
import { packageVersion } from '../adapters/host/version.js'
import { messageOf } from '../base/errors.js'
import { MiB } from '../base/limits.js'
import { loadConfig, parseAddress } from '../daemon/config.js'
import { callDaemon, isNoNode } from '../daemon/control-client.js'
import type { StatusReport } from '../daemon/control-protocol.js'
import { inspectHome } from '../daemon/home.js'
import { parseMountOptions } from '../daemon/mount-options.js'
import { recordedMounts, rememberedMounts } from '../daemon/mount-record.js'
import { channelNames, lackOf, tracesOf } from '../daemon/channel-traces.js'
import { channelFolder, readDescriptor } from '../daemon/channels-on-disk.js'
import { certificatesOnDisk, nodeIdOnDisk } from './home-on-disk.js'
import { bytes, printable } from './output.js'

export interface Finding {
  readonly level: 'ok' | 'info' | 'warn' | 'fail'
  readonly what: string
  readonly found: string
  /** Empty when all is well. */
  readonly remedy: string
}

const DAY_MS = 86_400_000
const PROBE_MS = 3000

const ok = (what: string, found: string): Finding => ({ level: 'ok', what, found, remedy: '' })
const warn = (what: string, found: string, remedy: string): Finding => ({ level: 'warn', what, found, remedy })
const fail = (what: string, found: string, remedy: string): Finding => ({ level: 'fail', what, found, remedy })

/** Looks at this machine and this home. Changes nothing, and never looks into a mount itself. */
export async function examine(home: string): Promise<Finding[]> {
  return [
    nodeVersion(),
    ...fuse(),
    ...nativeModules.map(nativeModule),
    ...fuseNative(home),
    ...homeFindings(home),
    ...settings(home),
    disk(home),
    clock(home),
    ...keys(home),
    ...certificates(home),
    ...channels(home),
    ...(await daemon(home)),
    ...(await mounts(home)),
  ]
}

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const found = `Node.js ${process.versions.node}, rkfs ${packageVersion()}`
  if (major === 20 && minor >= 19) return ok('node', found)
  return fail('node', found, 'install Node.js 20.19 or a later 20.x')
}

function fuse(): Finding[] {
  if (!existsSync('/dev/fuse')) {
    return [fail('fuse', '/dev/fuse is missing', 'load it (modprobe fuse), or give the container the device /dev/fuse')]
  }
  const findings: Finding[] = []
  try {
    closeSync(openSync('/dev/fuse', 'r+'))
    findings.push(ok('fuse', '/dev/fuse opens'))
  } catch (error) {
    const user = userInfo().username
    findings.push(
      fail('fuse', `/dev/fuse does not open: ${messageOf(error)}`, `give ${user} read and write access to it`),
    )
  }
  if (process.geteuid?.() === 0) return findings
  const helper = findProgram('fusermount3')
  if (helper === undefined) {
    findings.push(fail('fusermount3', 'not found', 'a mount without root needs it: install the Debian package fuse3'))
  } else if ((statSync(helper).mode & 0o4000) === 0) {
    findings.push(fail('fusermount3', `${helper} is not set-uid root`, `chmod u+s ${helper}, or install fuse3 again`))
  } else findings.push(ok('fusermount3', helper))
  if (!/^\s*user_allow_other\s*$/m.test(readOr('/etc/fuse.conf', ''))) {
    findings.push(
      warn(
        'allow_other',
        'not permitted to users',
        'add the line user_allow_other to /etc/fuse.conf for -o allow_other',
      ),
    )
  }
  return findings
}

function nativeModule(name: (typeof nativeModules)[number]): Finding {
  const problem = nativeModuleProblem(name)
  if (problem === undefined) return ok('module', `${name} loads`)
  return fail('module', `${name}: ${problem}`, `npm rebuild ${name} (see native-deps.md)`)
}

/** The second mount driver: nothing is said of it where no mount has chosen it. */
function fuseNative(home: string): Finding[] {
  const isChosen = rememberedMounts(home).some(({ options }) => parseMountOptions(options).driver === 'fuse-native')
  if (!isChosen) return []
  const problem = fuseNativeProblem()
  const info = (found: string): Finding => ({ level: 'info', what: 'driver', found, remedy: '' })
  if (problem !== undefined) {
    return [fail('driver', `driver=fuse-native cannot be used: ${problem}`, 'mount without it, or see native-deps.md')]
  }
  return [
    ok('driver', 'fuse-native loads, for -o driver=fuse-native'),
    ...fuseNativeLimits.map(limit => info(`fuse-native cannot: ${describeLimit(limit)}`)),
  ]
}

function homeFindings(home: string): Finding[] {
  try {
    const found = inspectHome(home)
    if (found === undefined) return [ok('home', `${home} does not exist yet: the first start makes it`)]
    const mode = statSync(found.path).mode & 0o777
    const words = `${home}, version ${found.version ?? '(none yet)'}`
    if ((mode & 0o077) !== 0 && found.version !== undefined) {
      return [warn('home', `${words}, mode ${mode.toString(8)}`, `others can look into it: chmod 700 ${home}`)]
    }
    return [ok('home', words)]
  } catch (error) {
    const [found = '', ...remedy] = messageOf(error).split(': ')
    return [fail('home', found, remedy.join(': '))]
  }
}

function settings(home: string): Finding[] {
  try {
    const { config } = loadConfig(home, process.env)
    const host = parseAddress(config.listen)?.host
    if ((host === '0.0.0.0' || host === '::') && config.advertise === '') {
      return [
        warn(
          'settings',
          `listen is ${config.listen}, and no address for the others is set`,
          'set advertise in config.toml (or RKFS_ADVERTISE) to HOST:PORT as they reach this machine',
        ),
      ]
    }
    return [ok('settings', `listen ${config.listen}, name ${config.name}`)]
  } catch (error) {
    return [fail('settings', messageOf(error), 'correct it; `rkfs config` shows what is in force')]
  }
}

function disk(home: string): Finding {
  let folder = home
  while (!existsSync(folder) && folder !== '/') folder = dirname(folder)
  try {
    const space = diskSpace(folder)
    const found = `${bytes(space.freeBytes)} of ${bytes(space.totalBytes)} free for ${home}`
    if (space.freeBytes < 64 * MiB) return fail('disk', found, 'free some space: changes are refused when it is full')
    if (space.freeBytes < 1024 * MiB) return warn('disk', found, 'free some space before it is full')
    return ok('disk', found)
  } catch (error) {
    return fail('disk', `${folder}: ${messageOf(error)}`, 'choose another home with --home')
  }
}

/** A clock that is wrong makes certificates look expired or not yet valid. */
function clock(home: string): Finding {
  const now = Date.now()
  const remedy = 'set the clock, or let it be set (apt-get install systemd-timesyncd)'
  const found = new Date(now).toISOString()
  const early = certificatesOnDisk(home).find(c => c.validFrom !== undefined && c.validFrom.getTime() > now)
  if (early !== undefined) return fail('clock', `${found}, before the certificate ${early.path} begins`, remedy)
  try {
    if (statSync(join(home, 'version')).mtimeMs > now + DAY_MS) {
      return fail('clock', `${found}, more than a day before this home was made`, remedy)
    }
  } catch {
    // No home yet.
  }
  return ok('clock', found)
}

function certificates(home: string): Finding[] {
  return certificatesOnDisk(home).map(({ channel, path, validTo }) => {
    if (validTo === undefined) return fail('certificate', `${path} is damaged`, `join ${channel} anew`)
    const days = Math.floor((validTo.getTime() - Date.now()) / DAY_MS)
    const day = validTo.toISOString().slice(0, 10)
    const remedy = existsSync(join(home, 'csp', 'keystore', `${channel}-ca.pem`))
      ? 'this node owns the channel and renews it at its next start: rkfs stop, then start it again'
      : `renew it: the owner of ${channel} runs rkfs member invite ${channel}, this node rkfs join`
    if (days < 0) return fail('certificate', `for ${channel}: expired on ${day}`, remedy)
    if (days < 30) return warn('certificate', `for ${channel}: expires on ${day}, in ${days} days`, remedy)
    return ok('certificate', `for ${channel}: valid until ${day}`)
  })
}

/** Keys that are missing or cannot be used. The node that runs has read them, and needs them again at its next start. */
function keys(home: string): Finding[] {
  if (!isOurs(home)) return []
  const node = nodeIdOnDisk(home)
  const ofChannels = channelNames(home).flatMap(name => [
    strangeCertificate(home, name),
    isOwner(home, name, node) ? lostAuthorityKey(home, name) : undefined,
  ])
  return [lostNodeKey(home), ...ofChannels].flatMap(lost =>
    lost === undefined ? [] : [fail('key', printable(lost.found), printable(lost.remedy))],
  )
}

function isOurs(home: string): boolean {
  try {
    return inspectHome(home) !== undefined
  } catch {
    return false
  }
}

/** As far as the disk tells. */
function isOwner(home: string, channel: string, node: string | undefined): boolean {
  if (tracesOf(home, channel).hasAuthority) return true
  try {
    return readDescriptor(channelFolder(home, channel)).owner === node
  } catch {
    return false
  }
}

/** Channels of which something is there, and the rest is missing. */
function channels(home: string): Finding[] {
  return channelNames(home).flatMap(name => {
    const lack = lackOf(home, tracesOf(home, name))
    return lack === undefined ? [] : [fail('channel', `${name}: ${printable(lack.found)}`, printable(lack.remedy))]
  })
}

async function daemon(home: string): Promise<Finding[]> {
  try {
    const report = await callDaemon(home, 'status', {}, { timeoutMs: PROBE_MS })
    return [nodeFinding(report), ...waitingMounts(report)]
  } catch (error) {
    if (isNoNode(error)) return [warn('node', 'does not run', 'rkfs serve, or rkfs mount <channel> <dir>')]
    return [fail('node', messageOf(error), 'rkfs stop --force, then start it again')]
  }
}

function nodeFinding({ node, channels }: StatusReport): Finding {
  const bad = channels.filter(c => c.problems.length > 0 || (c.state !== 'closed' && !c.quorum.ok))
  const found = `runs (process ${node.pid}, ${node.version}), listens on ${node.listen}`
  if (node.version !== packageVersion()) {
    return warn('node', `${found}, while this is rkfs ${packageVersion()}`, 'start it anew: rkfs stop, rkfs serve')
  }
  if (bad.length === 0) return ok('node', found)
  const words = bad.map(c => `${c.name}: ${c.problems[0] ?? 'no quorum'}`).join('; ')
  const level = bad.some(c => c.state === 'failed' || c.state === 'quarantined') ? fail : warn
  return level('node', `${found}; ${printable(words)}`, '`rkfs status` tells more')
}

/** Mounts that are to be there since the node started, and are not: programs find the bare directory. */
function waitingMounts({ channels }: StatusReport): Finding[] {
  return channels.flatMap(({ name, mounts }) =>
    mounts
      .filter(({ state }) => state === 'waiting')
      .map(({ dir, problem }) =>
        warn(
          'mount',
          printable(`${dir} is not mounted yet (${name}): ${problem ?? ''}`),
          printable(`it is tried again and again; \`rkfs umount ${dir}\` forgets it`),
        ),
      ),
  )
}

/** Asked by a child, which may hang in our place. */
async function mounts(home: string): Promise<Finding[]> {
  const channels = new Map(recordedMounts(home).map(({ directory, channel }) => [directory, channel]))
  // of several at one place the last one is seen
  const points = new Map(
    readMounts()
      .filter(({ type }) => type === RKFS_TYPE)
      .map(mount => [mount.mountPoint, mount]),
  )
  return Promise.all(
    [...points].map(async ([point, mount]) =>
      mountFinding(mount, await run('stat', ['-f', '--', point], { timeoutMs: PROBE_MS }), channels.get(point)),
    ),
  )
}

/** What `stat -f` says of a mount. `channel`: whose mount it is, where this home's node has made it. */
export function mountFinding(
  { mountPoint, root, source }: MountEntry,
  { status, stderr }: RunResult,
  channel: string | undefined,
): Finding {
  const point = printable(mountPoint)
  if (status === 0) return ok('mount', `${point} answers`)
  if (/permission denied/i.test(stderr)) {
    return { level: 'info', what: 'mount', found: `${point} cannot be looked at by this user`, remedy: '' }
  }
  if (!/not connected|abort/i.test(stderr)) {
    return fail('mount', `${point} does not answer`, `rkfs umount --force ${point}`)
  }
  if (channel === undefined && root !== '/') {
    const what = `${point} is dead: it is bound to ${printable(root)} in a mount of ${printable(source)} whose node is gone`
    return fail('mount', what, `umount -l ${point}, and bind it again (mount --bind FOLDER ${point})`)
  }
  const anew =
    channel === undefined
      ? `\`rkfs mount\` with its node's home takes its place, \`rkfs umount --force ${point}\` clears it`
      : `\`rkfs mount ${channel} ${point}\` takes its place, \`rkfs umount ${point}\` clears it`
  return fail('mount', `${point} is dead: its node is gone`, anew)
}

function findProgram(name: string): string | undefined {
  return (process.env['PATH'] ?? '/usr/bin:/bin')
    .split(delimiter)
    .map(folder => join(folder, name))
    .find(path => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return otherwise
  }
}
