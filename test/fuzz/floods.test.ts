/** Strangers that ask as fast as they can: what a mount's `close` takes meanwhile. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { clusterOf } from '../e2e/support/cluster.js'
import { all } from './support/options.js'

const cluster = clusterOf(t)
const floodSeconds = all ? 30 : 6
/** Below this a machine's own noise is larger than what is measured. */
const leastMs = 10

const [a, b, c] = await cluster.members('a', 'b', 'c')
for (const machine of cluster.machines) await machine.mount()
const { id } = (await a!.status())!
const flood = fileURLToPath(new URL('./support/flood.ts', import.meta.url))

/** Writes and closes small files for so long; what each `close` took, in milliseconds, in ascending order. */
async function closes(seconds: number): Promise<number[]> {
  const script = `
begin = time.monotonic_ns(); took, end, n = [], time.monotonic() + ${seconds}, 0
while time.monotonic() < end:
    f = os.open('close-%s-%d' % (begin, n), os.O_CREAT | os.O_WRONLY, 0o644); n += 1
    os.write(f, b'x' * 1000); begun = time.monotonic(); os.close(f); took.append((time.monotonic() - begun) * 1000)
    time.sleep(0.01)
print(json.dumps(sorted(took)))`
  const { stdout, stderr } = await a!.python(script, seconds + 60)
  if (stdout === '') throw new Error(stderr)
  return JSON.parse(stdout) as number[]
}

const at = (sorted: readonly number[], part: number): number => sorted[Math.floor((sorted.length - 1) * part)]!
const shown = (sorted: readonly number[]): string =>
  [0.5, 0.9, 0.99, 1].map(part => at(sorted, part).toFixed(1)).join(' / ')

/** The flood has the lowest priority: this is about what it makes the node do, not about its own work. */
function startFlood(kind: string, seconds: number): Promise<string> {
  const words = [kind, String(a!.port), id, `${a!.home}/csp/cacerts/demo.pem`, String(seconds)]
  const child = spawn('nice', ['-n', '19', process.execPath, '--import', import.meta.resolve('tsx'), flood, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: (seconds + 30) * 1000,
    killSignal: 'SIGKILL',
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  return new Promise(resolve => child.on('close', () => resolve(out.trim())))
}

t.comment('close on a mount of the leader or a follower, with a majority: ms at p50 / p90 / p99 / most')
for (const kind of ['enrollments', 'resets', 'handshakes', 'connections']) {
  await t.test(`close takes less than twice as long while there are ${kind}`, async t => {
    // the machine may be busy with other things: before, after and meanwhile are compared, in at most three rounds
    let [median, without, times] = [Infinity, 0, '']
    for (let round = 0; round < 3 && median > Math.max(leastMs, 2 * without); round++) {
      const before = await closes(3)
      const flooding = startFlood(kind, floodSeconds + 2)
      await closes(1)
      const meanwhile = await closes(floodSeconds)
      times = await flooding
      const after = await closes(3)
      median = at(meanwhile, 0.5)
      without = Math.max(at(before, 0.5), at(after, 0.5))
      t.comment(`${kind} (${times} of them): ${shown(before)}; meanwhile ${shown(meanwhile)}; after ${shown(after)}`)
    }
    t.ok(Number(times) > 0, `${kind}: there were some`)
    t.ok(median <= Math.max(leastMs, 2 * without), `${kind}: ${median.toFixed(1)} ms, without ${without.toFixed(1)} ms`)
  })
}

await t.test('a new member is admitted in the midst of it', async t => {
  await cluster.same([a!, b!, c!])
  const d = await cluster.machine('d')
  const flooding = startFlood('enrollments', 8)
  await cluster.admit(a!, d)
  t.ok(await d.status(), 'it is a member')
  await flooding
})
