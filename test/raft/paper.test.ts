import t from 'tap'
import { Rng } from '../../src/base/rng.js'
import { ElectionTimer } from '../../src/raft/election-timer.js'
import { PendingReads } from '../../src/raft/read-index.js'
import { RecentSizes } from '../../src/raft/recent-sizes.js'
import type { RaftMessage } from '../../src/raft/types.js'
import { TestNode, type Watcher } from './support/test-node.js'

const tuning = { electionTimeoutTicks: 10, heartbeatTicks: 2, appendBytesMax: 100, inflightBytesMax: 300, seed: 1 }
const three = { voters: ['a', 'b', 'c'], learners: [] }

function start(id: string, watcher: Watcher = {}, configuration: typeof three = three): TestNode {
  let data = 0
  const node = new TestNode(id, configuration, tuning, () => ++data, watcher)
  node.start()
  return node
}

/** A leader of term 1 with its no-op entry committed by b. */
function startLeader(watcher: Watcher = {}): TestNode {
  const node = start('a', watcher)
  node.raft.campaign()
  node.raft.step('b', { kind: 'pre-vote-reply', term: 1, granted: true })
  node.raft.step('b', { kind: 'vote-reply', term: 1, granted: true })
  node.sync()
  node.raft.step('b', appendReply(1))
  node.take()
  return node
}

/** It votes for who then leads. */
function elect(node: TestNode, leader: string, term: number): void {
  node.raft.step(leader, { kind: 'vote', term, lastIndex: 99, lastTerm: term - 1, transfer: false })
  node.take()
}

function appendReply(match: number): RaftMessage<number> {
  return {
    kind: 'append-reply',
    term: 1,
    success: true,
    match,
    rejectedIndex: 0,
    hintIndex: match,
    hintTerm: 1,
    recovering: false,
  }
}

function append(term: number, previous: [number, number], terms: number[], commit = 0): RaftMessage<number> {
  const [previousIndex, previousTerm] = previous
  const entries = terms.map((term, i) => ({ index: previousIndex + 1 + i, term, size: 1, data: term * 100 + i }))
  const last = previousIndex + terms.length
  return { kind: 'append', term, previousIndex, previousTerm, first: previousIndex + 1, last, entries, commit }
}

t.test('fig. 2: currentTerm and votedFor are on stable storage before the answer to an RPC is queued', t => {
  let queuedBefore: number | undefined
  const node = start('b', { hardStateSaved: node => (queuedBefore = node.take().length) })
  node.raft.step('a', { kind: 'vote', term: 3, lastIndex: 0, lastTerm: 0, transfer: false })
  t.equal(queuedBefore, 0)
  t.same(node.hardState, { term: 3, vote: 'a' })
  t.same(node.take(), [{ to: 'a', message: { kind: 'vote-reply', term: 3, granted: true } }])
  t.end()
})

t.test('§5.1: a later term makes a leader a follower once two of three are in it, whatever their messages', t => {
  for (const message of [
    append(9, [0, 0], []),
    { kind: 'heartbeat', term: 9, commit: 0, round: 1, last: 0, durable: 0, acknowledging: 0 },
    {
      kind: 'append-reply',
      term: 9,
      success: false,
      match: 0,
      rejectedIndex: 0,
      hintIndex: 0,
      hintTerm: 0,
      recovering: false,
    },
    { kind: 'heartbeat-reply', term: 9, round: 0, match: 0, recovering: false },
    { kind: 'vote-reply', term: 9, granted: false },
    { kind: 'pre-vote-reply', term: 9, granted: false },
    { kind: 'vote', term: 9, lastIndex: 0, lastTerm: 0, transfer: true },
    { kind: 'pre-vote', term: 10, lastIndex: 0, lastTerm: 0, transfer: true },
    { kind: 'snapshot', term: 9, index: 0 },
    { kind: 'timeout-now', term: 9, target: 'a' },
    { kind: 'read-index', term: 9, context: 1 },
    { kind: 'read-index-reply', term: 9, context: 1, index: 1 },
    { kind: 'term-question', term: 9 },
    { kind: 'term-answer', term: 9, leader: 'b' },
  ] satisfies RaftMessage<number>[]) {
    const node = startLeader()
    for (let n = 0; n < 9; n++) node.raft.step('b', message)
    t.same([node.raft.role, node.raft.term, node.hardState.term], ['leader', 1, 1], message.kind)
    node.raft.step('c', message)
    t.same([node.raft.role, node.raft.term, node.hardState.term], ['follower', 9, 9], message.kind)
  }
  t.end()
})

t.test('§5.2: election timeouts are spread between one and two timeouts, and differ from member to member', t => {
  const timeouts = new Map<string, number[]>()
  for (const id of ['a', 'b', 'c']) {
    const timer = new ElectionTimer(10, 1, id)
    const found: number[] = []
    for (let i = 0; i < 100; i++) {
      timer.reset()
      let ticks = 0
      for (; !timer.expired; ticks++) timer.tick()
      found.push(ticks)
    }
    t.equal(Math.min(...found), 10)
    t.equal(Math.max(...found), 19)
    timeouts.set(id, found)
  }
  t.notSame(timeouts.get('a'), timeouts.get('b'))
  t.end()
})

t.test('bytes from the leader stand in for its heartbeats, but not for ever: it may have stepped down', t => {
  const node = start('b')
  elect(node, 'a', 1)
  node.raft.step('a', { kind: 'heartbeat', term: 1, commit: 0, round: 1, last: 0, durable: 0, acknowledging: 0 })
  for (let i = 0; i < 30; i++) {
    node.raft.tick()
    node.raft.heard('a')
  }
  t.equal(node.raft.leader, 'a')
  for (let i = 0; i < 20; i++) {
    node.raft.tick()
    node.raft.heard('a')
  }
  t.equal(node.raft.role, 'pre-candidate')
  t.end()
})

t.test('§5.3: a follower appends what it lacks and keeps what it has, whatever order messages come in', t => {
  const node = start('b')
  elect(node, 'a', 1)
  node.raft.step('a', append(1, [0, 0], [1, 1, 1]))
  node.raft.step('a', append(1, [0, 0], [1]))
  t.equal(node.log.lastIndex, 3, 'an older message removes nothing (fig. 2, AppendEntries 3)')
  node.raft.step('a', append(1, [1, 1], [1, 1, 1], 4))
  t.equal(node.log.lastIndex, 4)
  t.equal(node.raft.commitIndex, 4)
  t.end()
})

t.test('what contradicts the committed log, or the same leader, is ignored', t => {
  const node = start('b')
  elect(node, 'a', 2)
  node.raft.step('a', append(2, [0, 0], [1, 1, 2], 2))
  node.take()
  node.raft.step('a', append(2, [0, 0], [1, 2]))
  node.raft.step('a', append(2, [2, 1], [1]))
  t.equal(node.log.term(3), 2)
  for (let n = 0; n < 10; n++) node.raft.tick()
  elect(node, 'c', 3)
  node.raft.step('c', append(3, [0, 0], [3]))
  t.same([node.raft.leader, node.log.term(1)], ['c', 1])
  t.end()
})

t.test('fig. 2: the commit index follows only what is known to match this leader', t => {
  const node = start('b')
  elect(node, 'a', 1)
  node.raft.step('a', append(1, [0, 0], [1, 1, 1]))
  for (let n = 0; n < 10; n++) node.raft.tick()
  elect(node, 'c', 2)
  node.raft.step('c', { kind: 'heartbeat', term: 2, commit: 3, round: 1, last: 0, durable: 0, acknowledging: 0 })
  t.equal(node.raft.commitIndex, 0, 'a suffix of an earlier leader may differ')
  node.raft.step('c', append(2, [2, 1], [], 3))
  t.equal(node.raft.commitIndex, 2)
  t.end()
})

t.test('a heartbeat tells no member to commit what it has not acknowledged', t => {
  const node = startLeader()
  node.propose(3)
  node.sync()
  node.raft.step('b', appendReply(4))
  node.take()
  node.raft.tick()
  node.raft.tick()
  const commits = node.take().flatMap(({ to, message }) => (message.kind === 'heartbeat' ? [[to, message.commit]] : []))
  t.same(commits, [
    ['b', 4],
    ['c', 0],
  ])
  t.end()
})

t.test('one message carries new entries and the new commit index', t => {
  const node = startLeader()
  node.propose(1)
  node.sync()
  node.take()
  node.raft.step('b', appendReply(2))
  node.propose(1)
  const toB = node.take().filter(({ to }) => to === 'b')
  t.match(toB, [{ message: { kind: 'append', first: 3, last: 3, commit: 2 } }])
  t.equal(toB.length, 1)
  t.end()
})

t.test('a leader without its own sync does not count itself (thesis §10.2.1)', t => {
  const node = startLeader()
  node.propose(1)
  node.raft.step('b', appendReply(2))
  t.equal(node.raft.commitIndex, 1)
  node.raft.step('c', appendReply(2))
  t.equal(node.raft.commitIndex, 2, 'the two others are a majority')
  t.end()
})

t.test('thesis §4.1: two changes at once, or of two voters, are refused by assertion', t => {
  const node = startLeader()
  t.throws(() => node.propose(1, 1, { voters: ['a', 'b', 'd'], learners: [] }), /one voter/)
  const other = startLeader()
  other.propose(1, 1, { voters: ['a', 'b', 'c', 'd'], learners: [] })
  t.throws(() => other.propose(1, 1, { voters: ['a', 'b', 'c'], learners: [] }), /committed/)
  t.end()
})

t.test('reads and window are bounded, and sizes of recent entries are exact', t => {
  const reads = new PendingReads()
  for (let i = 0; i < 10_000; i++) reads.add('a', i, 5, 0)
  t.equal(reads.takeConfirmed(1, 5).length, 8192)
  const sizes = new RecentSizes(100)
  for (let index = 1; index <= 1000; index++) sizes.push(index, 30)
  t.equal(sizes.bytes(997, 1000), 120)
  t.equal(sizes.bytes(990, 1000), undefined)
  const node = startLeader()
  node.propose(100)
  node.take()
  t.ok(node.raft.progress('b')!.inflightBytes <= tuning.inflightBytesMax)
  t.end()
})

t.test('reachable voters', t => {
  const node = startLeader()
  for (let i = 0; i < 9; i++) node.raft.tick()
  node.raft.heard('b')
  node.raft.tick()
  t.equal(node.raft.reachableVoters(), 2)
  t.equal(start('b').raft.reachableVoters(), 1)
  t.end()
})

t.test('no message makes a member throw', t => {
  const rng = new Rng(7)
  const numbers = [0, 1, 2, 3, 4, 5, 8, -1, 0.5, NaN, 2 ** 40, 2 ** 53, Infinity, undefined]
  const number = () => numbers[rng.below(rng.below(3) ? 7 : numbers.length)]
  const kinds =
    'pre-vote vote pre-vote-reply vote-reply append append-reply heartbeat heartbeat-reply snapshot timeout-now read-index read-index-reply term-question term-answer other'
  const numberFields =
    'term lastIndex lastTerm previousIndex previousTerm first last commit match rejectedIndex hintIndex hintTerm round context index'
  const entry = () => {
    const configuration = rng.below(4) ? undefined : { voters: ['a', 'b', 'cd'[rng.below(2)]!], learners: [] }
    return { index: number(), term: number(), size: number(), data: 0, ...(configuration && { configuration }) }
  }
  const entries = () => {
    const found = Array.from({ length: rng.below(4) }, entry)
    if (rng.below(2))
      found.forEach((entry, i) => Object.assign(entry, { index: i + 2, term: 1 + rng.below(3), size: 1 }))
    return found
  }
  for (let run = 0; run < 300; run++) {
    const node = run % 2 ? startLeader() : start('b')
    for (let i = 0; i < 60; i++) {
      const message: Record<string, unknown> = { kind: kinds.split(' ')[rng.below(15)], entries: entries() }
      for (const field of numberFields.split(' ')) message[field] = number()
      for (const field of ['transfer', 'granted', 'success']) message[field] = rng.below(2) > 0
      node.raft.step('abcz'[rng.below(4)]!, message as unknown as RaftMessage<number>)
      if (rng.below(3) === 0) node.sync()
      if (rng.below(3) === 0) node.raft.tick()
      node.take()
    }
  }
  t.end()
})
