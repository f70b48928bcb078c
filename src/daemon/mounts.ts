import { relative, resolve } from 'node:path'
import { FuseNativeDriver } from '../adapters/fuse-native/native-driver.js'
import { KernelDriver } from '../adapters/fuse/kernel-driver.js'
import { RkfsError } from '../base/errors.js'
import { Frontend } from '../channel/frontend.js'
import type { MountDriver, Mounted } from '../channel/mount-port.js'
import type { ChannelHost } from './channel-host.js'
import type { Log } from './log.js'
import { checkDriver, formatMountOptions, parseMountOptions, type MountChoices } from './mount-options.js'

export interface ActiveMount {
  readonly directory: string
  readonly driver: string
  readonly options: string
  readonly host: ChannelHost
  readonly mounted: Mounted
  readonly frontend: Frontend
}

const drainSeconds = 30
const catchUpMs = 5000
/** Beyond the handler's own limits, of which one call can meet two (`read=latest`, then a change). */
const deadlineGraceMs = 10_000

function driverOf({ driver, timeoutSeconds, locks }: MountChoices): MountDriver {
  if (driver === 'kernel') return new KernelDriver({ locks: locks === 'channel' })
  return new FuseNativeDriver({ deadlineMs: 2000 * timeoutSeconds + deadlineGraceMs })
}

/** The mounts of this node. */
export class Mounts {
  readonly #home: string
  readonly #log: Log
  readonly #active = new Map<string, ActiveMount>()
  readonly #starting = new Set<string>()
  #next = 1

  constructor(home: string, log: Log) {
    this.#home = home
    this.#log = log
  }

  of(host: ChannelHost): ActiveMount[] {
    return [...this.#active.values()].filter(mount => mount.host === host)
  }

  get all(): ActiveMount[] {
    return [...this.#active.values()]
  }

  /** Mounts a channel. Harmless when it is mounted there already with the same options. */
  async mount(
    host: ChannelHost,
    directory: string,
    given: readonly string[],
    timeoutSeconds: number,
  ): Promise<ActiveMount> {
    const choices = parseMountOptions(given, timeoutSeconds)
    const options = formatMountOptions(choices)
    checkDriver(choices)
    if (resolve(directory) !== directory) throw new RkfsError('usage', `${directory} is not an absolute path`)
    const inHome = relative(this.#home, directory)
    if (inHome === '' || !inHome.startsWith('..')) {
      throw new RkfsError(
        'usage',
        `${directory} lies inside the node's home ${this.#home}: choose a directory elsewhere`,
      )
    }
    const there = this.#active.get(directory)
    if (there !== undefined) {
      if (there.host === host && there.options === options && there.driver === choices.driver) return there
      const what =
        there.host === host
          ? `${host.name} with other options (${there.options}, driver ${there.driver})`
          : `channel ${there.host.name}`
      throw new RkfsError('busy', `${directory} has ${what} mounted: \`rkfs umount ${directory}\` first`)
    }
    if (this.#starting.has(directory)) throw new RkfsError('busy', `${directory} is being mounted already`)
    this.#starting.add(directory)
    try {
      const frontend = new Frontend(
        host.channel,
        {
          mount: this.#next++,
          sync: choices.sync,
          timeoutMs: choices.timeoutSeconds * 1000,
          latest: choices.read === 'latest',
          noAccessTimes: choices.noAccessTimes || choices.readOnly,
          channelLocks: choices.locks === 'channel',
        },
        {
          now: () => host.now(),
          nextInode: () => host.nextInode(),
          openSpill: () => host.openSpill(),
          statistics: () => host.statistics(),
          delay: (ms, callback) => void setTimeout(callback, ms).unref(),
        },
      )
      await host.caughtUp(Math.min(catchUpMs, choices.timeoutSeconds * 1000))
      frontend.clearLeftOvers(ino => host.isFromEarlierRun(ino))
      const mounted = await driverOf(choices).mount(
        {
          directory,
          source: `rkfs:${host.name}`,
          readOnly: choices.readOnly,
          allowOther: choices.allowOther,
          log: (level, message, fields) => this.#log[level](message, { directory, ...fields }),
        },
        frontend,
      )
      frontend.mounted = mounted
      const leave = host.channel.observe(frontend)
      const active: ActiveMount = { directory, driver: choices.driver, options, host, mounted, frontend }
      this.#active.set(directory, active)
      void mounted.ended.then(() => {
        leave()
        frontend.close()
        if (this.#active.get(directory) === active) this.#active.delete(directory)
        this.#log.info('unmounted', { directory, channel: host.name })
      })
      this.#log.info('mounted', { directory, channel: host.name, options })
      return active
    } finally {
      this.#starting.delete(directory)
    }
  }

  /**
   * Waits until the channel's changes are on a majority, then unmounts. `force`: at once, whatever uses it. Fails with
   * `no-quorum` when changes are left after `timeout` seconds; the mount then stays.
   */
  async unmount(directory: string, force: boolean, timeout = drainSeconds): Promise<void> {
    const active = this.#active.get(directory)
    if (active === undefined) {
      const known = this.all.map(mount => mount.directory).join(', ')
      throw new RkfsError(
        'not-found',
        `nothing of this node is mounted at ${directory}${known === '' ? '' : ` (mounted: ${known})`}`,
      )
    }
    if (!force) await drain(active, timeout)
    await active.mounted.unmount(force)
  }

  /** At the end of the node: in order if possible, by force otherwise. */
  async unmountAll(hosts: (mount: ActiveMount) => boolean = () => true, force = false): Promise<void> {
    const all = this.all.filter(hosts)
    await Promise.all(
      all.map(async ({ mounted, directory }) => {
        try {
          await mounted.unmount(force)
        } catch (error) {
          if (force) throw error
          this.#log.warn('the mount is in use and is taken away from its users', { directory })
          await mounted.unmount(true)
        }
      }),
    )
  }
}

async function drain({ host, directory }: Pick<ActiveMount, 'host' | 'directory'>, seconds: number): Promise<void> {
  try {
    await host.drained(seconds * 1000)
  } catch (cause) {
    if (!(cause instanceof RkfsError)) throw cause
    throw undrained(host.name, directory, seconds, host.channel.pending, cause)
  }
}

/** What `rkfs umount` says when it gives up. */
export function undrained(
  channel: string,
  directory: string,
  seconds: number,
  pending: { readonly operations: number; readonly bytes: number },
  cause?: RkfsError,
): RkfsError {
  const what = pending.operations === 1 ? '1 change' : `${pending.operations} changes`
  return new RkfsError(
    'no-quorum',
    `${directory} stays mounted: after ${seconds} s, ${what} of ${channel} (${pending.bytes} bytes) made here are not on a ` +
      `majority of its members. \`rkfs umount --force ${directory}\` unmounts without waiting: the changes stay in this ` +
      `node's journal and go on when a majority is back`,
    { cause },
  )
}
