import type { Command } from 'commander'
import { RkfsError } from '../../base/errors.js'
import type { LogItem } from '../../daemon/control-protocol.js'
import { parseWholeNumber } from '../arguments.js'
import { ask, channelOf, homeOf } from '../context.js'
import { bytes, printable, say } from '../output.js'

const DEFAULT_LINES = 20
const READ_SECONDS = 300

export function addLog(program: Command): void {
  program
    .command('log')
    .description('print the changes of a channel, the newest last')
    .argument('<channel>')
    .option('--follow', 'go on with new ones until interrupted')
    .option('--json', 'one object a line')
    .option('--from <index>', 'start at this index', parseWholeNumber)
    .option('-n <count>', `how many at most (default: ${DEFAULT_LINES}; with --from: all)`, parseWholeNumber)
    .addHelpText(
      'after',
      '\nExamples:\n  rkfs log demo -n 50\n  rkfs log demo --from 1 --json\n  rkfs log demo --follow',
    )
    .action(log)
}

interface Options {
  follow?: boolean
  json?: boolean
  from?: number
  n?: number
}

async function log(given: string, options: Options, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  if (options.n === 0 && !options.follow) throw new RkfsError('usage', '-n must be 1 or more, unless with --follow')
  const follow = options.follow === true
  const limit = options.n ?? (options.from === undefined ? DEFAULT_LINES : Number.MAX_SAFE_INTEGER)
  const print = (item: unknown): void => say(options.json ? JSON.stringify(item) : formatLogItem(item as LogItem))
  await ask(
    home,
    'log',
    { channel, follow, from: options.from, limit },
    { timeoutSeconds: follow ? 0 : READ_SECONDS, onItem: print },
  )
}

export function formatLogItem(item: LogItem): string {
  const size = item.bytes > 0 ? ` (${bytes(item.bytes)})` : ''
  const state = item.committed ? '' : '  [not committed]'
  return `${item.index} t${item.term} ${item.time} ${item.origin} ${printable(item.operation)}${size}${state}`
}
