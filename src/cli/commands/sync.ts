import type { Command } from 'commander'
import { parseDuration, timeForms } from '../arguments.js'
import { ask, channelOf, homeOf } from '../context.js'
import { say } from '../output.js'

/** The node gives up at its limit and says why; we wait a little longer for that answer. */
const GRACE_SECONDS = 10

export function addSync(program: Command): void {
  program
    .command('sync')
    .description('wait until all changes made through this node are committed')
    .argument('<channel>')
    .option('--all', 'and are on all members')
    .option('--timeout <time>', `how long to wait at most, ${timeForms}; 0: no limit (default: 60s)`, parseDuration)
    .addHelpText('after', '\nExamples:\n  rkfs sync demo\n  rkfs sync demo --all --timeout 5m')
    .action(sync)
}

async function sync(given: string, options: { all?: boolean; timeout?: number }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const { timeout = 60 } = options
  const args = { channel, all: options.all === true, timeout }
  const { index } = await ask(home, 'sync', args, {
    timeoutSeconds: timeout,
    graceSeconds: GRACE_SECONDS,
  })
  say(`${channel}: everything up to ${index} is ${options.all ? 'on all members' : 'on a majority'}`)
}
