/** Elections that other systems lost, won twice, or never ended. */
import t from 'tap'
import type { RaftMessage } from '../../src/raft/types.js'
import { TestNode } from '../raft/support/test-node.js'
import { ledByOne, Trace } from '../raft/support/trace.js'

const tuning = { electionTimeoutTicks: 10, heartbeatTicks: 2, appendBytesMax: 100, inflightBytesMax: 300, seed: 1 }
const three = { voters: ['a', 'b', 'c'], learners: [] }
/** Enough for any election: a leader's bytes may hold one up for three timeouts, and its own lasts two. */
const ticksMax = 80

function start(id: string, configuration: { voters: string[]; learners: string[] } = three): TestNode {
  let data = 0
  const node = new TestNode(id, configuration, tuning, () => ++data, {})
  node.start()
  return node
}

/** What the member answers to a message. */
function step(node: TestNode, from: string, message: RaftMessage<number>): RaftMessage<number>[] {
  node.take()
  node.raft.step(from, message)
  return node.take().flatMap(({ to, message }) => (to === from ? [message] : []))
}

const ask = (kind: 'vote' | 'pre-vote', term: number, lastIndex = 0, lastTerm = 0): RaftMessage<number> => ({
  kind,
  term,
  lastIndex,
  lastTerm,
  transfer: false,
})

function append(term: number, terms: number[]): RaftMessage<number> {
  const entries = terms.map((term, i) => ({ index: 1 + i, term, size: 1, data: term * 100 + i }))
  return { kind: 'append', term, previousIndex: 0, previousTerm: 0, first: 1, last: terms.length, entries, commit: 0 }
}

function leaders(group: Trace): string[] {
  return [...group.nodes.values()].filter(node => node.up && node.raft.role === 'leader').map(node => node.id)
}

/** The member that leads in the end; undefined when none does in time. */
function elect(group: Trace): string | undefined {
  for (let i = 0; i < ticksMax && leaders(group).length === 0; i++) group.run('tick all 1 settled')
  return leaders(group)[0]
}

/**
 * A follower refused the pre-vote of the very leader it still followed. One of three is down, the leader takes itself for
 * deposed, its follower hears bytes of it and does not stand: two live members, and no leader for ever.
 */
void t.test(
  'hashicorp/raft#605, #606: a leader that lost its leadership is elected again by who still follows it',
  t => {
    const two = ledByOne(3)
    two.run('crash 3')
    two.run('crash 1')
    two.run('restart 1 applied=1')
    t.equal(two.nodes.get('2')!.raft.leader, '1', 'it still follows')
    t.equal(leaders(two).length, 0)
    for (let i = 0; i < ticksMax && leaders(two).length === 0; i++) {
      two.nodes.get('2')!.raft.heard('1')
      two.run('tick all 1 settled')
    }
    t.equal(leaders(two).length, 1)
    t.end()
  },
)

/**
 * A member that was away comes back in an earlier term, and its vote is needed. Pre-votes change no term, answers of an
 * earlier term are thrown away: the three that are left ask each other for ever.
 */
void t.test('canonical/raft#279, etcd-io/etcd#8243: who comes back in an earlier term completes a majority', t => {
  for (const count of [3, 4]) {
    const left = ledByOne(count)
    left.run(`crash ${count}`)
    // leadership goes to and fro: the others are some terms ahead
    for (const to of [2, 1, 2]) {
      left.run(`transfer-leadership ${3 - to} ${to}`)
      left.run('settle')
    }
    t.same(leaders(left), ['2'])
    t.equal(left.nodes.get('1')!.raft.term, 4)
    left.run('crash 2')
    left.run(`restart ${count} applied=1`)
    t.equal(left.nodes.get(String(count))!.raft.term, 1)
    t.ok(elect(left), `${count - 1} of ${count} have a leader`)
    left.run('tick all 5 settled')
    t.equal(left.nodes.get(String(count))!.raft.term, left.nodes.get('1')!.raft.term)
  }
  t.end()
})

/** A pre-vote began by forgetting the vote that was given in this term: the next to ask for it got a second one. */
void t.test('canonical/raft#196: standing for a pre-vote keeps the vote of the term', t => {
  const node = start('b')
  t.match(step(node, 'a', ask('vote', 2)), [{ kind: 'vote-reply', granted: true }])
  for (let i = 0; i < 20; i++) node.raft.tick()
  t.equal(node.raft.role, 'pre-candidate')
  t.match(step(node, 'c', ask('vote', 2)), [{ kind: 'vote-reply', granted: false }])
  t.match(step(node, 'c', ask('pre-vote', 3)), [{ kind: 'pre-vote-reply', granted: true }], 'the next term is free')
  t.same(node.hardState, { term: 2, vote: 'a' })
  t.end()
})

/** Answers to pre-votes were counted as votes: a majority that was only asked what it would do had elected a leader. */
void t.test('canonical/raft#196: the answer to a pre-vote is no vote', t => {
  const node = start('a')
  node.raft.campaign()
  node.raft.step('b', { kind: 'pre-vote-reply', term: 1, granted: true })
  t.same([node.raft.role, node.raft.term], ['candidate', 1])
  node.raft.step('c', { kind: 'pre-vote-reply', term: 1, granted: true })
  node.raft.step('c', { kind: 'pre-vote-reply', term: 2, granted: true })
  t.equal(node.raft.role, 'candidate')
  node.raft.step('c', { kind: 'vote-reply', term: 1, granted: true })
  t.equal(node.raft.role, 'leader')
  t.end()
})

/** A candidate that heard the leader of its own term stepped down and forgot its vote: it could vote again in that term. */
void t.test('microsoft/CCF#8094: stepping down within a term keeps the vote', t => {
  const node = start('b')
  step(node, 'a', ask('vote', 3))
  step(node, 'a', { kind: 'heartbeat', term: 3, commit: 0, round: 1, last: 0, durable: 0, acknowledging: 0 })
  t.equal(node.raft.leader, 'a')
  t.match(step(node, 'c', ask('vote', 3, 9, 2)), [{ kind: 'vote-reply', granted: false }])
  t.same(node.hardState, { term: 3, vote: 'a' })
  const candidate = start('b')
  candidate.raft.campaign()
  candidate.raft.step('c', { kind: 'pre-vote-reply', term: 1, granted: true })
  step(candidate, 'a', { kind: 'heartbeat', term: 1, commit: 0, round: 1, last: 0, durable: 0, acknowledging: 0 })
  step(candidate, 'c', { kind: 'term-answer', term: 1, leader: 'a' })
  t.same([candidate.raft.role, candidate.hardState.vote], ['follower', 'b'])
  t.match(step(candidate, 'c', ask('vote', 1)), [{ kind: 'vote-reply', granted: false }])
  t.end()
})

/**
 * Granting a pre-vote counted as hearing from a leader: a member that asks again and again and is never elected, because
 * the others cannot answer it, kept all others from standing.
 */
void t.test('hashicorp/raft#609: granting pre-votes holds up no election of one’s own', t => {
  const ticksUntilItStands = (asker: string, asks: boolean): number => {
    const node = start('b')
    step(node, 'a', ask('vote', 1))
    node.raft.step('a', { kind: 'heartbeat', term: 1, commit: 0, round: 1, last: 0, durable: 0, acknowledging: 0 })
    for (let ticks = 1; ticks < ticksMax; ticks++) {
      node.raft.tick()
      if (node.raft.role === 'pre-candidate') return ticks
      node.raft.heard(asker)
      if (asks) node.raft.step(asker, ask('pre-vote', 2, 5, 1))
    }
    return Infinity
  }
  for (const asker of ['a', 'c']) {
    t.ok(ticksUntilItStands(asker, false) < ticksMax)
    t.equal(ticksUntilItStands(asker, true), ticksUntilItStands(asker, false), `asked by ${asker}`)
  }
  t.end()
})

/**
 * A candidate did not answer pre-votes. With the shorter log it cannot win, the other with the longer log gets no answer
 * and cannot begin: two of three, and no leader.
 */
void t.test('rabbitmq/ra#439: a candidate with the shorter log answers the pre-vote of the longer', t => {
  const node = start('a')
  node.raft.campaign()
  node.raft.step('b', { kind: 'pre-vote-reply', term: 1, granted: true })
  t.equal(node.raft.role, 'candidate')
  t.match(step(node, 'c', ask('pre-vote', 2, 7, 1)), [{ kind: 'pre-vote-reply', term: 2, granted: true }])

  const two = ledByOne(3)
  two.run('partition 1 2 | 3')
  two.run('propose 1 3')
  two.run('settle')
  two.run('crash 1')
  two.run('partition 2 | 3')
  // the one with the shorter log gets a term ahead as a candidate that nobody hears
  two.run('step 3 2 {"kind":"vote","term":5,"lastIndex":0,"lastTerm":0,"transfer":true}')
  two.run('tick 3 20')
  two.run('heal')
  t.equal(elect(two), '2')
  t.end()
})

/** The end of an earlier round of votes came after the election was won, and took the leader down without a successor. */
void t.test('redpanda-data/redpanda#21345: late refusals of an earlier round depose nobody', t => {
  const node = start('a')
  node.raft.campaign()
  node.raft.step('b', { kind: 'pre-vote-reply', term: 1, granted: true })
  node.raft.step('b', { kind: 'vote-reply', term: 1, granted: true })
  t.equal(node.raft.role, 'leader')
  for (const from of ['b', 'c']) {
    node.raft.step(from, { kind: 'pre-vote-reply', term: 0, granted: false })
    node.raft.step(from, { kind: 'pre-vote-reply', term: 1, granted: false })
    node.raft.step(from, { kind: 'vote-reply', term: 1, granted: false })
  }
  t.same([node.raft.role, node.raft.term], ['leader', 1])
  t.end()
})

/** A member still catching up was told to take over, stood, and led without most of the log. */
void t.test('rabbitmq/ra#525: a learner that is told to stand does not', t => {
  const node = start('d', { voters: ['a', 'b', 'c'], learners: ['d'] })
  step(node, 'a', append(1, [1]))
  step(node, 'b', { kind: 'term-answer', term: 1, leader: 'a' })
  step(node, 'a', { kind: 'timeout-now', term: 1, target: 'd' })
  t.same([node.raft.role, node.raft.term, node.raft.leader], ['follower', 1, 'a'])
  t.end()
})

/**
 * The leader knew a member as a voter that had not heard of it yet, and handed leadership over to it: the target failed,
 * and the leader, which takes no writes meanwhile, waited for a successor that never came (#2088: for seconds).
 */
void t.test('databendlabs/openraft#1805, #2088: a hand-over to a member that lags comes to nothing, and in time', t => {
  const four = new Trace()
  four.run('add-nodes 4 voters=1,2,3 learners=4')
  four.run('campaign 1')
  four.run('settle')
  four.run('partition 1 2 3 | 4')
  four.run('conf 1 voters=1,2,3,4')
  four.run('settle')
  const { raft } = four.nodes.get('1')!
  t.ok(raft.configuration.voters.includes('4'))
  t.equal(raft.transferLeadership('4'), true)
  for (let i = 0; i < 11; i++) four.run('tick all 1 settled')
  t.same([raft.role, raft.term, raft.transferring], ['leader', 1, undefined], 'it goes on after an election timeout')
  // one that has not heard of its vote is not told to stand, however the leader sees it
  four.run('step 4 1 {"kind":"timeout-now","term":1,"target":"4"}')
  t.equal(four.nodes.get('4')!.raft.role, 'follower')
  four.run('propose 1 1')
  four.run('settle')
  t.equal(raft.commitIndex, four.nodes.get('1')!.log.lastIndex)
  four.run('heal')
  four.run('tick all 10 settled')
  t.equal(four.nodes.get('4')!.raft.commitIndex, raft.commitIndex)
  t.end()
})
