import t from 'tap'
import { EIO } from '../../src/base/errno.js'
import { rootInode } from '../../src/fs/records.js'
import { ok } from './support/answers.js'
import { Cluster, type Member, type Three } from './support/cluster.js'

const caller = { uid: 0, gid: 0, pid: 1, umask: 0 } as never

/** The answer to a call of a mount. */
function call<T>(make: (reply: { ok(value: T): void; fail(errno: number): void; onInterrupt(): void }) => void): {
  value?: T
  errno?: number
} {
  const got: { value?: T; errno?: number } = {}
  make({ ok: value => (got.value = value), fail: errno => (got.errno = errno), onInterrupt: () => {} })
  return got
}

function open(member: Member, ino: number): number {
  const got = call<{ handle: number }>(reply => member.frontend.open(caller, ino, 2, false, reply as never))
  return got.value!.handle
}

for (const kind of ['sync', 'write'] as const) {
  for (const who of ['leader', 'follower'] as const) {
    void t.test(`one ${kind} of a ${who} fails: it says so, the others go on, and it is opened again`, t => {
      const cluster = new Cluster(3, 1)
      const [leader, follower, other] = cluster.roles() as Three
      const member = who === 'leader' ? leader : follower
      const { ino, answer } = leader.create('file')
      cluster.answered(answer)
      ok(t, cluster, leader.append(ino, 'a', { durable: true }))
      cluster.settle()
      member.log.fail(kind)
      const pending = member.append(ino, 'b', { durable: true })
      cluster.until('it stops', () => member.failed !== undefined)
      t.match(member.failed, /EIO/)
      t.equal(member.channel.serving, false)
      t.equal(pending.errno, EIO, 'who waits is told')
      t.equal(member.append(ino, 'x').errno, EIO)
      // the daemon closes its connections
      cluster.network.detach(member.id)
      const healthy = who === 'leader' ? follower : leader
      cluster.until('the others go on', () => [leader, follower, other].some(m => m !== member && m.leads))
      ok(t, cluster, healthy.append(ino, 'c', { durable: true }))
      member.reopen()
      cluster.network.connectAll()
      cluster.settle()
      cluster.checkDigests()
      t.equal(member.channel.failure, undefined)
      ok(t, cluster, member.append(ino, 'd', { durable: true }))
      cluster.settle()
      t.match(member.content(ino), /^ab?c?b?cb?d$/, 'what was acknowledged is there, and nothing twice')
      t.equal(member.content(ino), other.content(ino))
      t.end()
    })
  }
}

void t.test('a channel of one, too', t => {
  const cluster = new Cluster(1, 1)
  const member = cluster.leader()
  const { ino } = member.create('file')
  ok(t, cluster, member.append(ino, 'a', { durable: true }))
  member.log.fail('sync')
  const lost = member.append(ino, 'b', { durable: true })
  cluster.until('it stops', () => member.failed !== undefined)
  t.equal(lost.errno, EIO)
  member.reopen()
  cluster.until('it leads', () => member.leads)
  ok(t, cluster, member.append(ino, 'c', { durable: true }))
  t.match(member.content(ino), /^ab?c$/)
  t.end()
})

void t.test('a term that cannot be written stops the member, not its process', t => {
  const cluster = new Cluster(3, 1)
  const [leader, follower] = cluster.roles() as Three
  follower.log.fail('sync')
  leader.stop()
  cluster.until('it stops', () => follower.failed !== undefined)
  follower.reopen()
  leader.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.end()
})

void t.test('a mount goes on with the channel that was opened again', t => {
  const cluster = new Cluster(3, 1)
  const [leader, member] = cluster.roles() as Three
  let voided = 0
  const { ino } = leader.create('file')
  const { ino: quiet } = leader.create('quiet')
  const { ino: unlinked } = leader.create('unlinked')
  ok(t, cluster, leader.append(ino, 'a', { durable: true }))
  ok(t, cluster, leader.append(unlinked, 'kept', { durable: true }))
  cluster.settle()
  const { frontend } = member
  frontend.mounted = {
    invalidate() {},
    invalidateAll: () => voided++,
    settled: (done: () => void) => done(),
  } as unknown as NonNullable<typeof frontend.mounted>
  const [handle, other, gone] = [open(member, ino), open(member, quiet), open(member, unlinked)]
  ok(t, cluster, member.change({ kind: 'unlink', parent: rootInode, name: 'unlinked' }))
  cluster.settle()
  // accepted, and nobody else has heard of it
  cluster.network.mute(member.id, leader.id, 60_000)
  const data = Buffer.from('lost')
  const written = call<number>(reply => frontend.write(caller, ino, handle, 1, data, 0, false, reply as never))
  cluster.until('it is answered', () => written.value !== undefined)
  const synced = call<void>(reply => frontend.fsync(caller, ino, handle, false, reply as never))
  member.log.fail('write')
  member.append(quiet, 'x')
  cluster.until('it stops', () => member.failed !== undefined)
  t.equal(synced.errno, EIO)
  t.equal(call(reply => frontend.getattr(caller, ino, reply as never)).errno, EIO, 'calls fail meanwhile')
  member.reopen()
  cluster.network.connectAll()
  cluster.settle()
  t.equal(voided, 1, 'kernel caches are void')
  t.equal(call<void>(reply => frontend.fsync(caller, ino, handle, false, reply as never)).errno, EIO, 'once more')
  const again = call<void>(reply => frontend.fsync(caller, ino, handle, false, reply as never))
  const calm = call<void>(reply => frontend.fsync(caller, quiet, other, false, reply as never))
  const text = call<Uint8Array[]>(reply => frontend.read(caller, unlinked, gone, 0, 100, reply as never))
  t.equal(Buffer.concat(text.value!).toString(), 'kept', 'a file without a name is still there')
  t.same([again.errno, calm.errno], [undefined, undefined])
  const more = call<number>(reply => frontend.write(caller, ino, handle, 0, Buffer.from('z'), 0, false, reply as never))
  cluster.until('it is answered', () => more.value !== undefined || more.errno !== undefined)
  t.equal(more.errno, undefined)
  cluster.settle()
  t.match(leader.content(ino), /^z/)
  t.end()
})

void t.test('a channel whose disk has failed calls nothing durable', t => {
  const cluster = new Cluster(3, 1)
  const [, follower] = cluster.roles() as Three
  const { ino, answer } = follower.create('file')
  cluster.answered(answer)
  ok(t, cluster, follower.append(ino, 'a', { durable: true }))
  const { channel } = follower
  const asked = (): number | undefined => {
    let errno: number | undefined
    channel.whenDurable(channel.lastSequence, 1000, answered => (errno = answered))
    return errno
  }
  t.equal(asked(), 0)
  follower.log.fail('sync')
  follower.append(ino, 'b', { durable: true })
  cluster.until('it stops', () => follower.failed !== undefined)
  t.equal(asked(), EIO, 'what it gave up meanwhile it may not have told yet')
  t.end()
})
