/** Open files without a name do not use up the node's descriptors, and at its limit it can still be asked and reached. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import t from 'tap'
import { clusterOf, until, type Machine } from './support/cluster.js'

const cluster = clusterOf(t)
const machines = await cluster.members('a', 'b', 'c')
for (const machine of machines) await machine.mount()
const leader = await cluster.leader(machines)
const follower = machines.find(machine => machine !== leader) as Machine

const plenty = 2000
const used = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length
/** The soft limit. */
function limit(pid: number, files: number): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--nofile=${files}:`], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

/** Argument: how many. Each is written once it has no name, and read back when all are. */
const deletedFiles = `
import resource
count = int(sys.argv[2]); resource.setrlimit(resource.RLIMIT_NOFILE, (count + 50, count + 50)); files = []
try:
    for i in range(count):
        fd = os.open('deleted%d' % i, os.O_CREAT | os.O_EXCL | os.O_RDWR); os.unlink('deleted%d' % i)
        os.pwrite(fd, b'content %d' % i, i * 100); files.append(fd)
    wrong = [i for i, fd in enumerate(files) if os.pread(fd, 100, i * 100) != b'content %d' % i]
    print('written', len(files), 'wrong', wrong, flush=True)
except OSError as error: print(errno.errorcode[error.errno], 'after', len(files), flush=True)
`

for (const [what, machine] of [
  ['the leader', leader],
  ['a follower', follower],
] as const) {
  await t.test(`many open, deleted and written files: ${what}`, async t => {
    const pid = await machine.pid()
    const before = used(pid)
    limit(pid, before + 60)
    const { stdout, stderr } = await machine.python(deletedFiles, 100, machine.directory, '400')
    t.equal(stdout, 'written 400 wrong []\n', stderr)
    limit(pid, plenty)
    t.ok(used(pid) <= before + 10, `${used(pid)} descriptors, and ${before} before`)
  })
}

await t.test('with few descriptors left: ENFILE, and status and members get through', async t => {
  const pid = await leader.pid()
  limit(pid, used(pid) + 24)
  const { stdout, stderr } = await leader.python(deletedFiles, 60, leader.directory, '3')
  t.equal(stdout, 'ENFILE after 0\n', stderr)
  t.equal((await leader.rkfs('status', 'demo')).code, 0)
  const refused = await leader.rkfs('mount', 'demo', `${leader.directory}-two`)
  t.equal(refused.code, 1)
  t.match(refused.stderr, /nearly as many files open as it may/)
  const notMade = await leader.rkfs('channel', 'create', 'another')
  t.match(notMade.stderr, /channel another cannot be made: this node has nearly as many files open as it may/)
  t.notMatch(await leader.must('channel', 'list'), /another/)
  await follower.must('stop')
  await follower.mount()
  await until('the others are connected', async () => (await leader.status())?.members.every(m => m.connected))
  t.equal((await follower.shell('echo x > through')).code, 0)
  limit(pid, plenty)
  t.match((await leader.python(deletedFiles, 60, leader.directory, '3')).stdout, /^written 3 wrong \[\]\n/)
  await cluster.same(machines)
})
