/** Programs cannot tell the mount from a local file system: on a member that leads, and on one that does not. */
import t from 'tap'
import { clusterOf, type Machine } from './support/cluster.js'
import { localChecks } from './support/local.js'

const cluster = clusterOf(t)

await t.test('a leader, a follower', async t => {
  const machines = await cluster.members('a', 'b')
  for (const machine of machines) await machine.mount()
  const leader = await cluster.leader(machines)
  const follower = machines.find(machine => machine !== leader) as Machine
  for (const [what, machine] of [
    ['on the leader', leader],
    ['on the other', follower],
  ] as const) {
    const { stdout, stderr } = await machine.python(localChecks, 90)
    t.equal(stdout, 'failed 0\n', `${what} ${stderr}`)
  }
  await cluster.same(machines)
  const verified = await leader.rkfs('verify', 'demo', '--deep')
  t.equal(verified.code, 0, verified.stdout + verified.stderr)
})

await t.test('what one machine makes set-uid, or a device, is that on another only where it asks for it', async t => {
  const [a, b] = cluster.machines as [Machine, Machine]
  const makes = 'cp /usr/bin/id id; chmod 4755 id; mknod null c 1 3; chmod 666 null'
  t.equal((await a.shell(makes)).code, 0)
  await cluster.same([a, b])
  const asUser = 'timeout 10 setpriv --reuid 7002 --regid 7002 --clear-groups'
  const tries = `${asUser} ./id -u; ${asUser} sh -c 'echo x >null' 2>/dev/null && echo opened || echo refused`
  for (const machine of [a, b]) {
    const { stdout, stderr } = await machine.shell(tries)
    t.equal(stdout, '7002\nrefused\n', `on ${machine.name} ${stderr}`)
  }
  await b.must('umount', b.directory)
  await b.mount('-o', 'suid,dev')
  t.match((await b.status())?.mounts[0]?.options, /suid,dev/)
  t.equal((await b.shell(tries)).stdout, '0\nopened\n')
})
