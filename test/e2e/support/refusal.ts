import type { Test } from 'tap'
import type { Machine } from './cluster.js'
import type { Outcome } from './process.js'

/** A command that must be refused: exit code, one line on standard error that says why, nothing on standard output. */
export async function refused(
  t: Test,
  machine: Machine,
  args: readonly string[],
  code: number,
  words: RegExp,
): Promise<Outcome> {
  const outcome = await machine.rkfs(...args)
  const what = args.join(' ').slice(0, 60)
  t.equal(outcome.code, code, `${what}: exit code (${outcome.stderr.trim()})`)
  t.match(outcome.stderr, words, what)
  // a node that had to be started for it is said before
  t.match(outcome.stderr, /^(?:starting the node…[^\n]*\n)*rkfs: [^\n]+\n$/, `${what}: one line`)
  t.notMatch(outcome.stderr, /^ {4}at /m, `${what}: no stack trace`)
  t.equal(outcome.stdout, '', `${what}: nothing on standard output`)
  return outcome
}
