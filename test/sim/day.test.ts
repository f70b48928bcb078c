/**
 * A day of overwriting: three members with 20 MiB of files, each on a disk of 400 MB, the production stores on files. One is
 * away for half of the time. What is kept is bounded all the while, every change succeeds, and every file is right.
 *   HOURS=n   of the members' clock (default: 0.2)
 */
import t from 'tap'
import { KiB, MiB } from '../../src/base/limits.js'
import { Rng } from '../../src/base/rng.js'
import { fileSizes } from '../../src/channel/space-policy.js'
import { Cluster, type Member } from '../channel/support/cluster.js'
import { SqliteDisks, type SqliteDisk } from './sqlite-disk.js'

const hours = Number(process.env['HOURS'] ?? 0.2)
const files = 20
const diskBytes = 400 * MiB
/** What is kept beside the live data, and the files that are in use. */
const usedBytesMax = (files + 64 + 48) * MiB
/** … and for who is away: what the disk can spare. */
const usedBytesMaxAway = 240 * MiB
const stepMs = 1000
const lookMs = 60_000

t.setTimeout(0)

void t.test(`${hours} hours of overwriting, a member away for half of them`, t => {
  const disks = new SqliteDisks()
  t.teardown(() => disks.remove())
  const { segment } = fileSizes(diskBytes, {})
  const cluster = new Cluster(3, 1, { openDisk: (_, schedule) => disks.open(schedule, segment) })
  cluster.provideSnapshots()
  for (const { disk } of cluster.members) {
    disk.space.capacity = diskBytes
    disk.space.used = freshEvery(
      () => cluster.clock.now,
      1000,
      () => (disk as SqliteDisk).bytes,
    )
  }
  const [leader, follower, away] = cluster.roles() as [Member, Member, Member]
  const rng = new Rng(1)
  const contents = new Map<number, Buffer>()
  for (let n = 0; n < files; n++) {
    const { ino, answer } = leader.create(`f${n}`)
    t.equal(cluster.answered(answer), 0)
    t.equal(cluster.answered(leader.write(ino, 0, 'a'.repeat(MiB))), 0)
    contents.set(ino, Buffer.alloc(MiB, 'a'))
  }
  cluster.settle()
  const inodes = [...contents.keys()]
  const begun = cluster.clock.now
  const end = begun + hours * 3_600_000
  const [leaves, returns] = [0.25, 0.75].map(part => begun + part * (end - begun)) as [number, number]
  let looked = begun
  let most = 0
  let failed = 0
  for (let n = 0; cluster.clock.now < end; n++) {
    const { now } = cluster.clock
    if (now >= leaves && now < returns && away.alive) away.stop()
    if (now >= returns && !away.alive) {
      away.start()
      cluster.network.connectAll()
    }
    const member = [leader, follower][n % 2]!
    const ino = inodes[2 * rng.below(files / 2) + (n % 2)]!
    const length = [100, 4 * KiB, 64 * KiB, 256 * KiB][rng.below(4)]!
    const offset = rng.below(MiB - length)
    const mark = String.fromCharCode(98 + (n % 24))
    if (cluster.answered(member.write(ino, offset, mark.repeat(length))) !== 0) failed++
    contents.get(ino)!.fill(mark, offset, offset + length)
    cluster.advance(stepMs)
    if (now - looked < lookMs) continue
    looked = now
    for (const each of cluster.alive) {
      const used = each.disk.space.used()
      most = Math.max(most, used)
      const max = now >= leaves ? usedBytesMaxAway : usedBytesMax
      if (used > max) t.fail(`m${each.slot - 1} uses ${Math.round(used / MiB)} MiB after ${(now - begun) / 1000} s`)
    }
  }
  t.equal(failed, 0, 'every change succeeded')
  t.comment(`at most ${Math.round(most / MiB)} MiB were used`)
  cluster.settle()
  cluster.checkDigests()
  for (const [ino, content] of contents) {
    for (const member of cluster.members) {
      if (member.content(ino) !== content.toString('latin1')) t.fail(`file ${ino} of m${member.slot - 1} is another`)
    }
  }
  cluster.until('no more is kept than may be', () => cluster.members.every(m => m.disk.space.used() < usedBytesMax))
  for (const { reports } of cluster.members)
    t.same(
      reports.filter(({ level }) => level === 'error'),
      [],
    )
  t.end()
})

/** What is dear to find out, as it was at most so long ago. */
function freshEvery(now: () => number, ms: number, find: () => number): () => number {
  let at = -Infinity
  let found = 0
  return () => {
    if (now() - at >= ms) {
      at = now()
      found = find()
    }
    return found
  }
}
