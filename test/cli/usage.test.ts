import { join } from 'node:path'
import t from 'tap'
import { rkfs } from './support/cli.js'

const token = 'rkfs1-damaged'

/** Wrong usage, and what the one line about it must name. */
const wrong: readonly [args: string, word: RegExp][] = [
  ['frobnicate', /unknown command 'frobnicate'/],
  ['mount', /missing required argument 'channel'/],
  ['mount demo', /missing required argument 'dir'/],
  ['mount demo /x extra', /too many arguments/],
  ['mount --frob', /unknown option '--frob'/],
  ['mount bad/name /x', /"bad\/name" is no channel name/],
  ['mount demo /x -o frob', /unknown mount option "frob"/],
  ['mount demo /x -o sync=never', /sync must be close, fsync or always/],
  ['mount demo /x -o locks=channel', /locks=channel is not available yet/],
  ['serve --listen nonsense', /--listen: listen must be HOST:PORT/],
  ['sync demo --timeout soon', /--timeout/],
  ['log demo --from x', /--from/],
  ['channel frob', /unknown command 'frob'/],
  ['channel create', /missing required argument 'channel'/],
  ['member invite', /missing required argument 'channel'/],
  ['member invite demo --expires tomorrow', /--expires/],
  ['member add demo /nonexistent.pem host:1', /\/nonexistent\.pem cannot be read/],
  ['member add demo /dev/null nowhere', /"nowhere" is no address/],
  ['status --home', /--home/],
]

t.test('wrong usage exits 2 with one line and no stack', async t => {
  const home = join(t.testdir(), 'home')
  for (const [args, word] of wrong) {
    const { code, stdout, stderr } = await rkfs(args.split(' '), { home })
    t.equal(code, 2, args)
    t.match(stderr, word, args)
    t.match(stderr, /^rkfs: [^\n]+\n$/, `${args}: one line`)
    t.equal(stdout, '', args)
  }
})

t.test('without a command, the help is on standard error and the exit code is 2', async t => {
  for (const args of [[], ['channel'], ['member']]) {
    const { code, stdout, stderr } = await rkfs(args)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, /Usage: rkfs/)
  }
})

t.test('a damaged token is refused before a node is started for it', async t => {
  const home = join(t.testdir(), 'home')
  const { code, stderr } = await rkfs(['join', token], { home })
  t.equal(code, 4)
  t.match(stderr, /^rkfs: the token is damaged[^\n]*\n$/)
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
    'stop',
  ]
  for (const command of commands) {
    const { code, stdout, stderr } = await rkfs(command.split(' '), { home })
    t.equal(code, 1, command)
    t.equal(stdout, '', command)
    t.equal(
      stderr,
      `rkfs: no node is running on ${home}: start it with \`rkfs serve\` or \`rkfs mount <channel> <dir>\`\n`,
      command,
    )
  }
  const { code, stdout } = await rkfs(['status', '--json'], { home })
  t.equal(code, 1)
  t.match(JSON.parse(stdout), { node: { listen: '', home }, channels: [], running: false })
})
