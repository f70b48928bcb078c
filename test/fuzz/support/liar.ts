import type { Rng } from '../../../src/base/rng.js'
import { encodeDescriptor, type Descriptor } from '../../../src/channel/descriptor.js'
import type { PeerMessage } from '../../../src/channel/transport-port.js'
import { nodeHasher } from '../../../src/adapters/host/hasher.js'
import { encodeOperation } from '../../../src/fs/operation-codec.js'
import type { Operation } from '../../../src/fs/operation.js'
import { encodeEntry, zeroHash } from '../../../src/oplog/codec.js'
import type { EncodedEntry, Proposal } from '../../../src/oplog/entry.js'
import type { RaftEntry, RaftMessage } from '../../../src/raft/types.js'
import type { StoredEntry } from '../../../src/channel/stored-entry.js'

/** Whom it lies to, and what it knows of it; `Member` of test/channel/support is one. */
export interface Victim {
  readonly id: string
  readonly channel: {
    readonly term: number
    readonly lastIndex: number
    readonly commitIndex: number
    readonly appliedIndex: number
    entry(index: number): StoredEntry | undefined
  }
  nextInode(): number
}

const noBytes = new Uint8Array(0)
/** No path, in a directory, leads to such a name. */
const badNames = ['..', '.', 'a/b', '/', '../../etc/passwd']

/** What a member with a good certificate can say that is not so. Everything is drawn from the seed. */
export class Liar {
  readonly #rng: Rng
  readonly #self: Pick<Victim, 'id' | 'nextInode'>
  readonly #victim: Victim
  readonly #descriptor: Descriptor
  #sequence = 1_000_000

  constructor(rng: Rng, self: Pick<Victim, 'id' | 'nextInode'>, victim: Victim, descriptor: Descriptor) {
    this.#rng = rng
    this.#self = self
    this.#victim = victim
    this.#descriptor = descriptor
  }

  #of<T>(values: readonly T[]): T {
    return values[this.#rng.below(values.length)]!
  }
  /** One of them, and the others are not even made. */
  #made<T>(makers: readonly (() => T)[]): T {
    return this.#of(makers)()
  }
  #index(): number {
    const { commitIndex, lastIndex } = this.#victim.channel
    return this.#of([
      0,
      1,
      Math.max(0, commitIndex - 1),
      commitIndex,
      commitIndex + 1,
      lastIndex,
      lastIndex + 1,
      2 ** 40,
      2 ** 48,
    ])
  }
  #hash(): Uint8Array {
    return Uint8Array.from({ length: 32 }, () => this.#rng.below(256))
  }

  /** Forgery and nonsense that the others must refuse, whoever leads. */
  #operation(): Operation {
    const name = this.#of([...badNames, 'x'.repeat(255), '\xff', 'lie'])
    const ino = this.#of([0, 1, 2, 2 ** 53 - 1, this.#victim.nextInode()])
    const far = this.#of([0, 2 ** 52, 2 ** 53 - 1])
    const { version } = this.#descriptor
    return this.#made<Operation>([
      () => ({
        kind: 'make',
        parent: 1,
        name: this.#of(badNames),
        ino,
        mode: 0o100644,
        uid: 0,
        gid: 0,
        rdev: 0,
        target: '',
      }),
      () => ({
        kind: 'make',
        parent: ino,
        name,
        ino: 1,
        mode: 0o170777,
        uid: 0,
        gid: 0,
        rdev: 0,
        target: 'x'.repeat(60_000),
      }),
      () => ({ kind: 'link', ino: 1, parent: 1, name }),
      () => ({ kind: 'rename', parent: 1, name, newParent: 1, newName: this.#of(badNames), flags: this.#rng.u32() }),
      () => ({ kind: 'setattr', ino: 2 ** 53 - 1, killPrivileges: false, size: far, atime: -(2n ** 63n) }),
      () => ({ kind: 'allocate', ino: 2 ** 53 - 1, mode: this.#rng.u32(), offset: far, length: far }),
      () => ({ kind: 'clone', source: ino, sourceOffset: far, ino: 2 ** 53 - 1, offset: far, length: far }),
      () => ({
        kind: 'relocate',
        ino,
        length: 1,
        runs: [{ offset: this.#of([0, far]), length: this.#of([1, 2 ** 32 - 1]), blob: 2 ** 53 - 1, blobOffset: 0 }],
      }),
      () => ({ kind: 'refuse', member: this.#self.id, session: 1, sequence: 2 ** 53 - 1, errno: 28 }),
      () => ({ kind: 'unlink', parent: 0, name }),
      () => ({ kind: 'rmdir', parent: 1, name: this.#of(badNames) }),
      () => ({ kind: 'setxattr', ino: 2 ** 53 - 1, name, flags: this.#rng.u32(), value: new Uint8Array(70_000) }),
      () => ({ kind: 'members', version: version + 1, descriptor: this.#forgedDescriptor() }),
      () => ({ kind: 'members', version: this.#of([0, version, 2 ** 40]), descriptor: this.#forgedDescriptor() }),
    ])
  }

  #forgedDescriptor(): Uint8Array {
    const descriptor = this.#descriptor
    const next = { ...descriptor, version: descriptor.version + 1 }
    return this.#made<Uint8Array>([
      () => encodeDescriptor({ ...next, owner: this.#self.id }),
      () => encodeDescriptor({ ...next, members: next.members.filter(({ id }) => id === this.#self.id) }),
      () => encodeDescriptor({ ...next, members: next.members.map(m => ({ ...m, address: '6.6.6.6:1' })) }),
      () => Buffer.from('{"name":{"toString":1}}'),
      () => Buffer.from('['.repeat(9000)),
      () => noBytes,
      () => this.#hash(),
    ])
  }

  #proposal(operation: Operation | Uint8Array, changed: Partial<Proposal> = {}): Proposal {
    return {
      kind: !(operation instanceof Uint8Array) && operation.kind === 'members' ? 'members' : 'change',
      origin: this.#self.id,
      session: 2 ** 50,
      sequence: this.#sequence++,
      time: this.#of([0n, -(2n ** 63n), 2n ** 63n - 1n]),
      operation: operation instanceof Uint8Array ? operation : encodeOperation(operation),
      payload: noBytes,
      payloadHash: zeroHash,
      signature: noBytes,
      ...changed,
    }
  }

  #entry(index: number, term: number, previous: Uint8Array): RaftEntry<EncodedEntry> {
    const operation = this.#of<Operation | Uint8Array>([this.#operation(), this.#hash(), noBytes])
    const origin = this.#of([this.#self.id, this.#victim.id, this.#descriptor.owner])
    let header = encodeEntry(this.#proposal(operation, { origin }), index, term, previous, nodeHasher)
    if (this.#rng.below(3) === 0) {
      header = header.slice()
      header[this.#rng.below(header.length)]! ^= 1 << this.#rng.below(8)
    }
    return { index, term, size: header.length, data: { header, payload: noBytes } }
  }

  /** A good write of the liar's, but with something that is not so. */
  propose(): PeerMessage {
    const name = `lie-${this.#sequence}`
    const make: Operation = {
      kind: 'make',
      parent: 1,
      name,
      ino: this.#self.nextInode(),
      mode: 0o100644,
      uid: 0,
      gid: 0,
      rdev: 0,
      target: '',
    }
    const write: Operation = { kind: 'write', ino: 2, offset: 0, length: 5, killPrivileges: false }
    const proposals = [
      () => this.#proposal(make, { origin: this.#victim.id, session: 1, sequence: 1 }),
      () => this.#proposal(make, { origin: this.#descriptor.owner }),
      () => this.#proposal(make, { kind: 'members' }),
      () => this.#proposal(make, { kind: 'noop' }),
      () => this.#proposal(write, { payload: Buffer.from('wrong'), payloadHash: this.#hash() }),
      () => this.#proposal(write),
      () => this.#proposal(this.#hash()),
      () => this.#proposal(this.#operation()),
      () => this.#proposal(this.#operation()),
      () => this.#proposal(this.#operation()),
    ]
    const first = this.#of([0, 1, 2, 2 ** 53 - 1])
    return { kind: 'propose', restart: this.#rng.below(2) === 0, first, proposals: [this.#made(proposals)] }
  }

  /**
   * What only followers, candidates and programs of members send: none of it can make a sound member do wrong. A vote that
   * is given and not meant is not among it: it may make a leader of a member that lacks what is committed.
   */
  harmless(): PeerMessage {
    const rng = this.#rng
    const index = this.#index()
    const lock = {
      space: 'posix',
      ino: index,
      owner: `p:${rng.below(9)}:f`,
      type: 'write',
      start: rng.below(9),
      end: 2 ** 53 - 1,
      pid: rng.u32(),
    } as const
    const term = this.#of([0, 1, this.#victim.channel.term, 2 ** 48])
    const round = { term, session: this.#of([0, 1, 2 ** 53 - 1]), round: this.#of([0, 1, 2 ** 53 - 1]) }
    const context = this.#of([0, 1, 2 ** 53 - 1])
    const words = this.#of(['address', 'verify', 'verify-result', 'verify-ready', 'no topic', ''])
    return this.#made<PeerMessage>([
      () => this.propose(),
      () => this.propose(),
      () => this.propose(),
      () => ({ kind: 'propose-refused', session: 1, index, refusals: [{ sequence: rng.below(50), errno: 5 }] }),
      () => ({ kind: 'propose-again' }),
      () => ({ kind: 'digest', index, hash: this.#hash() }),
      () => ({ kind: 'diverged', index, reason: 'x'.repeat(1000) }),
      () => ({ kind: 'blob-wanted', id: this.#index() * 8, term: this.#index() }),
      () => ({ kind: 'blob', id: this.#index() * 8, data: Uint8Array.of(1) }),
      () => ({ kind: 'position', lastIndex: index, durableIndex: this.#index(), appliedIndex: this.#index() }),
      () => ({
        kind: 'note',
        topic: words,
        body: this.#of(['', 'null', '[]', '{"id":1}', '{"id":{"toString":1}}', '\0']),
      }),
      () => ({
        kind: 'lock-calls',
        ...round,
        first: 1,
        calls: [
          { kind: 'claim', lock },
          { kind: 'attach', waiting: [index] },
        ],
      }),
      () => ({
        kind: 'lock-calls',
        ...round,
        first: 1,
        calls: [
          { kind: 'acquire', id: index, lock, wait: true },
          { kind: 'renew', stamp: index },
          { kind: 'release', id: 5, lock },
          { kind: 'cancel', id: index },
          { kind: 'test', id: 3, lock },
        ],
      }),
      () => ({
        kind: 'lock-answers',
        ...round,
        first: 1 + rng.below(5),
        answers: [
          { kind: 'granted', id: rng.below(9), index },
          { kind: 'lost', lock },
          { kind: 'attached' },
          { kind: 'renewed', stamp: index },
          { kind: 'found', id: rng.below(9), lock },
          { kind: 'denied', id: rng.below(9), errno: 11 },
        ],
      }),
      () => ({ kind: 'lock-again', ...round }),
      () => this.#raft({ kind: 'read-index', term: this.#victim.channel.term, context }),
      () => this.#raft({ kind: 'read-index-reply', term: this.#victim.channel.term, context, index }),
      () => this.#raft({ kind: 'timeout-now', term: this.#victim.channel.term, target: this.#victim.id }),
      () =>
        this.#raft({
          kind: 'heartbeat-reply',
          term: this.#victim.channel.term,
          round: context,
          match: 0,
          recovering: false,
        }),
      () => this.#raft({ kind: 'pre-vote', term: 2 ** 48, lastIndex: index, lastTerm: 5, transfer: true }),
      () => this.#raft({ kind: 'vote-reply', term: this.#victim.channel.term, granted: false }),
      () => this.#raft({ kind: 'pre-vote-reply', term: this.#victim.channel.term + 1, granted: true }),
      () => this.#raft({ kind: 'vote', term: 2 ** 48 + 1, lastIndex: index, lastTerm: 5, transfer: true }),
      () =>
        this.#raft({
          kind: 'heartbeat',
          term: this.#of([0, 1]),
          commit: 2 ** 48,
          round: 1,
          last: 0,
          durable: 0,
          acknowledging: 0,
        }),
      () => this.#reply(),
    ])
  }

  #reply(): PeerMessage {
    const { term } = this.#victim.channel
    const [rejectedIndex, hintIndex, hintTerm] = [this.#index(), this.#index(), this.#rng.below(9)]
    return this.#raft({
      kind: 'append-reply',
      term,
      success: false,
      match: 0,
      rejectedIndex,
      hintIndex,
      hintTerm,
      recovering: false,
    })
  }

  /** What a leader says: against this Raft has no defence but to notice. */
  leaders(): PeerMessage {
    const { term, lastIndex, appliedIndex } = this.#victim.channel
    const higher = term + this.#of([0, 1, 1, 2])
    const [commit, round] = [this.#index(), this.#rng.below(1000)]
    const previousIndex = this.#of([lastIndex, appliedIndex, lastIndex + 1, this.#index()])
    const previousTerm = this.#of([term, 1, higher])
    const first = previousIndex + 1
    const entry = this.#entry(first, higher, this.#hash())
    const append = { kind: 'append', term: higher, previousIndex, previousTerm, first, commit } as const
    return this.#of<PeerMessage>([
      this.#raft({ kind: 'heartbeat', term: higher, commit, round, last: 0, durable: 0, acknowledging: 0 }),
      this.#raft({ ...append, last: first, entries: [entry] }),
      this.#raft({ ...append, last: first - 1, entries: [] }),
      this.#raft({ kind: 'snapshot', term: higher, index: this.#index() }),
      this.#raft({ kind: 'vote', term: higher, lastIndex: this.#index(), lastTerm: term, transfer: true }),
      this.#raft({ kind: 'timeout-now', term: higher, target: this.#victim.id }),
      this.#raft({ kind: 'pre-vote-reply', term: higher, granted: false }),
      this.#raft({ kind: 'vote-reply', term, granted: true }),
      this.#raft({
        kind: 'append-reply',
        term,
        success: true,
        match: this.#index(),
        rejectedIndex: 0,
        hintIndex: 2 ** 48,
        hintTerm: 0,
        recovering: false,
      }),
    ])
  }

  /** A lie with the chain's right hash: the log of whoever takes it is another one from here on. */
  wellChained(): PeerMessage {
    const { term, lastIndex } = this.#victim.channel
    const last = this.#victim.channel.entry(lastIndex)
    if (last === undefined) return this.leaders()
    const { term: previousTerm, hash } = last.entry
    const first = lastIndex + 1
    const [higher, commit] = [term + this.#rng.below(2), first - this.#rng.below(2)]
    const entries = [this.#entry(first, higher, hash)]
    const place = { previousIndex: lastIndex, previousTerm, first, last: first }
    return this.#raft({ kind: 'append', term: higher, ...place, entries, commit })
  }

  #raft(message: RaftMessage<EncodedEntry>): PeerMessage {
    return { kind: 'raft', message }
  }
}
