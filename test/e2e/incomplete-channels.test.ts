/** A channel is made only where nothing of one of that name is; what is there in part is told, and has a way out. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clusterOf, isMounted, mainPath, until, type Machine } from './support/cluster.js'
import { refused } from './support/refusal.js'

const cluster = clusterOf(t)
const machines = await cluster.members('a', 'b')
const [a, b] = machines as [Machine, Machine]
await a.mount()
await a.shell('echo precious > file')
/** Another owner's channel of the same name; and a machine with one of its own. */
const other = await cluster.machine('other')
await other.must('channel', 'create', 'demo')
const solo = await cluster.machine('solo')

/** All that tells of channels says that this one failed, and why; with a node, and without. */
async function toldEverywhere(t: Test, machine: Machine, why: RegExp, stopped = false): Promise<void> {
  for (const runs of stopped ? [true, false] : [true]) {
    if (!runs) await machine.must('stop')
    for (const words of [['status'], ['status', 'demo'], ['channel', 'list'], ['doctor']]) {
      const { code, stdout, stderr } = await machine.rkfs(...words)
      t.equal(code, 1, words.join(' '))
      // a node that does not run is all that `status` says without --json
      if (runs || words[0] !== 'status') t.match((stdout + stderr).replaceAll(' -> ', ': '), why, words.join(' '))
    }
    const status = await machine.rkfs('status', '--json')
    t.equal(status.code, 1)
    const { channels } = JSON.parse(status.stdout) as {
      channels: { name: string; state: string; problems: string[] }[]
    }
    t.same(
      channels.map(c => [c.name, c.state]),
      [['demo', 'failed']],
    )
    t.match(channels[0]?.problems[0], why)
    const list = await machine.rkfs('channel', 'list', '--json')
    const listed = JSON.parse(list.stdout) as { name: string; state: string; problem: string }[]
    t.same([listed[0]?.name, listed[0]?.state], ['demo', 'failed'])
    t.match(listed[0]?.problem, why)
  }
}

async function refusesMount(t: Test, machine: Machine, why: RegExp): Promise<void> {
  await refused(t, machine, ['mount', 'demo', machine.directory], 1, why)
  t.notOk(isMounted(machine.directory))
  const create = await machine.rkfs('channel', 'create', 'demo')
  t.equal(create.code, 4, 'nor does `channel create` make one')
  t.match(create.stderr, /no channel demo is made here, since something of one is there/)
}

for (const kind of ['expired', 'used', 'owner away'] as const) {
  await t.test(`mount after a join that failed: ${kind}`, async t => {
    const c = await cluster.machine(`c-${kind.replace(' ', '-')}`)
    const token = await a.must('member', 'invite', 'demo', ...(kind === 'expired' ? ['--expires', '1s'] : []))
    const why = {
      expired: /this node has tried to join it, and was not admitted: `rkfs join` with another token/,
      used: /this node has tried to join it, and was not admitted \(the token was used already/,
      'owner away': /this node has tried to join it, and was not admitted \(nobody who could admit this node answers/,
    }[kind]
    if (kind === 'expired') await new Promise(resolve => setTimeout(resolve, 1500))
    if (kind === 'used') await (await cluster.machine('first')).must('join', token)
    if (kind === 'owner away') await a.must('stop')
    t.not((await c.rkfs('join', token)).code, 0)
    if (kind === 'owner away') await a.mount()
    await refusesMount(t, c, why)
    await toldEverywhere(t, c, why, kind === 'expired')
    if (kind === 'expired') {
      t.match(await c.must('channel', 'delete', 'demo', '--yes'), /^channel demo is deleted:/)
      t.match(await c.mount(), /a new channel; this node is its owner and only member/)
      t.not((await c.status())?.id, (await a.status())?.id)
    } else {
      await c.must('join', await a.must('member', 'invite', 'demo'))
      await c.mount()
      t.equal((await c.shell('cat file')).stdout, 'precious\n')
      t.equal((await c.rkfs('status')).code, 0)
    }
  })
}

await t.test('a join that was cut short after this node was admitted', async t => {
  const d = await cluster.machine('d')
  const token = await a.must('member', 'invite', 'demo')
  const node = spawnSync(
    '/bin/sh',
    [
      '-c',
      `RKFS_FAILPOINT=member-enrolled "$0" "$@" serve & sleep 4; "$0" "$@" join ${token}; wait`,
      process.execPath,
      mainPath,
      '--home',
      d.home,
    ],
    { timeout: 60_000, encoding: 'utf8' },
  )
  t.match(node.stderr, /failpoint member-enrolled: crash/)
  const why = /this node was admitted to it, and its `rkfs join` was cut short/
  await refusesMount(t, d, why)
  await toldEverywhere(t, d, why)
  await d.must('join', await a.must('member', 'invite', 'demo'))
  await d.mount()
  t.equal((await d.shell('cat file')).stdout, 'precious\n')
})

const folder = a.folder()
const aside = join(cluster.root, 'disk')
const put: Record<string, () => void> = {
  'is missing': () => undefined,
  'is empty': () => mkdirSync(folder),
  'is a link to': () => symlinkSync(join(cluster.root, 'not-mounted', 'demo'), folder),
  'has no descriptor.json and no log.db': () => {
    mkdirSync(folder)
    writeFileSync(join(folder, 'conflicts'), '')
  },
}
for (const [what, make] of Object.entries(put)) {
  await t.test(`the folder of the owner ${what}`, async t => {
    const { id } = (await b.status())!
    await a.must('stop')
    renameSync(folder, aside)
    make()
    const why = new RegExp(`channels/demo ${what}.*, while this node has the key of its authority: mount the disk`)
    await refusesMount(t, a, why)
    await refused(t, a, ['channel', 'delete', 'demo', '--yes'], 1, /whether others are in demo cannot be known here/)
    await refused(t, a, ['join', await other.must('member', 'invite', 'demo')], 4, /cannot join another demo/)
    await toldEverywhere(t, a, why, what === 'is empty')
    // while the node runs, too, the files may come back
    await a.rkfs('status')
    await a.rkfs('mount', 'demo', a.directory)
    rmSync(folder, { recursive: true, force: true })
    renameSync(aside, folder)
    await a.mount()
    t.equal((await a.shell('cat file')).stdout, 'precious\n')
    t.equal((await a.status())?.id, id)
    t.equal((await a.rkfs('status')).code, 0)
  })
}

await t.test('the log of the owner is missing, and the key of the node', async t => {
  await a.must('stop')
  const moved = (path: string, back: boolean): void =>
    back ? renameSync(`${path}.away`, path) : renameSync(path, `${path}.away`)
  moved(join(folder, 'log.db'), false)
  await refusesMount(t, a, /channels\/demo has no log\.db, while/)
  await toldEverywhere(t, a, /has no log\.db/)
  moved(join(folder, 'log.db'), true)
  const key = join(a.home, 'csp/keystore/node.pem')
  await a.must('stop')
  moved(key, false)
  await refused(
    t,
    a,
    ['mount', 'demo', a.directory],
    4,
    /node\.pem is missing, while this home has certificates for it/,
  )
  t.notOk(existsSync(key), 'no other is made')
  moved(key, true)
  await a.mount()
  t.equal((await a.shell('cat file')).stdout, 'precious\n')
})

await t.test('what is deleted, and what is not', async t => {
  await refused(t, a, ['channel', 'delete', 'demo'], 2, /cannot be undone: say --yes/)
  await refused(t, a, ['channel', 'delete', 'demo', '--yes'], 1, /demo is mounted at .*: `rkfs umount/)
  await a.must('umount', a.directory)
  await refused(t, a, ['channel', 'delete', 'demo', '--yes'], 4, /demo has other members \(.*b.*\).*rkfs member remove/)
  await refused(t, b, ['channel', 'delete', 'demo', '--yes'], 4, /demo has other members .*rkfs channel close/)
  await refused(t, a, ['channel', 'delete', 'none', '--yes'], 1, /nothing of a channel none/)
  t.equal((await a.status())?.members.length, (await b.status())?.members.length)

  await solo.mount()
  await solo.shell('head -c 300000 /dev/urandom > file; sync file')
  const { id } = (await solo.status())!
  await solo.must('umount', solo.directory)
  const told = await solo.must('channel', 'delete', 'demo', '--yes')
  t.match(told, /channels\/demo +its files, and their history +[\d.]+ [KM]iB/)
  for (const file of ['keystore/demo-ca.pem', 'signcerts/demo.pem', 'cacerts/demo.pem']) {
    t.match(told, file)
    t.notOk(existsSync(join(solo.home, 'csp', file)), file)
  }
  t.same(readdirSync(join(solo.home, 'channels')), [])
  t.same((await solo.report())?.channels, [])
  t.match(await solo.mount(), /a new channel/)
  t.not((await solo.status())?.id, id)
  t.equal((await solo.shell('ls')).stdout, '')

  // on another disk, over a link; its deletion cut short by a crash
  await solo.must('stop')
  renameSync(solo.folder(), aside)
  symlinkSync(aside, solo.folder())
  writeFileSync(join(solo.home, 'channels', '.deleting-demo'), '')
  rmSync(join(solo.home, 'csp/signcerts/demo.pem'))
  await refused(
    t,
    solo,
    ['mount', 'demo', solo.directory],
    1,
    /its deletion was cut short: `rkfs channel delete demo` finishes it/,
  )
  t.match(await solo.must('channel', 'delete', 'demo', '--yes'), aside)
  t.notOk(existsSync(aside))
  t.same(readdirSync(join(solo.home, 'channels')), [])
})

await t.test('a making that was cut short is begun anew', async t => {
  for (const [place, passing] of [
    ['channel-state-made', 1],
    ['channel-built', 1],
    ['file-renamed', 4],
  ] as const) {
    await solo.must('stop')
    const crashed = spawnSync(process.execPath, [mainPath, '--home', solo.home, 'mount', 'demo', solo.directory], {
      timeout: 60_000,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], RKFS_FAILPOINT: `${place}@${passing}` },
    })
    t.not(crashed.status, 0, crashed.stdout)
    await until('it is gone', async () => (await solo.report()) === undefined)
    await solo.mount()
    await solo.must('umount', solo.directory)
    await solo.must('channel', 'delete', 'demo', '--yes')
  }
})

await t.test(
  "the key of an owner's authority alone is missing: the channel goes on, and all that tells of it says so",
  async t => {
    const owner = await cluster.machine('keyless')
    await owner.must('channel', 'create', 'demo')
    const key = join(owner.home, 'csp/keystore/demo-ca.pem')
    renameSync(key, `${key}.away`)
    const why = /demo-ca\.pem, the key of the channel's authority, is missing: .* Put it back from a copy/
    await owner.mount()
    t.equal((await owner.shell('echo x > f; sync f; cat f')).stdout, 'x\n')
    const status = await owner.rkfs('status')
    t.equal(status.code, 0)
    t.match(status.stdout, why)
    t.match((await owner.rkfs('channel', 'list')).stderr, why)
    await refused(t, owner, ['member', 'invite', 'demo'], 1, why)
    await owner.must('stop')
    const listed = await owner.rkfs('channel', 'list')
    t.match(listed.stderr, why, 'without a node, too')
    t.match(listed.stdout, /demo .* owner +stopped/)
    await owner.mount()
    renameSync(`${key}.away`, key)
    t.notMatch((await owner.rkfs('status')).stdout, why)
    t.match(await owner.must('member', 'invite', 'demo'), /^rkfs2-/)
  },
)
