/** Frames of one member that must not stop the others: what does not continue what is here is its own fault. */
import t from 'tap'
import { encodeDescriptor, withoutMember } from '../../src/channel/descriptor.js'
import type { PeerMessage } from '../../src/channel/transport-port.js'
import { nodeHasher } from '../../src/adapters/host/hasher.js'
import { encodeOperation } from '../../src/fs/operation-codec.js'
import { encodeEntry, zeroHash } from '../../src/oplog/codec.js'
import type { EncodedEntry } from '../../src/oplog/entry.js'
import type { RaftEntry } from '../../src/raft/types.js'
import { Cluster, type Member } from './support/cluster.js'

type Three = [Member, Member, Member]

function entry(index: number, term: number, previousHash: Uint8Array, origin: string): EncodedEntry {
  const operation = encodeOperation({ kind: 'mark', id: 1 })
  const payload = new Uint8Array(0)
  const numbers = { origin, session: 2 ** 40, sequence: 1, time: 1n }
  const proposal = {
    kind: 'change',
    ...numbers,
    operation,
    payload,
    payloadHash: zeroHash,
    signature: payload,
  } as const
  return { header: encodeEntry(proposal, index, term, previousHash, nodeHasher), payload }
}

function append(term: number, previousIndex: number, previousTerm: number, entries: EncodedEntry[]): PeerMessage {
  const first = previousIndex + 1
  const all: RaftEntry<EncodedEntry>[] = entries.map((data, i) => ({
    index: first + i,
    term: previousTerm,
    size: data.header.length,
    data,
  }))
  const place = { previousIndex, previousTerm, first, last: previousIndex + entries.length }
  return { kind: 'raft', message: { kind: 'append', term, ...place, entries: all, commit: first } }
}

/** Each message is wrong in its chain only: all else fits the victim's log. */
const frames: Record<string, (victim: Member, hostile: string) => PeerMessage> = {
  'a wrong hash after the end, from a higher term': ({ channel }, hostile) => {
    const { term } = channel.entry(channel.lastIndex)!.entry
    return append(channel.term + 1, channel.lastIndex, term, [entry(channel.lastIndex + 1, term, zeroHash, hostile)])
  },
  'a wrong hash after the end, from this term': ({ channel }, hostile) => {
    const { term } = channel.entry(channel.lastIndex)!.entry
    return append(channel.term, channel.lastIndex, term, [entry(channel.lastIndex + 1, term, zeroHash, hostile)])
  },
  'a wrong hash in the midst of a message': ({ channel }, hostile) => {
    const { term, hash } = channel.entry(channel.lastIndex)!.entry
    const at = channel.lastIndex
    const entries = [entry(at + 1, term, hash, hostile), entry(at + 2, term, zeroHash, hostile)]
    return append(channel.term + 1, at, term, entries)
  },
  'another entry of the same place and term': ({ channel }, hostile) => {
    const before = channel.entry(channel.lastIndex - 1)!.entry
    const { term } = channel.entry(channel.lastIndex)!.entry
    const other = entry(channel.lastIndex, term, before.hash, hostile)
    return append(channel.term + 1, channel.lastIndex - 1, before.term, [other])
  },
}

for (const [what, make] of Object.entries(frames)) {
  void t.test(`${what} stops nobody but who sent it`, t => {
    const cluster = new Cluster(3, 12)
    const [leader, follower, hostile] = cluster.roles() as Three
    const { ino, answer } = leader.create('file')
    t.equal(cluster.answered(answer), 0)
    t.equal(cluster.answered(leader.write(ino, 0, 'text', { durable: true })), 0)
    cluster.settle()
    const before = leader.channel.term
    for (const honest of [leader, follower]) {
      for (let n = 0; n < 5; n++) honest.channel.message(hostile.id, make(honest, hostile.id))
      t.equal(honest.channel.quarantine, undefined)
      t.equal(honest.channel.failure, undefined)
      t.ok(honest.channel.serving)
      t.equal(honest.content(ino), 'text')
      t.match(honest.channel.complaintAbout(hostile.id), /does not continue the hash chain of what is here: refused/)
      t.equal(honest.reports.filter(({ message }) => message.includes('hash chain')).length, 1, 'it is said once')
    }
    t.equal(leader.channel.term, before, 'a term that is claimed with it is not taken over')
    t.ok(leader.leads, 'the leader leads on')
    for (const honest of [leader, follower]) t.equal(cluster.answered(honest.create(honest.id).answer), 0)
    cluster.settle()
    cluster.checkDigests()
    t.equal(leader.channel.contradiction, undefined)
    t.end()
  })
}

void t.test('a snapshot without the members of this channel is not put in place', t => {
  const cluster = new Cluster(3, 16)
  const { channel } = cluster.leader()
  const { descriptor } = channel
  const words = { code: 'corrupt', message: /a snapshot without the members of this channel/ }
  t.throws(() => channel.checkMembers(undefined), words)
  t.throws(() => channel.checkMembers(Buffer.from('{}')), { code: 'corrupt' })
  for (const changed of [{ id: 'f'.repeat(16) }, { name: 'other' }, { owner: 'f'.repeat(16) }, { members: [] }]) {
    t.throws(() => channel.checkMembers(encodeDescriptor({ ...descriptor, ...changed })), words)
  }
  t.doesNotThrow(() => channel.checkMembers(encodeDescriptor({ ...descriptor, version: 99 })))
  t.end()
})

void t.test('a member that told a descriptor with itself in it is gone with its removal', t => {
  const cluster = new Cluster(3, 17)
  const owner = cluster.members[0]!
  cluster.leader().channel.transferLeadership(owner.id)
  cluster.until('the owner leads', () => owner.leads)
  cluster.settle()
  const [, honest, removed] = cluster.members as Three
  const { descriptor } = owner.channel
  const forged = { ...descriptor, version: 2 ** 50 }
  for (const { channel } of [owner, honest]) {
    channel.message(removed.id, { kind: 'note', topic: 'members', body: JSON.stringify(forged) })
  }
  let errno: number | undefined
  owner.channel.changeMembers(withoutMember(descriptor, removed.id), 20_000, answer => (errno = answer))
  cluster.until('removal', () => errno !== undefined && honest.channel.descriptor.version > descriptor.version)
  t.equal(errno, 0)
  for (const { channel } of [owner, honest]) {
    t.notOk(
      channel.peers.some(({ id }) => id === removed.id),
      'nobody talks to it',
    )
  }
  t.end()
})
