/** A mount is there only where the files are: nobody is ever shown less than there is. */
import { spawn, type ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clusterOf, isDead, isMounted, isRunning, mainPath, until, type Machine } from './support/cluster.js'
import { refused } from './support/refusal.js'

const cluster = clusterOf(t)
const owner = await cluster.machine('owner')
const newcomer = await cluster.machine('newcomer')
await owner.must('channel', 'create', 'demo')
await owner.mount()
await owner.shell('for i in 1 2 3 4 5; do head -c 300000 /dev/urandom > file-$i; done; sync file-5')

function serve(t: Test, machine: Machine, failpoint?: string): ChildProcess {
  const env = { PATH: process.env['PATH'], ...(failpoint === undefined ? {} : { RKFS_FAILPOINT: failpoint }) }
  const node = spawn(process.execPath, [mainPath, 'serve', '--home', machine.home], { stdio: 'ignore', env })
  t.teardown(() => node.kill('SIGKILL'))
  return node
}

await t.test('mount on a member that is still fetching', async t => {
  const node = serve(t, newcomer, 'snapshot-received')
  await until('it answers', async () => (await newcomer.report()) !== undefined)
  await newcomer.rkfs('join', await owner.must('member', 'invite', 'demo'))
  await until('it died before the files were in their place', () => node.exitCode !== null || node.signalCode !== null)
  await owner.must('stop')

  const why = /the files of demo are not here yet: fetching the files.*--timeout.*`rkfs status` shows how far it is/
  await refused(t, newcomer, ['mount', 'demo', newcomer.directory, '--timeout', '1'], 1, why)
  t.notOk(isMounted(newcomer.directory))
  await refused(t, newcomer, ['sync', 'demo', '--timeout', '1'], 1, why)
  const told = await newcomer.rkfs('status', 'demo')
  t.equal(told.code, 3, told.stdout)
  t.match(told.stdout, /: learner, /)
  t.match(told.stdout, /\n {2}files +fetching the files/)
  t.match(told.stdout, /\n {2}safe +not known here until the files are/)
  t.match(told.stdout, /\n {2}mounts +none until the files are here/)
  t.match(told.stdout, /! +fetching the files.*: until then nothing can be mounted, and all calls in mounts fail/)
  t.match(await newcomer.status(), { state: 'learner', complete: false, fetching: { what: 'fetching the files' } })

  const waiting = newcomer.rkfs('mount', 'demo', newcomer.directory, '--timeout', '50')
  await owner.mount()
  t.match((await waiting).stdout, /^demo is mounted at/)
  t.equal((await newcomer.shell('ls | wc -l; cat file-* | wc -c')).stdout, '5\n1500000\n')
  t.match(await newcomer.status(), { complete: true, fetching: null })
  await cluster.agree([owner, newcomer])
})

await t.test('a mount of a member whose state is lost stays dead until the files are there again', async t => {
  t.ok(isMounted(newcomer.directory))
  const pid = await newcomer.kill('SIGKILL')
  await until('it is gone', () => !isRunning(pid))
  await owner.must('stop')
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(newcomer.folder(), `state.db${suffix}`), { force: true })
  serve(t, newcomer)
  await until('it is told why', async () =>
    /cannot be mounted anew: the files of demo are not here yet/.test(
      (await newcomer.status())?.mounts[0]?.problem ?? '',
    ),
  )
  t.match(await newcomer.status(), { complete: false, mounts: [{ state: 'dead' }] })
  t.ok(await isDead(newcomer.directory))
  t.match((await newcomer.shell('ls')).stderr, /not connected/)
  await owner.mount()
  await until('it is mounted anew', async () => (await newcomer.status())?.mounts[0]?.state === 'mounted')
  t.equal((await newcomer.shell('ls | wc -l; cat file-* | wc -c')).stdout, '5\n1500000\n')
})
