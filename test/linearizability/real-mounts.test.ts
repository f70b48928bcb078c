/**
 * Three members with mounts `-o read=latest`, clients on all of them, members killed and stopped: what the clients were
 * told is what one file system would have told them.
 *
 * SECONDS is the time under load of each run, RUNS their number, SEED the first seed. A history that fails is kept.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Rng } from '../../src/base/rng.js'
import { Cluster, isDead, isRunning, skip, sleep, until } from '../e2e/support/cluster.js'
import { check } from './checker.js'
import { fileModel, type FileOperation } from './file-model.js'
import { saveLines } from './history.js'
import { describeVerdict } from './report.js'
import { withStaleRead } from './support/stale-read.js'
import { Workload, type WorkloadOptions } from './workload.js'

if (skip !== false) {
  t.plan(0, skip)
  process.exit(0)
}

const loadSeconds = Number(process.env['SECONDS'] ?? 10)
const runs = Number(process.env['RUNS'] ?? 1)
const firstSeed = Number(process.env['SEED'] ?? 1)
t.setTimeout((loadSeconds + 120) * (runs + 1) * 1000)

/** Of a call without a majority. */
const timeoutSeconds = 5

const mountOptions = `read=latest,timeout=${timeoutSeconds}`
const cluster = new Cluster()
t.teardown(() => cluster.close())
const machines = await cluster.members('a', 'b', 'c')
for (const machine of machines) await machine.mount('-o', mountOptions)

async function start(t: Test, within: string, options: Partial<WorkloadOptions>): Promise<Workload> {
  const workload = await Workload.start({
    folder: join(cluster.root, within),
    directories: machines.map(({ directory }) => directory),
    clientsEach: 2,
    seed: firstSeed,
    within,
    ...options,
  })
  t.teardown(() => workload.kill())
  return workload
}

/** Calls of other members return meanwhile, then the victim is back. */
async function disturb(t: Test, rng: Rng, workload: Workload): Promise<string> {
  const leader = await cluster.leader(machines)
  const followers = machines.filter(machine => machine !== leader)
  const victim = rng.below(3) > 0 ? leader : followers[rng.below(2)]!
  const kills = rng.below(2) === 0
  const pid = await victim.kill(kills ? 'SIGKILL' : 'SIGSTOP')
  const resume = (): void => void (!kills && isRunning(pid) && process.kill(pid, 'SIGCONT'))
  t.teardown(resume)
  try {
    const before = workload.returned
    if (kills) await until('the mount is dead', () => isDead(victim.directory), 10)
    // a leader that is stopped for less is still the leader
    else await sleep(rng.below(4000))
    await until('others go on', () => workload.returned > before + 10, 20)
  } finally {
    resume()
  }
  if (kills) await victim.mount('-o', mountOptions)
  return `${kills ? 'kill' : 'stop'} ${victim === leader ? 'leader' : 'follower'}`
}

function judge(t: Test, history: readonly FileOperation[], workload: Workload, name: string): boolean {
  const found = check(fileModel, history)
  t.comment(`${name}: ${describeHistory(history)}; ${found.verdict}`)
  t.equal(found.verdict, 'linearizable', describeVerdict(found))
  if (found.verdict === 'linearizable') return true
  const kept = join(mkdtempSync(join(tmpdir(), 'rkfs-history.')), 'history.jsonl')
  saveLines(kept, workload.lines())
  t.comment(`kept: npx tsx test/linearizability/check.ts ${kept}`)
  return false
}

function describeHistory(history: readonly FileOperation[]): string {
  const unknown = history.filter(operation => operation.return === undefined).length
  const failed = history.filter(({ output }) => typeof output === 'object' && 'error' in output).length
  return `${history.length} calls, ${failed} told an error, ${unknown} unknown`
}

await t.test('names, no faults, and nobody waits for anything: what has returned is seen everywhere', async t => {
  const workload = await start(t, 'plain', { isConfirmed: false, namesOnly: true, pauseMs: 1 })
  await sleep((loadSeconds / 3) * 1000)
  judge(t, await workload.stop(), workload, 'plain')
})

for (let run = 0; run < runs; run++) {
  const seed = firstSeed + run
  await t.test(`read=latest, members killed and stopped, seed ${seed}`, async t => {
    const rng = new Rng(seed)
    const workload = await start(t, `run-${run}`, { seed })
    const end = performance.now() + loadSeconds * 1000
    const faults: string[] = []
    do faults.push(await disturb(t, rng, workload))
    while (performance.now() < end)
    const before = workload.returned
    await until('all work again', () => workload.returned > before + 60, 20)
    const history = await workload.stop()
    if (!judge(t, history, workload, faults.join(', '))) return
    for (const op of [
      'put',
      'append',
      'write',
      'read',
      'list',
      'stat',
      'rename',
      'link',
      'unlink',
      'mkdir',
      'create',
    ]) {
      t.ok(
        history.some(operation => operation.input.op === op && operation.output !== undefined),
        op,
      )
    }
    const wrong = withStaleRead(history)
    t.ok(wrong !== undefined, 'a log was read while it grew')
    t.equal(check(fileModel, wrong!).verdict, 'violation', 'with one read replaced by an earlier one')
  })
}
