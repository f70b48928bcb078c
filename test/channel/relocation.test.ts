/** Blobs that are mostly out of use go: what is in use of them is kept anew, and no program sees any of it. */
import t from 'tap'
import { EPERM, errnoName } from '../../src/base/errno.js'
import { RkfsError } from '../../src/base/errors.js'
import { chunkBytes, KiB } from '../../src/base/limits.js'
import type { ChannelPorts } from '../../src/channel/ports.js'
import { readPieces } from '../../src/fs/extents.js'
import { getInode } from '../../src/fs/apply.js'
import type { Inode } from '../../src/fs/records.js'
import { Rng } from '../../src/base/rng.js'
import { intercept } from '../sim/intercept.js'
import { Program } from './support/calls.js'
import { Cluster, type Member } from './support/cluster.js'

const retention = { margin: 2, entriesMax: 100, copyBytes: 0, relocation: { looseBytes: 16 * KiB } }

/** Bytes of blobs whose entries the log has given up. */
function kept({ log }: Member): number {
  const { blobs, log: logged, entries } = log.bytes
  return blobs - (logged - entries)
}

/** Small changes, so that the log gives up what came before. */
function passTime(cluster: Cluster, program: Program, seconds: number): void {
  const { ino, handle } = program.create(`other-${cluster.clock.now}`)
  for (let second = 0; second < seconds; second++) {
    program.write(ino, handle, 0, 'x')
    cluster.advance(1000)
  }
  program.close(ino, handle)
}

for (const count of [1, 3]) {
  void t.test(`a file that is overwritten in small places, ${count} member(s)`, t => {
    const cluster = new Cluster(count, 1, { retention })
    const leader = cluster.leader()
    cluster.settle()
    const writer = cluster.members.at(-1)!
    const program = new Program(cluster, writer)
    const size = 2 * chunkBytes
    const content = Buffer.alloc(size, 'o')
    const { ino, handle } = program.create('f')
    for (let at = 0; at < size; at += 64 * KiB) program.write(ino, handle, at, 'o'.repeat(64 * KiB))
    const attributes = (): Inode => getInode(writer.channel.view, ino)!
    passTime(cluster, program, 5)
    const before = attributes()
    const rng = new Rng(7)
    // of each 64 KiB the most is written again, 4 KiB at a time
    for (let page = 0; page < size / (4 * KiB); page++) {
      if (rng.below(8) === 0) continue
      const text = String.fromCharCode(97 + rng.below(20)).repeat(4 * KiB)
      content.write(text, page * 4 * KiB, 'latin1')
      program.write(ino, handle, page * 4 * KiB, text)
    }
    t.equal(program.flush(ino, handle), 0)
    const written = attributes()
    passTime(cluster, program, 200)
    for (const member of cluster.members) {
      t.ok(
        kept(member) < size + 32 * KiB,
        `${member === leader ? 'the leader' : 'a follower'} keeps ${kept(member)} bytes`,
      )
    }
    t.equal(program.read(ino, handle), content.toString('latin1'))
    t.same(attributes(), written)
    t.equal(attributes().allocated, before.allocated)
    const digests = cluster.members.map(({ channel }) => channel.digest().hash)
    t.equal(new Set(digests).size, 1)
    program.close(ino, handle)
    t.end()
  })
}

void t.test('only the leader says where bytes are kept', t => {
  const cluster = new Cluster(3, 1, { retention })
  const leader = cluster.leader()
  cluster.settle()
  const follower = cluster.members.find(member => member !== leader)!
  const program = new Program(cluster, follower)
  const { ino, handle } = program.create('f')
  program.write(ino, handle, 0, 'true')
  t.equal(program.close(ino, handle), 0)
  const [piece] = readPieces(leader.channel.view, ino, 0, 4)
  const runs = [{ offset: 0, length: 4, blob: piece!.blob!, blobOffset: piece!.offset }]
  const relocate = { kind: 'relocate' as const, ino, length: 4, runs }
  const answer = follower.change(relocate, Buffer.from('lies'))
  t.equal(errnoName(cluster.answered(answer)), errnoName(EPERM))
  t.equal(leader.content(ino), 'true')
  t.end()
})

void t.test('a record that cannot be read when bytes are to be kept anew concerns its readers alone', t => {
  let reads = 0
  const chunksAfter = (): never => {
    reads++
    throw new RkfsError('corrupt', 'the state is damaged')
  }
  const ports = (_: Member, plain: ChannelPorts): ChannelPorts => ({
    ...plain,
    state: intercept(plain.state, { chunksAfter }),
  })
  const cluster = new Cluster(1, 1, { retention, hooks: { ports } })
  const member = cluster.leader()
  cluster.settle()
  const program = new Program(cluster, member)
  const { ino, handle } = program.create('f')
  program.write(ino, handle, 0, 'o'.repeat(64 * KiB))
  passTime(cluster, program, 5)
  program.write(ino, handle, 0, 'n'.repeat(60 * KiB))
  passTime(cluster, program, 60)
  t.equal(reads, 1, 'it is tried again much later')
  t.equal(member.channel.failure, undefined)
  t.equal(program.read(ino, handle), 'n'.repeat(60 * KiB) + 'o'.repeat(4 * KiB))
  t.end()
})
