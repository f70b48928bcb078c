import type { Command } from 'commander'
import type { VerifyReport } from '../../daemon/control-protocol.js'
import { parseDuration, timeForms } from '../arguments.js'
import { ask, channelOf, homeOf } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { bytes, counted, printable, say, table } from '../output.js'

export function addVerify(program: Command): void {
  program
    .command('verify')
    .description('prove that all members have the same log and the same state')
    .argument('<channel>')
    .option('--deep', 'read and compare every byte of every file, too')
    .option('--json', 'for scripts')
    .option('--timeout <time>', `how long it may take, ${timeForms} (default: 1h)`, parseDuration)
    .addHelpText(
      'after',
      '\nExit code: 0 all members agree; 1 one differs or could not be asked.\n\nExamples:\n  rkfs verify demo\n  rkfs verify demo --deep',
    )
    .action(verify)
}

interface Options {
  deep?: boolean
  json?: boolean
  timeout?: number
}

async function verify(given: string, options: Options, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const args = { channel, deep: options.deep === true }
  const report = await ask(home, 'verify', args, { timeoutSeconds: options.timeout ?? 3600 })
  say(options.json ? JSON.stringify(report, null, 2) : formatVerify(channel, report, args.deep))
  if (!report.ok) process.exitCode = exitCodes.failed
}

export function formatVerify(channel: string, report: VerifyReport, deep: boolean): string {
  const rows = report.members.map(m => [
    m.id,
    m.name,
    m.ok ? 'ok' : 'DIFFERS',
    m.digest.slice(0, 16),
    deep ? m.content.slice(0, 16) : '',
  ])
  const lines = table(['MEMBER', 'NAME', 'RESULT', 'STATE', 'CONTENT'], rows)
  for (const m of report.members)
    for (const p of m.problems) lines.push(`problem on ${printable(m.name)}: ${printable(p)}`)
  for (const m of report.members) {
    if (m.healed > 0) {
      lines.push(
        `healed on ${printable(m.name)}: ${counted(m.healed, 'damaged part')} of files came from another member; look at its disk`,
      )
    }
  }
  for (const member of report.unreachable) lines.push(`could not be asked: ${printable(member)}`)
  const checked = [counted(report.entriesChecked, 'entry', 'entries')]
  if (deep) checked.push(counted(report.filesChecked, 'file'), bytes(report.bytesChecked))
  const verdict = report.ok ? 'ok: all members agree' : 'NOT OK'
  lines.push(`${channel} at ${report.index}: ${verdict} (checked: ${checked.join(', ')})`)
  return lines.join('\n')
}
