/**
 * Members on disks of their own that hold little. What programs have written is there, what they overwrite or remove gives
 * its space back, and nobody is ever told anything but that there is no space.
 *   ROUNDS=n        how often the disks are filled and emptied (default: 1)
 *   MINUTES=n       of overwriting, a member away for half of them (default: 0.5)
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Rng } from '../../src/base/rng.js'
import { Cluster, freePort, skip, sleep, until } from '../e2e/support/cluster.js'
import type { Outcome } from '../e2e/support/process.js'
import { Member } from './support/member.js'

if (skip !== false) {
  t.plan(0, skip)
  process.exit(0)
}
const rounds = Number(process.env['ROUNDS'] ?? 1)
const minutes = Number(process.env['MINUTES'] ?? 0.5)
const rng = new Rng(Number(process.env['SEED'] ?? 1))
t.setTimeout(600_000 + (rounds * 300 + minutes * 60) * 1000)

const MiB = 2 ** 20

async function onDisks(t: Test, mib: number): Promise<{ cluster: Cluster; members: [Member, Member, Member] }> {
  const cluster = new Cluster()
  t.teardown(() => cluster.close())
  const members: Member[] = []
  for (const name of ['a', 'b', 'c']) {
    const place = { host: '127.0.0.1', port: await freePort(), enter: [] }
    const member = new Member(cluster.root, name, place, { mountOptions: 'timeout=30', diskMiB: mib })
    t.teardown(() => member.release())
    members.push(member)
    cluster.machines.push(member)
    await member.start()
  }
  const [a, b, c] = members as [Member, Member, Member]
  await a.must('channel', 'create', 'demo')
  await cluster.admit(a, b)
  await cluster.admit(a, c)
  await cluster.agree(members)
  for (const member of members) await member.mountAgain()
  return { cluster, members: [a, b, c] }
}

/** Prints each line at which something else came about than is right. */
async function isRight(t: Test, outcome: Promise<Outcome>, what: string): Promise<void> {
  const { code, stdout, stderr } = await outcome
  t.same({ code, stdout }, { code: 0, stdout: '' }, `${what}: ${stderr}`)
}

/** The content of a file is drawn from its name and the round. */
const content = `
import random
def content(name, round, size=1 << 20):
    return random.Random('%s %d' % (name, round)).randbytes(size)
`
/** Writes files until there is no space; prints the last that was written. */
const fill = `${content}
round, first, last = (int(word) for word in sys.argv[2:5])
for i in range(first, last):
    name = 'f%d' % i
    try:
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        break
    try:
        data = content(name, round)
        while data:
            data = data[os.write(fd, data):]
        os.fsync(fd)
        os.close(fd)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        os.close(fd) if data else None
        os.unlink(name)
        break
    print(i)
`
const compare = `${content}
round = int(sys.argv[2])
for name in sys.argv[3:]:
    if open(name, 'rb').read() != content(name, round): print(name, 'is another')
`

/** Bytes that a member's home takes on its disk. */
function used(member: Member): number {
  const bytesOf = (path: string): number => {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat?.isDirectory() !== true) return (stat?.blocks ?? 0) * 512
    return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0)
  }
  return bytesOf(member.home)
}

const pick = (members: readonly Member[]): Member => members[rng.below(members.length)]!

await t.test('three disks of 160 MB are filled and emptied, and nodes are killed meanwhile', async t => {
  const { cluster, members } = await onDisks(t, 160)
  for (let round = 0; round < rounds; round++) {
    let written = 0
    for (let full = false; !full && written < 200;) {
      const writer = pick(members)
      const { code, stdout, stderr } = await writer.python(
        fill,
        200,
        writer.directory,
        ...[round, written, written + 10 + rng.below(40)].map(String),
      )
      t.equal(code, 0, `nothing but ENOSPC: ${stderr}`)
      const lines = stdout
        .trim()
        .split('\n')
        .filter(line => line !== '')
      full = lines.length < 10
      written += lines.length
      const struck = pick(members)
      await struck.crash()
      await struck.start()
    }
    t.ok(written > 60, `${written} files of 1 MiB in round ${round}`)
    t.ok(written < 160, 'it was full')
    await cluster.agree(members)
    await cluster.same(members)
    const names = Array.from({ length: written }, (_, i) => `f${i}`)
    for (const member of members) {
      await isRight(
        t,
        member.python(compare, 200, member.directory, String(round), ...names),
        `what is on ${member.name}`,
      )
    }
    const remover = pick(members)
    await isRight(t, remover.shell('rm f*', 100), `removed on ${remover.name}`)
    const struck = pick(members)
    await struck.crash()
    await struck.start()
    await cluster.agree(members)
    for (const member of members) {
      await until(`the space of ${member.name} is back`, () => used(member) < 60 * MiB, 60)
      await member.must('verify', 'demo', '--deep')
    }
  }
  for (const member of members) t.same(member.crashes, [])
})

await t.test('overwriting takes no more space than what is kept, also while a member is away', async t => {
  const { cluster, members } = await onDisks(t, 400)
  const [a, b, c] = members
  await isRight(t, a.shell('for i in $(seq 0 19); do head -c 1M /dev/urandom > f$i; done; sync -f .', 100), 'the files')
  const end = Date.now() + minutes * 60_000
  const overwrite = `
import random
end = time.time() + float(sys.argv[2])
fds = [os.open('f%d' % i, os.O_WRONLY) for i in range(int(sys.argv[3]), 20, 2)]
while time.time() < end:
    fd = random.choice(fds)
    size = random.choice((100, 4096, 65536, 300000))
    os.pwrite(fd, random.randbytes(size), random.randrange((1 << 20) - size))
    if random.random() < 0.1: os.fsync(fd)
for fd in fds: os.fsync(fd)
`
  const seconds = minutes * 60
  const writing = [a, b].map((member, at) =>
    member.python(overwrite, seconds + 120, member.directory, String(seconds), String(at)),
  )
  let most = 0
  let when = ''
  await c.crash()
  for (let isAway = true; Date.now() < end;) {
    if (isAway && Date.now() > end - seconds * 500) {
      isAway = false
      await c.start()
    }
    for (const member of members) {
      if (used(member) <= most) continue
      most = used(member)
      when = `by ${member.name}, ${Math.round((end - Date.now()) / 1000)} s before the end`
    }
    await sleep(Math.min(5000, seconds * 100))
  }
  for (const outcome of writing) await isRight(t, outcome, 'overwritten')
  t.ok(most < 300 * MiB, `at most ${Math.round(most / MiB)} MiB were used ${when}`)
  await cluster.agree(members)
  await cluster.same(members)
  for (const member of members) await member.must('verify', 'demo', '--deep')
  for (const member of members) {
    await until(`${member.name} keeps what it may`, () => used(member) < (20 + 64 + 48) * MiB, 60)
    t.same(member.crashes, [])
  }
})
