/** Where `rkfs join` takes its token from, and who else can read it meanwhile. */
import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { encodeToken } from '../../src/adapters/pki/token.js'
import { withoutTokens } from '../../src/cli/hidden-token.js'
import { openHome } from '../../src/daemon/home.js'
import { rkfs } from './support/cli.js'
import { fakeNode } from './support/fake-node.js'

const token = encodeToken({
  channel: 'demo',
  channelId: '00112233445566aa',
  owner: 'aa66554433221100',
  addresses: ['alpha.example.org:7400'],
  caFingerprint: new Uint8Array(32).fill(1),
  secret: new Uint8Array(16).fill(2),
  expires: Math.floor(Date.now() / 1000) + 600,
})

/** The processes whose entry in the process list shows the token. */
function shownBy(): string[] {
  return readdirSync('/proc').filter(pid => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(token)
    } catch {
      return false // it ended meanwhile
    }
  })
}

/** A node that is asked to join; what it was given, and who showed the token meanwhile. */
async function nodeThatJoins(
  t: Tap,
): Promise<{ home: string; given: string[]; shown: string[]; commandLines: string[] }> {
  const home = openHome(join(t.testdir(), 'home'))
  const found = { home, given: [] as string[], shown: [] as string[], commandLines: [] as string[] }
  const server = await fakeNode(home, {
    ping: () => Promise.resolve({ version: '0.1.0', pid: process.pid }),
    join: args => {
      found.given.push(args.token)
      found.shown.push(...shownBy())
      for (const pid of readdirSync('/proc').filter(each => /^\d+$/.test(each))) {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
          // others may run on this machine
          const isOwn = / \w (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] === String(process.pid)
          if (isOwn && words.startsWith('rkfs ')) found.commandLines.push(words.replaceAll('\0', ''))
        } catch {
          // it ended meanwhile
        }
      }
      return Promise.resolve({ channel: 'demo', member: 'a'.repeat(16), voters: 2 })
    },
  })
  t.teardown(() => server.stop())
  return found
}
type Tap = { testdir(): string; teardown(fn: () => Promise<void>): void }

t.test('from standard input, up to the end of the line: nobody need close it', async t => {
  const { home, given, shown } = await nodeThatJoins(t)
  for (const input of [`${token}\n`, token, `\n  ${token}  \r\n`]) {
    const { code, stderr } = await rkfs(['join'], { home, input })
    t.equal(code, 0, stderr)
  }
  const open = await rkfs(['join'], { home, input: `${token}\n`, keepsOpen: true })
  t.equal(open.code, 0, open.stderr)
  t.same(given, [token, token, token, token])
  t.same(shown, [])
})

t.test('from a file; others who can read it are spoken of', async t => {
  const { home, given, shown } = await nodeThatJoins(t)
  const file = join(home, '..', 'token')
  writeFileSync(file, `${token}\n`, { mode: 0o600 })
  const { code, stderr } = await rkfs(['join', '--token-file', file], { home })
  t.equal(code, 0, stderr)
  t.notMatch(stderr, /chmod/)
  const open = join(home, '..', 'open-token')
  writeFileSync(open, token, { mode: 0o644 })
  t.match((await rkfs(['join', '--token-file', open], { home })).stderr, /others .* can read the token .*chmod 600/)
  t.same(given, [token, token])
  t.same(shown, [])
})

t.test('as an argument, wiped from the process list before the node is asked', async t => {
  const { home, given, shown, commandLines } = await nodeThatJoins(t)
  const { code, stderr } = await rkfs(['join', token], { home })
  t.equal(code, 0, stderr)
  t.same(given, [token])
  t.same(shown, [])
  t.same(commandLines, ['rkfs join rkfs-token-hidden'], 'the rest of the command still stands there')
})

t.test('on a terminal it is asked for, and not shown', async t => {
  const { home, given, shown } = await nodeThatJoins(t)
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
  const command = [process.execPath, '--import', import.meta.resolve('tsx'), main, '--home', home, 'join']
  const terminal = spawn('script', ['-qec', command.join(' '), '/dev/null'], { timeout: 60_000, killSignal: 'SIGKILL' })
  t.teardown(() => void terminal.kill('SIGKILL'))
  let screen = ''
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (!screen.includes('token') && `${screen}${text}`.includes('token (it is not shown): ')) {
      terminal.stdin.write(`${token}\r`)
    }
    screen += text
  })
  t.equal(await new Promise(resolve => terminal.on('close', resolve)), 0, screen)
  t.same(given, [token])
  t.same(shown, [])
  t.match(screen, /is a member of demo/)
  t.notOk(screen.includes(token))
})

t.test('from a named pipe, whose writer may come late or never', async t => {
  const { home, given } = await nodeThatJoins(t)
  const pipe = join(home, '..', 'pipe')
  t.equal(spawnSync('mkfifo', ['-m', '600', pipe]).status, 0)
  const late = rkfs(['join', '--token-file', pipe], { home })
  setTimeout(() => spawn('bash', ['-c', `exec >"$0"; sleep 1; printf %s "$1"; sleep 0.2; echo`, pipe, token]), 500)
  const { code, stderr } = await late
  t.equal(code, 0, stderr)
  t.same(given, [token])
  const never = await rkfs(['join', '--token-file', pipe, '--timeout', '1'], { home })
  t.equal(never.code, 1)
  t.match(never.stderr, /^rkfs: no token came from .*pipe within 1 s\n$/)
  const silent = spawn('bash', ['-c', 'exec >"$0"; exec sleep 20', pipe])
  const nothing = await rkfs(['join', '--token-file', pipe, '--timeout', '1'], { home })
  silent.kill('SIGKILL')
  t.match(nothing.stderr, /^rkfs: no token came from .*pipe within 1 s\n$/)
  const ends = rkfs(['join', '--token-file', pipe], { home })
  spawn('bash', ['-c', 'echo >"$0"', pipe])
  t.match((await ends).stderr, /no token comes from .*pipe/)
})

t.test('no token, two tokens, or none in time: one line that says what to do', async t => {
  const home = join(t.testdir({ file: token, empty: '' }), 'home')
  const cases: [args: string[], input: string, code: number, word: RegExp][] = [
    [[], '', 2, /no token comes from standard input: give what `rkfs member invite` printed/],
    [[], `${token} ${token}`, 2, /more than one word comes from standard input/],
    [[], 'x'.repeat(100_000), 2, /too long for a token/],
    [[], 'nonsense', 4, /that is no token: it begins with rkfs2-/],
    [[], 'rkfs1-abc', 4, /of an older version of rkfs, and is not taken any more: ask the owner for a new one/],
    [['--token-file', join(home, '../file'), token], '', 2, /two tokens, an argument and a --token-file/],
    [['--token-file', join(home, '../none')], '', 2, /token file .*none cannot be read: it does not exist$/m],
    [['--token-file', join(home, '..')], '', 2, /cannot be read: it is a directory$/m],
    [['--token-file', join(home, '../empty')], '', 2, /no token comes from .*empty/],
  ]
  for (const [args, input, code, word] of cases) {
    const result = await rkfs(['join', ...args], { home, input })
    t.equal(result.code, code, `${args.join(' ')} ${input.slice(0, 20)}: ${result.stderr}`)
    t.match(result.stderr, word)
    t.notOk(result.stderr.includes(token))
  }
  const silent = await rkfs(['join', '--timeout', '1'], { home, input: '', keepsOpen: true })
  t.equal(silent.code, 1)
  t.match(silent.stderr, /no token came from standard input within 1 s/)
})

t.test('a message that quotes what was typed does not quote a token', async t => {
  const { stderr } = await rkfs(['join', `--token=${token}`])
  t.match(stderr, /unknown option '--token=rkfs-token-hidden'/)
  t.equal(withoutTokens(`a rkfs1-abc_D-e, 'rkfs22-x' rkfs-1`), `a rkfs-token-hidden, 'rkfs-token-hidden' rkfs-1`)
})
