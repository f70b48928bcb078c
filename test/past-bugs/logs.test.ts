/** What other systems committed, cut off or read that they should not have. */
import t from 'tap'
import { ledByOne, type Trace } from '../raft/support/trace.js'

/** Lets one stand when the others no longer hold by an earlier leader. */
function stand(group: Trace, id: string): void {
  group.run('tick all 10')
  group.run(`campaign ${id}`)
  group.run('settle')
}

/**
 * Single-server changes as first published (Ongaro on raft-dev, 2015): a leader with an uncommitted change {1,2,3,4,5} goes
 * down; its successor changes {1,2,3,4} to {2,3,4} and commits with 2 of 3; the first comes back and is elected by 4 and 5,
 * a majority of its own five. Two majorities that do not meet. A leader must first commit an entry of its own term.
 */
void t.test(
  'atomix/copycat#23, baidu/braft#182: no change of members before an entry of the own term is committed',
  t => {
    const five = ledByOne(4)
    five.run('add-nodes 1 voters=1,2,3,4')
    const [first, second] = [five.nodes.get('1')!, five.nodes.get('2')!]
    five.run('partition 1 5 | 2 3 4')
    five.run('conf 1 voters=1,2,3,4,5')
    five.run('settle')
    t.equal(first.raft.configuration.voters.length, 5)
    t.equal(first.raft.commitIndex, 1, 'on 1 and 5 alone it is not committed')
    five.run('crash 1')
    five.run('tick 2,3,4 10')
    five.run('lose 2')
    five.run('campaign 2')
    for (let round = 0; round < 2; round++) for (const path of ['2 3', '2 4', '3 2', '4 2']) five.run(`deliver ${path}`)
    t.same([second.raft.role, second.raft.term], ['leader', 2])
    five.run('lose 2')
    t.equal(second.raft.mayChangeConfiguration(), false, 'nobody has its first entry')
    t.throws(() => five.run('conf 2 voters=2,3,4'), /committed/)

    five.run('heal')
    five.run('partition 2 3 4 | 5')
    five.run('tick 2,3,4 4 settled')
    t.equal(second.raft.mayChangeConfiguration(), true)
    five.run('conf 2 voters=2,3,4')
    five.run('settle')
    t.equal(second.raft.commitIndex, second.log.lastIndex)
    five.run('restart 1 applied=1')
    five.run('heal')
    for (let i = 0; i < 60; i++) five.run('tick all 1 settled')
    for (const id of ['2', '3', '4']) t.same(five.nodes.get(id)!.raft.configuration.voters, ['2', '3', '4'])
    t.not(first.raft.role, 'leader')
    t.end()
  },
)

/**
 * A leader on the small side of a cut removed the members it did not reach, one by one, until those at hand were a majority
 * of what was left: two leaders, two histories.
 */
void t.test('RedisLabs/redisraft#17, nats-io/nats-server#7545: a minority cannot shrink the group to itself', t => {
  const five = ledByOne(5)
  const { raft, log } = five.nodes.get('1')!
  five.run('partition 1 2 | 3 4 5')
  const before = raft.commitIndex
  five.run('conf 1 voters=1,2,3,4')
  five.run('settle')
  t.equal(raft.commitIndex, before, 'two of four are no majority')
  t.equal(raft.mayChangeConfiguration(), false)
  t.throws(() => five.run('conf 1 voters=1,2,3'), /committed/)
  five.run('tick all 12')
  t.equal(raft.role, 'follower', 'it hears no majority')
  for (let i = 0; i < 60; i++) five.run('tick 3,4,5 1 settled')
  const other = ['3', '4', '5'].find(id => five.nodes.get(id)!.raft.role === 'leader')!
  five.run(`propose ${other} 3`)
  five.run('settle')
  five.run('heal')
  five.run('tick all 10 settled')
  t.equal(raft.configuration.voters.length, 5, 'what it tried is undone')
  t.equal(log.lastIndex, five.nodes.get(other)!.log.lastIndex)
  t.end()
})

/**
 * A new leader answered reads from the commit index that it happened to know. What its predecessor had committed and told
 * nobody was missing from them.
 */
void t.test('etcd-io/etcd#7331: a new leader serves no read before an entry of its own is committed', t => {
  const three = ledByOne(3)
  const second = three.nodes.get('2')!
  three.run('drop 1 3')
  three.run('propose 1 3')
  three.run('sync 1')
  three.run('deliver 1 2')
  three.run('sync 2')
  three.run('deliver 2 1')
  three.run('sync 1')
  const { commitIndex } = three.nodes.get('1')!.raft
  t.equal(commitIndex, 4)
  t.equal(second.raft.commitIndex, 1, 'it has not heard of it')
  three.run('crash 1')
  three.run('lose 1')
  three.run('tick 2,3 10')
  three.run('campaign 2')
  for (let round = 0; round < 2; round++) for (const path of ['2 3', '3 2']) three.run(`deliver ${path}`)
  t.equal(second.raft.role, 'leader')
  const said = three.run('read-index 2 7')
  // heartbeats go to and fro, entries do not
  three.run('lose 2')
  second.raft.tick()
  second.raft.tick()
  for (const { to, message } of second.take()) {
    if (to === '3' && message.kind === 'heartbeat') three.nodes.get('3')!.raft.step('2', message)
  }
  for (const { message } of three.nodes.get('3')!.take()) second.raft.step('3', message)
  t.notOk(said.some(line => line.includes('read 7')))
  t.equal(three.readsServed, 0)
  three.run('heal')
  for (let i = 0; i < 20; i++) three.run('tick all 1 settled')
  t.equal(three.readsServed, 1, 'the invariant says: at or beyond what was committed when it was asked')
  t.end()
})

/**
 * Entries were told apart by their index alone: of a stale suffix of an earlier term, what the empty append of the new
 * leader did not contradict was committed.
 */
void t.test('atomix/copycat#265: an empty append commits nothing of a suffix that it did not check', t => {
  const three = ledByOne(3)
  three.run('partition 1 | 2 3')
  three.run('propose 1 3')
  three.run('sync 1')
  stand(three, '2')
  three.run('propose 2 5')
  three.run('settle')
  const first = three.nodes.get('1')!
  t.same([first.log.lastIndex, first.raft.commitIndex], [4, 1])
  three.run(
    'step 1 2 {"kind":"append","term":2,"previousIndex":1,"previousTerm":1,"first":2,"last":1,"entries":[],"commit":5}',
  )
  t.equal(first.raft.commitIndex, 1)
  three.run('heal')
  three.run('tick all 6 settled')
  t.equal(first.raft.commitIndex, three.nodes.get('2')!.raft.commitIndex)
  t.equal(first.log.term(2), 2)
  t.end()
})
