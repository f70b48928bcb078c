/** Who is in the channel, who is not, and who leads. */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { clusterOf, isRunning, until, type Machine } from './support/cluster.js'
import { refused } from './support/refusal.js'
import { Writer } from './support/writer.js'

const cluster = clusterOf(t)

const machines = await cluster.members('a', 'b', 'c')
const [a, b, c] = machines as [Machine, Machine, Machine]
for (const machine of machines) await machine.mount()

await t.test('only the owner admits and removes', async t => {
  await refused(t, b, ['member', 'invite', 'demo'], 4, /only the owner of channel demo \(a\) may invite/)
  await refused(t, b, ['member', 'remove', 'demo', 'c'], 4, /only the owner of channel demo \(a\) may remove/)
  const certificate = join(c.home, 'csp/signcerts/demo.pem')
  await refused(
    t,
    b,
    ['member', 'add', 'demo', certificate, '127.0.0.1:1'],
    4,
    /only the owner of channel demo \(a\) may add/,
  )
  const owner = await a.rkfs('member', 'remove', 'demo', 'a')
  t.not(owner.code, 0, 'the owner cannot be removed')
  t.match(owner.stderr, /^rkfs: [^\n]*owner[^\n]*\n$/)
  t.equal((await a.status())?.members.length, 3)
})

await t.test('a newcomer that joins while others write gets everything', async t => {
  const d = await cluster.machine('d')
  const load = machines.map(machine => new Writer(machine, `join-${machine.name}`, 5000, 0.002))
  t.teardown(() => Promise.all(load.map(w => w.stop())))
  await until('all write', () => load.every(w => w.acknowledged > 50))
  await cluster.admit(a, d)
  t.match(await d.mount(), /mounted at/)
  const mine = new Writer(d, 'join-d', 5000, 0.002)
  load.push(mine)
  await until('the newcomer writes, too', () => mine.acknowledged > 20)
  await Promise.all(load.map(w => w.stop()))
  for (const w of load) t.equal(w.error, undefined, w.prefix)
  await cluster.agree([...machines, d])
  await cluster.same([...machines, d])
  for (const machine of [a, d])
    for (const w of load) t.equal(await w.missingOn(machine), '', `${w.prefix} on ${machine.name}`)
  t.match(await d.must('verify', 'demo', '--deep'), /ok: all members agree/)
  await a.must('member', 'remove', 'demo', 'd')
  await cluster.agree(machines)
})

await t.test('a removed member gets nothing more', async t => {
  // a change that nobody takes any more fails after this time; by itself it is half a minute
  await c.must('umount', c.directory)
  await c.mount('-o', 'timeout=5')
  t.equal((await c.shell('mkdir of-c; echo before > of-c/before')).code, 0)
  await cluster.same(machines)
  await a.must('member', 'remove', 'demo', 'c')
  await cluster.agree([a, b])
  t.equal((await a.shell('echo secret > after-removal')).code, 0)
  await cluster.same([a, b])
  await until('c says so', async () => (await c.rkfs('status')).code !== 0)
  const status = await c.rkfs('status')
  t.match(status.stdout, /removed from demo|no longer/)
  t.equal((await c.shell('ls', 5)).stdout.includes('after-removal'), false)
  t.equal((await c.shell('cat of-c/before', 5)).stdout, 'before\n', 'reads of its copy go on')
  const change = await c.shell('mkdir not-any-more', 45)
  t.equal(change.code, 1, 'changes fail')
  t.match(change.stderr, /Read-only file system|Input\/output error/)
  await refused(t, c, ['member', 'invite', 'demo'], 4, /only the owner/)
  for (const machine of [a, b]) t.notOk((await machine.shell('ls')).stdout.includes('not-any-more'))
})

await t.test('it comes back with a new invitation, its folder moved away, its key the same', async t => {
  const before = (await c.report())?.node.id
  await c.must('umount', c.directory)
  await c.must('stop')
  renameSync(c.folder(), join(cluster.root, 'old-c'))
  await c.must('join', await a.must('member', 'invite', 'demo'))
  await cluster.agree(machines)
  t.equal((await c.report())?.node.id, before)
  await c.mount()
  t.equal((await c.shell('cat after-removal of-c/before')).stdout, 'secret\nbefore\n')
  // sessions, sequence and inode numbers of the first time must not be taken for these
  const load = [new Writer(c, 'back-c'), new Writer(a, 'back-a')]
  await until('it writes', () => load.every(w => w.acknowledged > 100) || load.some(w => w.error !== undefined))
  await Promise.all(load.map(w => w.stop()))
  for (const w of load) t.equal(w.error, undefined)
  t.equal(
    (
      await c.shell(
        'mkdir again; echo 1 > again/x; mv again/x of-c/moved; ln of-c/moved again/y; echo more >> of-c/before',
      )
    ).code,
    0,
  )
  await cluster.same(machines)
  for (const machine of machines) {
    for (const w of load) t.equal(await w.missingOn(machine), '', `${w.prefix} on ${machine.name}`)
    t.equal((await machine.shell('cat again/y of-c/before')).stdout, '1\nbefore\nmore\n', machine.name)
    t.notOk((await machine.shell('ls')).stdout.includes('not-any-more'))
  }
  const inodes = await a.shell('find . -printf "%i\\n" | sort | uniq -d')
  t.equal(inodes.stdout.trim().split('\n').length <= 1, true, `only the hard link shares its number: ${inodes.stdout}`)
  t.match(await c.must('verify', 'demo', '--deep'), /ok: all members agree/)
  t.equal((await c.must('conflicts', 'demo')).includes('/'), false)
})

await t.test('leadership moves away from a leader that is stopped, at once', async t => {
  for (let round = 0; round < 2; round++) {
    const leader = await cluster.leader(machines)
    const others = machines.filter(m => m !== leader)
    const load = others.map(machine => new Writer(machine, `lead-${round}-${machine.name}`, 500, 0))
    await until('they write', () => load.every(w => w.acknowledged > 20))
    const pid = await leader.kill('SIGTERM')
    const begun = performance.now()
    let seconds = 0
    await until('another leads', async () => {
      const states = await Promise.all(others.map(async m => (await m.status())?.state))
      if (seconds === 0 && states.includes('leader')) seconds = (performance.now() - begun) / 1000
      return seconds > 0
    })
    t.ok(seconds < 2.5, `after ${seconds} s`)
    await until('its node ends', () => !isRunning(pid), 15)
    const counts = load.map(w => w.acknowledged)
    await until('they write on', () => load.every((w, i) => w.acknowledged > counts[i]! + 20), 10)
    await Promise.all(load.map(w => w.stop()))
    for (const w of load) {
      t.equal(w.error, undefined)
      t.ok(w.slowest < 2.5, `${w.prefix}: at most ${w.slowest} s`)
    }
    await leader.mount()
    await cluster.agree(machines)
    await cluster.same(machines)
    for (const w of load) t.equal(await w.missingOn(leader), '', w.prefix)
  }
})
