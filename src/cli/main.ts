#!/usr/bin/env node
import { exitCodes } from './exit-codes.js'
import { explain } from './explain.js'
import { createProgram } from './program.js'

// The reader of our output has gone (`rkfs log | head`): so do we.
process.stdout.on('error', () => process.exit(exitCodes.failed))

try {
  await createProgram().parseAsync(process.argv)
} catch (error) {
  const { code, message } = explain(error)
  if (message !== '') process.stderr.write(`rkfs: ${message}\n`)
  process.exit(code)
}
