import type { Command } from 'commander'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChildProcess } from 'node:child_process'
import { mountsAt, RKFS_TYPE } from '../../adapters/fuse/mountinfo.js'
import { runningHolder } from '../../adapters/host/lock-holder.js'
import { isRunning } from '../../adapters/host/process.js'
import { messageOf, RkfsError } from '../../base/errors.js'
import { inspectHome } from '../../daemon/home.js'
import { checkChoices, parseMountOptions, splitMountOptions } from '../../daemon/mount-options.js'
import { checkChannelName, collect, parseDuration, timeForms } from '../arguments.js'
import { agreeSeconds, ask, channelOf, homeOf, quickSeconds } from '../context.js'
import { removeDirectories } from '../made-directories.js'
import { prepareDirectory } from '../mount-point.js'
import { stopNode, withNode } from '../node-process.js'
import { hint, say } from '../output.js'

const POLL_MS = 300
const DRAIN_SECONDS = 120
/** Who sees the progress waits, as for `join`; a script is told the reason soon. */
const WAIT_SECONDS = 600
const BRIEF_SECONDS = 10
const SLICE_SECONDS = 5

export function addMount(program: Command): void {
  program
    .command('mount')
    .description('mount a channel; on a new home also make its identity and a channel of one member')
    .argument('<channel>', 'the channel’s name')
    .argument('<dir>', 'the mount point; made when it does not exist')
    .option('-f, --foreground', 'stay until the mount ends; SIGINT and SIGTERM unmount it')
    .option('-o <options>', 'options a=b,c separated by commas; see below', collect)
    .option(
      '--timeout <time>',
      `how long to wait while this member fetches the files, ${timeForms} (default: 10m on a terminal, else 10s)`,
      parseDuration,
    )
    .option('--listen <host:port>', 'where the node listens for other members, if it is started by this command')
    .addHelpText(
      'after',
      `
Options for -o:
  sync=close|fsync|always   which calls wait until a majority has the change on its disk (default: close)
  timeout=S                 how long a change waits for a majority, 1 to 3600 seconds (default: 30)
  read=local|latest         latest: open and path lookup first catch up with all that is committed, and
                            all changes but writes wait for a majority
  ro, rw                    ro: refuse changes through this mount (default: rw)
  noexec, exec              noexec: nothing in it can be executed (default: exec)
  noatime, relatime, strictatime
                            whether reading a file changes its access time (default: relatime)
  allow_other               other users may use the mount; a mount made by root is always open to all
  suid, dev                 set-uid files and file capabilities, or device nodes, have effect here (default: nosuid,nodev):
                            every member can make them, so whoever has a member's key is then root here
  nonempty                  mount over a directory that is not empty
  locks=local|channel       whether locks hold between the programs here alone, or on all members (default: local)
  driver=kernel|fuse-native how to speak to the kernel; fuse-native (libfuse 2) can do less: native-deps.md

The words that fstab(5) and systemd have for themselves are taken, too: defaults, _netdev, nofail, user, x-systemd.*.

The mount is remembered: it comes back when the node is started again, until \`rkfs umount\` forgets it.

Examples:
  rkfs mount photos ~/photos
  rkfs mount demo /mnt/demo -o sync=fsync,timeout=10`,
    )
    .action(mount)
}

interface Options {
  foreground?: boolean
  o?: string[]
  listen?: string
  timeout?: number
}

/** As /sbin/mount.rkfs: who called mount(8) sees to it that the mount comes back. */
export async function mountForHelper(
  channel: string,
  dir: string,
  options: readonly string[],
  command: Command,
): Promise<void> {
  const home = homeOf(command)
  if (inspectHome(home)?.version === undefined) {
    // at boot a home may be missing since its disk is
    throw new RkfsError(
      'not-found',
      `${home} is no home of a node yet: \`rkfs mount\` or \`rkfs join\` makes one, home=DIR names another`,
    )
  }
  await mountAt(channel, dir, { o: [...options] }, command, { temporary: true, byHelper: true })
}

interface How {
  /** It does not come back when the node is started again. */
  readonly temporary: boolean
  /** Makes no channel, and says nothing when all is well. */
  readonly byHelper: boolean
}

async function mount(channel: string, dir: string, options: Options, command: Command): Promise<void> {
  await mountAt(channel, dir, options, command, { temporary: options.foreground === true, byHelper: false })
}

async function mountAt(channel: string, dir: string, options: Options, command: Command, how: How): Promise<void> {
  checkChannelName(channel)
  const choices = parseMountOptions(options.o ?? [])
  checkChoices(choices)
  const home = homeOf(command)
  const { directory, hidden, made = [] } = prepareDirectory(dir, home, channel, choices)
  const foreground = options.foreground === true
  // From the start on: who is told to end while the mount is being made leaves neither mount nor node behind.
  const isToldToEnd = foreground ? catchSignals() : undefined
  let started: ChildProcess | undefined
  try {
    const wait = options.timeout ?? (process.stderr.isTTY ? WAIT_SECONDS : BRIEF_SECONDS)
    await withNode(home, { listen: options.listen }, { foreground, mounting: directory }, node => {
      ;({ started } = node)
      return mountWithPatience(wait, isToldToEnd, slice =>
        mountOnNode(home, channel, directory, splitMountOptions(options.o ?? []), slice, how),
      )
    })
  } catch (error) {
    if (foreground && started !== undefined) await stopNode(home, started)
    if (mountsAt(directory).length === 0) removeDirectories(made)
    throw error
  }
  if (hidden !== undefined) hint(`rkfs: ${hidden}`)
  if (isToldToEnd !== undefined) await stayForeground(home, directory, started, isToldToEnd)
}

function catchSignals(): () => boolean {
  let signals = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void signals++)
  return () => signals > 0
}

/** In the foreground a signal ends the wait for the files soon. */
async function mountWithPatience(
  wait: number,
  isToldToEnd: (() => boolean) | undefined,
  mountWithin: (seconds: number) => Promise<void>,
): Promise<void> {
  if (isToldToEnd === undefined) return mountWithin(wait)
  for (let left = wait; ; left -= SLICE_SECONDS) {
    try {
      return await mountWithin(Math.min(left, SLICE_SECONDS))
    } catch (error) {
      const mayCome = error instanceof RkfsError && error.code === 'unavailable' && left > SLICE_SECONDS
      if (!mayCome || isToldToEnd()) throw error
    }
  }
}

async function mountOnNode(
  home: string,
  channel: string,
  directory: string,
  options: string[],
  wait: number,
  { temporary, byHelper }: How,
): Promise<void> {
  const { channels } = await ask(home, 'channel.list', {}, { timeoutSeconds: quickSeconds })
  const known = channels.map(c => c.name)
  const create = !byHelper && known.every(name => name === channel)
  if (!create && !known.includes(channel)) {
    const meant = known.length === 0 ? channel : await channelOf(home, channel)
    if (meant !== channel) return mountOnNode(home, meant, directory, options, wait, { temporary, byHelper })
    throw new RkfsError(
      'not-found',
      `this node has no channel ${channel} (it has ${known.join(', ') || 'none'}): make it with \`rkfs channel create ${channel}\`, or join it with a token (rkfs join)`,
    )
  }
  const mounted = await ask(
    home,
    'mount',
    { channel, directory, options, create, wait, temporary },
    { timeoutSeconds: wait + agreeSeconds },
  )
  await checkVisible(home, channel, mounted)
  if (byHelper) return
  say(
    `${channel} is mounted at ${mounted.directory}${mounted.created ? ' (a new channel; this node is its owner and only member)' : ''}`,
  )
  if (mounted.conflicts > 0) {
    hint(
      `rkfs: ${mounted.conflicts} changes that programs made here before the node ended are not in ${channel}, for nobody else had them; copies are kept: rkfs conflicts ${channel}`,
    )
  }
}

/** The node mounts in its own mount namespace, which need not be ours: only what our table has is mounted for who asked. */
async function checkVisible(
  home: string,
  channel: string,
  { directory, already }: { readonly directory: string; readonly already: boolean },
): Promise<void> {
  if (mountsAt(directory).at(-1)?.type === RKFS_TYPE) return
  const node = runningHolder(home)?.pid
  if (!already) await ask(home, 'umount', { directory, force: true }, { timeoutSeconds: quickSeconds })
  const kept = already ? '' : ', and was unmounted again'
  throw new RkfsError(
    'failed',
    `${channel} was mounted at ${directory} where its node runs${node === undefined ? '' : ` (process ${node})`}${kept}, but ` +
      `nothing is mounted there for this command: it runs in another mount namespace (a container, or a service with ` +
      `PrivateMounts). Run it where the node runs (nsenter -m -t ${node ?? 'PROCESS'}), or stop the node and start it here`,
  )
}

/** Until the mount ends: by a signal to us, by `rkfs umount` or umount(8), or with the node, which leaves it dead. */
async function stayForeground(
  home: string,
  directory: string,
  started: ChildProcess | undefined,
  isToldToEnd: () => boolean,
): Promise<void> {
  const node = started?.pid ?? runningHolder(home)?.pid
  const gone = (): boolean => node !== undefined && !isRunning(node)
  const mounted = (): boolean => mountsAt(directory).length > 0
  while (!isToldToEnd() && mounted() && !gone()) await sleep(POLL_MS)
  if (isToldToEnd() && mounted() && !gone()) await leave(home, directory)
  if (gone() && !isToldToEnd()) {
    const dead = mounted()
      ? `; the mount at ${directory} is dead until \`rkfs mount\` or \`rkfs serve\` takes its place`
      : ''
    const reason = started === undefined ? `see node.log in it` : 'its reason stands above'
    throw new RkfsError('failed', `the node on ${home} ended: ${reason}${dead}`)
  }
  if (started !== undefined) await stopNode(home, started)
}

async function leave(home: string, directory: string): Promise<void> {
  try {
    await ask(home, 'umount', { directory, force: false }, { timeoutSeconds: DRAIN_SECONDS })
  } catch (error) {
    hint(`rkfs: ${messageOf(error)}; the mount is detached by force`)
    await ask(home, 'umount', { directory, force: true }, { timeoutSeconds: quickSeconds })
  }
}
