/** Programs cannot tell the mount from a local file system: on a member that leads, and on one that does not. */
import t from 'tap'
import { clusterOf, type Machine } from './support/cluster.js'
import { localChecks } from './support/local.js'

const cluster = clusterOf(t, 200)

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
