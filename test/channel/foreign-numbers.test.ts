/** A member whose software is hostile makes files with numbers of the others' ranges. */
import t from 'tap'
import { EPERM } from '../../src/base/errno.js'
import { inodesPerSlot } from '../../src/channel/descriptor.js'
import { RENAME_WHITEOUT, namelessKey, nowhere, type Operation } from '../../src/fs/operation.js'
import { rootInode } from '../../src/fs/records.js'
import { Cluster, make, type Member } from './support/cluster.js'

type Three = [Member, Member, Member]

/** All operations that make an inode, with that number. */
function making(ino: number, name: string): Operation[] {
  const [regular, directory, fifo, link] = [0o100644, 0o40755, 0o10644, 0o120777]
  return [
    ...[regular, directory, fifo].map(mode => make(rootInode, `${name}-${mode.toString(8)}`, ino, mode)),
    { ...make(rootInode, `${name}-symlink`, ino, link), target: 'x' } as Operation,
    make(nowhere, namelessKey(ino), ino, regular),
    {
      kind: 'rename',
      parent: rootInode,
      name: 'source',
      newParent: rootInode,
      newName: `${name}-moved`,
      flags: RENAME_WHITEOUT,
      whiteout: ino,
    },
  ]
}

void t.test('a hostile member cannot use up the inode numbers of others', t => {
  const cluster = new Cluster(3, 14)
  const [leader, victim, hostile] = cluster.roles() as Three
  t.equal(cluster.answered(hostile.create('source').answer), 0)
  const { nextSlot } = leader.channel.descriptor
  const ranges = {
    "the victim's": victim.slot * inodesPerSlot,
    "the leader's": leader.slot * inodesPerSlot,
    'nobody’s yet': nextSlot * inodesPerSlot,
    'the last': Number.MAX_SAFE_INTEGER - 1000,
    'below all': 2,
  }
  for (const [whose, first] of Object.entries(ranges)) {
    // the numbers that the victim uses next
    for (let n = 0; n < 20; n++) {
      for (const operation of making(first + 2 + n, `${whose} ${n}`)) {
        const errno = cluster.answered(hostile.change(operation))
        if (errno !== EPERM) t.fail(`${operation.kind} with a number of ${whose} range: ${errno}`)
      }
    }
  }
  for (const honest of [leader, victim]) {
    for (let n = 0; n < 20; n++) {
      const errno = cluster.answered(honest.create(`${honest.id}-${n}`).answer)
      if (errno !== 0) t.fail(`create ${n} of an honest member: ${errno}`)
    }
  }
  const own = hostile.slot * inodesPerSlot + 1000
  t.same(
    making(own, 'own').map((operation, n) => {
      const numbered = 'ino' in operation ? { ...operation, ino: own + n } : { ...operation, whiteout: own + n }
      return cluster.answered(
        hostile.change(
          'parent' in numbered && numbered.parent === nowhere
            ? make(nowhere, namelessKey(own + n), own + n, 0o100644)
            : (numbered as Operation),
        ),
      )
    }),
    [0, 0, 0, 0, 0, 0],
    'of its own range it makes what it wants',
  )
  const said = leader.reports.filter(({ message }) => message.includes('not of a range of its own'))
  t.equal(said.length, 1, 'it is named, once in a while')
  t.match(said[0]?.message, hostile.id)
  cluster.settle()
  cluster.checkDigests()
  t.end()
})

void t.test('the next leader refuses the same, and a leader refuses it of itself', t => {
  const cluster = new Cluster(3, 15)
  const [leader, next, other] = cluster.roles() as Three
  leader.channel.transferLeadership(next.id)
  cluster.until('the lead is handed over', () => next.leads)
  cluster.settle()
  const ino = other.slot * inodesPerSlot + 2
  for (const member of [leader, next]) {
    t.equal(cluster.answered(member.change(make(rootInode, 'x', ino, 0o100644))), EPERM)
  }
  t.equal(cluster.answered(other.create('y').answer), 0)
  t.end()
})
