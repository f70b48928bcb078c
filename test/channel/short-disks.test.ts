/** Disks that hold little: what is kept is bounded, what frees space passes, and nobody is held up by a full member. */
import t from 'tap'
import { ENOSPC } from '../../src/base/errno.js'
import type { MemberId } from '../../src/base/ids.js'
import { KiB, MiB } from '../../src/base/limits.js'
import type { ChannelPorts } from '../../src/channel/ports.js'
import type { PeerMessage } from '../../src/channel/transport-port.js'
import { getInode } from '../../src/fs/inodes.js'
import { rootInode } from '../../src/fs/records.js'
import { Cluster, type Answer, type Member, type Three } from './support/cluster.js'
import { takeSnapshot } from './support/sim-disk.js'
import { intercept } from '../sim/intercept.js'

const writeBytes = 256 * KiB

t.setTimeout(300_000)

/** Members whose disks hold so many MiB each. */
function withDisks(...mib: number[]): { cluster: Cluster; roles: Three } {
  const cluster = new Cluster(mib.length)
  cluster.provideSnapshots()
  const roles = cluster.roles() as Three
  roles.forEach((member, at) => (member.disk.space.capacity = mib[at]! * MiB))
  cluster.advance(1000)
  return { cluster, roles }
}

/** Writes a file anew from its beginning, as dd(1) does; the first errno that is not 0. */
function fill(cluster: Cluster, member: Member, ino: number, mib: number, mark = 'x'): number {
  cut(cluster, member, ino)
  for (let at = 0; at < mib * MiB; at += writeBytes) {
    const errno = cluster.answered(member.write(ino, at, mark.repeat(writeBytes)))
    if (errno !== 0) return errno
  }
  return cluster.answered(member.durable())
}

function cut(cluster: Cluster, member: Member, ino: number): void {
  const answer = member.change({ kind: 'setattr', ino, size: 0, killPrivileges: false })
  if (cluster.answered(answer) !== 0) throw new Error('a truncation is refused')
}

function create(cluster: Cluster, member: Member, name: string): number {
  const { ino, answer } = member.create(name)
  if (cluster.answered(answer) !== 0) throw new Error(`${name} cannot be made`)
  return ino
}

function unlink(member: Member, name: string): Answer {
  return member.change({ kind: 'unlink', parent: rootInode, name })
}

const usedMiB = (member: Member): number => member.disk.space.used() / MiB

void t.test('a file that is written anew again and again needs little more than itself', t => {
  const { cluster, roles } = withDisks(400, 400, 400)
  const [leader, follower] = roles
  const ino = create(cluster, leader, 'file')
  for (let round = 0; round < 30; round++) {
    t.equal(fill(cluster, round % 2 === 0 ? leader : follower, ino, 10, String.fromCharCode(97 + (round % 26))), 0)
  }
  cluster.settle()
  cluster.advance(4000)
  for (const member of roles) t.ok(usedMiB(member) < 10 + 64, `${usedMiB(member)} MiB`)
  t.end()
})

void t.test('on a small disk less is kept, and the member on it holds nobody up', t => {
  const { cluster, roles } = withDisks(400, 48, 400)
  const [leader, small] = roles
  const ino = create(cluster, leader, 'file')
  for (let round = 0; round < 20; round++) t.equal(fill(cluster, leader, ino, 8), 0)
  cluster.settle()
  cluster.advance(4000)
  t.ok(usedMiB(small) < 8 + 12, `${usedMiB(small)} MiB`)
  t.equal(small.channel.diskFull, undefined)
  t.end()
})

void t.test('for a member that is away no more is kept than the disks can spare; it gets a snapshot', t => {
  const { cluster, roles } = withDisks(80, 80, 80)
  const [leader, follower, away] = roles
  const ino = create(cluster, leader, 'file')
  cluster.settle()
  away.stop()
  for (let round = 0; round < 25; round++) t.equal(fill(cluster, leader, ino, 6), 0, `round ${round}`)
  for (const member of [leader, follower]) t.ok(usedMiB(member) < 6 + 45, `${usedMiB(member)} MiB`)
  away.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.end()
})

void t.test('what is kept for who is away goes on all members when one disk is short', t => {
  const { cluster, roles } = withDisks(400, 400, 400)
  const [leader, follower, away] = roles
  const ino = create(cluster, leader, 'file')
  cluster.settle()
  away.stop()
  for (let round = 0; round < 12; round++) t.equal(fill(cluster, leader, ino, 10), 0)
  cluster.advance(4000)
  t.ok(usedMiB(leader) > 80, `kept for who is away: ${usedMiB(leader)} MiB`)
  const { space } = follower.disk
  space.ballast = space.free - 30 * MiB
  cluster.advance(4000)
  for (const member of [leader, follower]) t.ok(usedMiB(member) < 10 + 64, `${usedMiB(member)} MiB`)
  t.end()
})

void t.test('full disks: ENOSPC at the write, on every member, and what frees space passes on all of them', t => {
  const { cluster, roles } = withDisks(64, 64, 64)
  const names: string[] = []
  let errno = 0
  for (let n = 0; errno === 0 && n < 100; n++) {
    const member = roles[n % 3]!
    const { ino, answer } = member.create(`f${n}`)
    errno = cluster.answered(answer)
    if (errno !== 0) break
    names.push(`f${n}`)
    errno = fill(cluster, member, ino, 1)
  }
  t.equal(errno, ENOSPC)
  t.ok(names.length > 40, `${names.length} MiB were written`)
  cluster.settle()
  for (const member of roles) {
    const answer = member.append(member.lookup(names[0]!)!, 'x'.repeat(writeBytes))
    t.equal(cluster.answered(answer), ENOSPC, 'at once')
    t.equal(member.lost.length, 0, 'nothing that a program was told of')
    t.equal(member.channel.diskFull, undefined)
    t.equal(member.channel.writableBytes! < MiB, true, 'as statfs says')
  }
  for (const [n, name] of names.slice(0, 20).entries()) t.equal(cluster.answered(unlink(roles[n % 3]!, name)), 0)
  cluster.advance(4000)
  for (const member of roles) t.ok(member.disk.space.free > 18 * MiB, `${member.disk.space.free / MiB} MiB are back`)
  t.equal(fill(cluster, roles[1], create(cluster, roles[1], 'again'), 10), 0)
  cluster.settle()
  cluster.checkDigests()
  t.end()
})

void t.test('not a byte is free, on any disk: deletions pass by the reserve, and make room', t => {
  const { cluster, roles } = withDisks(64, 64, 64)
  const inodes = roles.map((member, at) => create(cluster, member, `f${at}`))
  roles.forEach((member, at) => t.equal(fill(cluster, member, inodes[at]!, 8), 0))
  cluster.settle()
  for (const member of roles) {
    const { space } = member.disk
    t.ok(space.reserveBytes > 0)
    space.ballast += space.free
    t.equal(space.free, 0)
  }
  cluster.advance(300)
  const [, follower] = roles
  t.equal(cluster.answered(follower.append(inodes[0]!, 'x')), ENOSPC)
  t.equal(cluster.answered(unlink(follower, 'f0')), 0)
  cluster.settle()
  cluster.advance(4000)
  for (const member of roles) t.ok(member.disk.space.free > 6 * MiB, `${member.disk.space.free / MiB} MiB are back`)
  t.equal(cluster.answered(follower.append(inodes[1]!, 'x')), 0)
  cluster.advance(4000)
  for (const member of roles) t.ok(member.disk.space.reserveBytes > 0, 'the reserve is made anew')
  t.end()
})

void t.test('a leader whose disk gets full hands over to a member that has room', t => {
  const { cluster, roles } = withDisks(400, 400, 400)
  const [leader, follower] = roles
  const ino = create(cluster, leader, 'file')
  leader.disk.space.ballast = leader.disk.space.free - 2 * MiB
  cluster.until('another leader', () => !leader.leads && cluster.members.some(member => member.leads))
  t.equal(fill(cluster, follower, ino, 20), 0)
  t.equal(cluster.answered(leader.append(ino, 'x')), ENOSPC, 'its own programs are told')
  leader.disk.space.ballast = 0
  cluster.settle()
  t.equal(cluster.answered(leader.append(ino, 'x')), 0)
  cluster.settle()
  cluster.checkDigests()
  t.end()
})

void t.test('a member whose disk is too small for the channel is full, and the others go on and forget', t => {
  const { cluster, roles } = withDisks(200, 24, 200)
  const [leader, small] = roles
  const inodes = Array.from({ length: 4 }, (_, at) => create(cluster, leader, `f${at}`))
  for (const ino of inodes) t.equal(fill(cluster, leader, ino, 10), 0)
  t.ok(small.channel.appliedIndex < leader.channel.appliedIndex)
  for (let round = 0; round < 20; round++) t.equal(fill(cluster, leader, inodes[0]!, 10), 0)
  t.ok(usedMiB(leader) < 120, `${usedMiB(leader)} MiB`)
  t.end()
})

void t.test('who hears nothing when its change is refused for want of room learns of it from the state', t => {
  // who is told nothing of the others' disks
  let deaf: MemberId | undefined
  const ports = (_: Member, plain: ChannelPorts): ChannelPorts => ({
    ...plain,
    transport: intercept(plain.transport, {
      send: (to: MemberId, message: PeerMessage) =>
        plain.transport.send(
          to,
          message.kind === 'position' && to === deaf ? { ...message, space: undefined } : message,
        ),
    }),
  })
  const cluster = new Cluster(3, 1, { learners: 1, hooks: { ports } })
  const leader = cluster.leader()
  const follower = cluster.members[2]!
  const other = cluster.members.find(member => member !== leader && member !== follower)!
  deaf = follower.id
  for (const { disk } of cluster.members) disk.space.capacity = 64 * MiB
  const ino = create(cluster, follower, 'f')
  cluster.settle()
  for (const { disk } of [leader, other]) disk.space.leave(16 * KiB)
  cluster.advance(5000)
  for (const { id } of [leader, other]) cluster.network.mute(id, follower.id, 100_000)
  t.equal(cluster.answered(follower.append(ino, 'lost')), 0)
  t.equal(cluster.answered(follower.change({ kind: 'setattr', ino, mode: 0o600, killPrivileges: false })), 0)
  cluster.advance(200)
  t.equal(getInode(leader.channel.view, ino)!.mode & 0o777, 0o600, 'what needs no room has its place')
  const { refused } = leader.channel.view.get('session', 0, follower.id)!
  t.match(refused, [{ errno: ENOSPC }])
  t.ok(follower.channel.beginRestore())
  follower.channel.restored(follower.disk.install(takeSnapshot(leader), follower.channel))
  t.equal(follower.content(ino), '')
  t.equal(follower.lostText(), 'lost')
  t.end()
})

for (const disks of [[64], [64, 64, 64]]) {
  void t.test(`a file that is written over in small places finds room on a full disk: ${disks.length} members`, t => {
    const { cluster, roles } = withDisks(...disks)
    const [leader] = roles
    const ino = create(cluster, leader, 'file')
    t.equal(fill(cluster, leader, ino, 44), 0)
    const pages = (44 * MiB) / (4 * KiB)
    // every second page: each blob stays in use by half, and all of them together are more than the disk holds
    for (let written = 0; written < 6000; written++) {
      const page = (written * 2 + Math.floor((written * 2) / pages)) % pages
      const errno = cluster.answered(leader.write(ino, page * 4 * KiB, 'y'.repeat(4 * KiB)))
      if (errno !== 0) t.fail(`errno ${errno} after ${written} writes, ${usedMiB(leader)} MiB`)
      if (errno !== 0) break
    }
    cluster.advance(20_000)
    t.equal(leader.channel.lacksRoom, undefined)
    t.ok(usedMiB(leader) < 44 + 12, `${usedMiB(leader)} MiB`)
    t.end()
  })
}

void t.test('where programs get ENOSPC, status says so', t => {
  const { cluster, roles } = withDisks(64, 64, 64)
  const [leader] = roles
  const ino = create(cluster, leader, 'file')
  t.equal(fill(cluster, leader, ino, 100), ENOSPC)
  cluster.advance(10_000)
  for (const { id, channel, disk } of roles) {
    const { free, minFree } = channel.spaceOf(id)!
    disk.space.ballast += free - minFree - 1000
  }
  cluster.advance(10_000)
  t.equal(cluster.answered(leader.write(ino, 100 * MiB, 'x')), ENOSPC)
  t.equal(leader.channel.lacksRoom, 'here', 'though as much is free as has to be')
  t.end()
})

void t.test(
  'an only member whose log has gone beyond the copy of its state has it copied as soon as there is room',
  t => {
    const { cluster, roles } = withDisks(64)
    const [member] = roles
    let copied = 0
    let fails = false
    const told = member.channel.stateCopied.bind(member.channel)
    member.channel.stateCopied = copy => {
      if (!fails && copy !== undefined) copied = copy.index
      told(fails ? undefined : copy)
    }
    const ino = create(cluster, member, 'file')
    t.equal(fill(cluster, member, ino, 4), 0)
    cluster.advance(15_000)
    t.ok(copied >= member.channel.firstIndex - 1)
    fails = true
    member.disk.space.leave(5 * MiB)
    for (let round = 0; round < 6; round++) {
      t.equal(fill(cluster, member, ino, 1), 0)
      cluster.advance(15_000)
    }
    t.ok(copied < member.channel.firstIndex - 1, 'the log did not wait for it')
    fails = false
    member.disk.space.ballast = 0
    cluster.advance(120_000)
    t.ok(
      copied >= member.channel.firstIndex - 1,
      `copied up to ${copied}, the log is from ${member.channel.firstIndex}`,
    )
    t.end()
  },
)

void t.test('what is removed on one member gives its space back on all of them, though they have it mounted', t => {
  const { cluster, roles } = withDisks(40, 40, 40)
  const [leader, follower] = roles
  for (const member of roles) t.ok(member.frontend)
  for (let round = 0; round < 3; round++) {
    const names = Array.from({ length: 40 }, (_, i) => `file-${round}-${i}`)
    for (const name of names) {
      const ino = create(cluster, leader, name)
      t.equal(cluster.answered(leader.write(ino, 0, 'x'.repeat(writeBytes))), 0)
    }
    cluster.settle()
    for (const name of names) t.equal(cluster.answered(unlink(follower, name)), 0)
    cluster.advance(30_000)
    for (const member of roles) {
      t.equal(member.channel.pinned.size, 0)
      t.ok(usedMiB(member) < 12, `round ${round}: ${usedMiB(member)} MiB`)
    }
  }
  t.end()
})
