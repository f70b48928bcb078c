/** Calls through a mount whose channel is in trouble: each is answered in its time, ended by a signal, or goes on rightly. */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clusterOf, isMounted, isRunning, sleep, until, type Machine } from './support/cluster.js'
import { fillDisk } from './support/full-disk.js'
import { mixedPrograms, signalStorm } from './support/programs.js'

const cluster = clusterOf(t)

const timeoutSeconds = 4
/** Beyond a deadline, on a machine that does other work, too. */
const slackSeconds = 4

const a = await cluster.machine('a')
const b = await cluster.machine('b')
const c = await cluster.machine('c')
const machines = [a, b, c]
/** The disk of `c` is one that can be filled. */
const settings = readFileSync(join(c.home, 'config.toml'))
spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=96m,mode=700', 'tmpfs', c.home])
writeFileSync(join(c.home, 'config.toml'), settings)
await a.must('channel', 'create', 'demo')
for (const machine of [b, c]) await cluster.admit(a, machine)
await cluster.agree(machines)
for (const machine of machines) await machine.mount('-o', `timeout=${timeoutSeconds}`)

async function right(t: Test, machine: Machine, script: string, limitSeconds: number, ...args: string[]) {
  const { stdout, stderr, timedOut } = await machine.python(script, limitSeconds, machine.directory, ...args)
  t.equal(stdout, 'done\n', stderr)
  t.notOk(timedOut)
}

/** Nothing is in flight any more on any machine. */
async function idle(): Promise<void> {
  for (const machine of machines) {
    await until(`${machine.name} is idle`, async () => {
      const mount = (await machine.status())?.mounts[0]
      return mount?.waiting === 0 && mount.openFiles === 0
    })
  }
}

/** Every kind of call that waits for others, each in a process of its own; prints one line for each: name, errno, seconds. */
const waitingCalls = `
import signal
prefix, alarm = sys.argv[2], float(sys.argv[3])
def written():
    fd = os.open('kept', os.O_WRONLY); os.pwrite(fd, b'y', 0); return fd
def close(): os.close(written())
def fsync(): os.fsync(written())
def append():
    fd = os.open('kept', os.O_WRONLY | os.O_APPEND | os.O_DSYNC); os.write(fd, b'z')
calls = {
    'mkdir': lambda: os.mkdir(prefix), 'rmdir': lambda: os.rmdir('keptdir'), 'unlink': lambda: os.unlink('kept'),
    'rename': lambda: os.rename('kept', prefix), 'link': lambda: os.link('kept', prefix),
    'symlink': lambda: os.symlink('x', prefix), 'create': lambda: os.open(prefix, os.O_CREAT | os.O_EXCL),
    'chmod': lambda: os.chmod('kept', 0o640), 'truncate': lambda: os.truncate('kept', 5),
    'setxattr': lambda: os.setxattr('kept', 'user.x', b'1'), 'open': lambda: os.open('kept', os.O_WRONLY | os.O_TRUNC),
    'close': close, 'fsync': fsync, 'append': append,
}
for name, call in calls.items():
    if os.fork(): continue
    # each in a directory of its own: the kernel lets one change of a directory, or of a file, through at a time
    os.chdir(name); os.stat('kept'); os.stat('keptdir')
    # the handler runs when the call is over, or when EINTR has ended it; then Python repeats it (PEP 475)
    handled = []; signal.signal(signal.SIGALRM, lambda *_: handled.append(time.monotonic())); at = time.monotonic()
    signal.siginterrupt(signal.SIGALRM, True)
    if alarm: signal.setitimer(signal.ITIMER_REAL, alarm)
    try: call(); result = 'ok'
    except OSError as error: result = errno.errorcode[error.errno]
    took = time.monotonic() - at; signal.setitimer(signal.ITIMER_REAL, 0)
    if handled and handled[0] < at + took - 0.5: result = 'EINTR'
    os.write(1, ('%s %s %.2f\\n' % (name, result, took)).encode()); os._exit(0)
try:
    while True: os.wait()
except ChildProcessError: pass
print('all', 'ended', 0)
`
const callNames = 'mkdir rmdir unlink rename link symlink create chmod truncate setxattr open close fsync append'.split(
  ' ',
)

/** Results by call; all must end within the limit. */
async function waiting(t: Test, machine: Machine, prefix: string, alarm: number, limitSeconds: number) {
  const { stdout, stderr, timedOut } = await machine.python(
    waitingCalls,
    limitSeconds + 20,
    machine.directory,
    prefix,
    String(alarm),
  )
  t.notOk(timedOut, `${prefix}: no call hangs`)
  const results = stdout
    .trim()
    .split('\n')
    .map(line => line.split(' '))
    .filter(([name]) => name !== 'all')
  t.equal(results.length, callNames.length, stderr)
  for (const [name, result, seconds] of results) {
    t.ok(Number(seconds) < limitSeconds, `${prefix} ${name} ${result}: ${seconds} s`)
  }
  return new Map(results.map(([name, result]) => [name!, result!]))
}

async function makeKept(): Promise<void> {
  const made = await a.shell(
    `rm -rf ${callNames.join(' ')}; for i in ${callNames.join(' ')}; do mkdir -p $i/keptdir; echo kept > $i/kept; done`,
  )
  if (made.code !== 0) throw new Error(made.stderr)
  await cluster.same(machines)
}

await t.test('many programs, and a signal storm, through the mount of a follower', async t => {
  const leader = await cluster.leader(machines)
  const follower = machines.find(machine => machine !== leader && machine !== c)!
  await right(t, follower, mixedPrograms, 60, 'many', '50', '14')
  const storm = right(t, follower, signalStorm, 60, 'storm', '4', '6')
  // changes wait for longer than any timer
  for (let i = 0; i < 2; i++) {
    await sleep(1500)
    const pid = await leader.kill('SIGSTOP')
    await sleep(1000)
    process.kill(pid, 'SIGCONT')
  }
  await storm
  await cluster.agree(machines)
  await idle()
  await cluster.same(machines)
})

await t.test('the leader is stopped for ten seconds: the programs of a follower go on under a new one', async t => {
  const leader = await cluster.leader(machines)
  const others = machines.filter(machine => machine !== leader)
  const [follower] = others as [Machine]
  const before = (await follower.status())!.term
  const ended = follower.python(mixedPrograms, 60, follower.directory, 'stopped', '5', '150')
  await until('the programs work', async () => ((await follower.status())?.mounts[0]?.openFiles ?? 0) > 0)
  const pid = await leader.kill('SIGSTOP')
  t.teardown(() => isRunning(pid) && process.kill(pid, 'SIGCONT'))
  const stopped = sleep(10_000)
  const { stdout, stderr } = await ended
  t.equal(stdout, 'done\n', stderr)
  t.ok((await follower.status())!.term > before, 'another leads')
  await stopped
  process.kill(pid, 'SIGCONT')
  await cluster.agree(machines)
  await idle()
  await cluster.same(machines)
})

await t.test('a full disk of a member: its calls end in time', async t => {
  await makeKept()
  const disk = join(c.home, 'channels')
  const ballast = fillDisk(disk)
  const results = await waiting(t, c, 'full', 0, timeoutSeconds + slackSeconds)
  for (const [name, result] of results) t.match(result, /^(ENOSPC|EIO|ok)$/, name)
  const write = `
try:
    fd = os.open('mkdir/kept', os.O_WRONLY)
    for i in range(64): os.write(fd, os.urandom(1 << 20))
    os.close(fd); print('ok')
except OSError as error: print(errno.errorcode[error.errno])`
  const large = await c.python(write, timeoutSeconds + slackSeconds)
  // EIO: one that memory held already when there was no room, and that may come true
  t.match(large.stdout, /^(ENOSPC|EIO)\n$/, `${large.seconds} s ${large.stderr}`)
  t.equal(
    (await c.shell('cat chmod/kept >/dev/null && ls >/dev/null && echo read', 10)).stdout,
    'read\n',
    'reads go on',
  )
  for (const path of ballast) rmSync(path)
  await until('c takes changes again', async () => (await c.shell('echo again > again', 10)).code === 0)
  await idle()
  await cluster.same(machines)
})

await t.test('the majority is stopped', async t => {
  await makeKept()
  const leader = await cluster.leader(machines)
  const [follower, other] = machines.filter(machine => machine !== leader) as [Machine, Machine]
  const patient = join(cluster.root, 'mnt', 'patient')
  await follower.must('mount', 'demo', patient, '-o', 'timeout=100')
  const pids = [await leader.kill('SIGSTOP'), await other.kill('SIGSTOP')]
  const resume = (): void => pids.forEach(pid => isRunning(pid) && process.kill(pid, 'SIGCONT'))
  t.teardown(resume)

  await t.test('a deadline ends what waits, and no signal that is handled', async t => {
    // the first ones go to a leader that does not answer
    const results = await waiting(t, follower, 'deadline', 1, timeoutSeconds + slackSeconds)
    for (const [name, result] of results) t.match(result, /^(EROFS|EIO|ok)$/, name)
    t.equal((await follower.shell('cat chmod/kept >/dev/null && ls >/dev/null && echo read', 5)).stdout, 'read\n')
  })

  await t.test('the waits of one directory do not add up', async t => {
    const { stdout, seconds, timedOut } = await follower.shell(
      'for i in {1..20}; do (mkdir one-$i 2>/dev/null || echo failed) & done; wait',
      60,
    )
    t.notOk(timedOut)
    t.equal(stdout, 'failed\n'.repeat(20))
    t.ok(seconds < timeoutSeconds + slackSeconds, `${seconds} s`)
  })

  await t.test('a program that is killed while it waits is gone at once', async t => {
    const script = 'timeout -s KILL 0.7 bash -c "echo x > killed" || timeout -s KILL 0.7 mkdir killed.d || true'
    const { code, seconds } = await follower.shell(script, 30, patient)
    t.equal(code, 0)
    t.ok(seconds > 1.3 && seconds < 4, `${seconds} s`)
  })

  await t.test('a program that is killed with a written file open is gone soon, its last close unanswered', async t => {
    const script = `
pid = os.fork()
if pid == 0:
    fd = os.open('truncate/kept', os.O_WRONLY); os.write(1, b'open '); os.write(fd, b'y'); os._exit(0)
time.sleep(0.7); os.kill(pid, 9); os.waitpid(pid, 0); print('gone')`
    const { stdout, seconds } = await follower.python(script, 30, patient)
    t.equal(stdout, 'open gone\n')
    t.ok(seconds < 5, `${seconds} s`)
  })

  await t.test('umount --force with a call that is stuck', async t => {
    const stuck = follower.shell('mkdir stuck', 60, patient)
    const ofPatient = async () => (await follower.status())?.mounts.find(({ dir }) => dir === patient)
    await until('it waits', async () => ((await ofPatient())?.waiting ?? 0) > 0)
    const forced = await follower.rkfs('umount', patient, '--force')
    t.equal(forced.code, 0, forced.stderr)
    t.ok(forced.seconds < 15, `${forced.seconds} s`)
    t.notOk(isMounted(patient))
    t.ok((await stuck).seconds < 20)
  })

  resume()
  await cluster.agree(machines)
  await idle()
  await cluster.same(machines)
  const verified = await leader.rkfs('verify', 'demo', '--deep')
  t.equal(verified.code, 0, verified.stdout + verified.stderr)
})
