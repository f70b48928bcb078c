import type { Command } from 'commander'
import { homeOf } from '../context.js'
import { examine } from '../doctor-checks.js'
import { exitCodes } from '../exit-codes.js'
import { say } from '../output.js'

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check this machine and this home for what rkfs needs, with a remedy for what is wrong')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExit code: 1 if anything failed.\n\nExample:\n  rkfs doctor')
    .action(doctor)
}

async function doctor(options: { json?: boolean }, command: Command): Promise<void> {
  const findings = await examine(homeOf(command))
  if (findings.some(f => f.level === 'fail')) process.exitCode = exitCodes.failed
  if (options.json) return say(JSON.stringify(findings, null, 2))
  for (const f of findings)
    say(`${f.level.padEnd(4)}  ${f.what}: ${f.found}${f.remedy === '' ? '' : ` -> ${f.remedy}`}`)
}
