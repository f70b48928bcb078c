import type { Command } from 'commander'
import { RkfsError } from '../../base/errors.js'
import type { ConflictDescription } from '../../daemon/control-protocol.js'
import { agreeSeconds, ask, channelOf, homeOf, quickSeconds } from '../context.js'
import { hint, printable, say, table } from '../output.js'

export function addConflicts(program: Command): void {
  const conflicts = program
    .command('conflicts')
    .description('list, restore or discard changes that are not in the channel, and whose data is kept here')
    .addHelpText(
      'after',
      `
A change is kept so when its program had been told that it is done, and it has no place in the order: the node
ended before others had it, or this member was silent and others went on meanwhile, or it no longer applied.

Examples:
  rkfs conflicts demo
  rkfs conflicts restore demo 3
  rkfs conflicts discard demo --all`,
    )
  conflicts
    .command('list', { isDefault: true })
    .description('list them: path, range, time, cause, and where the data is')
    .argument('<channel>')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  rkfs conflicts list demo')
    .action(list)
  conflicts
    .command('restore')
    .description('write the data into a new file beside the one it was meant for, named FILE.conflict-ID')
    .argument('<channel>')
    .argument('[id...]', 'as `rkfs conflicts` lists them')
    .option('--all', 'all that have data')
    .addHelpText(
      'after',
      `
Nothing that is in the channel is changed: compare the two files, and keep what counts. The new file holds the bytes
where they were written, and holes between them; what was appended stands one after the other. The conflict and its
copy are gone afterwards.

Example:
  rkfs conflicts restore demo 3`,
    )
    .action(restore)
  conflicts
    .command('discard')
    .description('forget conflicts, and remove their copies')
    .argument('<channel>')
    .argument('[id...]', 'as `rkfs conflicts` lists them')
    .option('--all', 'all of them')
    .addHelpText('after', '\nExample:\n  rkfs conflicts discard demo 3 4')
    .action(discard)
}

async function list(given: string, options: { json?: boolean }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const report = await ask(home, 'conflicts', { channel }, { timeoutSeconds: quickSeconds })
  if (options.json) return say(JSON.stringify(report.conflicts, null, 2))
  if (report.conflicts.length === 0) return hint(`${channel}: no conflicts`)
  say(
    table(
      ['ID', 'TIME', 'PATH', 'WHAT', 'BYTES', 'REASON', 'COPY'],
      report.conflicts.map(c => [`${c.id}`, c.time, c.path, c.what, rangesOf(c), c.reason, c.copy]),
    ).join('\n'),
  )
}

/** The first of many, and how many more there are. */
function rangesOf({ ranges }: ConflictDescription): string {
  const shown = ranges.slice(0, 3).map(({ offset, length }) => `${offset}+${length}`)
  return ranges.length > 3 ? `${shown.join(',')} and ${ranges.length - 3} more` : shown.join(',')
}

function chosen(ids: readonly string[], options: { all?: boolean }): number[] {
  if (options.all === true) {
    if (ids.length > 0) throw new RkfsError('usage', 'give the numbers of conflicts, or --all, not both')
    return []
  }
  if (ids.length === 0)
    throw new RkfsError('usage', 'give the numbers of conflicts, as `rkfs conflicts` lists them, or --all')
  return ids.map(id => {
    if (!/^[1-9]\d{0,9}$/.test(id)) throw new RkfsError('usage', `${JSON.stringify(id)} is no number of a conflict`)
    return Number(id)
  })
}

async function restore(given: string, ids: string[], options: { all?: boolean }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const args = { channel, ids: chosen(ids, options) }
  const { restored } = await ask(home, 'conflicts.restore', args, { timeoutSeconds: agreeSeconds })
  if (restored.length === 0) hint(`${channel}: nothing to restore`)
  for (const { id, path } of restored) say(`conflict ${id} is written to ${printable(path)}`)
}

async function discard(given: string, ids: string[], options: { all?: boolean }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const args = { channel, ids: chosen(ids, options) }
  const { discarded } = await ask(home, 'conflicts.discard', args, { timeoutSeconds: quickSeconds })
  if (discarded === 0) hint(`${channel}: nothing to discard`)
  else say(discarded === 1 ? '1 conflict is discarded' : `${discarded} conflicts are discarded`)
}
