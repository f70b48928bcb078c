import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { encodeToken } from '../../src/adapters/pki/token.js'
import { generateKeyPem } from '../../src/adapters/pki/web-crypto.js'
import { RkfsError } from '../../src/base/errors.js'
import { mountFinding } from '../../src/cli/doctor-checks.js'
import { openHome } from '../../src/daemon/home.js'
import type { ControlHandlers } from '../../src/daemon/control-server.js'
import type { ChannelStatus } from '../../src/daemon/control-protocol.js'
import { rkfs } from './support/cli.js'
import { channel, fakeNode, report } from './support/fake-node.js'

async function nodeWith(t: Tap, handlers: Partial<ControlHandlers>): Promise<string> {
  const home = openHome(join(t.testdir(), 'home'))
  const server = await fakeNode(home, handlers)
  t.teardown(() => server.stop())
  return home
}
const descriptor = {
  name: 'demo',
  id: '00112233445566aa',
  owner: 'a'.repeat(16),
  version: 1,
  nextSlot: 2,
  members: [{ id: 'a'.repeat(16), name: 'a', address: 'a:1', role: 'voter', state: 'voter', slot: 1, certificate: '' }],
}
type Tap = { testdir(): string; teardown(fn: () => Promise<void>): void }

t.setTimeout(120_000)

t.test('status: exit code by state, text for people', async t => {
  let channels: ChannelStatus[] = []
  const home = await nodeWith(t, { status: () => Promise.resolve(report(channels)) })
  const noQuorum: ChannelStatus = {
    ...channel,
    state: 'no-quorum',
    leader: null,
    lastIndex: 14,
    quorum: { voters: 3, needed: 2, reachable: 1, ok: false },
    problems: ['no majority since 12:00'],
  }
  const fetching = { what: 'fetching the files', done: 120 * 2 ** 20, total: 204 * 2 ** 20, unit: 'bytes' }
  const cases: [string, ChannelStatus[], number][] = [
    ['no channels', [], 0],
    ['well', [channel], 0],
    ['no quorum', [channel, { ...noQuorum, name: 'other' }], 3],
    ['quarantined', [{ ...channel, state: 'quarantined' }, noQuorum], 1],
    ['closed', [{ ...noQuorum, state: 'closed' }], 0],
    ['a voter is missing', [{ ...channel, quorum: { ...channel.quorum, reachable: 2 } }], 1],
    ['its disk is short', [{ ...channel, disk: { ...channel.disk!, state: 'short' } }], 1],
    ['its disk is full', [{ ...channel, disk: { ...channel.disk!, state: 'full' } }], 1],
    ['a member that is to vote is missing', [{ ...channel, missing: 1 }], 1],
    ['a mount is not there', [{ ...channel, mounts: [{ ...channel.mounts[0]!, state: 'waiting' }] }], 1],
    ['no quorum, and the files are not here', [{ ...noQuorum, state: 'learner', fetching }], 3],
    ['a full disk and no quorum', [{ ...noQuorum, disk: { ...channel.disk!, state: 'full' } }], 3],
  ]
  for (const [what, state, code] of cases) {
    channels = state
    const result = await rkfs(['status'], { home })
    t.equal(result.code, code, what)
    t.equal(result.stderr, '', what)
  }
  channels = [channel]
  const { stdout } = await rkfs(['status'], { home })
  t.match(stdout, /quorum +ok: 3 of 3 voters reachable, 2 needed/)
  t.match(stdout, /safe +everything up to 12 is on a majority/)
  t.match(stdout, /beta .* 2 entries, 4\.0 KiB +1\.3 ms +2020-01-02 EXPIRED +slow\\x1b\[31m disk/)
  for (const state of ['quarantined', 'failed'] as const) {
    channels = [{ ...channel, state }]
    t.match((await rkfs(['status'], { home })).stdout, /safe +not known here/)
  }
  channels = [noQuorum]
  const without = await rkfs(['status'], { home })
  t.match(without.stdout, /NO QUORUM: 1 of 3 voters reachable, 2 needed/)
  t.match(without.stdout, /2 newer entries are not yet/)
  t.same(
    without.stdout.split('\n').slice(0, 3),
    [`demo: ${channel.summary}`, '  ! no majority since 12:00', ''],
    'first',
  )
  channels = [{ ...channel, state: 'learner', complete: false, fetching }]
  const incomplete = await rkfs(['status'], { home })
  t.equal(incomplete.code, 1)
  t.match(incomplete.stdout, /files +fetching the files, 120 of 204 MiB\n/)
  t.match(incomplete.stdout, /safe +not known here until the files are\n/)
  channels = [noQuorum]
  const json = await rkfs(['status', '--json'], { home })
  t.equal(json.code, 3)
  t.same(JSON.parse(json.stdout), report([noQuorum]))
})

t.test('errors of the node: one line and the exit code of their kind', async t => {
  let error: Error = new RkfsError('failed', '')
  const home = await nodeWith(t, { sync: () => Promise.reject(error) })
  const cases = [
    ['no-quorum', 3],
    ['refused', 4],
    ['not-member', 4],
    ['not-found', 1],
    ['usage', 2],
  ] as const
  for (const [code, exit] of cases) {
    error = new RkfsError(code, `what is wrong:\nand the remedy \x1b[1m`)
    const result = await rkfs(['sync', 'demo'], { home })
    t.equal(result.code, exit, code)
    t.equal(result.stderr, 'rkfs: what is wrong: and the remedy \\x1b[1m\n')
  }
  error = new TypeError('x is not a function')
  const fault = await rkfs(['sync', 'demo'], { home })
  t.equal(fault.code, 1)
  t.match(fault.stderr, /^rkfs: x is not a function \(a fault of rkfs[^\n]*\n$/)
})

t.test('member invite prints the token alone; what is wrong with the address goes to standard error', async t => {
  let expires = 0
  let address = 'alpha.example.org:7400'
  const home = await nodeWith(t, {
    'member.invite': args => {
      expires = args.expires
      return Promise.resolve({ token: 'rkfs2-abc', expires: 1, address })
    },
  })
  const { code, stdout } = await rkfs(['member', 'invite', 'demo', '--expires', '2h'], { home })
  t.equal(code, 0)
  t.equal(stdout, 'rkfs2-abc\n')
  t.equal(expires, 7200)
  for (const [local, word] of [
    ['127.0.0.1:7400', /other machines cannot reach 127\.0\.0\.1:7400.*--listen/],
    ['0.0.0.0:7400', /no address that another machine could connect to.*advertise/],
  ] as const) {
    address = local
    const warned = await rkfs(['member', 'invite', 'demo'], { home })
    t.equal(warned.code, 0)
    t.equal(warned.stdout, 'rkfs2-abc\n')
    t.match(warned.stderr, word)
  }
  t.equal(expires, 86_400)
})

t.test('verify exits 1 when a member differs and names it', async t => {
  const member = { id: 'a'.repeat(16), name: 'alpha', ok: true, digest: 'd1', content: 'c1', problems: [], healed: 0 }
  const bad = { ...member, id: 'b'.repeat(16), name: 'beta', ok: false, problems: ['/x differs'] }
  let ok = true
  const home = await nodeWith(t, {
    verify: (_args, context) => {
      context.progress({ what: 'reading', done: 1, total: 2, unit: 'files' })
      const counts = { index: 9, entriesChecked: 9, filesChecked: 1, bytesChecked: 10 }
      return Promise.resolve({ ok, ...counts, members: ok ? [member] : [member, bad], unreachable: [] })
    },
  })
  const good = await rkfs(['verify', 'demo', '--deep'], { home })
  t.equal(good.code, 0)
  t.match(good.stdout, /demo at 9: ok: all members agree \(checked: 9 entries, 1 file, 10 B\)/)
  t.equal(good.stderr, '', 'no progress bar without a terminal')
  ok = false
  const differs = await rkfs(['verify', 'demo'], { home })
  t.equal(differs.code, 1)
  t.match(differs.stdout, /problem on beta: \/x differs/)
})

t.test('log prints items', async t => {
  const item = {
    index: 7,
    term: 2,
    time: '2026-01-01T00:00:00Z',
    origin: 'alpha',
    kind: 'write',
    operation: 'write ino 17 offset 0 length 4096',
    bytes: 4096,
    hash: 'ff',
    committed: true,
  }
  let limit = 0
  const home = await nodeWith(t, {
    log: async (args, context) => {
      limit = args.limit
      await context.item(item)
      return {}
    },
  })
  const { stdout } = await rkfs(['log', 'demo', '-n', '5'], { home })
  t.equal(stdout, '7 t2 2026-01-01T00:00:00Z alpha write ino 17 offset 0 length 4096 (4.0 KiB)\n')
  t.equal(limit, 5)
  const json = await rkfs(['log', 'demo', '--json'], { home })
  t.same(JSON.parse(json.stdout), item)
})

t.test('mount: an unknown channel, a mount point in the home, not empty, not a directory', async t => {
  const mounts: unknown[] = []
  const home = await nodeWith(t, {
    ping: () => Promise.resolve({ version: '0', pid: 1 }),
    'channel.list': () =>
      Promise.resolve({
        channels: [{ name: 'demo', id: '0', role: 'owner', state: 'leader', problem: null, members: 1, mounts: [] }],
      }),
    mount: args => {
      mounts.push(args)
      return Promise.resolve({
        directory: args.directory,
        driver: 'kernel',
        created: false,
        already: true,
        conflicts: 0,
      })
    },
  })
  const folder = join(home, '..')
  const unknown = await rkfs(['mount', 'other', join(folder, 'm')], { home })
  t.equal(unknown.code, 1)
  t.match(unknown.stderr, /no channel other \(it has demo\).*rkfs channel create other/)

  const inside = await rkfs(['mount', 'demo', join(home, 'm')], { home })
  t.match(inside.stderr, /inside the node's home/)
  const around = await rkfs(['mount', 'demo', folder, '-o', 'nonempty'], { home })
  t.match(around.stderr, /which would hide it/)

  mkdirSync(join(folder, 'full'))
  writeFileSync(join(folder, 'full', 'file'), '')
  const full = await rkfs(['mount', 'demo', join(folder, 'full')], { home })
  t.equal(full.code, 1)
  t.match(
    full.stderr,
    /is not empty: it holds 1 name \(file\).*`mv .*full .*full\.aside`, `rkfs mount demo .*full`, `cp -a .*-o nonempty/,
  )
  const file = await rkfs(['mount', 'demo', join(folder, 'full', 'file')], { home })
  t.match(file.stderr, /is not a directory/)
  t.same(mounts, [])

  const good = await rkfs(['mount', 'demo', join(folder, 'new', 'deep'), '-o', 'ro,timeout=5'], { home })
  t.equal(good.code, 1, 'this node only says so')
  t.equal(good.stdout, '')
  t.match(good.stderr, /nothing is mounted there for this command: it runs in another mount namespace/)
  t.same(mounts, [
    {
      channel: 'demo',
      directory: join(folder, 'new', 'deep'),
      options: ['ro', 'timeout=5'],
      create: true,
      wait: 10,
      temporary: false,
    },
  ])
})

t.test('a home of another version is named and not touched', async t => {
  const home = t.testdir({ version: '7\n' })
  for (const command of ['status', 'serve', 'mount demo /tmp/rkfs-never/x']) {
    const { code, stderr } = await rkfs(command.split(' '), { home })
    t.equal(code, 1, command)
    t.match(stderr, /^rkfs: the home \S+ has version "7", this rkfs reads version "1": [^\n]*\n$/, command)
  }
})

t.test('config and doctor work without a node', async t => {
  const home = t.testdir({ 'config.toml': 'listen = "0.0.0.0:9000"\n' })
  const { code, stdout } = await rkfs(['config'], { home, env: { RKFS_NAME: 'gamma' } })
  t.equal(code, 0)
  t.match(stdout, /listen +0\.0\.0\.0:9000 +\S+config\.toml:1\n/)
  t.match(stdout, /name +gamma +RKFS_NAME\n/)
  t.match(stdout, /cert_days +730 +built-in\n/)
  const doctor = await rkfs(['doctor'], { home })
  t.match(doctor.stdout, /ok +node: Node\.js 20/)
  t.match(doctor.stdout, /warn +settings: listen is 0\.0\.0\.0:9000/)
  t.match(doctor.stdout, /warn +node: does not run/)
})

t.test('doctor: what is said of mounts, and what to do', async t => {
  const mount = { id: 1, device: '0:50', root: '/', mountPoint: '/mnt/demo', type: 'fuse.rkfs', source: 'rkfs:demo' }
  const said = (stderr: string, channel?: string, root = '/'): string => {
    const { level, found, remedy } = mountFinding({ ...mount, root }, { status: 1, stderr }, channel)
    return [level, found, remedy].join('|')
  }
  const dead = "stat: cannot read file system information for '/mnt/demo': Transport endpoint is not connected"
  t.match(mountFinding(mount, { status: 0, stderr: '' }, undefined), { level: 'ok', found: '/mnt/demo answers' })
  t.equal(
    said("stat: cannot read file system information for '/mnt/demo': Permission denied"),
    'info|/mnt/demo cannot be looked at by this user|',
    "another user's",
  )
  t.equal(
    said(dead, 'demo'),
    'fail|/mnt/demo is dead: its node is gone|`rkfs mount demo /mnt/demo` takes its place, `rkfs umount /mnt/demo` clears it',
  )
  t.match(said(dead), /`rkfs mount` with its node's home takes its place, `rkfs umount --force \/mnt\/demo` clears it/)
  t.equal(
    said(dead, undefined, '/www'),
    'fail|/mnt/demo is dead: it is bound to /www in a mount of rkfs:demo whose node is gone|' +
      'umount -l /mnt/demo, and bind it again (mount --bind FOLDER /mnt/demo)',
  )
  t.match(
    said('stat did not end within 3000 ms', 'demo'),
    'fail|/mnt/demo does not answer|rkfs umount --force /mnt/demo',
  )
})

t.test('doctor names the mounts that are to be there and are not', async t => {
  const waiting = {
    ...channel.mounts[0]!,
    dir: '/mnt/demo',
    state: 'waiting' as const,
    problem: 'the directory holds files',
  }
  const home = await nodeWith(t, { status: () => Promise.resolve(report([{ ...channel, mounts: [waiting] }])) })
  t.match(
    (await rkfs(['doctor'], { home })).stdout,
    /^warn  mount: \/mnt\/demo is not mounted yet \(demo\): the directory holds files -> .*`rkfs umount \/mnt\/demo` forgets it$/m,
  )
})

t.test('status lists closed channels in one line; channel list reads the disk while no node runs', async t => {
  const home = await nodeWith(t, {
    status: () => Promise.resolve({ ...report([channel]), closed: ['old', 'older'] }),
  })
  t.match((await rkfs(['status'], { home })).stdout, /\nclosed on this node: old, older \(/)
  const down = t.testdir({
    version: '1\n',
    channels: { demo: { 'descriptor.json': JSON.stringify(descriptor), closed: '' } },
    csp: { keystore: {}, signcerts: { 'demo.pem': '' }, cacerts: { 'demo.pem': '' } },
  })
  writeFileSync(join(down, 'csp', 'keystore', 'node.pem'), await generateKeyPem(), { mode: 0o600 })
  const { code, stdout, stderr } = await rkfs(['channel', 'list'], { home: down })
  t.equal(code, 1)
  t.match(stdout, /demo +00112233445566aa +member +closed +1/)
  t.match(stderr, /no node is running on .*this is what its disk says/)
})

t.test('a mount driver whose library is missing is refused before a node is started; all else works', async t => {
  const folder = t.testdir({
    'without-libfuse.cjs': `
      const { Module } = require('node:module')
      const load = Module._load
      Module._load = (request, ...rest) =>
        request === 'node-gyp-build'
          ? () => { throw new Error('libfuse.so.2: cannot open shared object file: No such file or directory') }
          : load(request, ...rest)`,
  })
  const home = join(folder, 'home')
  const env = { NODE_OPTIONS: `--require ${join(folder, 'without-libfuse.cjs')}` }
  const { code, stderr } = await rkfs(['mount', 'demo', join(folder, 'm'), '-o', 'driver=fuse-native'], { home, env })
  t.equal(code, 1)
  t.equal(
    stderr,
    'rkfs: libfuse 2 is not installed: install the Debian package libfuse2, or leave driver=fuse-native out\n',
  )
  t.notOk(existsSync(home))
  const doctor = await rkfs(['doctor'], { home, env })
  t.notMatch(doctor.stdout, /^\w+ +driver/m, 'nobody has chosen it')
  openHome(home)
  const chosen = [{ directory: join(folder, 'm'), channel: 'demo', options: ['driver=fuse-native'], device: '' }]
  writeFileSync(join(home, 'mounts.json'), JSON.stringify({ version: 1, mounts: chosen }))
  const told = await rkfs(['doctor'], { home, env })
  t.match(told.stdout, /^fail  driver: driver=fuse-native cannot be used: libfuse 2 is not installed/m)
})

t.test('stop without a node is done already', async t => {
  const home = join(t.testdir(), 'home')
  const { code, stdout, stderr } = await rkfs(['stop'], { home })
  t.same({ code, stdout, stderr }, { code: 0, stdout: `no node is running on ${home}\n`, stderr: '' })
})

t.test('join on a member says until when its certificate holds', async t => {
  const home = await nodeWith(t, {
    ping: () => Promise.resolve({ version: '0', pid: 1 }),
    join: () =>
      Promise.resolve({ channel: 'demo', member: 'a'.repeat(16), voters: 2, renewedUntil: '2030-01-02T03:04:05.000Z' }),
  })
  const token = encodeToken({
    channel: 'demo',
    channelId: '00112233445566aa',
    owner: 'a'.repeat(16),
    addresses: ['127.0.0.1:7400'],
    caFingerprint: new Uint8Array(32),
    secret: new Uint8Array(16),
    expires: Math.floor(Date.now() / 1000) + 100,
  })
  const { code, stdout } = await rkfs(['join', token], { home })
  t.equal(code, 0)
  t.equal(stdout, 'certificate renewed until 2030-01-02: this node stays a member of demo\n')
})

t.test('umount when nothing is mounted', async t => {
  const home = join(t.testdir(), 'home')
  const { code, stderr } = await rkfs(['umount', t.testdirName], { home })
  t.equal(code, 1)
  t.match(stderr, /no rkfs mount is at/)
})
