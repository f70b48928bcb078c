/**
 * A home in which one bit of one file is another: the node starts and every read is right, or it refuses by the file's
 * name and with the remedy. The stores alone, bit by bit: test/adapters/sqlite/damage.test.ts.
 */
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CspHome } from '../../src/adapters/pki/csp-home.js'
import { Invitations } from '../../src/adapters/pki/invitations.js'
import { RkfsError } from '../../src/base/errors.js'
import { Rng } from '../../src/base/rng.js'
import { encodeDescriptor } from '../../src/channel/descriptor.js'
import { readDescriptor } from '../../src/daemon/channels-on-disk.js'
import { channelsOnDisk } from '../../src/daemon/stopped-channels.js'
import { loadConfig } from '../../src/daemon/config.js'
import { Conflicts } from '../../src/daemon/conflicts.js'
import { inspectHome } from '../../src/daemon/home.js'
import { clusterOf, isMounted, isRunning, until, type Machine } from '../e2e/support/cluster.js'
import { all, runs, seed } from './support/options.js'

t.comment(`SEED=${seed}`)
const rng = new Rng(seed)
const cluster = clusterOf(t, all ? 7200 : undefined)

/** A node that was killed in the middle of its work, so that its home has all that it ever holds. */
const machine: Machine = await cluster.machine('solo')
await machine.mount()
const work =
  'for i in 1 2 3 4 5 6; do echo $i > $i; head -c 90000 /dev/urandom > r$i; done; mkdir d; ln 1 d/one; sync 6'
const worked = await machine.shell(work)
await machine.must('member', 'invite', 'demo')
const sums = async (): Promise<string[]> => {
  const found = await machine.shell('sha256sum [0-9r]* d/one 2>&1; true', 30)
  return found.stdout.trim().split('\n')
}
const truth = await sums()
if (worked.code !== 0 || truth.length !== 13) throw new Error(`${worked.stderr}${truth.join(' ')}`)
const killed = await machine.kill('SIGKILL')
await until('it is gone', () => !isRunning(killed), 10)
new Conflicts(machine.folder()).add(
  [
    {
      operation: { kind: 'write', ino: 7, offset: 0, length: 4, killPrivileges: false },
      payload: Buffer.from('data'),
      time: 1n,
      cause: { kind: 'earlier-run' },
    },
  ],
  () => 'lost',
)

const folder = mkdtempSync(join(tmpdir(), 'rkfs-fuzz-home.'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const isKept = (path: string): boolean => lstatSync(path).isDirectory() || lstatSync(path).isFile()
const whole = join(folder, 'whole')
cpSync(machine.home, whole, { recursive: true, filter: isKept })
const files = readdirSync(whole, { recursive: true, encoding: 'utf8' })
  .filter(name => lstatSync(join(whole, name)).isFile() && lstatSync(join(whole, name)).size > 0)
  .filter(name => !name.endsWith('.log') && !name.endsWith('.data'))
  .sort()

function restored(home: string): void {
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home, { mode: 0o700 })
  cpSync(whole, home, { recursive: true })
}

/** Writes a file of a home with one bit that is another. Answers where that is. */
function flip(home: string, name: string): string {
  const bytes = readFileSync(join(whole, name))
  const at = rng.below(3) === 0 ? rng.below(Math.min(bytes.length, 256)) : rng.below(bytes.length)
  const bit = rng.below(8)
  bytes[at]! ^= 1 << bit
  writeFileSync(join(home, name), bytes)
  return `${name} byte ${at} bit ${bit} (SEED=${seed})`
}

/** All that is read outside the databases. */
async function readAll(home: string): Promise<void> {
  inspectHome(home)
  loadConfig(home, {})
  const csp = new CspHome(home)
  await csp.nodeKey()
  await csp.identity('demo', Date.now())
  await csp.authority('demo')
  await csp.certificateEnd('demo')
  const channel = join(home, 'channels', 'demo')
  encodeDescriptor(readDescriptor(channel))
  await Invitations.open(channel)
  new Conflicts(channel).list()
  channelsOnDisk(home, 'a'.repeat(16))
}

await t.test('the home has all that it can have', async t => {
  for (const name of ['log.db', 'log.db-wal', 'state.db', 'log.mark', 'segments/00000001', 'descriptor.json'])
    t.ok(files.includes(`channels/demo/${name}`), name)
  t.comment(files.join(' '))
})

await t.test('the small files, without a node', async t => {
  const small = files.filter(name => !/\.db|segments|\.mark$/.test(name))
  const tally = { read: 0, refused: 0 }
  const home = join(folder, 'small')
  restored(home)
  for (const name of small) {
    for (let n = 0; n < runs(12); n++) {
      const what = flip(home, name)
      try {
        await readAll(home)
        tally.read++
      } catch (error) {
        tally.refused++
        if (!(error instanceof RkfsError)) t.fail(`${what}: ${String((error as Error).stack)}`)
        else if (!error.message.includes(home)) t.fail(`${what}: ${error.message} names no file`)
      }
    }
    cpSync(join(whole, name), join(home, name))
  }
  t.ok(tally.read > 0 && tally.refused > 0, JSON.stringify(tally))
})

/** What a person gets who mounts it. */
async function tryHome(t: Test, name: string): Promise<'right' | 'refused' | 'in part'> {
  restored(machine.home)
  const what = flip(machine.home, name)
  const mounted = await machine.rkfs('mount', 'demo', machine.directory)
  t.notOk(mounted.timedOut, `${what}: the command ends`)
  t.notMatch(mounted.stderr, /^ {4}at /m, `${what}: no stack trace`)
  let outcome: 'right' | 'refused' | 'in part' = 'right'
  if (mounted.code === 0) {
    const found = await sums()
    const wrong = truth.filter(line => !found.includes(line))
    const lies = wrong.filter(line => !found.some(each => each.includes(`${line.split(/\s+/)[1]}:`)))
    t.same(lies, [], `${what}: what is read is right`)
    const status = await machine.rkfs('status')
    if (wrong.length > 0) {
      outcome = 'in part'
      t.equal(status.code, 1, `${what}: status tells of it`)
      t.match(status.stdout, /damaged/, what)
    } else {
      const { code, stdout, stderr } = await machine.rkfs('verify', 'demo', '--deep')
      t.ok(code === 0 || /damage|differ|corrupt/.test(stdout + stderr), `${what}: verify ${stdout}${stderr}`)
    }
  } else {
    outcome = 'refused'
    t.ok([1, 2, 4].includes(mounted.code!), `${what}: exit code ${mounted.code}`)
    t.match(mounted.stderr, /^(starting the node…\n)?rkfs: [^\n]+\n$/, `${what}: one line`)
    const file = name.replace(/^.*\//, '').replace(/-(wal|shm)$/, '')
    const named = mounted.stderr.includes(file) || /segment \d/.test(mounted.stderr)
    // a setting that is one, but not this machine's, is named with its value
    t.ok(named || name === 'config.toml', `${what}: ${mounted.stderr}`)
  }
  await machine.rkfs('stop', '--force')
  t.notOk(isMounted(machine.directory))
  return outcome
}

/** A start takes seconds: the short form makes do with some of the files, a part of them by the seed. */
const usual = ['state.db-wal', 'segments/00000001', 'log.mark'].map(name => `channels/demo/${name}`)
const others = files.filter(name => !usual.includes(name))
const chosen = all
  ? files
  : [...usual, 'csp/signcerts/demo.pem', ...[0, 1].map(() => others[rng.below(others.length)]!)]

await t.test('every file, with a node', async t => {
  const tally: Record<string, number> = {}
  const each = Math.max(1, runs(1) >> 1)
  for (const name of chosen) {
    for (let n = 0; n < each; n++) {
      const outcome = await tryHome(t, name)
      tally[outcome] = (tally[outcome] ?? 0) + 1
    }
  }
  t.comment(JSON.stringify(tally))
  t.ok((tally['right'] ?? 0) > 0 && (tally['refused'] ?? 0) > 0)
  restored(machine.home)
  await machine.mount()
  t.same(await sums(), truth, 'the whole home is whole')
})
