/** The death of a node at any time: no mount hangs, nothing acknowledged is lost, the same command starts it again. */
import { spawn } from 'node:child_process'
import t from 'tap'
import { clusterOf, isDead, isMounted, isRunning, sleep, until, type Machine } from './support/cluster.js'
import { Writer } from './support/writer.js'

const cluster = clusterOf(t)

/** Whether every look into the mount ends in time, whatever it answers. */
async function hangs(machine: Machine): Promise<string> {
  const looks = await Promise.all([
    machine.shell('stat . >/dev/null', 5),
    machine.shell('ls >/dev/null', 5),
    machine.shell('stat no-such-name >/dev/null; true', 5),
  ])
  return looks.some(look => look.timedOut) ? `${machine.name} hangs` : ''
}

async function crash(machine: Machine): Promise<void> {
  const pid = await machine.kill('SIGKILL')
  await until('it is gone', () => !isRunning(pid), 5)
}

await t.test('three members under load', async t => {
  const machines = await cluster.members('a', 'b', 'c')
  for (const machine of machines) await machine.mount()
  const writers: Writer[] = []
  t.teardown(() => Promise.all(writers.map(writer => writer.stop())))

  for (const victimRole of ['leader', 'follower'] as const) {
    await t.test(`kill -9 of a ${victimRole}`, async t => {
      const load = machines.map(machine => new Writer(machine, `${victimRole}-${machine.name}`))
      writers.push(...load)
      await until('all write', () => load.every(w => w.acknowledged > 20))
      const leader = await cluster.leader(machines)
      const victim = victimRole === 'leader' ? leader : machines.find(m => m !== leader)!
      const others = machines.filter(m => m !== victim)
      await crash(victim)
      const before = load.map(w => w.acknowledged)
      await until('the mount is dead', () => isDead(victim.directory), 5)
      for (const machine of machines) t.equal(await hangs(machine), '')
      t.match((await victim.shell('ls', 5)).stderr, /not connected/, 'it stays, and answers nothing but that')
      await until('the others write on', () =>
        load.every((w, i) => w.machine === victim || w.acknowledged > before[i]! + 20),
      )
      for (const writer of load) {
        if (writer.machine === victim) t.match(writer.error, /error/, 'its program was told')
        else t.equal(writer.error, undefined, `${writer.prefix} saw no error`)
      }
      const limit = victimRole === 'leader' ? 10 : 5
      for (const w of load) if (w.machine !== victim) t.ok(w.slowest < limit, `${w.prefix}: at most ${w.slowest} s`)

      const again = await victim.rkfs('mount', 'demo', victim.directory)
      t.equal(again.code, 0, again.stderr)
      t.ok(again.seconds < 20, `mounted again after ${again.seconds} s`)
      t.match(again.stdout, /^demo is mounted at [^(]*$/)
      for (const machine of others) t.equal(await hangs(machine), '')
      await Promise.all(load.map(w => w.stop()))
      await cluster.agree(machines)
      await cluster.same(machines)
      for (const machine of machines) {
        for (const writer of load) t.equal(await writer.missingOn(machine), '', `${writer.prefix} on ${machine.name}`)
      }
      t.comment(load.map(w => `${w.prefix}: ${w.acknowledged}`).join(', '))
    })
  }

  await t.test('a follower that is silent for 12 s costs the others nothing', async t => {
    const leader = await cluster.leader(machines)
    const silent = machines.find(m => m !== leader)!
    const others = machines.filter(m => m !== silent)
    const load = others.map(machine => new Writer(machine, `silent-${machine.name}`))
    writers.push(...load)
    const pid = await silent.kill('SIGSTOP')
    let counts: number[] = []
    try {
      await until('they write', () => load.every(w => w.acknowledged > 20))
      const end = performance.now() + 12_000
      while (performance.now() < end) {
        const before = load.map(w => w.acknowledged)
        await sleep(3000)
        for (const [i, w] of load.entries()) t.ok(w.acknowledged > before[i]! + 10, `${w.prefix} goes on`)
        for (const machine of others) t.equal(await hangs(machine), '')
      }
      counts = load.map(w => w.acknowledged)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    for (const w of load) {
      t.ok(w.slowest < 2, `${w.prefix}: at most ${w.slowest} s`)
      t.equal(w.error, undefined)
    }
    await Promise.all(load.map(w => w.stop()))
    await cluster.agree(machines)
    await cluster.same(machines)
    for (const writer of load) t.equal(await writer.missingOn(silent), '', `${writer.prefix} of ${counts}`)
  })

  await t.test('SIGTERM unmounts in order, under load', async t => {
    const leader = await cluster.leader(machines)
    const load = machines.map(machine => new Writer(machine, `term-${machine.name}`))
    writers.push(...load)
    await until('all write', () => load.every(w => w.acknowledged > 20))
    // a member that was killed may have copies of what it had returned and no other member had yet
    const copies = (): Promise<string[]> => Promise.all(machines.map(m => m.must('conflicts', 'list', 'demo')))
    const copiesBefore = await copies()
    const pid = await leader.kill('SIGTERM')
    await until('its node ends', () => !isRunning(pid), 15)
    t.notOk(isMounted(leader.directory))
    t.equal((await leader.shell('ls', 5)).stdout, '')
    const before = load.map(w => w.acknowledged)
    await until(
      'the others write on',
      () => load.every((w, i) => w.machine === leader || w.acknowledged > before[i]! + 20),
      10,
    )
    for (const w of load) if (w.machine !== leader) t.equal(w.error, undefined, w.prefix)
    await leader.mount()
    await Promise.all(load.map(w => w.stop()))
    await cluster.agree(machines)
    await cluster.same(machines)
    for (const machine of machines)
      for (const w of load) t.equal(await w.missingOn(machine), '', `${w.prefix} on ${machine.name}`)
    t.match(await leader.must('verify', 'demo', '--deep'), /ok: all members agree/)
    t.same(await copies(), copiesBefore, 'nothing is given up')
  })

  await t.test('kill -9 of all three at once', async t => {
    const load = machines.map(machine => new Writer(machine, `all-${machine.name}`))
    writers.push(...load)
    await until('all write', () => load.every(w => w.acknowledged > 20))
    const pids = await Promise.all(machines.map(m => m.pid()))
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await Promise.all(load.map(w => w.stop()))
    await Promise.all(machines.map(m => m.mount()))
    await cluster.agree(machines)
    await cluster.same(machines)
    for (const machine of machines)
      for (const w of load) t.equal(await w.missingOn(machine), '', `${w.prefix} on ${machine.name}`)
  })
})

/** Appends to one file and never closes it; says how far each write reached. */
const unclosed = `
import os, sys
os.chdir(sys.argv[1])
f = os.open('unclosed', os.O_CREAT | os.O_WRONLY)
at = 0
while True:
    try: n = os.write(f, (b'%07d\\n' % (at // 8)) * 1)
    except OSError: sys.exit(1)
    at += n
    print(at, flush=True)
`

await t.test('kill -9 of a channel of one, in the middle of writes', async t => {
  const solo = await cluster.machine('solo')
  await solo.must('channel', 'create', 'demo')
  await solo.mount()
  for (let round = 0; round < 3; round++) {
    const load = [new Writer(solo, `small-${round}`, 100, 0), new Writer(solo, `large-${round}`, 400_000, 0)]
    const child = spawn('python3', ['-c', unclosed, solo.directory], { stdio: ['ignore', 'pipe', 'ignore'] })
    let told = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (told = (told + text).slice(-100)))
    const ended = new Promise(resolve => child.once('close', resolve))
    await until('all write', () => load.every(w => w.acknowledged > 10) && told.length > 50)
    await crash(solo)
    await Promise.all(load.map(w => w.stop()))
    await ended
    const again = await solo.rkfs('mount', 'demo', solo.directory)
    t.equal(again.code, 0, again.stderr)
    for (const w of load) t.equal(await w.missingOn(solo), '', w.prefix)
    const written = Number(told.trim().split('\n').at(-1))
    const found = await solo.python(
      `data = open('unclosed', 'rb').read(); n = len(data)
whole = b''.join(b'%07d\\n' % i for i in range(n // 8 + 1))[:n]
print(n, data == whole)
os.unlink('unclosed')`,
    )
    const [length, right] = found.stdout.trim().split(' ')
    t.ok(Number(length) >= written, `round ${round}: ${length} of ${written} bytes that were written and not closed`)
    t.equal(right, 'True')
    t.match(await solo.must('verify', 'demo', '--deep'), /ok: all members agree/)
  }
})
