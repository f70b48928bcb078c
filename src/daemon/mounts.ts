import { relative, resolve } from 'node:path'
import { FuseNativeDriver } from '../adapters/fuse-native/native-driver.js'
import { KernelDriver } from '../adapters/fuse/kernel-driver.js'
import { clearDeadMounts } from '../adapters/fuse/mount-point.js'
import { requireDescriptors } from '../adapters/host/descriptors.js'
import { messageOf, RkfsError } from '../base/errors.js'
import { Frontend } from '../channel/frontend.js'
import type { MountDriver, Mounted, MountOptions } from '../channel/mount-port.js'
import type { ChannelHost } from './channel-host.js'
import type { Progress } from './control-protocol.js'
import { DeadMounts, type DeadMount } from './dead-mounts.js'
import type { Log } from './log.js'
import { prepareAgain } from './mount-directory.js'
import { recordedMounts, rememberedMounts, writeMountRecord, type RecordedMount } from './mount-record.js'
import { checkChoices, formatMountOptions, parseMountOptions, type MountChoices } from './mount-options.js'
import { WaitingMounts, type WaitingMount } from './waiting-mounts.js'

export interface ActiveMount {
  readonly directory: string
  readonly driver: string
  /** In force. */
  readonly options: string
  /** As they were given. */
  readonly given: readonly string[]
  readonly host: ChannelHost
  readonly mounted: Mounted
  readonly frontend: Frontend
  /** It does not come back when the node is started again. */
  readonly temporary: boolean
}

/** A mount on its way. */
interface Starting {
  readonly host: ChannelHost
  readonly cancel: AbortController
  /** Resolves when it is mounted, or has failed. */
  readonly settled: Promise<unknown>
}

/** How long a mount waits for the files of a member that is still fetching them. */
export interface Patience {
  readonly seconds: number
  readonly progress: (progress: Progress) => void
  readonly signal: AbortSignal
}

const impatient: Patience = { seconds: 0, progress: () => undefined, signal: new AbortController().signal }
const drainSeconds = 30
/** What somebody else unmounts (umount(8)) is forgotten after so long: at a shutdown the node is told to stop meanwhile. */
const forgetMs = 10_000
const catchUpMs = 5000
/** Beyond the handler's own limits, of which one call can meet two (`read=latest`, then a change). */
const deadlineGraceMs = 10_000

function driverOf({ driver, timeoutSeconds }: MountChoices): MountDriver {
  if (driver === 'kernel') return new KernelDriver({ locks: true })
  return new FuseNativeDriver({ deadlineMs: 2000 * timeoutSeconds + deadlineGraceMs })
}

/**
 * The mounts of this node. One goes away only where somebody asks for it; what a crash or an abort leaves in the kernel's
 * table is a dead mount, and the next mount at that directory takes its place. What was not unmounted by anybody's wish when
 * the node stops comes back when it starts.
 */
export class Mounts {
  readonly #home: string
  readonly #log: Log
  readonly #active = new Set<ActiveMount>()
  readonly #dead: DeadMounts
  readonly #waiting: WaitingMounts
  /** What is not there and comes back at the next start, by directory. */
  readonly #kept = new Map<string, RecordedMount>()
  /** Those that are unmounted for good. */
  readonly #asked = new WeakSet<ActiveMount>()
  /** By directory. */
  readonly #starting = new Map<string, Starting>()
  #closed = false
  #next = 1

  constructor(home: string, log: Log) {
    this.#home = home
    this.#log = log
    this.#dead = new DeadMounts(log)
    this.#waiting = new WaitingMounts(log)
  }

  of(host: ChannelHost): ActiveMount[] {
    return this.all.filter(mount => mount.host === host)
  }

  get all(): ActiveMount[] {
    return [...this.#active]
  }

  /** What nobody serves, and what the kernel's table still has. */
  deadOf(channel: string): DeadMount[] {
    return this.#dead.all.filter(mount => mount.channel === channel)
  }

  /** What is to be there, and is not yet. */
  waitingOf(channel: string): WaitingMount[] {
    return this.#waiting.all.filter(mount => mount.channel === channel)
  }

  /** The mount that a directory shows; not one that was detached from it, and lives on for who uses it. */
  #at(directory: string): ActiveMount | undefined {
    return this.all.find(mount => mount.directory === directory && mount.mounted.attached)
  }

  /** Mounts a channel. Harmless when it is mounted there already with the same options. `temporary`: it is not remembered. */
  async mount(
    host: ChannelHost,
    directory: string,
    given: readonly string[],
    timeoutSeconds: number,
    patience: Patience = impatient,
    temporary = false,
  ): Promise<ActiveMount> {
    const choices = parseMountOptions(given, timeoutSeconds)
    checkChoices(choices)
    this.#checkDirectory(directory)
    while (this.#starting.has(directory)) await this.#starting.get(directory)!.settled
    if (this.#closed) throw new RkfsError('unavailable', 'the node is stopping')
    const there = this.#at(directory)
    if (there !== undefined) return alreadyThere(there, host, choices)
    requireDescriptors(`${directory} is not mounted`)
    const cancel = new AbortController()
    const signal = AbortSignal.any([patience.signal, cancel.signal])
    const starting = this.#start(host, directory, given, choices, { ...patience, signal }, temporary)
    this.#starting.set(directory, { host, cancel, settled: starting.catch(() => undefined) })
    try {
      return await starting
    } finally {
      this.#starting.delete(directory)
    }
  }

  #checkDirectory(directory: string): void {
    if (resolve(directory) !== directory) throw new RkfsError('usage', `${directory} is not an absolute path`)
    const inHome = relative(this.#home, directory)
    if (inHome === '' || !inHome.startsWith('..')) {
      throw new RkfsError(
        'usage',
        `${directory} lies inside the node's home ${this.#home}: choose a directory elsewhere`,
      )
    }
  }

  async #start(
    host: ChannelHost,
    directory: string,
    given: readonly string[],
    choices: MountChoices,
    patience: Patience,
    temporary: boolean,
  ): Promise<ActiveMount> {
    const options = formatMountOptions(choices)
    // a mount without the files behind it would show less than there is
    await host.usable(patience.seconds * 1000, patience.progress, patience.signal)
    const frontend = new Frontend(
      host.channel,
      {
        mount: this.#next++,
        sync: choices.sync,
        timeoutMs: choices.timeoutSeconds * 1000,
        latest: choices.read === 'latest',
        noAccessTimes: choices.noAccessTimes || choices.readOnly,
        strictAccessTimes: choices.strictAccessTimes,
        channelLocks: choices.locks === 'channel',
      },
      {
        now: () => host.now(),
        nextInode: () => host.nextInode(),
        openSpill: () => host.openSpill(),
        locks: host.locks,
        statistics: () => host.statistics(),
        delay: (ms, callback) => void setTimeout(callback, ms).unref(),
      },
    )
    await host.caughtUp(Math.min(catchUpMs, choices.timeoutSeconds * 1000))
    patience.signal?.throwIfAborted()
    frontend.clearLeftOvers(ino => host.isFromEarlierRun(ino))
    let leave = (): void => undefined
    const started = (mounted: Mounted): void => {
      frontend.mounted = mounted
      leave = host.attach(frontend)
    }
    const ended = (): void => {
      leave()
      frontend.close()
    }
    const log: MountOptions['log'] = (level, message, fields) => this.#log[level](message, { directory, ...fields })
    const { readOnly, allowOther, suid, dev, noExec } = choices
    const mounted = await driverOf(choices)
      .mount(
        { directory, source: `rkfs:${host.name}`, readOnly, allowOther, suid, dev, noExec, log, started },
        frontend,
      )
      .catch((error: unknown) => {
        ended()
        throw error
      })
    const active: ActiveMount = {
      directory,
      driver: choices.driver,
      options,
      given,
      host,
      mounted,
      frontend,
      temporary,
    }
    this.#active.add(active)
    this.#dead.delete(directory)
    this.#waiting.delete(directory)
    this.#kept.delete(directory)
    void mounted.ended.then(() => {
      ended()
      this.#ended(active)
    })
    this.#log.info('mounted', { directory, channel: host.name, options })
    this.#record()
    return active
  }

  #ended(active: ActiveMount): void {
    const { directory, mounted, host } = active
    this.#active.delete(active)
    if (mounted.attached) {
      const problem = 'its connection to the kernel was aborted'
      this.#dead.add({ ...recordOf(active), problem })
      this.#log.error('a mount is dead', { directory, channel: host.name })
    } else {
      this.#log.info('unmounted', { directory, channel: host.name })
      if (!this.#asked.has(active)) this.#keep(recordOf(active))
      // one that this mount came over (`takePlace`)
      void clearDeadMounts(directory).catch(error => this.#log.warn(messageOf(error)))
    }
    this.#record()
  }

  /** It went without anybody's wish, or with one that did not come to this node: a start of the node brings it back. */
  #keep(mount: RecordedMount): void {
    const { directory, temporary } = mount
    if (temporary === true || this.#at(directory) !== undefined) return
    const kept = { ...mount, device: '' }
    this.#kept.set(directory, kept)
    if (this.#closed) return
    setTimeout(() => {
      if (this.#closed || this.#kept.get(directory) !== kept) return
      this.#kept.delete(directory)
      this.#record()
    }, forgetMs).unref()
  }

  /** What a start makes anew is found by this. Without it (a full disk) a mount works all the same. */
  #record(): void {
    const there = [...this.all.filter(mount => mount.mounted.attached).map(recordOf), ...this.#dead.all]
    const mounts = new Map<string, RecordedMount>(this.#kept)
    for (const mount of [...this.#waiting.all, ...there]) mounts.set(mount.directory, mount)
    try {
      writeMountRecord(
        this.#home,
        [...mounts.values()].map(({ directory, channel, options, device, temporary }) => ({
          directory,
          channel,
          options,
          device,
          ...(temporary === true ? { temporary } : {}),
        })),
      )
    } catch (error) {
      this.#log.warn('the mounts could not be noted down: after a restart they must be mounted by hand', { error })
    }
  }

  /**
   * Mounts anew what an earlier run of this node left dead, and what it had mounted when it stopped or the machine went down;
   * `open` fails until a channel can be mounted. `except`: the directory that somebody is about to mount at. Resolves when
   * each was tried once.
   */
  async restore(
    open: (channel: string) => ChannelHost,
    timeoutSeconds: number,
    except: string | undefined,
  ): Promise<void> {
    const mount = async ({ channel, directory, options, temporary }: RecordedMount): Promise<unknown> =>
      this.mount(open(channel), directory, options, timeoutSeconds, impatient, temporary)
    let dead: Set<string>
    let waiting: RecordedMount[]
    try {
      dead = new Set(recordedMounts(this.#home).map(({ directory }) => directory))
      waiting = rememberedMounts(this.#home).filter(({ directory }) => !dead.has(directory))
    } catch (error) {
      return this.#log.error('what was mounted cannot be looked up, and has to be mounted by hand', { error })
    }
    this.#dead.restore(this.#home, mount, except)
    await Promise.all(
      waiting.map(found => {
        if (found.directory === except) return void this.#kept.set(except, found)
        return this.#waiting.restore(found, async remembered => {
          const host = open(remembered.channel)
          await prepareAgain(remembered.directory, parseMountOptions(remembered.options).nonEmpty)
          return this.mount(host, remembered.directory, remembered.options, timeoutSeconds)
        })
      }),
    )
  }

  /**
   * Waits until the channel's changes are on a majority, unmounts, and waits for what was changed until then. `force`: at
   * once, whatever uses it. Fails with `no-quorum` when changes are left after `timeout` seconds; if they were left before
   * the unmount, the mount stays.
   */
  async unmount(directory: string, force: boolean, timeout = drainSeconds): Promise<void> {
    const wasStarting = await this.#stopStarting(directory)
    const active = this.#at(directory) ?? this.all.find(mount => mount.directory === directory)
    if (active !== undefined) {
      if (!force) await drain(active, timeout)
      await this.#unmountForGood(active, force)
      // it is gone, whether or not its changes get through
      await this.#clearDead(directory)
      if (!force) await drain(active, timeout)
      return
    } else if (this.#forget(directory) || (wasStarting && !this.#dead.has(directory))) {
      return this.#record()
    } else if (!this.#dead.has(directory)) {
      const known = this.all.map(mount => mount.directory).join(', ')
      throw new RkfsError(
        'not-found',
        `nothing of this node is mounted at ${directory}${known === '' ? '' : ` (mounted: ${known})`}`,
      )
    }
    await this.#clearDead(directory)
  }

  /** One that is just being made, or coming back, is given up. Answers whether there was one; it may be there all the same. */
  async #stopStarting(directory: string): Promise<boolean> {
    const starting = this.#starting.get(directory)
    if (starting === undefined) return false
    this.#forget(directory)
    starting.cancel.abort(new RkfsError('unavailable', `${directory} is not mounted: it was to be unmounted`))
    await starting.settled
    return true
  }

  async #unmountForGood(active: ActiveMount, force: boolean): Promise<void> {
    this.#asked.add(active)
    try {
      await active.mounted.unmount(force)
    } catch (error) {
      this.#asked.delete(active)
      throw error
    }
  }

  /** It does not come back. Answers whether it would have. */
  #forget(directory: string): boolean {
    const wasWaiting = this.#waiting.delete(directory)
    return this.#kept.delete(directory) || wasWaiting
  }

  async #clearDead(directory: string): Promise<void> {
    this.#dead.delete(directory)
    await clearDeadMounts(directory)
    this.#record()
  }

  /** At the end of the node, or of a channel: in order if possible, by force otherwise. */
  async unmountAll(channel?: string, force = false): Promise<void> {
    const concerns = ({ host }: Pick<ActiveMount, 'host'>): boolean => channel === undefined || host.name === channel
    const starting = [...this.#starting.values()].filter(concerns)
    for (const { host, cancel } of starting) {
      cancel.abort(new RkfsError('unavailable', `it is not mounted: ${host.name} is being closed here`))
    }
    await Promise.all(starting.map(({ settled }) => settled))
    const all = this.all.filter(concerns)
    // those of a channel that is closed are not wanted any more; the node's own come back when it starts
    const unmount = (active: ActiveMount, byForce: boolean): Promise<void> =>
      channel === undefined ? active.mounted.unmount(byForce) : this.#unmountForGood(active, byForce)
    await Promise.all(
      all.map(async active => {
        try {
          await unmount(active, force)
        } catch (error) {
          if (force) throw error
          this.#log.warn('the mount is in use and is taken away from its users', { directory: active.directory })
          await unmount(active, true)
        }
      }),
    )
    const dead = this.#dead.all.filter(mount => channel === undefined || mount.channel === channel)
    if (channel === undefined) for (const mount of dead) this.#keep(mount)
    else for (const mount of [...this.#waiting.all, ...this.#kept.values()]) this.#forgetOf(channel, mount)
    await Promise.all(dead.map(({ directory }) => this.#clearDead(directory)))
    this.#record()
  }

  #forgetOf(channel: string, mount: RecordedMount): void {
    if (mount.channel === channel) this.#forget(mount.directory)
  }

  /** Nothing is mounted any more. */
  close(): void {
    this.#closed = true
    this.#dead.close()
    this.#waiting.close()
  }
}

function recordOf({ directory, host, given, mounted, temporary }: ActiveMount): RecordedMount {
  return { directory, channel: host.name, options: given, device: mounted.device ?? '', temporary }
}

function alreadyThere(there: ActiveMount, host: ChannelHost, choices: MountChoices): ActiveMount {
  const { directory } = there
  const options = formatMountOptions(choices)
  if (there.host === host && there.options === options && there.driver === choices.driver) return there
  const what =
    there.host === host
      ? `${host.name} with other options (${there.options}, driver ${there.driver})`
      : `channel ${there.host.name}`
  throw new RkfsError('busy', `${directory} has ${what} mounted: \`rkfs umount ${directory}\` first`)
}

async function drain(
  { host, directory, mounted }: Pick<ActiveMount, 'host' | 'directory' | 'mounted'>,
  seconds: number,
): Promise<void> {
  try {
    await host.drained(seconds * 1000)
  } catch (cause) {
    if (!(cause instanceof RkfsError)) throw cause
    throw undrained(host.name, directory, mounted.attached, seconds, host.channel.pending, cause)
  }
}

/** What `rkfs umount` says when it gives up; `stays`: the mount is still there. */
export function undrained(
  channel: string,
  directory: string,
  stays: boolean,
  seconds: number,
  pending: { readonly operations: number; readonly bytes: number },
  cause?: RkfsError,
): RkfsError {
  const what = pending.operations === 1 ? '1 change' : `${pending.operations} changes`
  const left = `after ${seconds} s, ${what} of ${channel} (${pending.bytes} bytes) made here are not on a majority of its members`
  const journalled = `stay in this node's journal and go on when a majority is back`
  return new RkfsError(
    'no-quorum',
    stays
      ? `${directory} stays mounted: ${left}. \`rkfs umount --force ${directory}\` unmounts without waiting: the changes ` +
          journalled
      : `${directory} is unmounted, but ${left}: the changes ${journalled}. Leave the node running until then`,
    { cause },
  )
}
