import { CommanderError } from 'commander'
import { messageOf, RkfsError } from '../base/errors.js'
import { isSystemError, machineWords } from '../base/system-error.js'
import { exitCodeOf, exitCodes } from './exit-codes.js'
import { withoutTokens } from './hidden-token.js'
import { printable } from './output.js'

/** What a command's failure means for the user: one line (none where commander has printed help), and the exit code. */
export function explain(error: unknown): { code: number; message: string } {
  if (error instanceof CommanderError) {
    // Help and version were asked for and are printed.
    if (error.exitCode === 0) return { code: exitCodes.done, message: '' }
    // `rkfs`, `rkfs channel`: the help is printed on standard error.
    if (error.code === 'commander.help') return { code: exitCodes.usage, message: '' }
    return { code: exitCodes.usage, message: `${oneLine(error.message.replace(/^error: /, ''))} (see --help)` }
  }
  if (error instanceof RkfsError) return { code: exitCodeOf(error.code), message: oneLine(error.message) }
  if (isSystemError(error)) return { code: exitCodes.failed, message: oneLine(machineWords(error)) }
  if (process.env['RKFS_LOG_LEVEL'] === 'debug' && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return { code: exitCodes.failed, message: `${oneLine(messageOf(error))} (a fault of rkfs)` }
}

function oneLine(text: string): string {
  return printable(
    withoutTokens(text)
      .replace(/\s*\n\s*/g, ' ')
      .trim(),
  )
}
