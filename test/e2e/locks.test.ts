/** `-o locks=channel`: flock(2) and fcntl(2) locks between the programs of several members. */
import { join } from 'node:path'
import t from 'tap'
import { describe, runCases } from '../conformance/runner.js'
import { table } from '../conformance/table.js'
import { clusterOf, isRunning, sleep, until } from './support/cluster.js'
import { LockProgram } from './support/lock-program.js'

const cluster = clusterOf(t)

const programs: LockProgram[] = []
t.teardown(() => Promise.all(programs.map(program => program.end())))

await t.test('three members', async t => {
  const machines = await cluster.members('a', 'b', 'c')
  for (const machine of machines) await machine.mount('-o', 'locks=channel')
  const leader = await cluster.leader(machines)
  const [one, two] = machines.filter(machine => machine !== leader) as [typeof leader, typeof leader]
  const open = (machine: typeof leader, name: string): LockProgram => {
    const program = new LockProgram(machine, name)
    programs.push(program)
    return program
  }
  const file = async (name: string, text = '000000'): Promise<void> => {
    await leader.shell(`printf %s ${text} > ${name}; sync ${name}`)
    for (const machine of machines) {
      await until(`${name} on ${machine.name}`, async () => (await machine.shell(`test -s ${name}`)).code === 0)
    }
  }

  await t.test('status tells of the option and of the locks', async t => {
    const mount = (await one.status())?.mounts[0]
    t.match(mount?.options, /locks=channel/)
    t.equal((await one.status())?.locks, 0)
  })

  for (const kind of ['flock', 'lockf'] as const) {
    await t.test(`${kind}: programs on all members exclude each other, and the data follows the lock`, async t => {
      await file(kind)
      const counters = [leader, one, two].map(machine => open(machine, kind))
      const begun = performance.now()
      t.same(await Promise.all(counters.map(counter => counter.do(`count ${kind} 60`))), ['ok', 'ok', 'ok'])
      t.comment(`${((performance.now() - begun) / 180).toFixed(1)} ms a turn`)
      t.equal(await counters[0]!.do(`${kind} EX`), 'ok')
      t.equal(await counters[0]!.do('read'), 'ok 000180')
      t.equal(await counters[1]!.do(`${kind} EX NB`), 'EAGAIN')
      t.equal((await leader.status())?.locks, 1)
      for (const counter of counters) await counter.end()
    })
  }

  await t.test('a signal ends the wait, and a killed program gives its lock back', async t => {
    await file('s')
    for (const kind of ['flock', 'lockf']) {
      const [holder, waiter] = [open(one, 's'), open(two, 's')]
      t.equal(await holder.do(`${kind} EX`), 'ok')
      const waiting = waiter.do(`${kind} EX`)
      await sleep(500)
      waiter.signal('SIGUSR1')
      t.equal(await waiting, 'EINTR')
      const again = waiter.do(`${kind} EX`)
      await sleep(300)
      await holder.end('SIGKILL')
      const begun = performance.now()
      t.equal(await again, 'ok')
      t.ok(performance.now() - begun < 3000, 'at once')
      await waiter.end()
    }
  })

  const without = `${two.directory}-without`
  const at = (directory: string) => ({ ...two, directory }) as typeof leader
  await t.test('a mount without the option takes no part in what other members do', async t => {
    await file('w')
    await two.must('mount', 'demo', without)
    const [holder, apart] = [open(one, 'w'), open(at(without), 'w')]
    t.equal(await holder.do('flock EX'), 'ok')
    t.equal(await apart.do('flock EX NB'), 'ok')
    await holder.end()
    await apart.end()
  })

  await t.test('the mounts of one member share their locks, whatever their options', async t => {
    await file('s')
    const another = `${two.directory}-another`
    await two.must('mount', 'demo', another)
    for (const kind of ['flock', 'lockf']) {
      for (const [first, second] of [
        [without, another],
        [without, two.directory],
        [two.directory, another],
      ] as const) {
        const [holder, other] = [open(at(first), 's'), open(at(second), 's')]
        t.equal(await holder.do(`${kind} EX`), 'ok')
        t.equal(await other.do(`${kind} EX NB`), 'EAGAIN', `${kind} through ${first}, then ${second}`)
        const waiting = other.do(`${kind} EX`)
        await sleep(200)
        t.equal(await holder.do(`${kind} UN`), 'ok')
        t.equal(await waiting, 'ok')
        t.equal(await holder.do(`${kind} SH NB`), 'EAGAIN')
        await other.end('SIGKILL')
        await until('its lock goes with it', async () => (await holder.do(`${kind} SH NB`)) === 'ok')
        await holder.end()
      }
    }
    await two.must('umount', another)
  })

  await t.test('what a local file system does, the members together do', async t => {
    const groups = new Set(['flock', 'fcntl-locks', 'ofd-locks'])
    const indexes = table.flatMap(({ group }, i) => (groups.has(group) ? [i] : []))
    t.ok(indexes.length > 30)
    for (const [i, directory] of [leader.directory, one.directory, without].entries()) {
      const base = join(directory, `conformance-${i}`)
      const reports = await runCases({ base, indexes, jobs: 3 })
      for (const line of describe(reports).split('\n')) t.comment(line)
      t.same(
        reports.filter(({ outcome }) => outcome === 'failed').map(({ index }) => table[index]!.name),
        [],
      )
    }
  })

  await t.test('the leader dies: who holds a lock keeps it', async t => {
    await file('l')
    const [holder, waiter] = [open(one, 'l'), open(two, 'l')]
    t.equal(await holder.do('flock EX'), 'ok')
    const waiting = waiter.do('flock EX')
    await sleep(300)
    const pid = await leader.kill('SIGKILL')
    await until('it is gone', () => !isRunning(pid), 5)
    const winner = await cluster.leader([one, two])
    t.not(winner, leader)
    await sleep(14_000)
    t.equal(await holder.do('write held'), 'ok', 'after election, lease and time of grace')
    t.equal(await holder.do('flock UN'), 'ok')
    t.equal(await waiting, 'ok')
    t.equal(await waiter.do('read'), 'ok held00')
    await holder.end()
    await waiter.end()
    await leader.mount('-o', 'locks=channel')
    await cluster.agree(machines)
  })

  await t.test("a holder's node dies: the others wait for its lease", async t => {
    await file('d')
    const now = await cluster.leader(machines)
    const [dying, other] = machines.filter(machine => machine !== now) as [typeof leader, typeof leader]
    const [holder, waiter] = [open(dying, 'd'), open(other, 'd')]
    t.equal(await holder.do('lockf EX'), 'ok')
    const waiting = waiter.do('lockf EX')
    await sleep(300)
    const pid = await dying.kill('SIGKILL')
    const begun = performance.now()
    t.equal(await waiting, 'ok')
    const seconds = (performance.now() - begun) / 1000
    t.ok(seconds > 5 && seconds < 15, `after ${seconds.toFixed(1)} s`)
    t.equal(isRunning(pid), false)
    t.match(await holder.do('write x'), /^E/, 'its program cannot go on')
    await holder.end()
    await waiter.end()
    await dying.mount('-o', 'locks=channel')
    await cluster.agree(machines)
  })

  await t.test('a member that stood still finds its locks lost', async t => {
    await file('p')
    const now = await cluster.leader(machines)
    const [still, other] = machines.filter(machine => machine !== now) as [typeof leader, typeof leader]
    const [holder, waiter] = [open(still, 'p'), open(other, 'p')]
    t.equal(await holder.do('flock EX'), 'ok')
    const waiting = waiter.do('flock EX')
    await sleep(300)
    const pid = await still.kill('SIGSTOP')
    t.teardown(() => isRunning(pid) && process.kill(pid, 'SIGCONT'))
    t.equal(await waiting, 'ok')
    t.equal(await waiter.do('write other'), 'ok')
    process.kill(pid, 'SIGCONT')
    t.equal(await holder.do('write mine'), 'EIO')
    t.equal(await holder.do('read'), 'EIO')
    t.equal(await holder.do('flock EX NB'), 'EIO')
    await holder.end()
    await waiter.end()
  })
  await cluster.same(machines)
})
