/** What a node had taken and nobody else had, as people deal with it: `rkfs conflicts`, and `rkfs member fence`. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import t from 'tap'
import type { ConflictDescription } from '../../src/daemon/control-protocol.js'
import { clusterOf, isRunning, until, type Machine } from './support/cluster.js'
import { refused } from './support/refusal.js'

const cluster = clusterOf(t)
const machines = await cluster.members('a', 'b', 'c')
const options = 'sync=fsync,timeout=5'
for (const machine of machines) await machine.mount('-o', options)

const listed = async (machine: Machine): Promise<ConflictDescription[]> =>
  JSON.parse(await machine.must('conflicts', 'demo', '--json')) as ConflictDescription[]

/**
 * Runs a program on a follower that stops the other nodes, whose pids it is given, and writes then; all nodes are killed,
 * and the follower's starts last. Answers the follower.
 */
async function lose(script: string): Promise<Machine> {
  const leader = await cluster.leader(machines)
  const victim = machines.find(machine => machine !== leader)!
  const others = machines.filter(machine => machine !== victim)
  const pids = await Promise.all(others.map(machine => machine.pid()))
  const { code, stderr } = await victim.python(script, 30, victim.directory, ...pids.map(String))
  pids.push(await victim.pid())
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  t.equal(code, 0, stderr)
  await until('no node runs', () => !pids.some(isRunning))
  await Promise.all(others.map(machine => machine.mount('-o', options)))
  await cluster.leader(others)
  await victim.mount('-o', options)
  await cluster.agree(machines)
  return victim
}

/** Files that are there before, and what is changed in them and lost. */
const make = `
for name in ('one', 'two', 'log'):
    with open(name, 'wb') as f: f.write(b'before' * 100)
    os.chmod(name, 0o640)
os.sync()`
const change = `
one, two = (os.open(name, os.O_WRONLY) for name in ('one', 'two'))
log = os.open('log', os.O_WRONLY | os.O_APPEND)
for pid in sys.argv[2:]: os.kill(int(pid), 19)
for fd, offset in ((one, 5), (one, 5000), (two, 0)): os.pwrite(fd, b'after' * 10, offset)
os.write(log, b'a line\\n')`

await t.test('restore and discard: right use', async t => {
  t.equal((await machines[0]!.python(make)).code, 0)
  await cluster.same(machines)
  const victim = await lose(change)
  await until('it tells of three files', async () => (await listed(victim)).length === 3)
  const found = await listed(victim)
  t.same(found.map(({ path, what }) => [path, what]).sort(), [
    ['/log', 'appended'],
    ['/one', 'written'],
    ['/two', 'written'],
  ])
  const idOf = (path: string): string => String(found.find(each => each.path === path)!.id)
  const one = found.find(({ path }) => path === '/one')!
  t.same(one.ranges, [
    { offset: 5, length: 50 },
    { offset: 5000, length: 50 },
  ])
  t.match(one.reason, /^the node ended before others had it$/)
  t.match((await victim.rkfs('status')).stdout, /conflicts +3/)
  const shown = await victim.must('conflicts', 'demo')
  t.match(shown, /^ID +TIME +PATH +WHAT +BYTES +REASON +COPY\n/)
  t.match(shown, new RegExp(`^${one.id} .*/one +written +5\\+50,5000\\+50 +the node ended before others had it `, 'm'))

  const restored = await victim.must('conflicts', 'restore', 'demo', idOf('/one'))
  t.equal(restored, `conflict ${one.id} is written to /one.conflict-${one.id}`)
  t.notOk(existsSync(one.copy), 'the copy is in the channel now')
  await cluster.same(machines)
  for (const machine of machines) {
    const { stdout, stderr } = await machine.python(`
copy = open('one.conflict-${one.id}', 'rb').read()
print(len(copy), copy[5:55] == b'after' * 10, copy[5000:] == b'after' * 10, set(copy[55:5000]) == {0})
print(oct(os.stat('one.conflict-${one.id}').st_mode & 0o777), open('one', 'rb').read() == b'before' * 100)`)
    t.equal(stdout, '5050 True True True\n0o640 True\n', stderr)
  }
  t.equal(await victim.must('conflicts', 'discard', 'demo', idOf('/two')), '1 conflict is discarded')
  t.same(
    (await listed(victim)).map(({ path }) => path),
    ['/log'],
  )
  // the file has another name by now, and its old one is another's
  t.equal((await victim.shell('mkdir d; mv log d/moved; echo other > log')).code, 0)
  t.equal(
    await victim.must('conflicts', 'restore', 'demo', '--all'),
    `conflict ${idOf('/log')} is written to /d/moved.conflict-${idOf('/log')}`,
  )
  t.equal((await victim.shell(`cat d/moved.conflict-*`)).stdout, 'a line\n')
  t.same(await listed(victim), [])
  const none = await victim.rkfs('conflicts', 'demo')
  t.same([none.code, none.stdout, none.stderr], [0, '', 'demo: no conflicts\n'])
  for (const [word, doing] of [
    ['restore', 'restore'],
    ['discard', 'discard'],
  ] as const) {
    const empty = await victim.rkfs('conflicts', word, 'demo', '--all')
    t.same([empty.code, empty.stdout, empty.stderr], [0, '', `demo: nothing to ${doing}\n`])
  }
})

await t.test('restore and discard: wrong use changes nothing', async t => {
  const victim = await lose(change)
  await until('it tells of three files', async () => (await listed(victim)).length === 3)
  const before = await listed(victim)
  const [first, second] = before as [ConflictDescription, ConflictDescription]
  const id = String(first.id)
  for (const word of ['restore', 'discard']) {
    await refused(t, victim, ['conflicts', word], 2, /missing required argument 'channel'/)
    await refused(t, victim, ['conflicts', word, 'demo'], 2, /give the numbers of conflicts, .* or --all/)
    await refused(t, victim, ['conflicts', word, 'demo', id, '--all'], 2, /or --all, not both/)
    await refused(t, victim, ['conflicts', word, 'demo', ''], 2, /the argument <id> is empty/)
    for (const wrong of ['x', '0']) {
      await refused(t, victim, ['conflicts', word, 'demo', wrong], 2, /".*" is no number of a conflict/)
    }
    await refused(t, victim, ['conflicts', word, 'demo', id, '4711'], 1, /no conflict 4711 here: `rkfs conflicts/)
    await refused(t, victim, ['conflicts', word, 'nosuch', id], 1, /no channel nosuch/)
    await refused(t, victim, ['conflicts', word, '../x', id], 2, /no name of a channel|channel name/)
  }
  const other = machines.find(machine => machine !== victim)!
  await refused(t, other, ['conflicts', 'restore', 'demo', id], 1, /no conflict \d+ here/)
  t.same(await listed(victim), before)

  rmSync(second.copy)
  const gone = ['conflicts', 'restore', 'demo', id, String(second.id)]
  await refused(t, victim, gone, 1, /the copy of conflict \d+, .*, is gone: `rkfs conflicts discard <channel> \d+`/)
  t.same(await listed(victim), before, 'the first of them is not restored either')
  t.match(readFileSync(first.copy, 'latin1'), /after/)
  t.equal(await victim.must('conflicts', 'discard', 'demo', '--all'), '3 conflicts are discarded')
  t.same(await listed(victim), [])
})

await t.test('fence: right use', async t => {
  const leader = await cluster.leader(machines)
  const [c, other] = machines.filter(machine => machine !== leader) as [Machine, Machine]
  const id = (await c.report())!.node.id!
  t.equal((await c.shell('echo before > kept; sync kept')).code, 0)
  for (const by of [leader, other]) {
    const begun = performance.now()
    t.equal(
      await by.must('member', 'fence', 'demo', c.name),
      `the session of member ${id} in demo is ended: what it had on its way is refused`,
    )
    t.ok(performance.now() - begun < 5000)
  }
  t.match(await leader.must('member', 'fence', 'demo', id.slice(0, 6)), /is ended/, 'by the first digits of its id')
  // what it begins afterwards is taken as always
  const after = await c.shell('echo after > kept; sync kept; cat kept')
  t.equal(after.stdout, 'after\n', after.stderr)

  // stopped, with a write that nobody has: it does not come late
  const pid = await c.kill('SIGSTOP')
  try {
    await leader.must('member', 'fence', 'demo', c.name)
    t.equal((await leader.shell('echo over > kept; sync kept')).code, 0)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await cluster.same(machines)
  t.equal((await c.shell('cat kept; echo again > kept; sync kept')).stdout, 'over\n')
  // a member may end its own, too: it opens another one
  t.match(await c.must('member', 'fence', 'demo', c.name), /is ended/)
  const own = await c.shell('echo own > kept; sync kept; cat kept')
  t.equal(own.stdout, 'own\n', own.stderr)
})

await t.test('fence: wrong use', async t => {
  const leader = await cluster.leader(machines)
  const others = machines.filter(machine => machine !== leader)
  await refused(t, leader, ['member', 'fence'], 2, /missing required argument 'channel'/)
  await refused(t, leader, ['member', 'fence', 'demo'], 2, /missing required argument 'member'/)
  await refused(t, leader, ['member', 'fence', 'demo', 'b', 'c'], 2, /too many arguments/)
  await refused(t, leader, ['member', 'fence', 'demo', ''], 2, /the argument <member> is empty/)
  for (const nobody of ['nobody', 'fff']) {
    await refused(t, leader, ['member', 'fence', 'demo', nobody], 1, /no member .*rkfs member list demo/)
  }
  await refused(t, leader, ['member', 'fence', 'nosuch', 'b'], 1, /no channel nosuch/)
  const pids = await Promise.all(others.map(machine => machine.kill('SIGSTOP')))
  try {
    await refused(t, leader, ['member', 'fence', 'demo', others[0]!.name], 3, /no majority of demo answers/)
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
  await cluster.agree(machines)
})
