/** What a program does when another one, on another member, was told that its change is done, comes after it. */
import t from 'tap'
import { clusterOf, type Machine } from './support/cluster.js'

const rounds = 25
const cluster = clusterOf(t)
const machines = await cluster.members('a', 'b', 'c')
for (const machine of machines) await machine.mount()

const make = `
fd = os.open('turns', os.O_CREAT | os.O_WRONLY, 0o644); os.write(fd, b'first'); os.close(fd); print('made')`
/** One program a round would take longer than the order does. Arguments: the other mount, the rounds. */
const truncateThenWrite = `
there, rounds = sys.argv[2], int(sys.argv[3]); lost = []
for i in range(rounds):
    os.truncate(there + '/turns', 0)
    want = b'round %d' % i
    fd = os.open('turns', os.O_WRONLY); os.write(fd, want); os.close(fd)
    end = time.monotonic() + 20
    while open(there + '/turns', 'rb').read() != want and time.monotonic() < end: time.sleep(0.005)
    found = open('turns', 'rb').read()
    if found != want: lost.append((i, found))
    os.chmod(there + '/turns', 0o600); os.chmod('turns', 0o640 + i % 8)
print('lost', lost, oct(os.stat('turns').st_mode & 0o7777))`

const leader = await cluster.leader(machines)
const followers = machines.filter(machine => machine !== leader) as [Machine, Machine]
for (const [what, writes, truncates] of [
  ['a follower truncates by path, the leader writes', leader, followers[0]],
  ['the leader truncates by path, a follower writes', followers[0], leader],
  ['one follower truncates by path, another writes', followers[0], followers[1]],
] as const) {
  await t.test(what, async t => {
    t.equal((await writes.python(make)).stdout, 'made\n')
    await cluster.same(machines)
    const { stdout, stderr } = await writes.python(
      truncateThenWrite,
      100,
      writes.directory,
      truncates.directory,
      String(rounds),
    )
    t.equal(stdout, 'lost [] 0o640\n', stderr)
    await cluster.same(machines)
    const modes = await Promise.all(machines.map(machine => machine.shell('stat -c %a turns; cat turns')))
    for (const { stdout: shown } of modes) t.equal(shown, `640\nround ${rounds - 1}`)
  })
}
