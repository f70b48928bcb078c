// The table is proven on local file systems first: a case that fails there is wrong. Then rkfs is held to it.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clusterOf, isMounted, type Machine } from '../e2e/support/cluster.js'
import { run } from '../e2e/support/process.js'
import { fuseNativeExceptions, holdsByChance } from './fuse-native-exceptions.js'
import { describe, runCases, type Report } from './runner.js'
import { table } from './table.js'

const all = table.map((_, index) => index)
/** A user whom nothing belongs to. */
const nobody = 65534
/** A call through a follower waits for the leader: cases beside each other keep the run short. */
const rkfsJobs = 4
// CONFORMANCE=all: also in a channel of one member, which takes the way of a leader of three.
const one = process.env['CONFORMANCE'] === 'all'
const cluster = clusterOf(t)

interface Expected {
  readonly indexes?: readonly number[]
  /** Those that fail, and why others are not run. */
  readonly exceptions?: ReadonlySet<string>
  readonly skipped?: RegExp
  readonly uid?: number
}

/** Runs cases in a directory and expects that just the `exceptions` fail. */
async function holds(
  t: Test,
  directory: string,
  jobs: number,
  { indexes = all, exceptions = new Set(), skipped = /^large: /, uid }: Expected = {},
): Promise<void> {
  const begun = performance.now()
  const options = { base: join(directory, 'conformance'), indexes, jobs }
  const reports = await runCases(uid === undefined ? options : { ...options, uid })
  const isKnown = ({ index, outcome }: Report): boolean => outcome === 'failed' && exceptions.has(nameOf(index))
  const text = describe(reports.filter(report => !isKnown(report)))
  for (const line of text.split('\n')) t.comment(line)
  t.comment(`${((performance.now() - begun) / 1000).toFixed(1)} s`)
  const failed = reports.filter(report => report.outcome === 'failed').map(({ index }) => nameOf(index))
  t.strictSame(
    failed.filter(name => !exceptions.has(name)),
    [],
    text.split('\n').at(-1) ?? '',
  )
  const stale = [...exceptions].filter(name => !failed.includes(name) && !(name in holdsByChance))
  if (exceptions.size > 0) t.strictSame(stale, [], `of ${exceptions.size} exceptions none holds`)
  for (const report of reports) {
    if (report.outcome === 'skipped') t.match(report.reason, skipped, `${table[report.index]!.name} is not skipped`)
  }
}

await t.test('the table is large and names nothing twice', async t => {
  const names = all.map(nameOf)
  t.ok(names.length >= 450, `${names.length} cases`)
  t.equal(new Set(names).size, names.length)
  t.equal(
    table.every(({ rule }) => rule.length > 5 && rule.length < 120),
    true,
    'each cites its rule',
  )
})

await t.test('it holds on tmpfs', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rkfs-conformance.'))
  t.teardown(async () => {
    if (isMounted(directory)) await run('umount', ['-l', directory], { limitSeconds: 10 })
    rmSync(directory, { recursive: true })
  })
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1g', 'conformance', directory], { limitSeconds: 10 })
  t.equal(mounted.code, 0, mounted.stderr)
  await holds(t, directory, 1, { indexes: all.filter(index => table[index]!.proof === undefined) })
})

await t.test('where tmpfs deviates it holds on ext4', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rkfs-conformance.'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const { stdout } = await run('stat', ['-f', '-c', '%T', directory], { limitSeconds: 5 })
  if (stdout.trim() !== 'ext2/ext3') return t.comment(`${directory} is ${stdout.trim()}: not proven here`)
  await holds(t, directory, 1, { indexes: all.filter(index => table[index]!.proof === 'ext4') })
})

await t.test('it holds on a channel of one member', { skip: !one && 'runs with CONFORMANCE=all' }, async t => {
  const solo = await cluster.machine('solo')
  await solo.must('mount', 'alone', solo.directory, '-o', 'suid,dev')
  await holds(t, solo.directory, rkfsJobs)
  await solo.must('umount', solo.directory)
})

await t.test('it holds for an ordinary user', async t => {
  const machine = await cluster.machine('user')
  await machine.must('mount', 'alone', machine.directory, '-o', 'allow_other,suid,dev')
  chmodSync(cluster.root, 0o711)
  await machine.shell(`mkdir by-nobody && chown ${nobody}:${nobody} by-nobody`)
  const directory = within(machine, 'by-nobody')
  await holds(t, directory, rkfsJobs, { skipped: /^large: |^needs root$/, uid: nobody })
  await machine.must('umount', machine.directory)
})

await t.test('it holds with driver=fuse-native, but for what its limits say', async t => {
  const exceptions = Object.values(fuseNativeExceptions).flat()
  t.equal(new Set(exceptions).size, exceptions.length, 'no exception is named twice')
  for (const name of [...exceptions, ...Object.keys(holdsByChance)]) {
    if (!all.some(index => nameOf(index) === name)) t.fail(`there is no case ${name}`)
  }
  const native = await cluster.machine('native')
  await native.must('mount', 'alone', native.directory, '-o', 'driver=fuse-native,allow_other')
  // The limit `caller`: where others may make files of root's, suid and dev are refused.
  await holds(t, native.directory, rkfsJobs, {
    exceptions: new Set(exceptions),
    skipped: /^large: |mounted with (nodev|nosuid or noexec)$/,
  })
  await native.must('umount', native.directory)
})

await t.test('three members', async t => {
  const machines = await cluster.members('a', 'b', 'c')
  for (const machine of machines) await machine.mount('-o', 'suid,dev')

  await t.test('it holds through the mount of the leader', async t => {
    const leader = await cluster.leader(machines)
    await holds(t, within(leader, 'leader'), rkfsJobs)
  })
  await t.test('it holds through the mount of a follower', async t => {
    const leader = await cluster.leader(machines)
    const follower = machines.find(machine => machine !== leader)!
    const end = new AbortController()
    const busy = keepLeading(leader, end.signal)
    await holds(t, within(follower, 'follower'), rkfsJobs)
    end.abort()
    await busy
    t.comment(`it led at the end: ${(await follower.status())?.state === 'leader'}`)
  })
  await t.test('all members have the same', async () => {
    await cluster.same(machines)
  })
})

function nameOf(index: number): string {
  return `${table[index]!.group}: ${table[index]!.name}`
}

/** A directory in a mount, by name alone: this process does not enter it. */
function within(machine: Machine, name: string): string {
  return join(machine.directory, name)
}

/**
 * Leadership follows the writer: a member that makes four fifths of the changes becomes the leader. So the leader makes
 * some, too, while a follower is looked at.
 */
async function keepLeading(leader: Machine, signal: AbortSignal): Promise<void> {
  const script =
    'import os,sys,time\nos.chdir(sys.argv[1])\nwhile True: os.mkdir("busy"); os.rmdir("busy"); time.sleep(.012)'
  await run('python3', ['-c', script, leader.directory], { limitSeconds: 120, signal })
}
