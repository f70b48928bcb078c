/** What programs do to a mount, by the dozen, under signals and killed: right results, and nothing is left behind. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { spawn } from 'node:child_process'
import t, { type Test } from 'tap'
import { clusterOf, isMounted, sleep, until, type Machine } from './support/cluster.js'
import { killedClients, manyOpens, mixedPrograms, signalStorm } from './support/programs.js'

const cluster = clusterOf(t)

const opens = 10_000
/** More, for a longer look. */
const kills = Number(process.env['RKFS_E2E_KILLS'] ?? 600)
const stoppedSeconds = 10

const solo = await cluster.machine('solo')
await solo.must('mount', 'demo', solo.directory)
const node = await solo.pid()

/** Waits until no call is in flight, no file is open, and the node has no spill file of a file without a name. */
async function idle(machine: Machine, pid: number): Promise<void> {
  let seen: unknown
  await until('nothing is left of the programs', async () => {
    const mount = (await machine.status())?.mounts[0]
    const spills = openFilesOf(pid).filter(path => path.includes('/spill-'))
    seen = { waiting: mount?.waiting, openFiles: mount?.openFiles, spills }
    return mount?.waiting === 0 && mount.openFiles === 0 && spills.length === 0
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(seen)}`)
  })
}

function openFilesOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      return []
    }
  })
}

function residentMiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

async function right(t: Test, machine: Machine, script: string, limitSeconds: number, ...args: string[]) {
  const { stdout, stderr, timedOut } = await machine.python(script, limitSeconds, machine.directory, ...args)
  t.equal(stdout, 'done\n', stderr)
  t.notOk(timedOut)
}

await t.test('fifty programs at once', async t => {
  await right(t, solo, mixedPrograms, 60, 'many', '50', '60')
  await idle(solo, node)
})

await t.test('programs under a signal every millisecond', async t => {
  await right(t, solo, signalStorm, 40, 'storm', '4', '4')
  await idle(solo, node)
})

await t.test('a node that is stopped for ten seconds goes on', async t => {
  const ended = solo.python(mixedPrograms, 60, solo.directory, 'stopped', '5', '300')
  await until('the programs work', async () => ((await solo.status())?.mounts[0]?.openFiles ?? 0) > 0)
  process.kill(node, 'SIGSTOP')
  await sleep(stoppedSeconds * 1000)
  process.kill(node, 'SIGCONT')
  const { stdout, stderr } = await ended
  t.equal(stdout, 'done\n', stderr)
  t.ok(isMounted(solo.directory))
  await idle(solo, node)
})

await t.test('clients that are killed leave nothing behind', async t => {
  await right(t, solo, killedClients, 60 + kills / 20, 'killed', String(kills))
  await idle(solo, node)
})

await t.test('a killed program’s large file without a name is freed', async t => {
  const script = `
fd = os.open('large', os.O_CREAT | os.O_RDWR); os.write(fd, b'n' * (8 << 20)); os.unlink('large')
while True: os.pwrite(fd, b'n' * (1 << 20), 8 << 20)`
  const child = spawn('python3', ['-c', `import os, sys\nos.chdir(sys.argv[1])${script}`, solo.directory], {
    stdio: 'ignore',
  })
  t.teardown(() => child.kill('SIGKILL'))
  await until('it is written to', () => openFilesOf(node).some(path => path.includes('/spill-')))
  child.kill('SIGKILL')
  await idle(solo, node)
})

await t.test('opens and closes take no descriptors and no memory', async t => {
  await right(t, solo, manyOpens, 40, String(opens / 10))
  await idle(solo, node)
  const before = { descriptors: openFilesOf(node).length, resident: residentMiB(node) }
  await right(t, solo, manyOpens, 60, String(opens))
  await idle(solo, node)
  // not one for each: the sockets of the status calls are closed a moment later, and a worker may have begun its work
  const allowed = before.descriptors + 16
  await until('the descriptors are closed', () => openFilesOf(node).length <= allowed).catch(() => undefined)
  const after = { descriptors: openFilesOf(node).length, resident: residentMiB(node) }
  t.ok(after.descriptors <= allowed, `${JSON.stringify({ before, after })}: ${openFilesOf(node).join(' ')}`)
  t.ok(after.resident < before.resident + 64, JSON.stringify({ before, after }))
  t.comment(JSON.stringify({ before, after }))
})

await t.test('the mount answered all without a fault', async t => {
  t.equal((await solo.status())?.mounts[0]?.errors, 0)
  const verified = await solo.rkfs('verify', 'demo', '--deep')
  t.equal(verified.code, 0, verified.stdout + verified.stderr)
})
