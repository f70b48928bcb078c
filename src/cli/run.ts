import { exitCodes } from './exit-codes.js'
import { explain } from './explain.js'
import { createProgram } from './program.js'

/** Runs the command that this process was started with; its failure is one line on standard error and an exit code. */
export async function run(): Promise<void> {
  // The reader of our output has gone (`rkfs log | head`): so do we.
  process.stdout.on('error', () => process.exit(exitCodes.failed))
  try {
    await createProgram().parseAsync(process.argv)
  } catch (error) {
    const { code, message } = explain(error)
    if (message !== '') process.stderr.write(`rkfs: ${message}\n`)
    process.exit(code)
  }
}
