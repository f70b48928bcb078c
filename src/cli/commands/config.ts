import type { Command } from 'commander'
import { loadConfig } from '../../daemon/config.js'
import { inspectHome } from '../../daemon/home.js'
import { homeOf } from '../context.js'
import { say, table } from '../output.js'

export function addConfig(program: Command): void {
  program
    .command('config')
    .description('print the settings in force for a node that is started now, and where each comes from')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      `
Built-in values, then config.toml in the home, then RKFS_<KEY> in the environment, then flags of \`serve\`.

Examples:
  rkfs config
  RKFS_LISTEN=0.0.0.0:7400 rkfs config --json`,
    )
    .action(config)
}

function config(options: { json?: boolean }, command: Command): void {
  const home = homeOf(command)
  inspectHome(home)
  const { entries } = loadConfig(home, process.env)
  const all = [{ key: 'home', value: home, source: homeSource(command) }, ...entries]
  if (options.json) return say(JSON.stringify(all, null, 2))
  say(
    table(
      ['KEY', 'VALUE', 'FROM'],
      all.map(e => [e.key, e.value === '' ? '""' : String(e.value), e.source]),
    ).join('\n'),
  )
}

function homeSource(command: Command): string {
  if (command.optsWithGlobals<{ home?: string }>().home !== undefined) return '--home'
  if (process.env['RKFS_HOME']) return 'RKFS_HOME'
  return process.env['XDG_DATA_HOME'] ? 'XDG_DATA_HOME' : 'built-in'
}
