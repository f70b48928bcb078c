import t from 'tap'
import type { RkfsError } from '../../src/base/errors.js'
import type { Member } from '../../src/channel/descriptor.js'
import { undrained } from '../../src/daemon/mounts.js'
import { leaderless } from '../../src/daemon/problems.js'
import { wasRemoved, type RemovalSigns } from '../../src/daemon/reach.js'

const [self, b, c] = ['a', 'b', 'c'].map(digit => digit.repeat(16)) as [string, string, string]

function signs(members: string[], problems: Record<string, string>, connected: string[] = []): RemovalSigns {
  return {
    identity: { memberId: self },
    channel: { descriptor: { members: members.map(id => ({ id }) as Member) } },
    problems: new Map(Object.entries(problems)),
    transport: { connected: id => connected.includes(id), peerInfo: () => ({ problem: undefined }) },
  }
}

t.test('a node knows that it was removed', async t => {
  const refused = `${self} is not, or no longer, a member of channel demo`
  const dropped = `member ${self} is not a member of channel demo (any more)`
  t.equal(wasRemoved(signs([b, c], {})), true, 'it has applied its removal')
  t.equal(wasRemoved(signs([self, b, c], { [b]: refused })), true)
  t.equal(wasRemoved(signs([self, b, c], { [b]: 'no answer', [c]: dropped })), true)
  t.equal(wasRemoved(signs([self, b, c], { [b]: 'no answer' })), false, 'cut off')
  t.equal(wasRemoved(signs([self, b, c], { [b]: refused }, [c])), false, 'b has not heard of us yet')
  t.equal(wasRemoved(signs([self, b, c], { [b]: `member ${c} is not a member of channel demo (any more)` })), false)
  t.equal(wasRemoved(signs([self], {})), false)
})

t.test('umount that gives up says what is pending and how to leave all the same', async t => {
  const error: RkfsError = undrained('demo', '/mnt/demo', true, 5, { operations: 3, bytes: 12_288 })
  t.equal(error.code, 'no-quorum')
  t.match(error.message, /after 5 s, 3 changes of demo \(12288 bytes\).*`rkfs umount --force \/mnt\/demo`.*journal/)
  const after: RkfsError = undrained('demo', '/mnt/demo', false, 5, { operations: 1, bytes: 9 })
  t.match(after.message, /^\/mnt\/demo is unmounted, but after 5 s, 1 change .*journal.*Leave the node running/)
})

t.test('no leader, though a majority is reached', async t => {
  t.equal(leaderless([]), 'no leader at the moment: an election is under way')
  // a link is cut between this member and the leader, which the others follow
  t.match(leaderless(['alpha']), /or one leads that cannot be reached from here: alpha$/)
})
