import type { Command } from 'commander'
import { checkChannelName } from '../arguments.js'
import { ask, homeOf, quickSeconds } from '../context.js'
import { hint, say, table } from '../output.js'

export function addConflicts(program: Command): void {
  program
    .command('conflicts')
    .description('list changes that could not be kept in the order, and where their data is')
    .argument('<channel>')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  rkfs conflicts demo')
    .action(conflicts)
}

async function conflicts(channel: string, options: { json?: boolean }, command: Command): Promise<void> {
  checkChannelName(channel)
  const report = await ask(homeOf(command), 'conflicts', { channel }, { timeoutSeconds: quickSeconds })
  if (options.json) return say(JSON.stringify(report.conflicts, null, 2))
  if (report.conflicts.length === 0) return hint(`${channel}: no conflicts`)
  say(
    table(
      ['TIME', 'PATH', 'REASON', 'COPY'],
      report.conflicts.map(c => [c.time, c.path, c.reason, c.copy]),
    ).join('\n'),
  )
}
