import t from 'tap'
import { blobsPerEntryMax, readableGhostsMax } from '../../src/base/limits.js'
import { decodeRecord } from '../../src/fs/records.js'
import { Program } from './support/calls.js'
import { Cluster, type Member } from './support/cluster.js'
import { takeSnapshot } from './support/sim-disk.js'

const retention = { margin: 2, entriesMax: 100, copyBytes: 0 }

/** Blobs of entries that the log has given up. */
function stored({ log }: Member): number {
  return log.blobIds(0, Number.MAX_SAFE_INTEGER).filter(id => id < (log.anchor.index + 1) * blobsPerEntryMax).length
}

function setUp(): { cluster: Cluster; member: Member; program: Program } {
  const cluster = new Cluster(1, 1, { retention })
  const member = cluster.members[0]!
  cluster.settle()
  return { cluster, member, program: new Program(cluster, member) }
}

function make(program: Program, name: string): { ino: number; handle: number } {
  const file = program.create(name)
  program.write(file.ino, file.handle, 0, 'x'.repeat(100))
  return file
}

t.test(
  'the content of files that were removed goes, although the kernel may ask for the last ones for a while',
  async t => {
    const { cluster, member, program } = setUp()
    const count = readableGhostsMax + 50
    const files: number[] = []
    for (let i = 0; i < count; i++) {
      const { ino, handle } = make(program, `f${i}`)
      program.close(ino, handle)
      files.push(ino)
    }
    cluster.until('the log has given it up', () => stored(member) >= count - 2)
    for (let i = 0; i < count; i++) t.equal(program.unlink(`f${i}`), 0)
    cluster.until('only the last ones are left', () => stored(member) <= readableGhostsMax)
    member.frontend.forget(files.map(ino => ({ ino, count: 1 })))
    cluster.until('nothing is left', () => stored(member) === 0)
  },
)

t.test('the content of an open file without a name stays until its last close', async t => {
  const { cluster, member, program } = setUp()
  const { ino, handle } = make(program, 'open')
  const inodes = [ino]
  t.equal(program.flush(ino, handle), 0)
  t.equal(program.unlink('open'), 0)
  for (let i = 0; i < 10; i++) {
    const other = make(program, `other-${i}`)
    inodes.push(other.ino)
    program.close(other.ino, other.handle)
    t.equal(program.unlink(`other-${i}`), 0)
    cluster.advance(2000)
  }
  member.frontend.forget(inodes.slice(1).map(each => ({ ino: each, count: 1 })))
  cluster.until('the others are gone', () => stored(member) === 1)
  cluster.advance(10_000)
  t.equal(program.read(ino, handle), 'x'.repeat(100))
  program.close(ino, handle)
  cluster.until('nothing is left', () => stored(member) === 0)
})

t.test('and goes after it when the state came with a snapshot meanwhile', async t => {
  const cluster = new Cluster(3, 1, { retention })
  const leader = cluster.leader()
  const member = cluster.members.find(each => each !== leader)!
  cluster.settle()
  const program = new Program(cluster, member)
  const { ino, handle } = make(program, 'open')
  t.equal(program.flush(ino, handle), 0)
  t.equal(program.unlink('open'), 0)
  const content = member.log.blobIds(0, Number.MAX_SAFE_INTEGER)
  for (let i = 0; i < 20; i++) leader.mkdir(`d${i}`)
  cluster.until('its entries are given up', () => stored(member) === content.length)
  member.channel.beginRestore()
  member.channel.restored(member.disk.install(takeSnapshot(leader), member.channel))
  cluster.advance(10_000)
  t.equal(program.read(ino, handle), 'x'.repeat(100))
  program.close(ino, handle)
  cluster.until('nothing is left', () => stored(member) === 0)
})

t.test('what the state refers to as it was written out last stays until it is written out again', async t => {
  const cluster = new Cluster(3, 1, { retention })
  const leader = cluster.leader()
  cluster.settle()
  const program = new Program(cluster, leader)
  const { ino, handle } = make(program, 'f')
  const isSound = ({ state, log }: Member): boolean => {
    const chunks = [...state.all()].filter(({ table }) => table === 'chunk')
    return chunks.every(({ value }) => decodeRecord('chunk', value).every(({ blob }) => log.blob(blob) !== undefined))
  }
  // more than one step of compaction takes
  const count = 1500
  for (let n = 0; n < count; n++) program.write(ino, handle, n * 8, 'old!')
  for (let round = 0; round < 300; round++) {
    for (let n = round % 50; n < count; n += 50) program.write(ino, handle, n * 8, 'new!')
    cluster.advance(19)
    const lacking = cluster.members.find(member => !isSound(member))
    if (lacking !== undefined) {
      t.fail(`round ${round}: the state on the disk of m${lacking.slot - 1} lacks a blob`)
      break
    }
  }
  t.equal(program.read(ino, handle).slice(0, 4), 'new!')
})
