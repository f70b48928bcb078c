/** Blobs that are mostly out of use go: what is in use of them is kept anew, and no program sees any of it. */
import t from 'tap'
import { chunkBytes, KiB } from '../../src/base/limits.js'
import { getInode } from '../../src/fs/apply.js'
import type { Inode } from '../../src/fs/records.js'
import { Rng } from '../../src/base/rng.js'
import { Program } from './support/calls.js'
import { Cluster, type Member } from './support/cluster.js'

const retention = { margin: 2, entriesMax: 100, copyBytes: 0, looseBytes: 16 * KiB }

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
