import { loadBinding } from '../adapters/fuse-native/binding.js'
import { RkfsError } from '../base/errors.js'
import { defaultTimeoutSeconds } from '../base/limits.js'

export const syncModes = ['close', 'fsync', 'always'] as const
export type SyncMode = (typeof syncModes)[number]
export const mountDrivers = ['kernel', 'fuse-native'] as const
export type MountDriverName = (typeof mountDrivers)[number]

/** What `-o` chose, with the defaults filled in. */
export interface MountChoices {
  readonly sync: SyncMode
  /** How long a change waits for a majority. */
  readonly timeoutSeconds: number
  readonly readOnly: boolean
  readonly allowOther: boolean
  /** `local`: reads answer from this member's state. `latest`: they first catch up with what is committed. */
  readonly read: 'local' | 'latest'
  readonly driver: MountDriverName
  /** The directory may hold files, which the mount then hides. */
  readonly nonEmpty: boolean
  /** Reading a file leaves its access time as it is; without it, it is kept as relatime has it. */
  readonly noAccessTimes: boolean
  /** `local`: locks hold between the programs of all mounts here. `channel`: with those of all members' mounts that have the option, too. */
  readonly locks: 'local' | 'channel'
  /** Set-uid and set-gid bits and file capabilities count here, whichever member set them. */
  readonly suid: boolean
  /** Device nodes open devices of this machine, whichever member made them. */
  readonly dev: boolean
  /** Nothing in the mount can be executed. */
  readonly noExec: boolean
  /** Every read that is seen changes the access time. */
  readonly strictAccessTimes: boolean
}

export const timeoutSecondsMax = 3600

const flags = (
  'ro rw allow_other nonempty noatime relatime strictatime atime norelatime nostrictatime suid nosuid dev nodev exec noexec ' +
  'async defaults auto noauto _netdev nofail user nouser users owner group silent loud ' +
  'diratime nodiratime lazytime nolazytime'
).split(' ')
const known = (
  'sync timeout read driver locks ro rw allow_other nonempty noatime relatime strictatime suid nosuid dev nodev exec noexec ' +
  'defaults auto noauto user users owner group async _netdev nofail nodiratime lazytime comment=… x-…'
).split(' ')

/** Words for mount(8), fstab(5) and systemd, which say nothing to the file system (systemd.mount(5)). */
function isForMount(option: string): boolean {
  return /^(?:[xX]-|comment=|user=|uhelper=|helper=)/.test(option)
}

/** Each element is one `-o` as it was given: options separated by commas. Fails with `usage`, naming option and remedy. */
export function parseMountOptions(given: readonly string[], timeoutSeconds = defaultTimeoutSeconds): MountChoices {
  let sync: SyncMode = 'close'
  let timeout = timeoutSeconds
  let readOnly = false
  let allowOther = false
  let read: 'local' | 'latest' = 'local'
  let driver: MountDriverName = 'kernel'
  let nonEmpty = false
  let noAccessTimes = false
  let locks: 'local' | 'channel' = 'local'
  let suid = false
  let dev = false
  let noExec = false
  let strictAccessTimes = false
  for (const option of splitMountOptions(given)) {
    if (isForMount(option)) continue
    const equals = option.indexOf('=')
    const key = equals < 0 ? option : option.slice(0, equals)
    const value = equals < 0 ? undefined : option.slice(equals + 1)
    if (flags.includes(key) && value !== undefined) {
      throw new RkfsError('usage', `the mount option ${key} takes no value (given: ${option})`)
    }
    switch (key) {
      case 'sync':
        // without a value it is mount(8)'s, all changes at once
        sync = equals < 0 ? 'always' : oneOf(key, value, syncModes)
        break
      case 'timeout':
        timeout = seconds(value)
        break
      case 'read':
        read = oneOf(key, value, ['local', 'latest'] as const)
        break
      case 'driver':
        driver = oneOf(key, value, mountDrivers)
        break
      case 'ro':
        readOnly = true
        break
      case 'rw':
        readOnly = false
        break
      case 'allow_other':
        allowOther = true
        break
      case 'nonempty':
        nonEmpty = true
        break
      case 'noatime':
      case 'relatime':
      case 'strictatime':
        noAccessTimes = key === 'noatime'
        strictAccessTimes = key === 'strictatime'
        break
      case 'atime':
        noAccessTimes = false
        break
      case 'norelatime':
      case 'nostrictatime':
        strictAccessTimes = false
        break
      case 'exec':
      case 'noexec':
        noExec = key === 'noexec'
        break
      case 'user':
      case 'users':
      case 'owner':
      case 'group':
        // mount(8): these imply it, unless what follows says otherwise
        noExec = true
        suid = false
        dev = false
        break
      case 'async':
      case 'defaults':
      case 'auto':
      case 'noauto':
      case '_netdev':
      case 'nofail':
      case 'nouser':
      case 'silent':
      case 'loud':
      // rkfs keeps no access times of directories up to date, and tells of those of files late as it is
      case 'diratime':
      case 'nodiratime':
      case 'lazytime':
      case 'nolazytime':
        break
      case 'remount':
        throw new RkfsError(
          'usage',
          'a mount cannot be changed in place (remount): unmount it, and mount it anew with the other options',
        )
      case 'suid':
      case 'nosuid':
        suid = key === 'suid'
        break
      case 'dev':
      case 'nodev':
        dev = key === 'dev'
        break
      case 'locks':
        locks = oneOf(key, value, ['local', 'channel'] as const)
        break
      default:
        throw new RkfsError('usage', `unknown mount option ${JSON.stringify(option)}: known are ${known.join(', ')}`)
    }
  }
  return {
    sync,
    timeoutSeconds: timeout,
    readOnly,
    allowOther,
    read,
    driver,
    nonEmpty,
    noAccessTimes,
    locks,
    suid,
    dev,
    noExec,
    strictAccessTimes,
  }
}

/**
 * Fails with `usage` for what the driver or the user cannot have, `unavailable` when the driver's package or library is
 * missing, naming the remedy.
 */
export function checkChoices({ driver, locks, suid, dev, allowOther }: MountChoices, user = process.geteuid!()): void {
  const privilege = suid ? 'suid' : dev ? 'dev' : undefined
  if (privilege !== undefined && user !== 0) {
    throw new RkfsError('usage', `the mount option ${privilege} needs root: leave it out, or mount as root`)
  }
  if (driver !== 'fuse-native') return
  if (privilege !== undefined && allowOther) {
    throw new RkfsError(
      'usage',
      `driver=fuse-native does not know who makes a file, so that with allow_other and ${privilege} anybody could make ` +
        'one of root: leave one of them out',
    )
  }
  if (locks === 'channel') {
    throw new RkfsError('usage', 'driver=fuse-native hears of no locks: leave out locks=channel, or the driver')
  }
  loadBinding()
}

/** The single options of several `-o`. */
export function splitMountOptions(given: readonly string[]): string[] {
  return given.flatMap(list => list.split(',')).filter(option => option !== '')
}

/** The choices in the words of `-o`, for `rkfs status`. */
export function formatMountOptions(choices: MountChoices): string {
  const words = [choices.readOnly ? 'ro' : 'rw', `sync=${choices.sync}`, `timeout=${choices.timeoutSeconds}`]
  if (choices.allowOther) words.push('allow_other')
  if (choices.noAccessTimes) words.push('noatime')
  if (choices.read === 'latest') words.push('read=latest')
  if (choices.locks === 'channel') words.push('locks=channel')
  if (choices.suid) words.push('suid')
  if (choices.dev) words.push('dev')
  if (choices.noExec) words.push('noexec')
  if (choices.strictAccessTimes) words.push('strictatime')
  return words.join(',')
}

function oneOf<T extends string>(key: string, value: string | undefined, allowed: readonly T[]): T {
  const found = allowed.find(word => word === value)
  if (found !== undefined) return found
  const given = value === undefined ? 'no value' : JSON.stringify(value)
  throw new RkfsError('usage', `the mount option ${key} must be ${listed(allowed)} (given: ${given})`)
}

function listed(words: readonly string[]): string {
  return words.length === 1 ? words[0]! : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function seconds(value: string | undefined): number {
  if (value !== undefined && /^\d{1,4}$/.test(value)) {
    const number = Number(value)
    if (number >= 1 && number <= timeoutSecondsMax) return number
  }
  throw new RkfsError(
    'usage',
    `the mount option timeout must be a whole number of seconds from 1 to ${timeoutSecondsMax} (given: ${value === undefined ? 'no value' : JSON.stringify(value)})`,
  )
}
