/** The end of a mount: whatever the node and the programs inside do, it comes, and nobody hangs. */
import { spawn, type ChildProcess } from 'node:child_process'
import t, { type Test } from 'tap'
import { clusterOf, isMounted, isRunning, until, type Machine } from './support/cluster.js'
import { run } from './support/process.js'

const cluster = clusterOf(t)

const crashes = Number(process.env['RKFS_E2E_CRASHES'] ?? 8)
/** No program and no command may take longer, on a machine that does other work, too. */
const boundSeconds = 25

const solo = await cluster.machine('solo')

/** Stands in the mount with a file open, and works there until a call fails; says which error it was. */
const inside = `
import errno, os, sys
os.chdir(sys.argv[1]); held = os.open('held-' + sys.argv[2], os.O_CREAT | os.O_RDWR); i = 0
print('in', flush=True)
try:
    while True:
        i += 1; name = 'inside-' + sys.argv[2]
        fd = os.open(name, os.O_CREAT | os.O_RDWR); os.write(fd, b'x' * 5000); os.close(fd)
        os.stat('.'); os.listdir('.'); os.rename(name, name + '.r'); os.pread(held, 10, 0)
except OSError as error: print(errno.errorcode[error.errno], flush=True)
`

class Inside {
  text = ''
  readonly child: ChildProcess
  readonly ended: Promise<void>

  constructor(machine: Machine, name: string) {
    this.child = spawn('python3', ['-c', inside, machine.directory, name], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.text += text))
    this.ended = new Promise(resolve => this.child.once('close', () => resolve()))
  }
}

async function programsInside(t: Test, machine: Machine, count = 3): Promise<Inside[]> {
  const programs = Array.from({ length: count }, (_, i) => new Inside(machine, String(i)))
  t.teardown(() => programs.forEach(({ child }) => child.kill('SIGKILL')))
  await until('the programs work', () => programs.every(({ text }) => text.startsWith('in\n')))
  return programs
}

/** All have ended by themselves with an error that says that the mount is gone. */
async function allTold(t: Test, programs: readonly Inside[]): Promise<void> {
  await until('the programs end', () => programs.every(({ child }) => child.exitCode !== null), boundSeconds)
  await Promise.all(programs.map(({ ended }) => ended))
  for (const { text } of programs) t.match(text, /^in\n(ENOTCONN|ECONNABORTED|EIO|ENOENT)\n$/)
}

await t.test('a busy mount names its users, and stays', async t => {
  await solo.must('mount', 'demo', solo.directory)
  const programs = await programsInside(t, solo, 1)
  const busy = await solo.rkfs('umount', solo.directory)
  t.equal(busy.code, 1)
  t.match(busy.stderr, new RegExp(`used by python3 \\(${programs[0]!.child.pid}\\)`))
  t.match(busy.stderr, /is in use: close the programs that use it \(fuser -vm /)
  t.ok(isMounted(solo.directory))
  t.equal(programs[0]!.child.exitCode, null, 'the program goes on')
})

await t.test('umount --force with programs inside', async t => {
  const programs = await programsInside(t, solo)
  const forced = await solo.rkfs('umount', solo.directory, '--force')
  t.equal(forced.code, 0, forced.stderr)
  t.ok(forced.seconds < boundSeconds, `${forced.seconds} s`)
  t.notOk(isMounted(solo.directory))
  await allTold(t, programs)
})

await t.test('umount --force while the node is stopped', async t => {
  await solo.must('mount', 'demo', solo.directory)
  const node = await solo.pid()
  const programs = await programsInside(t, solo)
  process.kill(node, 'SIGSTOP')
  t.teardown(() => isRunning(node) && process.kill(node, 'SIGCONT'))
  const forced = await solo.rkfs('umount', solo.directory, '--force')
  t.equal(forced.code, 0, forced.stderr)
  t.ok(forced.seconds < boundSeconds, `${forced.seconds} s`)
  t.notOk(isMounted(solo.directory))
  await allTold(t, programs)
  process.kill(node, 'SIGCONT')
  await until('the node has noticed', async () => (await solo.status())?.mounts.length === 0)
  await solo.must('mount', 'demo', solo.directory)
  t.equal((await solo.shell('echo again > again; cat again')).stdout, 'again\n')
  t.equal(await solo.pid(), node)
})

await t.test('umount of the mount of a dead node', async t => {
  for (const force of [false, true]) {
    await solo.must('mount', 'demo', solo.directory)
    const node = await solo.pid()
    const programs = await programsInside(t, solo)
    process.kill(node, 'SIGKILL')
    await until('it is gone', () => !isRunning(node))
    await allTold(t, programs)
    t.ok(isMounted(solo.directory), 'nobody has cleared it')
    const unmounted = await solo.rkfs('umount', solo.directory, ...(force ? ['--force'] : []))
    t.equal(unmounted.code, 0, unmounted.stderr)
    t.ok(unmounted.seconds < boundSeconds)
    t.notOk(isMounted(solo.directory))
  }
})

await t.test(`the same command takes over from a node that crashed, ${crashes} times`, async t => {
  await solo.must('mount', 'demo', solo.directory)
  for (let round = 0; round < crashes; round++) {
    const programs = await programsInside(t, solo, 2)
    const node = await solo.pid()
    process.kill(node, 'SIGKILL')
    const again = await solo.rkfs('mount', 'demo', solo.directory)
    t.equal(again.code, 0, `round ${round}: ${again.stderr}`)
    t.ok(again.seconds < boundSeconds, `${again.seconds} s`)
    await allTold(t, programs)
    const work = await solo.shell(`echo ${round} > round; cat round again`, 10)
    t.equal(work.stdout, `${round}\nagain\n`, work.stderr)
    t.not(await solo.pid(), node)
  }
  const { stdout } = await run('grep', ['-c', ` ${solo.directory} `, '/proc/self/mountinfo'], { limitSeconds: 5 })
  t.equal(stdout.trim(), '1', 'no dead mount lies below')
  const verified = await solo.rkfs('verify', 'demo', '--deep')
  t.equal(verified.code, 0, verified.stdout + verified.stderr)
})
