import type { Command } from 'commander'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../base/errors.js'
import { callDaemon, isNoNode } from '../../daemon/control-client.js'
import type { ChannelStatus, StatusReport } from '../../daemon/control-protocol.js'
import { channelOf, homeOf, quickSeconds } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { nodeIdOnDisk, statusOnDisk } from '../home-on-disk.js'
import { hint, printable, say } from '../output.js'
import { formatStatus } from '../status-view.js'
import { inspectHome } from '../../daemon/home.js'
import { recordedMounts } from '../../daemon/mount-record.js'
import { channelsOnDisk } from '../../daemon/stopped-channels.js'

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('show the node, its channels, their members, quorum and mounts')
    .argument('[channel]', 'show this one only')
    .option('--json', 'for scripts')
    .option('--watch', 'show it anew each second until interrupted')
    .addHelpText(
      'after',
      `
The first line of a channel says how many copies are complete and how many machines may fail; what is wrong comes
next, with what to do.

Exit code: 0 all is well; 3 a channel shown has no quorum; 1 one is quarantined or failed, or degraded: a voter is
missing, a disk is full or short, a mount is not there, a member's home went back in time, files are still being
fetched; or no node runs.

Examples:
  rkfs status
  rkfs status demo --json
  rkfs status --watch`,
    )
    .action(status)
}

interface Options {
  json?: boolean
  watch?: boolean
}

async function status(given: string | undefined, options: Options, command: Command): Promise<void> {
  const home = homeOf(command)
  inspectHome(home)
  const channel = given === undefined ? undefined : await channelOf(home, given)
  for (;;) {
    const screen = await oneStatus(home, channel, options)
    if (!options.watch) return
    if (options.json) say(screen)
    else process.stdout.write(`${process.stdout.isTTY ? '\x1b[H\x1b[2J' : ''}${screen}\n`)
    await sleep(1000)
  }
}

/** Prints one report, or answers it for `--watch`; sets the exit code. */
async function oneStatus(home: string, channel: string | undefined, options: Options): Promise<string> {
  let text: string
  try {
    const report = await callDaemon(home, 'status', { channel }, { timeoutMs: quickSeconds * 1000 })
    process.exitCode = exitCodeOfStatus(report)
    text = options.json ? JSON.stringify(report, null, options.watch ? 0 : 2) : formatStatus(report)
  } catch (error) {
    if (options.watch && !options.json) return `rkfs: ${messageOf(error)}`
    if (isNoNode(error) && !options.json) {
      nameDeadMounts(home)
      nameProblems(home)
    }
    if (!isNoNode(error) || !options.json) throw error
    process.exitCode = exitCodes.failed
    text = JSON.stringify(await statusOnDisk(home), null, options.watch ? 0 : 2)
  }
  if (!options.watch) say(text)
  return text
}

function nameDeadMounts(home: string): void {
  for (const { directory, channel } of recordedMounts(home)) {
    const at = printable(directory)
    hint(
      `rkfs: the mount of ${channel} at ${at} is dead, since its node is gone: \`rkfs mount ${channel} ${at}\` takes its place`,
    )
  }
}

/** What will keep the node, or one of its channels, from starting. */
function nameProblems(home: string): void {
  const channels = new Map<string, string[]>()
  for (const { name, problem } of channelsOnDisk(home, nodeIdOnDisk(home))) {
    if (problem !== null) channels.set(problem, [...(channels.get(problem) ?? []), name])
  }
  for (const [problem, names] of channels) hint(`rkfs: ${names.join(', ')}: ${printable(problem)}`)
}

export function exitCodeOfStatus(report: StatusReport): number {
  const open = report.channels.filter(c => c.state !== 'closed')
  if (open.some(c => c.state === 'quarantined' || c.state === 'failed')) return exitCodes.failed
  // a node of another version may not say
  if (open.some(c => (c.findings ?? []).length > 0)) return exitCodes.failed
  if (open.some(lacksQuorum)) return exitCodes.noQuorum
  return open.some(c => c.fetching || isDegraded(c)) ? exitCodes.failed : exitCodes.done
}

/** Who takes files in follows nobody meanwhile, though a majority is there. */
function lacksQuorum({ state, quorum, fetching }: ChannelStatus): boolean {
  return fetching ? quorum.reachable < quorum.needed : state === 'no-quorum' || !quorum.ok
}

/** All is served, and less may fail than should. */
function isDegraded({ quorum, disk, missing, mounts }: ChannelStatus): boolean {
  if (quorum.reachable < quorum.voters || (missing ?? 0) > 0) return true
  if (disk !== null && disk !== undefined && disk.state !== 'ok') return true
  return mounts.some(({ state }) => state === 'dead' || state === 'waiting')
}
