/** What people meet in their first minutes, and on machines with odd limits. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { machineWords, isSystemError, systemError } from '../../src/base/system-error.js'
import { makeDirectories, removeDirectories } from '../../src/cli/made-directories.js'
import { nameOfHelper } from '../../src/cli/helper-name.js'
import { oldNodeWords } from '../../src/cli/node-version.js'
import { givenTo, passingSettings, type PassingSetting } from '../../src/cli/running-settings.js'
import { homeOfUnit, unitText } from '../../src/cli/service-unit.js'
import { removalsOf } from '../../src/daemon/channel-deletion.js'
import { matching } from '../../src/daemon/matching.js'
import { freePort } from '../e2e/support/cluster.js'
import { rkfs } from './support/cli.js'

t.setTimeout(120_000)

t.test('a Node.js that is too old is named, whichever command', async t => {
  t.match(oldNodeWords('18.20.4'), /this is Node\.js 18\.20\.4, which is too old for rkfs: install Node\.js 20\.19/)
  t.match(oldNodeWords('20.18.9'), /too old/)
  for (const version of ['20.19.0', '20.20.2', '22.1.0']) t.equal(oldNodeWords(version), undefined, version)
})

t.test('the name of a mount helper', async t => {
  const called = (...argv: string[]): string[] => {
    nameOfHelper(argv)
    return argv.slice(2)
  }
  t.same(called('node', '/sbin/mount.rkfs', 'demo', '/m'), ['mount-helper', 'demo', '/m'])
  t.same(called('node', '/sbin/mount.fuse.rkfs', 'demo', '/m'), ['mount-helper', 'demo', '/m'])
  t.same(called('node', '/usr/bin/rkfs', 'status'), ['status'])
})

t.test('the beginning of a name or an id is enough, where it is one’s alone', async t => {
  const all = ['beta', 'beta-2', 'gamma'].map((name, i) => ({ name, id: `${i}`.repeat(16) }))
  const names = (given: string): string[] => matching(all, given).map(each => each.name)
  t.same(names('beta'), ['beta'], 'the whole name goes before a beginning')
  t.same(names('g'), ['gamma'])
  t.same(names('bet'), ['beta', 'beta-2'])
  t.same(names('11'), ['beta-2'])
  t.same(names(''), [])
  t.same(names('x'), [])
})

t.test('directories that were made for nothing go away again', async t => {
  const root = t.testdir({ there: {} })
  const made = makeDirectories(join(root, 'there', 'a', 'b'))
  t.same(made, [join(root, 'there', 'a'), join(root, 'there', 'a', 'b')])
  removeDirectories(made)
  t.notOk(existsSync(join(root, 'there', 'a')))
  t.ok(existsSync(join(root, 'there')))
  t.throws(() => makeDirectories('/proc/x/y'), { code: 'ENOENT' })
})

t.test('a mount point in /proc, a certificate from /dev/zero: at once, and with the reason', async t => {
  const home = join(t.testdir(), 'home')
  const mounted = await rkfs(['mount', 'demo', '/proc/x'], { home })
  t.equal(mounted.code, 1)
  t.match(mounted.stderr, /the mount point \/proc\/x cannot be created: it does not exist, or cannot be made there/)
  t.notOk(existsSync(home), 'nothing is left')
  const added = await rkfs(['member', 'add', 'demo', '/dev/zero', 'beta:7400'], { home })
  t.equal(added.code, 2)
  t.match(added.stderr, /\/dev\/zero is no certificate in PEM form/)
})

t.test('what is no token is told what one looks like', async t => {
  const home = join(t.testdir(), 'home')
  const joined = await rkfs(['join'], { home, input: 'rfks2-abcd\n' })
  t.equal(joined.code, 4)
  t.match(joined.stderr, /that is no token: it begins with rkfs2- /)
})

t.test('SIGUSR1 opens no debugger in a command that waits', async t => {
  const folder = t.testdir()
  const main = new URL('../../src/cli/main.ts', import.meta.url).pathname
  const port = await freePort()
  const words = [`--inspect-port=${port}`, '--import', import.meta.resolve('tsx'), main, 'join']
  const child = spawn(process.execPath, words, { env: { ...process.env, RKFS_HOME: join(folder, 'home') } })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  /** Whether SIGUSR1, the tenth, is handled, be it by Node itself; before, it would end the process. */
  const handles = (): boolean => {
    const caught = /^SigCgt:\s+(\S+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]
    return caught !== undefined && (BigInt(`0x${caught}`) & (1n << 9n)) !== 0n
  }
  for (let i = 0; i < 500 && !handles(); i++) await new Promise(resolve => setTimeout(resolve, 10))
  for (let i = 0; i < 20 && child.exitCode === null; i++) {
    child.kill('SIGUSR1')
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  t.equal(child.exitCode, null, 'it waits on')
  const isShut = await new Promise<boolean>(resolve => {
    const socket = connect(port, '127.0.0.1')
      .on('connect', () => resolve(false))
      .on('error', () => resolve(true))
    t.teardown(() => socket.destroy())
  })
  t.ok(isShut, stderr)
  child.stdin.end('nonsense\n')
  await new Promise(resolve => child.once('close', resolve))
  t.match(stderr, /that is no token/)
})

t.test('--json: errors are JSON, too, with the exit code', async t => {
  const home = join(t.testdir(), 'home')
  for (const [args, code] of [
    [['verify', 'demo', '--json'], 1],
    [['member', 'list', 'demo', '--json', '--nonsense'], 2],
    [['member', 'list', '?', '--json'], 2],
  ] as const) {
    const failed = await rkfs(args, { home })
    t.equal(failed.code, code)
    const { error } = JSON.parse(failed.stdout) as { error: { exitCode: number; message: string; code: string } }
    t.equal(error.exitCode, code)
    t.equal(failed.stderr, `rkfs: ${error.message}\n`)
  }
})

t.test('output that cannot be written is named, where there was any; a failure keeps its exit code', async t => {
  const main = new URL('../../src/cli/main.ts', import.meta.url).pathname
  const full = 'rkfs: the output cannot be written: no space left on the disk\n'
  const fullDisk = (...args: string[]): { status: number | null; stderr: string } => {
    const script = `"$0" --import ${import.meta.resolve('tsx')} ${main} "$@" >/dev/full`
    return spawnSync('sh', ['-c', script, process.execPath, ...args], {
      encoding: 'utf8',
      env: { ...process.env, RKFS_HOME: '/nonexistent/home' },
    })
  }
  t.match(fullDisk('config'), { status: 1, stderr: full })
  const refused = fullDisk('join', 'x')
  t.equal(refused.status, 4)
  t.match(refused.stderr, /^rkfs: that is no token: [^\n]+\n$/)
  const usage = fullDisk('mount', 'demo')
  t.same([usage.status, usage.stderr], [2, "rkfs: missing required argument 'dir' (see --help)\n"])
  const json = fullDisk('member', 'list', '?', '--json')
  t.equal(json.status, 2)
  t.match(json.stderr, new RegExp(`^rkfs: "\\?" is no channel name: [^\\n]+\\n${full}$`))
})

t.test('what the machine refuses is no fault of rkfs', async t => {
  const error = Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE', syscall: 'open', path: '/x' })
  t.ok(isSystemError(error))
  t.equal(
    machineWords(error),
    'this machine refused something that rkfs needs, at /x: this process has as many files open as it may (ulimit -n) (open)',
  )
  t.notOk(isSystemError(new TypeError('x is not a function')))
  t.equal(systemError(new Error('as it is')), 'as it is')
})

t.test('the unit of a service', async t => {
  const home = '/home/a b/50%$x'
  const text = unitText({ home, command: ['/usr/bin/node', '/opt/rkfs/main.js'], scope: 'system', user: 'ada' })
  t.match(text, '\nExecStart=/usr/bin/node /opt/rkfs/main.js serve --home "/home/a b/50%%$$x"\n')
  t.match(text, '\nType=notify\n')
  t.match(text, '\nUser=ada\n')
  t.equal(homeOfUnit(text), home)
  t.equal(homeOfUnit('[Unit]\n'), undefined)
})

t.test('a unit for a home that is not there is refused, and nothing is made', async t => {
  const home = join(t.testdir(), 'home')
  const env = { XDG_CONFIG_HOME: join(t.testdirName, 'config') }
  const { code, stderr } = await rkfs(['service', 'install', '--user'], { home, env })
  t.equal(code, 1)
  t.match(stderr, `rkfs: the home ${home} does not exist, so there is no node to start: make it first`)
  t.match(stderr, /--home DIR \(sudo changes the home, and does not pass RKFS_HOME on\)/)
  t.notOk(existsSync(home))
  t.notOk(existsSync(env.XDG_CONFIG_HOME))
})

t.test('settings that a unit does not know are named, with the way to keep them', async t => {
  const root = t.testdir({
    home: { version: '1\n', 'config.toml': 'listen = "0.0.0.0:7401"\nname = "beta"\n' },
  })
  const home = join(root, 'home')
  const env = { XDG_CONFIG_HOME: join(root, 'config'), RKFS_LISTEN: '192.0.2.7:7402', RKFS_NAME: 'beta' }
  const here = await rkfs(['service', 'install', '--user'], { home, env })
  t.equal(here.code, 0, here.stderr)
  t.same(
    here.stderr.split('\n').filter(line => line.includes('warning')),
    [
      `rkfs: warning: listen is "192.0.2.7:7402" now (RKFS_LISTEN), and will be "0.0.0.0:7401" (${home}/config.toml:1) when ` +
        `systemd starts the node: to keep it, write listen = "192.0.2.7:7402" into ${home}/config.toml`,
    ],
    'the name is the same in both',
  )
  const node = { RKFS_LISTEN: '192.0.2.7:7403', PATH: process.env['PATH'] }
  const words = ['-c', 'read end', 'serve', '--listen', '192.0.2.7:7404', '--name=gamma']
  const child = spawn('sh', words, { env: node, stdio: ['pipe', 'ignore', 'ignore'] })
  t.teardown(() => void child.kill('SIGKILL'))
  const found = (): PassingSetting[] => passingSettings(home, givenTo(child.pid!))
  while (found().length !== 2) await sleep(20)
  t.same(
    found().map(({ now }) => `${now.key} ${now.value} ${now.source}`),
    ['listen 192.0.2.7:7404 --listen', 'name gamma --name'],
  )
  t.same(passingSettings(home, { environment: givenTo(child.pid!).environment, flags: {} }).length, 1)
})

t.test('a script that asked for JSON is told of a Node.js that is too old in JSON', async t => {
  const folder = t.testdir({
    'old.cjs': `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } })`,
  })
  const env = { NODE_OPTIONS: `--require ${join(folder, 'old.cjs')}` }
  const { code, stdout, stderr } = await rkfs(['status', '--json'], { home: join(folder, 'home'), env })
  t.equal(code, 1)
  t.match(stderr, /^rkfs: this is Node\.js 18\.20\.4, which is too old for rkfs: [^\n]+\n$/)
  t.same(JSON.parse(stdout), { error: { code: 'failed', message: stderr.slice('rkfs: '.length, -1), exitCode: 1 } })
})

t.test('a first start that is refused for a setting leaves nothing behind', async t => {
  const root = t.testdir()
  const home = join(root, 'home')
  for (const args of [['mount', 'demo', join(root, 'm')], ['channel', 'create', 'demo'], ['serve']]) {
    const { code, stderr } = await rkfs([...args, '--listen', '127.0.0.1:7400x'], { home })
    t.equal(code, 2, args[0])
    t.match(stderr, /^rkfs: --listen: listen must be HOST:PORT/)
    t.same(readdirSync(root), [], args[0])
  }
})

t.test('deleting a channel takes its whole name, and names the one that may be meant', async t => {
  const id = '00112233445566aa'
  const member = {
    id: 'a'.repeat(16),
    name: 'a',
    address: 'a:1',
    role: 'voter',
    state: 'voter',
    slot: 1,
    certificate: '',
  }
  const descriptor = { name: 'photos', id, owner: 'a'.repeat(16), version: 1, nextSlot: 2, members: [member] }
  const home = t.testdir({ channels: { photos: { 'descriptor.json': JSON.stringify(descriptor) } } })
  for (const given of ['photo', id.slice(0, 4)]) {
    t.throws(() => removalsOf(home, given, 'a'.repeat(16)), {
      code: 'not-found',
      message: `this node has nothing of a channel ${given}; deleting takes the whole name alone, on purpose. Is photos meant?`,
    })
  }
  t.throws(() => removalsOf(home, 'other', 'a'.repeat(16)), { message: 'this node has nothing of a channel other' })
})
