import { join } from 'node:path'
import t from 'tap'
import { explain } from '../../src/cli/explain.js'
import { createProgram } from '../../src/cli/program.js'
import { rkfs } from './support/cli.js'

const token = 'rkfs2-damaged'

/** Wrong usage, and what the one line about it must name. */
const wrong: readonly [args: string, word: RegExp][] = [
  ['frobnicate', /unknown command 'frobnicate'/],
  ['mount', /missing required argument 'channel'/],
  ['mount demo', /missing required argument 'dir'/],
  ['mount demo /x extra', /too many arguments/],
  ['mount --frob', /unknown option '--frob'/],
  ['mount bad/name /x', /"bad\/name" is no channel name/],
  ['mount demo /x -o frob', /unknown mount option "frob"/],
  ['mount demo /x -o locks=global', /locks must be local or channel/],
  ['mount demo /x -o sync=never', /sync must be close, fsync or always/],
  ['serve --listen nonsense', /--listen: listen must be HOST:PORT/],
  ['sync demo --timeout soon', /--timeout/],
  ['log demo --from x', /--from/],
  ['channel frob', /unknown command 'frob'/],
  ['channel create', /missing required argument 'channel'/],
  ['member invite', /missing required argument 'channel'/],
  ['member invite demo --expires tomorrow', /--expires/],
  ['member add demo /nonexistent.pem host:1', /\/nonexistent\.pem cannot be read: it does not exist$/],
  ['member add demo /dev/null nowhere', /"nowhere" is no address/],
  ['status --home', /--home/],
  ['mount demo ', /the argument <dir> is empty/],
  ['umount ', /the argument <dir> is empty/],
  ['member remove demo ', /the argument <member> is empty/],
  ['channel delete ', /the argument <channel> is empty/],
]

/** Runs a command that must fail, in this process: starting one for each case takes most of the time. */
async function failureOf(args: string, home: string): Promise<{ code: number; message: string }> {
  process.env['RKFS_HOME'] = home
  try {
    await createProgram().parseAsync(['node', 'rkfs', ...args.split(' ')])
  } catch (error) {
    return explain(error)
  }
  return { code: 0, message: 'did not fail' }
}

t.test('wrong usage: exit code 2 and one line', async t => {
  const home = join(t.testdir(), 'home')
  for (const [args, word] of wrong) {
    const { code, message } = await failureOf(args, home)
    t.equal(code, 2, args)
    t.match(message, word, args)
    t.notMatch(message, /\n|\bat .*:\d/, args)
  }
})

t.test('as the user sees it: one line on standard error, nothing on standard output', async t => {
  const { code, stdout, stderr } = await rkfs(['mount', 'demo', '/x', '-o', 'sync=never'])
  t.equal(code, 2)
  t.match(stderr, /^rkfs: the mount option sync must be [^\n]+\n$/)
  t.equal(stdout, '')
})

t.test('without a command, the help is on standard error and the exit code is 2', async t => {
  const { code, stdout, stderr } = await rkfs(['channel'])
  t.equal(code, 2)
  t.equal(stdout, '')
  t.match(stderr, /Usage: rkfs channel/)
})

t.test('a damaged token is refused before a node is started for it', async t => {
  const { code, message } = await failureOf(`join ${token}`, join(t.testdir(), 'home'))
  t.equal(code, 4)
  t.match(message, /^the token is damaged/)
})

t.test('--version', async t => {
  const { code, stdout } = await rkfs(['--version'])
  t.equal(code, 0)
  t.match(stdout, /^\d+\.\d+\.\d+\n$/)
})

t.test('commands say so when no node runs', async t => {
  const home = join(t.testdir(), 'home')
  const commands = [
    'status',
    'channel list',
    'channel show demo',
    'member list demo',
    'member invite demo',
    'sync demo',
    'verify demo',
    'log demo',
    'conflicts demo',
  ]
  for (const command of commands) {
    t.same(
      await failureOf(command, home),
      {
        code: 1,
        message: `no node is running on ${home}: start it with \`rkfs serve\` or \`rkfs mount <channel> <dir>\``,
      },
      command,
    )
  }
  const { code, stdout } = await rkfs(['status', '--json'], { home })
  t.equal(code, 1)
  t.match(JSON.parse(stdout), { node: { listen: '', home }, channels: [], running: false })
})
