import { RkfsError } from '../base/errors.js'
import { systemError } from '../base/system-error.js'
import { closeDebugger } from './closed-debugger.js'
import { exitCodes } from './exit-codes.js'
import { explain } from './explain.js'
import { createProgram } from './program.js'
import { tellStarter } from './starter.js'

/** Runs the command that this process was started with; its failure is one line on standard error and an exit code. */
export async function run(): Promise<void> {
  await closeDebugger()
  // The reader of our output has gone (`rkfs log | head`): so do we.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.stderr.write(`rkfs: the output cannot be written: ${systemError(error)}\n`)
    process.exit(exitCodes.failed)
  })
  // nobody is left who could be told
  process.stderr.on('error', () => undefined)
  try {
    await createProgram().parseAsync(process.argv)
  } catch (error) {
    const { code, message } = explain(error)
    if (message !== '' && process.argv.includes('--json')) sayAsJson(error, code, message)
    if (message !== '') process.stderr.write(`rkfs: ${message}\n`)
    tellStarter(message)
    // not process.exit: what is on its way to a pipe would be lost
    process.exitCode = code
    await drained()
    process.exit(code)
  }
}

/** What a script reads that asked for JSON: one object, also where all that is to be said is what went wrong. */
function sayAsJson(error: unknown, exitCode: number, message: string): void {
  const code = error instanceof RkfsError ? error.code : exitCode === exitCodes.usage ? 'usage' : 'failed'
  process.stdout.write(`${JSON.stringify({ error: { code, message, exitCode } })}\n`)
}

function drained(): Promise<void> {
  const ends = (stream: NodeJS.WriteStream): Promise<void> => new Promise(resolve => stream.write('', () => resolve()))
  return Promise.all([ends(process.stdout), ends(process.stderr)]).then(() => undefined)
}
