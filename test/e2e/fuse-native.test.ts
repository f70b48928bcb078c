/** A real node whose mount goes through libfuse 2, beside one with the usual driver. */
import { join } from 'node:path'
import t from 'tap'
import { describeLimit, fuseNativeLimits } from '../../src/adapters/fuse-native/driver-limits.js'
import { clusterOf, isDead, isMounted, isRunning, until, type Machine } from './support/cluster.js'
import { describeTree, makeTree } from './support/tree.js'

const cluster = clusterOf(t)

interface LogLine {
  readonly index: number
  readonly operation: string
  readonly bytes: number
}

/** The log's entries behind an index. */
async function log(machine: Machine, after = 0): Promise<LogLine[]> {
  const text = await machine.must('log', 'demo', '-n', '100000', '--json')
  return text
    .split('\n')
    .map(line => JSON.parse(line) as LogLine)
    .filter(entry => entry.index > after)
}

await t.test('a member with driver=fuse-native, and one with the usual driver', async t => {
  const machines = await cluster.members('a', 'b')
  const [a, b] = machines as [Machine, Machine]
  t.match(await a.mount('-o', 'driver=fuse-native'), /^demo is mounted at /)
  await b.mount()

  await t.test('what is made through either is the same on both', async t => {
    for (const m of machines) {
      const { code, stderr } = await m.python(makeTree, 60, m.directory, `by-${m.name}`)
      t.equal(code, 0, stderr)
    }
    await cluster.same(machines)
    const trees = await Promise.all(machines.map(m => m.python(describeTree)))
    for (const { code, stderr } of trees) t.equal(code, 0, stderr)
    t.equal(trees[0]?.stdout, trees[1]?.stdout)
    t.ok(trees[0]!.stdout.split('\n').length > 50)
  })

  await t.test('writes come whole, and libfuse’s hidden names stay out of the log', async t => {
    const before = (await a.status())!.lastIndex
    const script = `
import mmap
pages = mmap.mmap(-1, 1 << 20); f = os.open('big', os.O_CREAT | os.O_WRONLY); assert os.write(f, pages) == 1 << 20; os.close(f)
g = open('gone', 'wb+'); g.write(b'unlinked'); g.flush(); os.unlink('gone')
g.seek(0); assert g.read() == b'unlinked'; g.write(b' and written'); g.flush(); os.fsync(g.fileno())
g.seek(0); assert g.read() == b'unlinked and written' and os.fstat(g.fileno()).st_nlink == 0
open('old', 'w').write('old'); h = open('old'); open('new', 'w').write('new'); os.rename('new', 'old')
assert h.read() == 'old' and open('old').read() == 'new'
assert not [n for n in os.listdir('.') if n.startswith('.fuse')], os.listdir('.')`
    const { code, stderr } = await a.python(script)
    t.equal(code, 0, stderr)
    const entries = await log(a, before)
    const writes = entries.filter(e => /write|append/.test(e.operation))
    t.equal(writes.filter(e => e.bytes === 131_072).length, 8, JSON.stringify(writes.map(e => e.bytes)))
    t.notOk(entries.some(e => e.operation.includes('fuse_hidden')))
    const last = entries.filter(e => /unlink|rename/.test(e.operation)).map(e => e.operation.split(' ')[0])
    t.same(last, ['unlink', 'unlink', 'rename'], 'replacing an open file is two changes, as its limits say')
    await cluster.same(machines)
    t.equal((await b.shell('cat old; stat -c %s big')).stdout, 'new1048576\n')
  })

  await t.test('each sees at once what the other did', async t => {
    await a.python(`open('shared', 'w').write('first'); f = open('pinned', 'w'); f.write('pinned')`)
    await cluster.same(machines)
    const reader = a.python(`
f = open('shared'); assert f.read() == 'first'
open('reading', 'w').close()
while True:
    f.seek(0); text = f.read()
    if text not in ('first', ''): break  # truncated, then written: two changes
    time.sleep(0.01)
assert text == 'other', text
while os.path.exists('pinned'): time.sleep(0.01)
while not os.path.exists('news'): time.sleep(0.01)
print(open('news').read(), end='')`)
    await until('the reader reads', async () => (await b.shell('test -e reading')).code === 0)
    t.equal((await b.shell('printf other > shared; rm pinned; printf news > tmp; mv tmp news')).code, 0)
    const { code, stdout, stderr } = await reader
    t.equal(code, 0, stderr)
    t.equal(stdout, 'news')
  })

  await t.test('appends of both are all there, and O_EXCL has one winner', async t => {
    const append = (name: string): string => `
f = os.open('appended', os.O_CREAT | os.O_WRONLY | os.O_APPEND)
for i in range(100): os.write(f, ('${name}%04d\\n' % i).encode())
os.close(f)`
    const done = await Promise.all(machines.map(m => m.python(append(m.name))))
    for (const { code, stderr } of done) t.equal(code, 0, stderr)
    await cluster.same(machines)
    for (const m of machines)
      t.equal((await m.shell('sort -u appended | wc -lc')).stdout.trim().replace(/ +/, ' '), '200 1200')
    const exclusive = `
won = 0
for i in range(50):
    try: os.close(os.open('lock-%d' % i, os.O_CREAT | os.O_EXCL | os.O_WRONLY)); won += 1
    except FileExistsError: pass
print(won)`
    const winners = await Promise.all(machines.map(m => m.python(exclusive)))
    t.equal(
      winners.reduce((sum, { stdout }) => sum + Number(stdout), 0),
      50,
    )
  })

  await t.test('status and doctor say what the driver cannot do', async t => {
    const mount = (await a.status())?.mounts[0]
    t.equal(mount?.driver, 'fuse-native')
    t.same(mount?.limits, fuseNativeLimits.map(describeLimit))
    t.same((await b.status())?.mounts[0]?.limits, [])
    const text = await a.must('status')
    const doctor = (await a.rkfs('doctor')).stdout
    for (const limit of fuseNativeLimits.map(describeLimit)) {
      t.ok(text.includes(limit), limit)
      t.ok(doctor.includes(limit), limit)
    }
    t.equal((await a.status())?.mounts[0]?.errors, 0)
  })

  await t.test('options', async t => {
    const at = (name: string): string => join(cluster.root, 'mnt', name)
    await a.must('mount', 'demo', at('ro'), '-o', 'ro,allow_other,driver=fuse-native')
    const readOnly = await a.shell('cat old; mkdir no', 10, at('ro'))
    t.equal(readOnly.stdout, 'new')
    t.match(readOnly.stderr, /Read-only file system/)
    const other = await a.python('os.setuid(1000); print(open("old").read())', 10, at('ro'))
    t.equal(other.stdout, 'new\n', other.stderr)
    t.match((await a.python('os.setuid(1000); os.stat("old")')).stderr, /PermissionError/)
    await a.must('mount', 'demo', at('latest'), '-o', 'read=latest,driver=fuse-native')
    for (let i = 0; i < 5; i++) {
      t.equal((await b.shell(`echo ${i} > fresh-${i}`)).code, 0)
      t.equal((await a.shell(`cat fresh-${i}`, 10, at('latest'))).stdout, `${i}\n`)
    }
    const again = await a.rkfs('mount', 'demo', a.directory)
    t.equal(again.code, 1, 'the same place with another driver')
    t.match(again.stderr, /driver fuse-native.*rkfs umount/)
    for (const name of ['ro', 'latest']) await a.must('umount', at(name))
  })

  await t.test('umount, busy, by force', async t => {
    await a.must('umount', a.directory)
    t.notOk(isMounted(a.directory))
    await a.mount('-o', 'driver=fuse-native')
    const user = a.python(`
f = open('busy', 'w')
while True: f.write('x'); f.flush(); time.sleep(0.05)`)
    await until('it is open', async () => (await b.shell('test -e busy')).code === 0)
    const busy = await a.rkfs('umount', a.directory)
    t.equal(busy.code, 1)
    t.match(busy.stderr, /in use/)
    await a.must('umount', '--force', a.directory)
    t.notOk(isMounted(a.directory))
    t.equal((await a.status())?.mounts.length, 0)
    t.match((await user).stderr, /ENOTCONN|ECONNABORTED|not connected|abort/, 'who used it was told')
    await a.mount('-o', 'driver=fuse-native')
    t.equal((await a.shell('echo after > after; cat after')).stdout, 'after\n')
  })

  await t.test('umount --force of a node that is stopped ends', async t => {
    const pid = await a.kill('SIGSTOP')
    try {
      const stuck = a.shell('ls', 100)
      const { code, seconds, stderr } = await a.rkfs('umount', '--force', a.directory)
      t.equal(code, 0, stderr)
      t.ok(seconds < 50, `${seconds} s`)
      t.notOk(isMounted(a.directory))
      process.kill(pid, 'SIGCONT')
      await stuck
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await until('the node has noticed', async () => (await a.status())?.mounts.length === 0)
    await a.mount('-o', 'driver=fuse-native')
    t.equal((await a.shell('cat after')).stdout, 'after\n')
  })

  await t.test('kill -9 leaves a dead mount that does not hang, and loses nothing', async t => {
    t.equal((await a.shell('echo kept > kept')).code, 0)
    const users = [0, 1, 2].map(i => a.shell(`while echo ${i} >> during; do :; done`, 60))
    await until('all are at work', async () => {
      const { stdout } = await b.shell('cat during || true')
      return users.every((_, i) => stdout.includes(String(i)))
    })
    const pid = await a.kill('SIGKILL')
    await until('the node is gone', () => !isRunning(pid))
    await until('the mount is dead', () => isDead(a.directory))
    for (const { timedOut } of await Promise.all(users)) t.notOk(timedOut, 'who used it got an error')
    await a.mount('-o', 'driver=fuse-native')
    t.equal((await a.shell('cat kept')).stdout, 'kept\n')
    await cluster.same(machines)
    t.notOk((await log(b)).some(e => e.operation.includes('fuse_hidden')))
  })
})
