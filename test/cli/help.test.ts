import type { Command } from 'commander'
import t from 'tap'
import { createProgram } from '../../src/cli/program.js'

function leaves(command: Command, path: string[] = []): { path: string; command: Command }[] {
  if (command.name() === 'mount-helper') return []
  if (command.commands.length === 0) return [{ path: path.join(' '), command }]
  return command.commands.flatMap(child => leaves(child, [...path, child.name()]))
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: part => (text += part) })
  command.outputHelp()
  return text
}

t.test('every command of the design is there, with a description and an example', async t => {
  const commands = leaves(createProgram())
  t.same(commands.map(c => c.path).sort(), [
    'channel close',
    'channel create',
    'channel delete',
    'channel list',
    'channel show',
    'config',
    'conflicts discard',
    'conflicts list',
    'conflicts restore',
    'doctor',
    'join',
    'log',
    'member add',
    'member address',
    'member fence',
    'member invite',
    'member list',
    'member lost',
    'member remove',
    'mount',
    'serve',
    'service install',
    'service show',
    'service uninstall',
    'status',
    'stop',
    'sync',
    'umount',
    'verify',
  ])
  for (const { path, command } of commands) {
    const help = helpOf(command)
    t.notMatch(help, /\(default.*\(default/, `${path} names each default once`)
    t.match(help, `Usage: rkfs ${path.split(' ')[0]}`, path)
    t.match(help, /Examples?:\n {2}/, `${path} has an example`)
    t.ok(command.description().length > 10, `${path} is described`)
  }
})
