/** Terms: one member's word moves nobody far, and nobody is shut out. */
import t from 'tap'
import { termsPerTimeout } from '../../src/raft/terms.js'
import type { HardState, RaftMessage } from '../../src/raft/types.js'
import { TestNode, type Watcher } from './support/test-node.js'
import { Trace } from './support/trace.js'

const tuning = { electionTimeoutTicks: 10, heartbeatTicks: 2, appendBytesMax: 100, inflightBytesMax: 300, seed: 1 }
const three = ['a', 'b', 'c']

function start(id: string, hardState?: HardState, voters = three, watcher: Watcher = {}): TestNode {
  const node = new TestNode(id, { voters, learners: [] }, tuning, () => 0, watcher)
  if (hardState !== undefined) node.hardState = hardState
  node.start()
  return node
}

function ticks(node: TestNode, count: number): void {
  for (let n = 0; n < count; n++) node.raft.tick()
}

const heartbeat = (term: number, last = 0): RaftMessage<number> => ({
  kind: 'heartbeat',
  term,
  commit: 0,
  round: 1,
  last,
  durable: 0,
  acknowledging: 0,
})
const vote = (term: number, transfer: boolean): RaftMessage<number> => {
  return { kind: 'vote', term, lastIndex: 99, lastTerm: term - 1, transfer }
}
const answer = (term: number, leader?: string): RaftMessage<number> => ({ kind: 'term-answer', term, leader })

/** All that one member can claim of a later term. */
function claims(term: number): RaftMessage<number>[] {
  const none = { match: 0, rejectedIndex: 0, hintIndex: 0, hintTerm: 0, recovering: false }
  const place = { previousIndex: 0, previousTerm: 0, first: 1, last: 0, entries: [], commit: 0 }
  return [
    { kind: 'append', term, ...place },
    { kind: 'append-reply', term, success: false, ...none },
    heartbeat(term),
    { kind: 'heartbeat-reply', term, round: 0, match: 0, recovering: false },
    { kind: 'snapshot', term, index: 100 },
    { kind: 'timeout-now', term, target: 'b' },
    { kind: 'vote-reply', term, granted: false },
    { kind: 'pre-vote-reply', term, granted: false },
    { kind: 'pre-vote', term: term + 1, lastIndex: 9, lastTerm: 1, transfer: true },
    { kind: 'read-index', term, context: 1 },
    answer(term, 'c'),
    vote(term, false),
    vote(term, true),
  ]
}

/** Follows a in term 1. */
function follower(watcher: Watcher = {}): TestNode {
  const node = start('b', undefined, three, watcher)
  node.raft.step('a', vote(1, false))
  node.raft.step('a', heartbeat(1))
  node.take()
  return node
}

/** Leads in term 1; b confirms it. */
function leader(): TestNode {
  const node = start('a')
  node.raft.campaign()
  node.raft.step('b', { kind: 'pre-vote-reply', term: 1, granted: true })
  node.raft.step('b', { kind: 'vote-reply', term: 1, granted: true })
  node.take()
  return node
}

t.test('no message of one member takes a follower from a live leader, or deposes that', t => {
  for (const later of [2, 3, 1025, 2 ** 28, 2 ** 40, 2 ** 53 - 2]) {
    for (const message of claims(later)) {
      let wanted = 0
      const node = follower({ snapshotNeeded: () => wanted++ })
      const leading = leader()
      for (let n = 0; n < 100; n++) {
        for (const one of [node, leading]) one.raft.tick()
        node.raft.step('c', message)
        node.raft.step('a', heartbeat(1))
        leading.raft.step('c', message)
        leading.raft.step('c', answer(1))
        leading.raft.heard('b')
      }
      t.same([node.raft.leader, node.raft.term, wanted], ['a', 1, 0], `${message.kind} of ${later}`)
      t.same([leading.raft.role, leading.raft.term], ['leader', 1], `${message.kind} of ${later}`)
    }
  }
  t.end()
})

t.test('where nobody leads, one member moves another by 1024 terms per election timeout at most', t => {
  const node = start('b')
  const timeouts = 300
  for (let n = 0; n < timeouts * tuning.electionTimeoutTicks; n++) {
    node.raft.tick()
    for (const message of claims(2 ** 40)) node.raft.step('c', message)
    for (const message of claims(node.raft.term + 1 + (n % 2000))) node.raft.step('c', message)
    node.take()
  }
  t.ok(node.raft.term <= termsPerTimeout * (timeouts + 1), `${node.raft.term}`)
  const years = ((Number.MAX_SAFE_INTEGER / termsPerTimeout) * 1) /* s */ / (365 * 24 * 3600)
  t.ok(years > 100_000)
  t.end()
})

t.test('`transfer` is believed of whom the leader named, whichever message comes first', t => {
  const early = follower()
  early.raft.step('c', vote(2, true))
  t.same([early.raft.term, early.take()], [1, []])
  early.raft.step('a', { kind: 'timeout-now', term: 1, target: 'c' })
  t.same(early.hardState, { term: 2, vote: 'c' })
  t.match(early.take(), [{ to: 'c', message: { kind: 'vote-reply', term: 2, granted: true } }])
  const late = follower()
  late.raft.step('a', { kind: 'timeout-now', term: 1, target: 'c' })
  late.raft.step('c', vote(3, true))
  t.equal(late.raft.term, 1, 'it stands in the next term')
  late.raft.step('c', vote(2, true))
  t.same(late.hardState, { term: 2, vote: 'c' })
  // who is no leader names nobody, and one that was named is so for one term
  const other = follower()
  other.raft.step('c', { kind: 'timeout-now', term: 1, target: 'c' })
  other.raft.step('c', vote(2, true))
  t.equal(other.raft.term, 1)
  const leading = leader()
  leading.raft.step('c', vote(2, true))
  t.equal(leading.raft.role, 'leader', 'it has told nobody to stand')
  t.end()
})

t.test('an ordinary transfer among five takes no election timeout', t => {
  const five = new Trace()
  five.run('add-nodes 5')
  five.run('campaign 1')
  five.run('settle')
  five.run('transfer-leadership 1 4')
  five.run('settle')
  t.ok([...five.nodes.values()].every(({ raft }) => raft.leader === '4'))
  t.same([five.nodes.get('4')!.raft.role, five.nodes.get('4')!.raft.term], ['leader', 2])
  t.end()
})

t.test('who was away for a million elections follows at once what a majority says', t => {
  const node = start('b', { term: 3, vote: 'a' })
  node.raft.step('c', heartbeat(1_000_003))
  t.equal(node.raft.term, 3)
  t.match(node.take(), [
    { to: 'a', message: { kind: 'term-question', term: 3 } },
    { to: 'c', message: { kind: 'term-question', term: 3 } },
  ])
  node.raft.step('c', answer(1_000_003, 'c'))
  node.raft.step('a', answer(1_000_003, 'c'))
  t.same([node.raft.term, node.raft.leader], [1_000_003, 'c'])
  t.end()
})

t.test('with nobody else to ask it climbs', t => {
  const node = start('b', { term: 3, vote: 'a' })
  let timeouts = 0
  for (; timeouts < 400 && node.raft.leader !== 'c'; timeouts++) {
    ticks(node, tuning.electionTimeoutTicks)
    node.raft.step('c', heartbeat(100_003))
  }
  t.same([node.raft.term, node.raft.leader], [100_003, 'c'])
  t.end()
})

for (const voters of [
  ['a', 'b'],
  ['a', 'b', 'c'],
  ['a', 'b', 'c', 'd', 'e'],
]) {
  t.test(`whose term is far beyond that of all others goes back to it, among ${voters.length}`, t => {
    const node = start('b', { term: 2 ** 40, vote: 'c' }, voters)
    const others = voters.filter(id => id !== 'b').slice(0, Math.floor(voters.length / 2) + 1)
    const round = (): void => {
      node.raft.step('a', heartbeat(5))
      ticks(node, 5)
      for (const { to, message } of node.take()) {
        if (message.kind === 'term-question' && others.includes(to)) node.raft.step(to, answer(5, 'a'))
        t.not(message.kind, 'pre-vote', 'it asks for no votes meanwhile')
      }
    }
    for (let n = 0; n < 5; n++) round()
    t.equal(node.raft.term, 2 ** 40, 'who asked for votes there has time to give up')
    const pre: RaftMessage<number> = { kind: 'pre-vote', term: 2 ** 40 + 1, lastIndex: 9, lastTerm: 4, transfer: false }
    node.raft.step('x', pre)
    t.match(node.take(), [{ message: { kind: 'pre-vote-reply', granted: false } }], 'and it gives none')
    for (let n = 0; n < 4; n++) round()
    t.same([node.raft.term, node.raft.leader], [5, 'a'])
    node.raft.step('c', vote(5, false))
    t.match(
      node.take().filter(({ message }) => message.kind === 'vote-reply'),
      [{ message: { granted: false } }],
      'it may have voted there',
    )
    ticks(node, 10)
    node.raft.step('a', vote(6, false))
    t.same(node.hardState, { term: 6, vote: 'a' })
    t.end()
  })
}

t.test('there is no distance at which neither the leader goes on nor the member back', t => {
  for (let distance = termsPerTimeout - 3; distance <= termsPerTimeout + 3; distance++) {
    const leading = leader()
    const ahead = start('c', { term: 1 + distance, vote: 'b' })
    for (let n = 0; n < 100; n++) {
      leading.raft.tick()
      leading.raft.heard('b')
      leading.raft.step('c', answer(1 + distance))
      ahead.raft.tick()
      ahead.raft.step('a', heartbeat(1))
      for (const { to, message } of ahead.take()) {
        if (message.kind === 'term-question') ahead.raft.step(to, answer(1, 'a'))
      }
    }
    const goesOn = leading.hardState.term > 1 + distance
    const goesBack = ahead.raft.term === 1 && ahead.raft.leader === 'a'
    t.not(
      goesOn,
      goesBack,
      `${distance} terms: the leader ${goesOn ? 'goes on' : 'stays'}, the member ${goesBack ? 'goes back' : 'stays'}`,
    )
  }
  t.end()
})

t.test('one member alone takes nobody back', t => {
  const node = start('b', { term: 5000, vote: 'a' }, ['a', 'b', 'c', 'd', 'e'])
  for (let n = 0; n < 300; n++) {
    node.raft.tick()
    node.raft.step('c', answer(5))
    node.raft.step('c', heartbeat(5))
    node.take()
  }
  t.ok(node.raft.term >= 5000)
  t.end()
})

t.test('what a member is falsely said to have pledged in a far term keeps it from counting for a moment only', t => {
  let recovered = 0
  const node = follower({ recovered: () => recovered++ })
  node.raft.owe({ pledge: { term: 2 ** 48, heldTerm: 0, index: 0, indexTerm: 0 }, blind: false })
  t.equal(node.raft.term, 1)
  for (let n = 0; n < 60; n++) {
    node.raft.tick()
    node.raft.step('a', heartbeat(1))
    for (const { to, message } of node.take()) {
      if (message.kind === 'term-question') node.raft.step(to, answer(1, 'a'))
    }
  }
  t.same([recovered, node.raft.recovery, node.raft.term], [1, undefined, 1])
  // one that is near is reached: the leader is elected anew after it
  node.raft.owe({ pledge: { term: 9, heldTerm: 0, index: 0, indexTerm: 0 }, blind: false })
  t.equal(node.raft.term, 9)
  t.end()
})

t.test('a leader stands again after a member that is shut out, and not because of one that does both', t => {
  const node = leader()
  const run = (count: number, each: () => void): void => {
    for (let n = 0; n < count; n++) {
      node.raft.tick()
      node.raft.heard('b')
      each()
    }
  }
  run(200, () => {
    node.raft.step('c', answer(7))
    node.raft.step('c', answer(1))
  })
  t.same([node.raft.role, node.raft.term], ['leader', 1])
  run(200, () => node.raft.step('c', answer(2 ** 30)))
  t.same([node.raft.role, node.raft.term], ['leader', 1], 'nor of one that is out of reach: that goes back')
  run(1, () => node.raft.step('c', answer(1)))
  run(20, () => node.raft.step('c', answer(7)))
  t.equal(node.raft.role, 'leader')
  run(1, () => node.raft.step('c', answer(7)))
  t.same([node.raft.role, node.hardState], ['candidate', { term: 8, vote: 'a' }])
  // its followers vote within the lease
  const one = follower()
  one.raft.step('a', vote(8, false))
  t.same(one.hardState, { term: 8, vote: 'a' })
  node.raft.step('b', { kind: 'vote-reply', term: 8, granted: true })
  t.equal(node.raft.role, 'leader')
  run(60, () => node.raft.step('c', answer(99)))
  t.same([node.raft.role, node.raft.term], ['leader', 8], 'not at once again')
  t.end()
})

t.test('nobody is followed for its word alone, but where nobody has led for long', t => {
  let wanted = 0
  const node = start('b', undefined, three, { snapshotNeeded: () => wanted++ })
  node.raft.step('a', vote(1, false))
  node.raft.step('c', heartbeat(1))
  node.raft.step('c', { kind: 'snapshot', term: 1, index: 9 })
  t.same([node.raft.leader, wanted], [undefined, 0])
  node.raft.step('a', heartbeat(1))
  t.equal(node.raft.leader, 'a', 'it has voted for that one')
  const alone = start('b')
  for (let n = 0; n < 29; n++) {
    alone.raft.tick()
    alone.raft.step('c', heartbeat(4))
  }
  t.equal(alone.raft.leader, undefined)
  for (let n = 0; n < 21; n++) {
    alone.raft.tick()
    alone.raft.step('c', heartbeat(4))
  }
  t.same([alone.raft.term, alone.raft.leader], [4, 'c'])
  t.end()
})
