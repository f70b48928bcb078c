import { RkfsError } from '../base/errors.js'
import { systemError } from '../base/system-error.js'
import { closeDebugger } from './closed-debugger.js'
import { exitCodes } from './exit-codes.js'
import { explain } from './explain.js'
import { createProgram } from './program.js'
import { tellStarter } from './starter.js'

/**
 * Runs the command that this process was started with; its failure is one line on standard error and an exit code. That
 * code stays what it is where the output cannot be written, too; a command that succeeded ends with 1 then.
 */
export async function run(): Promise<void> {
  await closeDebugger()
  // The reader of our output has gone (`rkfs log | head`): so do we.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.stderr.write(`rkfs: the output cannot be written: ${systemError(error)}\n`)
    process.exit(process.exitCode || exitCodes.failed)
  })
  // nobody is left who could be told
  process.stderr.on('error', () => undefined)
  try {
    await createProgram().parseAsync(process.argv)
  } catch (error) {
    const { code, message } = explain(error)
    // before anything is written, which may fail
    process.exitCode = code
    if (message !== '') process.stderr.write(`rkfs: ${message}\n`)
    tellStarter(message)
    if (message !== '' && process.argv.includes('--json')) sayAsJson(error, code, message)
    // not process.exit: what is on its way to a pipe would be lost
    await drained()
    process.exit(code)
  }
}

/** What a script reads that asked for JSON: one object, also where all that is to be said is what went wrong. */
function sayAsJson(error: unknown, exitCode: number, message: string): void {
  const code = error instanceof RkfsError ? error.code : exitCode === exitCodes.usage ? 'usage' : 'failed'
  process.stdout.write(`${JSON.stringify({ error: { code, message, exitCode } })}\n`)
}

/** Writes nothing where nothing is under way: a full disk refuses even that. */
async function drained(): Promise<void> {
  const ends = (stream: NodeJS.WriteStream): Promise<void> =>
    new Promise(resolve => (stream.writableLength === 0 ? resolve() : stream.write('', () => resolve())))
  await Promise.all([ends(process.stdout), ends(process.stderr)])
  // a file's failure is told a moment after the write
  await new Promise(resolve => setImmediate(resolve))
}
