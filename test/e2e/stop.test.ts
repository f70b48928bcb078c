/** What `rkfs stop` says is so: nothing of the node is left when it says that it has stopped, and it ends within its time. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { clusterOf, isRunning, mainPath, until, type Machine } from './support/cluster.js'

const cluster = clusterOf(t, 170)
const solo = await cluster.machine('solo')

/** Whether the kernel still has anything of it: neither gone nor a zombie that waits for its parent. */
function remains(pid: number): boolean {
  try {
    return !/^State:\s+Z[^]*^Threads:\s+1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

await t.test('the process is gone when stop says so', async t => {
  await solo.must('channel', 'create', 'demo')
  for (let round = 0; round < 4; round++) {
    const pid = await solo.pid()
    const stopped = await solo.rkfs('stop', ...(round % 2 === 0 ? [] : ['--force']))
    t.notOk(remains(pid), `round ${round}`)
    t.match(stopped.stdout, /^the node on \S+ has stopped\n$/)
    await solo.mount()
    await solo.must('umount', solo.directory)
  }
})

await t.test('a stop while another one is under way waits for the same end', async t => {
  const pid = await solo.pid()
  const both = await Promise.all([solo.rkfs('stop'), solo.rkfs('stop')])
  for (const { code, stdout, stderr } of both) {
    t.equal(code, 0, stderr)
    t.match(stdout, /has stopped|no node is running/)
  }
  t.notOk(isRunning(pid))
})

await t.test('stop --force of a node that does not answer ends within its time', async t => {
  await solo.mount()
  const pid = await solo.pid()
  process.kill(pid, 'SIGSTOP')
  t.teardown(() => isRunning(pid) && process.kill(pid, 'SIGCONT'))
  const way = `the node (process ${pid}) is stopped: \`kill -CONT ${pid}\` lets it go on; \`rkfs stop --force\` ends it`
  for (const words of [
    ['stop', '--timeout', '1'],
    ['umount', solo.directory, '--timeout', '1'],
  ]) {
    const { code, stderr, seconds } = await solo.rkfs(...words)
    t.equal(code, 1)
    t.equal(stderr.split('\n').at(-2), `rkfs: ${way}`, words[0])
    t.ok(seconds < 6, `${words[0]}: ${seconds} s`)
  }
  const stopped = await solo.rkfs('stop', '--force', '--timeout', '3')
  t.equal(stopped.code, 0, stopped.stderr)
  t.match(stopped.stderr, `rkfs: waiting for the node (process ${pid}), which is stopped`)
  t.ok(stopped.seconds < 6, `${stopped.seconds} s`)
  t.notOk(remains(pid))
  await solo.rkfs('umount', solo.directory)
})

await t.test('a process that got the number of a dead node is left alone', async t => {
  const { writeFileSync } = await import('node:fs')
  const stranger = spawn('sleep', ['60'])
  t.teardown(() => stranger.kill('SIGKILL'))
  const other = await cluster.machine('other')
  await other.must('channel', 'create', 'demo')
  for (const pid of [stranger.pid!, await other.pid()]) {
    writeFileSync(`${solo.home}/node.pid`, `${pid}\n`)
    const stopped = await solo.rkfs('stop', '--force', '--timeout', '3')
    t.match(stopped.stdout, /^no node is running on /)
    t.ok(isRunning(pid), 'be it the node of another home')
  }
  await other.must('stop')
})

await t.test('a member that fetches its files', async t => {
  const [a, b] = [await cluster.machine('a'), await cluster.machine('b')] as [Machine, Machine]
  await a.must('mount', 'demo', a.directory, '-o', 'sync=fsync')
  const size = 96
  await a.shell(`for i in $(seq ${size}); do head -c 1M /dev/urandom > f$i; done; sync f${size}`, 50)
  const token = await a.must('member', 'invite', 'demo')
  const joins = b.rkfs('join', token)
  for (const isSenderStopped of [true, false]) {
    await until('it fetches', async () => ((await b.status())?.fetching?.done ?? 0) > 0)
    const [pid, sender] = [await b.pid(), await a.pid()]
    if (isSenderStopped) process.kill(sender, 'SIGSTOP')
    const stopped = await b.rkfs('stop', '--force', '--timeout', '8')
    process.kill(sender, 'SIGCONT')
    t.equal(stopped.code, 0, stopped.stderr)
    t.ok(stopped.seconds < 9, `${stopped.seconds} s`)
    t.notOk(remains(pid))
    if (!isSenderStopped) break
    const joined = await joins
    t.not(joined.code, 0, 'a join whose node was stopped is not done')
    t.match(joined.stderr, /before all of demo was here|went away/)
    const node = spawn(process.execPath, [mainPath, 'serve', '--home', b.home], { stdio: 'ignore' })
    t.teardown(() => node.kill('SIGKILL'))
  }
})
