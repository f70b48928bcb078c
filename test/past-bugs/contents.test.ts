/** Bytes and times that other systems lost, mixed up, or brought back. */
import t from 'tap'
import { errnoName } from '../../src/base/errno.js'
import type { AttributeChange, Attributes } from '../../src/channel/mount-port.js'
import { getInode } from '../../src/fs/apply.js'
import { call, caller, Program } from '../channel/support/calls.js'
import { Cluster, type Member, type Three } from '../channel/support/cluster.js'

const O_APPEND = 0o2000

function set(cluster: Cluster, member: Member, ino: number, change: Partial<AttributeChange>): Attributes {
  const { value, errno } = call<{ attributes: Attributes }>(cluster, reply =>
    member.frontend.setattr(caller, ino, { killPrivileges: false, ...change }, reply),
  )
  if (value === undefined) throw new Error(errnoName(errno!))
  return value.attributes
}

/**
 * The kernel's idea of a file's end decided where an appended record goes: two mounts that append in turn wrote over each
 * other's records.
 */
void t.test(
  'juicedata/juicefs#6545, seaweedfs/seaweedfs#2785: records appended through two mounts are all there',
  t => {
    for (let seed = 1; seed <= 6; seed++) {
      const cluster = new Cluster(3, seed)
      const [leader, follower, other] = cluster.roles() as Three
      const { ino, answer } = leader.create('log')
      cluster.answered(answer)
      cluster.settle()
      const writers = (seed % 2 === 0 ? [leader, follower] : [follower, other]).map(member => {
        const program = new Program(cluster, member)
        return { program, handle: program.open(ino, 1 | O_APPEND), name: member.slot }
      })
      const wanted: string[] = []
      for (let i = 0; i < 20; i++) {
        for (const { program, handle, name } of writers) {
          const record = `${name}:${i};`
          // the offset is what that kernel last heard of the size: nothing, so far
          program.write(ino, handle, 0, record, 1 | O_APPEND)
          wanted.push(record)
          // the next one opens the file before it has heard of this
          if (seed % 3 === 0) cluster.advance(cluster.rng.below(4))
        }
      }
      for (const { program, handle } of writers) if (program.close(ino, handle) !== 0) t.fail('close')
      cluster.settle()
      cluster.checkDigests()
      const records = other.content(ino)!.split(/(?<=;)/)
      if (records.length !== wanted.length) t.equal(records.length, wanted.length, `seed ${seed}`)
      for (const { name } of writers) {
        const mine = (all: string[]) => all.filter(record => record.startsWith(`${name}:`))
        if (mine(records).join() !== mine(wanted).join()) t.same(mine(records), mine(wanted), `seed ${seed}`)
      }
    }
    t.pass('6 seeds')
    t.end()
  },
)

/** What was written before, or read since, was flushed after utimes(2) and set the time anew: cp -p and rsync -t kept none. */
void t.test(
  'seaweedfs/seaweedfs#9363, mar-file-system/marfs#174, s3fs-fuse#299: a time that was set outlives the writes before it',
  t => {
    const then = 1_579_059_296_123_456_789n
    for (const place of [0, 1]) {
      const cluster = new Cluster(3, 9363)
      const roles = cluster.roles() as Three
      const member = roles[place]!
      const program = new Program(cluster, member)
      const { ino, handle } = program.create('copy')
      for (let i = 0; i < 10; i++) program.write(ino, handle, i * 5, 'bytes')
      // as cp does: before the close
      t.equal(set(cluster, member, ino, { mtime: then, atime: then }).mtime, then)
      t.equal(program.close(ino, handle), 0)
      const reading = program.open(ino, 0)
      t.equal(program.read(ino, reading).length, 50)
      program.close(ino, reading)
      // long enough for all that is put off: access times, batches, the state's flush
      cluster.advance(10_000)
      cluster.settle()
      cluster.checkDigests()
      for (const one of cluster.members) t.equal(getInode(one.channel.view, ino)!.mtime, then)
      for (const one of cluster.members) one.crash()
      for (const one of cluster.members) one.start()
      cluster.network.connectAll()
      cluster.settle()
      for (const one of cluster.members) t.equal(getInode(one.channel.view, ino)!.mtime, then, 'after a power cut, too')
    }
    t.end()
  },
)

/** A file was cut by moving its end alone; growing again, it showed what had been behind it. */
void t.test('multikernel/daxfs#16, mem9-ai/drive9#407: what was cut off does not come back when the file grows', t => {
  const grow: ((cluster: Cluster, member: Member, ino: number, handle: number) => void)[] = [
    (cluster, member, ino) => void set(cluster, member, ino, { size: 8 }),
    (cluster, member, ino, handle) => new Program(cluster, member).write(ino, handle, 7, '\0'),
    (cluster, member, ino) => {
      const done = call<void>(cluster, reply => member.frontend.fallocate(caller, ino, 0, 0, 0, 8, reply))
      if (done.errno !== undefined) throw new Error(errnoName(done.errno))
    },
  ]
  for (const [way, growing] of grow.entries()) {
    for (const place of [0, 1]) {
      const cluster = new Cluster(3, 16)
      const roles = cluster.roles() as Three
      const member = roles[place]!
      const program = new Program(cluster, member)
      const { ino, handle } = program.create('f')
      // two writes that go on where the other ended are one, still open when the file is cut
      program.write(ino, handle, 0, 'HELL')
      program.write(ino, handle, 4, 'O!!!')
      set(cluster, member, ino, { size: 2 })
      growing(cluster, member, ino, handle)
      t.equal(program.read(ino, handle), 'HE\0\0\0\0\0\0', `at once (${way})`)
      t.equal(program.close(ino, handle), 0)
      cluster.settle()
      cluster.checkDigests()
      for (const one of cluster.members) t.equal(one.content(ino), 'HE\0\0\0\0\0\0')
    }
  }
  t.end()
})

/**
 * What came between the message that hands leadership over and its effect made the old leader's log the longer one: the
 * target lost its own election, and the old leader was elected once more.
 */
void t.test('hashicorp/raft#487: a hand-over under load succeeds, and nothing is lost or done twice', t => {
  for (let seed = 1; seed <= 6; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, target, other] = cluster.roles() as Three
    const { ino, answer } = leader.create('log')
    cluster.answered(answer)
    cluster.settle()
    const wanted = new Map(cluster.members.map(member => [member, '']))
    const write = (i: number): void => {
      for (const member of cluster.members) {
        const record = `${member.slot}:${i};`
        member.append(ino, record)
        wanted.set(member, wanted.get(member)! + record)
      }
      cluster.advance(1)
    }
    let i = 0
    while (i < 20) write(i++)
    const { term } = leader.channel
    t.equal(leader.channel.transferLeadership(target.id), true)
    const begun = cluster.clock.now
    while (!target.leads && cluster.clock.now - begun < 1000) write(i++)
    if (!target.leads || target.channel.term !== term + 1) t.fail(`seed ${seed}\n${cluster.describe()}`)
    while (i < 60) write(i++)
    cluster.settle()
    cluster.checkDigests()
    const records = other.content(ino)!.split(/(?<=;)/)
    for (const [member, all] of wanted) {
      const found = records.filter(record => record.startsWith(`${member.slot}:`)).join('')
      if (found !== all) t.equal(found, all, `seed ${seed}`)
    }
  }
  t.end()
})

/** A stat(2) that met the flush of the last write was answered from neither: a file of some length showed 0, or its past. */
void t.test('juicedata/juicefs#7238: who wrote sees its size and bytes at once, whatever is under way', t => {
  for (let seed = 1; seed <= 5; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower] = cluster.roles() as Three
    const program = new Program(cluster, follower)
    const { ino, handle } = program.create('f')
    let wanted = ''
    for (let i = 0; i < 30; i++) {
      const text = `${i},`
      program.write(ino, handle, wanted.length, text)
      wanted += text
      const { value } = call<{ attributes: Attributes }>(cluster, reply =>
        follower.frontend.getattr(caller, ino, reply),
      )
      if (value?.attributes.size !== wanted.length) t.equal(value?.attributes.size, wanted.length, `seed ${seed}`)
      if (program.read(ino, handle) !== wanted) t.equal(program.read(ino, handle), wanted, `seed ${seed}`)
      if (i === 10) leader.crash()
      if (i === 20) {
        leader.start()
        cluster.network.connectAll()
      }
    }
    t.equal(program.close(ino, handle), 0)
  }
  t.end()
})
