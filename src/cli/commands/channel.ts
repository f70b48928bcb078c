import type { Command } from 'commander'
import { createInterface } from 'node:readline/promises'
import { messageOf, RkfsError } from '../../base/errors.js'
import { channelsOnDisk, type ChannelOnDisk } from '../../daemon/stopped-channels.js'
import { isNoNode } from '../../daemon/control-client.js'
import type { ChannelSummary, ControlVerbs } from '../../daemon/control-protocol.js'
import { checkChannelName } from '../arguments.js'
import { agreeSeconds, ask, channelOf, homeOf, quickSeconds } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { nodeIdOnDisk } from '../home-on-disk.js'
import { ensureNode, withNode } from '../node-process.js'
import { bytes, hint, printable, say, table } from '../output.js'
import { reachWarning } from '../reach-warning.js'
import { memberRows, memberHeader } from './member.js'

export function addChannel(program: Command): void {
  const channel = program.command('channel').description('create, list, show, close and delete channels')
  channel
    .command('create')
    .description('make a channel with this node as its owner and only member')
    .argument('<channel>', '1 to 64 letters, digits, dots, hyphens and underscores')
    .option('--listen <host:port>', 'where the node listens for other members, if it is started by this command')
    .addHelpText('after', '\nExamples:\n  rkfs channel create demo\n  rkfs channel create demo --listen 192.0.2.7:7400')
    .action(create)
  channel
    .command('delete')
    .description(
      'remove a channel that nobody else is in, with all its files, or what is left of an attempt to make or join one',
    )
    .argument('<channel>')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nA channel that has other members, or may have, or that is mounted, is not deleted.\n\nExample:\n  rkfs channel delete demo',
    )
    .action(remove)
  channel
    .command('list')
    .description('list this node’s channels; while the node does not run, what its disk says (exit code 1)')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  rkfs channel list')
    .action(list)
  channel
    .command('show')
    .description('show a channel’s identity, owner and members')
    .argument('<channel>')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  rkfs channel show demo')
    .action(show)
  channel
    .command('close')
    .description(
      'unmount a channel and stop taking part in it; nothing on disk is removed, and mounting opens it again',
    )
    .argument('<channel>')
    .option('--force', 'even while programs use its mounts or changes cannot be committed')
    .addHelpText('after', '\nExample:\n  rkfs channel close demo')
    .action(close)
}

/** How long to wait for the answer of who is asked. */
const CONFIRM_TIMEOUT_MS = 300_000

async function remove(channel: string, options: { yes?: boolean }, command: Command): Promise<void> {
  checkChannelName(channel)
  const home = homeOf(command)
  if (options.yes !== true && !process.stdin.isTTY) {
    throw new RkfsError('usage', `deleting ${channel} cannot be undone: say --yes if that is what you want`)
  }
  await ensureNode(home, {})
  const planned = await ask(home, 'channel.delete', { channel, dryRun: true }, { timeoutSeconds: quickSeconds })
  if (options.yes !== true) {
    hint(`This is removed from this machine for good, and nobody else has channel ${channel}:`)
    for (const line of removalLines(planned.removed)) hint(line)
    if ((await answer(`Type the channel's name to remove it: `)) !== channel) {
      throw new RkfsError('failed', 'nothing was removed')
    }
  }
  const { removed } = await ask(home, 'channel.delete', { channel, dryRun: false }, { timeoutSeconds: agreeSeconds })
  say([`channel ${channel} is deleted:`, ...removalLines(removed)].join('\n'))
}

function removalLines(removed: ControlVerbs['channel.delete']['result']['removed']): string[] {
  if (removed.length === 0) return ['  the note of an attempt']
  return table(
    ['', '', ''],
    removed.map(({ path, what, bytes: size }) => [`  ${path}`, what, bytes(size)]),
  ).slice(1)
}

async function answer(question: string): Promise<string> {
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await reader.question(question, { signal: AbortSignal.timeout(CONFIRM_TIMEOUT_MS) })).trim()
  } catch {
    return ''
  } finally {
    reader.close()
  }
}

async function create(channel: string, options: { listen?: string }, command: Command): Promise<void> {
  checkChannelName(channel)
  const home = homeOf(command)
  const made = await withNode(home, { listen: options.listen }, {}, () =>
    ask(home, 'channel.create', { channel }, { timeoutSeconds: agreeSeconds }),
  )
  say(`channel ${made.channel} is made (${made.id})`)
  hint(`mount it with \`rkfs mount ${channel} <dir>\`; invite others with \`rkfs member invite ${channel}\``)
  const warning = reachWarning(made.address)
  if (warning !== undefined) hint(warning)
}

async function list(options: { json?: boolean }, command: Command): Promise<void> {
  const channels = await summaries(homeOf(command))
  if (channels.some(c => c.state === 'failed')) process.exitCode = exitCodes.failed
  if (options.json) return say(JSON.stringify(channels, null, 2))
  if (channels.length === 0)
    return hint('no channels: make one with `rkfs channel create`, or join one with `rkfs join`')
  const rows = channels.map(c => [c.name, c.id, c.role, c.state, String(c.members), c.mounts.join(' ')])
  say(table(['CHANNEL', 'ID', 'ROLE', 'STATE', 'MEMBERS', 'MOUNTS'], rows).join('\n'))
  for (const { name, problem } of channels) {
    // a node of another version may not say
    if (typeof problem === 'string') hint(`rkfs: ${name}: ${printable(problem)}`)
  }
}

async function summaries(home: string): Promise<readonly (ChannelSummary | ChannelOnDisk)[]> {
  try {
    const { channels } = await ask(home, 'channel.list', {}, { timeoutSeconds: quickSeconds })
    return channels
  } catch (error) {
    const found = isNoNode(error) ? channelsOnDisk(home, nodeIdOnDisk(home)) : []
    if (found.length === 0) throw error
    hint(`rkfs: ${messageOf(error)}; this is what its disk says`)
    process.exitCode = exitCodes.failed
    return found
  }
}

async function show(given: string, options: { json?: boolean }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const found = await ask(home, 'channel.show', { channel }, { timeoutSeconds: quickSeconds })
  if (options.json) return say(JSON.stringify(found, null, 2))
  say(
    [
      `channel      ${found.name} (${found.id})`,
      `owner        ${found.owner}`,
      `folder       ${found.folder}`,
      `authority    ${found.authorityFingerprint}`,
      `descriptor   version ${found.descriptorVersion}`,
      '',
      ...table(memberHeader, memberRows(found.members)),
    ].join('\n'),
  )
}

async function close(given: string, options: { force?: boolean }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const force = options.force === true
  await ask(home, 'channel.close', { channel, force }, { timeoutSeconds: agreeSeconds })
  say(`channel ${channel} is closed on this node`)
}
