/**
 * One system call of a node's to its disk fails with EIO, then the disk answers again: the channel alone stops, says so,
 * and opens again by itself. Nothing that was acknowledged is lost; the node, its other channel and the others go on.
 *   FAULTS=all      each kind of call on the leader and on a follower
 */
import { join } from 'node:path'
import t from 'tap'
import { clusterOf, freePort, until } from '../e2e/support/cluster.js'
import { Writer } from '../e2e/support/writer.js'
import { compileFailingCalls, FailingCalls, failingCallsSkip, type FailingCall } from './support/failing-calls.js'
import { Member } from './support/member.js'

if (failingCallsSkip !== false) {
  t.plan(0, failingCallsSkip)
  process.exit(0)
}
const cluster = clusterOf(t)
const library = compileFailingCalls(cluster.root)
const where = '/channels/demo/'
const mountOptions = 'timeout=10'

interface Struck {
  readonly member: Member
  readonly calls: FailingCalls
  /** The mount of a channel of its own. */
  readonly own: string
}

async function started(name: string): Promise<Struck> {
  const calls = new FailingCalls(library, join(cluster.root, `${name}.calls`))
  const place = { host: '127.0.0.1', port: await freePort(), enter: [] }
  const member = new Member(cluster.root, name, place, { mountOptions, failingCalls: calls })
  cluster.machines.push(member)
  await member.start()
  const own = join(cluster.root, 'mnt', `${name}-own`)
  return { member, calls, own }
}

const all = await Promise.all(['a', 'b', 'c'].map(started))
const members = all.map(({ member }) => member)
t.teardown(() => members.forEach(member => member.release()))
await members[0]!.must('channel', 'create', 'demo')
for (const member of members.slice(1)) await cluster.admit(members[0]!, member)
await cluster.agree(members)
for (const { member, own } of all) {
  await member.mountAgain()
  await member.must('channel', 'create', 'own')
  await member.must('mount', 'own', own)
}

/** A writer in the channel that nobody strikes. */
class OwnWriter extends Writer {
  constructor({ member, own }: Struck, prefix: string) {
    super(Object.create(member, { directory: { value: own } }) as Member, prefix)
  }
}

const full: FailingCall[] = ['fdatasync', 'pwritev', 'pwrite']
const writes: Record<'leader' | 'follower', FailingCall[]> =
  process.env['FAULTS'] === 'all' ? { leader: full, follower: full } : { leader: ['fdatasync'], follower: ['pwritev'] }

async function chosen(role: 'leader' | 'follower'): Promise<Struck> {
  const leader = await cluster.leader(members)
  return all.find(({ member }) => (member === leader) === (role === 'leader'))!
}

for (const role of ['leader', 'follower'] as const) {
  for (const call of writes[role]) {
    await t.test(`one ${call} of a ${role}`, async t => {
      const struck = await chosen(role)
      const { member, calls } = struck
      const pid = member.nodePid
      const load = members.map(each => new Writer(each, `${role}-${call}-${each.name}`))
      const own = new OwnWriter(struck, `${role}-${call}`)
      t.teardown(() => Promise.all([...load, own].map(writer => writer.stop())))
      await until('all write', () => [...load, own].every(writer => writer.acknowledged > 20))
      calls.fail(call, 1, where)
      await until('the call fails', () => calls.left(call) === 0)
      let told = ''
      await until('its status says so', async () => {
        const status = await member.status()
        if (status?.state === 'failed') told = status.problems.join('\n')
        return told !== ''
      })
      t.match(told, /^the channel stopped here at .*, because the disk failed: .*EIO/)
      t.match(told, /everything up to entry \d+ is on a majority/)
      t.match(told, /it is opened again by itself, the next time .*: look at the disk of .*demo/)
      await until('it is opened again', async () => {
        const status = await member.status()
        return status?.quorum.ok === true && status.problems.length === 0
      })
      const before = [...load, own].map(writer => writer.acknowledged)
      await until('the others and the other channel go on', () =>
        [...load, own].every((writer, i) => writer.machine === member || writer.acknowledged > before[i]! + 20),
      )
      for (const writer of [...load, own]) {
        if (writer.machine !== member) t.equal(writer.error, undefined, `${writer.prefix} saw no error`)
      }
      t.equal(member.nodePid, pid, 'the node goes on')
      const again = await member.shell(`echo x > again-${role}-${call}; sync again-${role}-${call}`)
      t.equal(again.code, 0, again.stderr)
      await Promise.all([...load, own].map(writer => writer.stop()))
      await cluster.same(members)
      for (const each of members) {
        for (const writer of load)
          t.equal(await writer.missingOn(each), '', `what ${writer.prefix} synced is on ${each.name}`)
      }
      t.equal(await own.missingOn(own.machine as Member), '')
    })
  }

  await t.test(`one pread of a ${role}`, async t => {
    const struck = await chosen(role)
    const { member, calls } = struck
    const pid = member.nodePid
    // more than a node keeps in memory
    const leader = await cluster.leader(members)
    const made = await leader.shell(
      `head -c 80M /dev/urandom | tee big-${role} | sha256sum > sum; sync big-${role} sum`,
      120,
    )
    t.equal(made.code, 0, made.stderr)
    await cluster.same(members)
    // the kernel forgets the pages
    await member.must('umount', member.directory)
    await member.mountAgain()
    calls.fail('pread', 1, where)
    const read = await member.shell(`sha256sum < big-${role} | cmp - sum && echo same`, 60)
    t.equal(read.stdout, 'same\n', read.stderr)
    t.equal(calls.left('pread'), 0, 'the call failed')
    const status = await member.status()
    t.equal(status?.state, role)
    t.same(status?.problems, [])
    t.equal(member.nodePid, pid)
  })
}

await t.test('no node ended', async t => {
  for (const member of members) t.same(member.crashes, [])
  const { code, stdout, stderr } = await members[0]!.rkfs('verify', 'demo', '--deep')
  t.equal(code, 0, `${stdout}${stderr}`)
})
