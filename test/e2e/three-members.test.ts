import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clusterOf, isMounted, isRunning, mainPath, until, type Machine } from './support/cluster.js'
import { run } from './support/process.js'
import { describeTree, makeTree } from './support/tree.js'

const cluster = clusterOf(t)

async function tree(machine: Machine): Promise<string> {
  const { code, stdout, stderr } = await machine.python(describeTree)
  if (code !== 0) throw new Error(`describe on ${machine.name}: ${code} ${stderr}`)
  return stdout
}

await t.test('three members', async t => {
  const machines = await cluster.members('a', 'b', 'c')
  const [a, b, c] = machines as [Machine, Machine, Machine]
  for (const machine of machines) t.match(await machine.mount(), /^demo is mounted at /)
  let whole = ''

  await t.test('what is made through each is the same on all', async t => {
    const made = await Promise.all(machines.map(m => m.python(makeTree, 60, m.directory, `by-${m.name}`)))
    for (const { code, stderr } of made) t.equal(code, 0, stderr)
    await cluster.same(machines)
    whole = await tree(a)
    t.equal(whole.split('\n').length > 3 * 25, true)
    t.equal(await tree(b), whole, 'b as a')
    t.equal(await tree(c), whole, 'c as a')
    const verified = await b.rkfs('verify', 'demo', '--deep')
    t.equal(verified.code, 0, verified.stdout + verified.stderr)
    t.match(verified.stdout, /ok: all members agree/)
    const json = JSON.parse(await c.must('verify', 'demo', '--deep', '--json'))
    t.equal(json.ok, true)
    t.equal(json.members.length, 3)
    t.ok(json.filesChecked >= 3 * 15 && json.bytesChecked > 3 * 2_000_000, JSON.stringify(json))
  })

  await t.test('mounting twice is harmless; with other options it is refused', async t => {
    t.match(await a.mount(), /^demo is mounted at /)
    t.equal((await a.status())?.mounts.length, 1)
    const other = await a.rkfs('mount', 'demo', a.directory, '-o', 'ro')
    t.equal(other.code, 1)
    t.match(other.stderr, /^rkfs: .* has demo with other options .*rkfs umount/)
  })

  await t.test('mount options', async t => {
    const at = (name: string): string => join(cluster.root, 'mnt', name)
    await b.must('mount', 'demo', at('ro'), '-o', 'ro')
    const readOnly = await b.shell('cat by-a/deep/er/and/deeper/x; mkdir no', 10, at('ro'))
    t.equal(readOnly.stdout, 'x')
    t.match(readOnly.stderr, /Read-only file system/)

    await c.must('mount', 'demo', at('latest'), '-o', 'read=latest')
    for (let i = 0; i < 10; i++) {
      const written = await a.shell(`echo ${i} > fresh-${i}`)
      t.equal(written.code, 0)
      const read = await c.shell(`cat fresh-${i}`, 10, at('latest'))
      t.equal(read.stdout, `${i}\n`, 'read=latest sees what was closed before')
    }

    for (const sync of ['always', 'fsync', 'close']) {
      await b.must('mount', 'demo', at(sync), '-o', `sync=${sync},timeout=20`)
      const written = await b.shell(`echo ${sync} > ${sync}; mkdir d-${sync}; sync ${sync}; cat ${sync}`, 10, at(sync))
      t.equal(written.code, 0, written.stderr)
      t.equal(written.stdout, `${sync}\n`)
    }
    const shown = (await b.status())?.mounts.map(m => m.options)
    t.strictSame(shown?.toSorted(), [
      'ro,sync=close,timeout=30',
      'rw,sync=always,timeout=20',
      'rw,sync=close,timeout=20',
      'rw,sync=close,timeout=30',
      'rw,sync=fsync,timeout=20',
    ])
    await cluster.same(machines)
    for (const machine of machines)
      t.equal((await machine.shell('cat always fsync close')).stdout, 'always\nfsync\nclose\n')
    t.match(await b.must('umount', at('ro')), /is unmounted/)
    t.notOk(isMounted(at('ro')))
  })

  await t.test('timeout=2: without a majority a change fails in time and reads go on', async t => {
    await a.must('umount', a.directory)
    await a.mount('-o', 'timeout=2')
    await b.must('stop')
    await c.must('stop')
    for (const machine of [b, c]) t.notOk(isMounted(machine.directory), 'stop unmounts')
    // the leader finds out within an election timeout; until then it orders changes, but confirms none
    const close = await a.python(
      "f = os.open('unconfirmed', os.O_CREAT | os.O_WRONLY); os.write(f, b'x'); os.close(f)",
      15,
    )
    t.equal(close.code, 1)
    t.match(close.stderr, /Read-only file system|Input\/output error/)
    t.ok(close.seconds < 8, `${close.seconds} s`)
    await until('a says that there is no quorum', async () => (await a.rkfs('status')).code === 3)
    const change = await a.shell('mkdir never', 15)
    t.equal(change.code, 1)
    t.match(change.stderr, /Read-only file system|Input\/output error/)
    t.ok(change.seconds < 8, `${change.seconds} s`)
    t.equal((await a.shell('cat by-b/replaced', 5)).stdout, 'new')
    t.match((await a.rkfs('status')).stdout, /NO QUORUM/i)
    t.ok(((await a.rkfs('sync', 'demo', '--timeout', '2')).code ?? 99) <= 3)
  })

  await t.test('umount, stop and restart of all three keeps everything', async t => {
    for (const machine of [b, c]) await machine.mount()
    await cluster.agree(machines)
    await cluster.same(machines)
    whole = await tree(a)
    for (const machine of machines) {
      const pid = await machine.pid()
      t.match(await machine.must('umount', machine.directory), /is unmounted/)
      t.notOk(isMounted(machine.directory))
      t.match(await machine.must('stop'), /has stopped/)
      t.notOk(isRunning(pid))
      const { code, stdout } = await machine.rkfs('status', '--json')
      t.equal(code, 1)
      t.match(JSON.parse(stdout), { running: false, channelsOnDisk: ['demo'] })
      const again = await machine.rkfs('stop')
      t.match([again.code, again.stdout], [0, /no node is running/], 'twice')
    }
    // the first to come back has no quorum yet: its mount may not wait for the others for long
    for (const machine of machines) await machine.mount()
    await cluster.agree(machines)
    await cluster.same(machines)
    for (const machine of machines) t.equal(await tree(machine), whole, machine.name)
    const write = await c.shell('echo after > after')
    t.equal(write.code, 0, write.stderr)
    await cluster.same(machines)
    t.equal((await a.shell('cat after')).stdout, 'after\n')
    t.match(await b.must('verify', 'demo', '--deep'), /ok: all members agree/)
  })
})

await t.test('the embedded default: one command on a new home', async t => {
  const solo = await cluster.machine('solo')
  const first = await solo.rkfs('mount', 'photos', solo.directory)
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /photos is mounted at .* \(a new channel; this node is its owner and only member\)/)
  t.equal((await solo.shell('echo hello > x; cat x')).stdout, 'hello\n')
  const pid = await solo.pid()
  t.match(await solo.must('stop'), /has stopped/)
  t.notOk(isMounted(solo.directory))
  t.notOk(isRunning(pid))
  t.match(await solo.must('mount', 'photos', solo.directory), /photos is mounted at [^(]*$/)
  t.equal((await solo.shell('cat x')).stdout, 'hello\n')

  await t.test('umount of a mount in use says so; --force takes it away', async t => {
    const user = spawn('/bin/bash', ['-c', 'cd "$0" && echo in && sleep 60', solo.directory], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    t.teardown(() => user.kill('SIGKILL'))
    await new Promise(resolve => user.stdout.once('data', resolve))
    const busy = await solo.rkfs('umount', solo.directory)
    t.equal(busy.code, 1)
    t.match(busy.stderr, /in use/)
    t.ok(isMounted(solo.directory))
    t.match(await solo.must('umount', solo.directory, '--force'), /is unmounted/)
    t.notOk(isMounted(solo.directory))
  })

  const inForeground = (): ChildProcess => {
    const child = spawn(process.execPath, [mainPath, 'mount', 'photos', solo.directory, '-f'], {
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', RKFS_HOME: solo.home },
      stdio: 'ignore',
    })
    t.teardown(() => child.kill('SIGKILL'))
    return child
  }
  const endsInOrder = async (t: Test, child: ChildProcess, node: number): Promise<void> => {
    child.kill('SIGTERM')
    await until('it ends', () => child.exitCode !== null || child.signalCode !== null, 15)
    t.same([child.exitCode, child.signalCode], [0, null])
    t.notOk(isMounted(solo.directory))
    await until('its node ends', () => !isRunning(node), 5)
  }

  await t.test('mount -f stays, and SIGTERM unmounts and stops its node', async t => {
    await solo.must('stop')
    const child = inForeground()
    await until('it is mounted', () => isMounted(solo.directory))
    await until('it answers', async () => (await solo.shell('cat x', 5)).stdout === 'hello\n')
    const node = await solo.pid()
    t.equal(child.exitCode, null, 'it stays')
    await endsInOrder(t, child, node)
  })

  await t.test('SIGTERM while mount -f is mounting leaves nothing, either', async t => {
    const child = inForeground()
    let node = 0
    await until('its node runs', async () => (node = (await solo.report())?.node.pid ?? 0) !== 0)
    await endsInOrder(t, child, node)
  })
})

await t.test('nothing is left mounted', async t => {
  const { stdout } = await run('grep', ['-c', ` ${cluster.root}/mnt/solo `, '/proc/self/mountinfo'], {
    limitSeconds: 5,
  })
  t.equal(stdout.trim(), '0')
})
