import { readFileSync } from 'node:fs'
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

const program = createProgram()
const groups = program.commands.filter(command => command.commands.length > 0)
const namesOf = (command: Command): string[] => command.commands.map(child => child.name())
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

t.test('a command of several says which they are, in its help and in the README', async t => {
  t.ok(groups.length > 3)
  for (const group of groups) {
    const name = group.name()
    for (const each of namesOf(group)) {
      t.match(group.description(), new RegExp(`\\b${each}\\b`), `${name} speaks of ${each}`)
      if (each !== 'list' || name !== 'conflicts') t.match(readme, new RegExp(`\`rkfs ${name} ${each}\\b`), 'README')
    }
    const heading = new RegExp(`^### \`rkfs ${name} ([a-z|]+)\`$`, 'm').exec(readme)
    if (name !== 'conflicts') t.same(heading?.[1]?.split('|').sort(), namesOf(group).sort(), `README: ${name}`)
  }
})

t.test('what help texts and the README say to run is there', async t => {
  const texts = [
    readme,
    ...leaves(program).map(({ command }) => helpOf(command)),
    ...groups.map(helpOf),
    helpOf(program),
  ]
  const known = new Map(program.commands.map(command => [command.name(), namesOf(command)]))
  known.set('unmount', [])
  known.set('help', [])
  const said = texts.flatMap(text => [...text.matchAll(/(?:`|^ {2}|&& )rkfs ([a-z]+)(?: ([a-z]+))?/gm)])
  t.ok(said.length > 100)
  for (const [words, first = '', second] of said) {
    const children = known.get(first)
    t.ok(children !== undefined, words)
    // `conflicts` lists by itself
    if (second !== undefined && children !== undefined && children.length > 0 && first !== 'conflicts') {
      t.ok(children.includes(second), words)
    }
  }
})
