/** A mount goes away where somebody asks for it, and nowhere else: no program ever writes into the bare directory. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clusterOf, isDead, isMounted, isRunning, mainPath, until, type Machine } from './support/cluster.js'

const cluster = clusterOf(t)
const solo = await cluster.machine('solo')

/** Writes and syncs small files without a pause, whatever the errors; says how many were acknowledged. */
const writer = `
import os, sys
os.chdir('/'); directory, acknowledged, failed = sys.argv[1], 0, 0
while True:
    try:
        fd = os.open(f'{directory}/w{acknowledged}', os.O_CREAT | os.O_WRONLY); os.write(fd, b'x'); os.fsync(fd); os.close(fd)
        acknowledged += 1
        if acknowledged % 10 == 0: print(acknowledged, failed, flush=True)
    except OSError:
        failed += 1
        if failed % 1000 == 0: print(acknowledged, failed, flush=True)
`

class Persistent {
  readonly child: ChildProcess
  #text = ''

  constructor(t: Test, machine: Machine) {
    this.child = spawn('python3', ['-c', writer, machine.directory], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.#text = (this.#text + text).slice(-200)))
    t.teardown(() => this.child.kill('SIGKILL'))
  }

  get counts(): { acknowledged: number; failed: number } {
    const [acknowledged = 0, failed = 0] = (this.#text.split('\n').at(-2) ?? '').split(' ').map(Number)
    return { acknowledged, failed }
  }
}

const mountsAt = (directory: string): number =>
  readFileSync('/proc/self/mountinfo', 'utf8').split(` ${directory} `).length - 1

for (const driver of ['kernel', 'fuse-native']) {
  await t.test(`a node that is killed, with a program that tries on and on: ${driver}`, async t => {
    await solo.mount('-o', `driver=${driver}`)
    const program = new Persistent(t, solo)
    for (const next of ['mount', 'serve', 'mount', 'serve']) {
      const before = program.counts
      await until('it writes', () => program.counts.acknowledged > before.acknowledged + 20)
      const pid = await solo.kill('SIGKILL')
      await until('the mount is dead', async () => !isRunning(pid) && (await isDead(solo.directory)), 10)
      const failed = program.counts.failed
      await until('it is told', () => program.counts.failed > failed)
      const status = await solo.rkfs('status')
      t.equal(status.code, 1)
      t.match(
        status.stderr,
        /the mount of demo at \S+ is dead, since its node is gone: `rkfs mount demo \S+` takes its place/,
      )
      t.match(
        (await solo.rkfs('doctor')).stdout,
        `fail  mount: ${solo.directory} is dead: its node is gone -> \`rkfs mount demo ${solo.directory}\` takes its place`,
      )
      if (next === 'mount') await solo.mount('-o', `driver=${driver}`)
      else {
        const node = spawn(process.execPath, [mainPath, 'serve', '--home', solo.home], { stdio: 'ignore' })
        t.teardown(() => node.kill('SIGKILL'))
        await until('it is mounted anew', async () => (await solo.status())?.mounts[0]?.state === 'mounted')
        t.equal((await solo.status())?.mounts[0]?.driver, driver)
      }
      t.equal(mountsAt(solo.directory), 1, `after ${next}`)
    }
    const { acknowledged } = program.counts
    await until('it writes on', () => program.counts.acknowledged > acknowledged + 20)
    program.child.kill('SIGKILL')
    await solo.must('umount', solo.directory)
    t.same(readdirSync(solo.directory), [], 'nothing is in the bare directory')
    await solo.must('stop')
  })
}

await t.test('stop takes a dead mount away, and so does umount', async t => {
  for (const command of [['stop'], ['umount', solo.directory]]) {
    await solo.mount()
    const pid = await solo.kill('SIGKILL')
    await until('the mount is dead', async () => !isRunning(pid) && (await isDead(solo.directory)), 10)
    await solo.must(...command)
    t.notOk(isMounted(solo.directory), command[0])
  }
})

await t.test('an aborted connection: status says so, mount takes its place', async t => {
  await solo.mount()
  const inside = spawn('sleep', ['60'], { cwd: solo.directory, stdio: 'ignore' })
  t.teardown(() => inside.kill('SIGKILL'))
  await until('it is inside', () => inside.pid !== undefined)
  // it aborts the connection before it finds that the mount is in use
  spawnSync('umount', ['-f', '-i', '-c', solo.directory], { timeout: 10_000 })
  await until('the mount is dead', () => isDead(solo.directory))
  await until('the node knows', async () => (await solo.status())?.mounts[0]?.state === 'dead')
  const told = await solo.rkfs('status')
  t.equal(told.code, 1)
  t.match(told.stdout, /DEAD: its connection to the kernel was aborted; `rkfs mount demo \S+` takes its place/)
  await solo.mount()
  t.equal(mountsAt(solo.directory), 1)
  t.equal((await solo.shell('echo here > here; cat here')).stdout, 'here\n')
  await solo.must('umount', solo.directory)
  t.notOk(isMounted(solo.directory))
})

await t.test('"is mounted" is said of what the kernel has mounted there', async t => {
  const holders: [string, () => ChildProcess][] = [
    ['another mount namespace', () => elsewhere(['sleep', '60'])],
    ['a program in a mount that was detached', () => spawn('sleep', ['60'], { cwd: solo.directory })],
  ]
  for (const [what, hold] of holders) {
    await solo.mount()
    const holder = hold()
    t.teardown(() => holder.kill('SIGKILL'))
    await until('it holds the mount', () => holds(holder.pid, solo.directory))
    if (what.startsWith('a program')) spawnSync('umount', ['-l', '-i', '-c', solo.directory], { timeout: 10_000 })
    else t.match((await solo.rkfs('umount', solo.directory)).stderr, /it is detached, but .* another mount namespace/)
    t.notOk(isMounted(solo.directory), what)
    await until('the node says so', async () => (await solo.status())?.mounts[0]?.state === 'detached')
    t.match(await solo.must('mount', 'demo', solo.directory), /^demo is mounted at/)
    t.ok(isMounted(solo.directory), what)
    t.equal((await solo.shell(`echo ${holder.pid} > told; cat told`)).stdout, `${holder.pid}\n`)
    t.same((await solo.status())?.mounts.map(mount => mount.state).sort(), ['detached', 'mounted'])
    holder.kill('SIGKILL')
    await until('the old one ends', async () => (await solo.status())?.mounts.length === 1)
    await solo.must('umount', solo.directory)
    t.same(readdirSync(solo.directory), [], what)
  }
})

/** Runs a command in a mount namespace of its own. It holds no mount of a test that runs beside this one. */
function elsewhere(command: string[]): ChildProcess {
  const script = `awk -v keep="$0/" '/ - fuse/ && index($5, keep) != 1 { print $5 }' /proc/self/mountinfo |
    xargs -r umount -l -i -c; exec "$@"`
  const args = ['-m', '--propagation', 'private', 'sh', '-c', script, cluster.root, ...command]
  return spawn('unshare', args, { stdio: 'ignore' })
}

/** Whether a process has another mount namespace than ours, or stands in a directory. */
function holds(pid: number | undefined, directory: string): boolean {
  const ask = (link: string): string => spawnSync('readlink', [`/proc/${pid}/${link}`], { encoding: 'utf8' }).stdout
  const ours = spawnSync('readlink', ['/proc/self/ns/mnt'], { encoding: 'utf8' }).stdout
  return ask('cwd') === `${directory}\n` || (ask('exe').endsWith('sleep\n') && ask('ns/mnt') !== ours)
}

await t.test('a mount that shows elsewhere only is not called mounted, and is taken back', async t => {
  await solo.must('stop')
  const node = elsewhere([process.execPath, mainPath, 'serve', '--home', solo.home])
  t.teardown(() => node.kill('SIGKILL'))
  await until('it answers', async () => (await solo.report()) !== undefined)
  const refused = await solo.rkfs('mount', 'demo', solo.directory)
  t.equal(refused.code, 1)
  t.equal(refused.stdout, '')
  t.match(
    refused.stderr,
    /was mounted at \S+ where its node runs \(process \d+\), and was unmounted again, but nothing is mounted there for this command: it runs in another mount namespace.*nsenter/,
  )
  t.same((await solo.status())?.mounts, [])
  await solo.must('stop')
})

await t.test("the node of a copied home does not take the other's living mount for a dead one of its own", async t => {
  await solo.mount()
  const copy = await cluster.machine('copy')
  const config = readFileSync(join(copy.home, 'config.toml'))
  cpSync(solo.home, copy.home, { recursive: true, filter: path => !/\.(pid|sock|lock)$/.test(path) })
  writeFileSync(join(copy.home, 'config.toml'), config)
  await copy.must('channel', 'create', 'other')
  await until('it knows that nothing is dead', async () => (await copy.status())?.mounts.length === 0, 10)
  const refused = await copy.rkfs('umount', solo.directory)
  t.equal(refused.code, 1)
  t.match(refused.stderr, /is not one of this/)
  await copy.must('stop')
  t.equal((await solo.shell('echo there > a; cat a; rm a')).stdout, 'there\n')
})

await t.test('files in the bare directory are named, with the way to bring them in', async t => {
  const at = join(cluster.root, 'mnt', 'bare it is')
  mkdirSync(at)
  for (const name of ['one', 'two', '.hidden']) writeFileSync(join(at, name), name)
  const refused = await solo.rkfs('mount', 'demo', at)
  t.equal(refused.code, 1)
  t.match(refused.stderr, /is not empty: it holds 3 names \(\.hidden, one, two\), which are not in demo/)
  t.notOk(isMounted(at))
  const hiding = await solo.rkfs('mount', 'demo', at, '-o', 'nonempty')
  t.equal(hiding.code, 0)
  t.match(hiding.stderr, /itself holds 3 names \(\.hidden, one, two\), which the mount hides/)
  await solo.must('umount', at)
  // the words of the message, as they stand there
  const commands = [...refused.stderr.matchAll(/`((?:mv|rkfs|cp)[^`]*)`/g)].map(match => match[1]!)
  t.equal(commands.length, 3)
  const script = commands.join(' && ').replace('rkfs ', `'${process.execPath}' '${mainPath}' --home '${solo.home}' `)
  const brought = await solo.shell(script, 30, '/')
  t.equal(brought.code, 0, brought.stderr)
  t.equal((await solo.shell('cat one two .hidden', 20, at)).stdout, 'onetwo.hidden')
  await solo.must('umount', at)
  t.same(readdirSync(at), [])
  rmSync(`${at}.aside`, { recursive: true })
})
