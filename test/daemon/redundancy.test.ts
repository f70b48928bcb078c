import t from 'tap'
import { CommitTrail } from '../../src/daemon/commit-trail.js'
import { redundancyOf, summaryWords, type Quorum } from '../../src/daemon/redundancy.js'
import { newChannelWords } from '../../src/daemon/way-out.js'

const quorumOf = (voters: number, reachable: number): Quorum => {
  const needed = Math.floor(voters / 2) + 1
  return { voters, needed, reachable, ok: reachable >= needed }
}
/** `reached`: how far each member's copy is; undefined: it is not there. */
const words = (reached: (number | undefined)[], quorum: Quorum): string =>
  summaryWords(
    'leader',
    redundancyOf(
      reached.map((_, i) => String(i)),
      member => reached[Number(member)],
      10,
      quorum,
    ),
    quorum,
  )

t.test('how many copies are complete, and how many machines may fail', async t => {
  t.match(words([10], quorumOf(1, 1)), /^One copy only/)
  t.equal(words([10, 10], quorumOf(2, 2)), 'all 2 copies are complete; 2 of 2 needed: no machine may fail')
  t.equal(words([10, 12, 11], quorumOf(3, 3)), 'all 3 copies are complete; 1 machine may fail')
  t.equal(words([10, 9, 10], quorumOf(3, 3)), '2 of 3 copies are complete; 1 machine may fail', 'one is behind')
  t.equal(
    words([10, undefined, 10], quorumOf(3, 2)),
    '2 of 3 copies are complete; 2 of the 2 that are there are needed: no machine may fail',
  )
  t.equal(words([10, undefined], quorumOf(1, 1)), 'One copy only of 2 is complete; 1 of 1 needed: no machine may fail')
  t.equal(words([10, 10, 10, 10, 10], quorumOf(5, 5)), 'all 5 copies are complete; 2 machines may fail')
  t.match(words([10, undefined, undefined], quorumOf(3, 1)), /^NO QUORUM: 1 of 3 voters reachable, 2 needed/)
  t.match(words([10, 10], { ...quorumOf(3, 2), ok: false }), /no leader at the moment/)
  t.equal(
    summaryWords('quarantined', { complete: 1, copies: 3, mayFail: 0 }, quorumOf(3, 3)),
    'this member does not serve it',
  )
})

t.test('who has what was there a moment ago is complete, however fast it grows', async t => {
  const trail = new CommitTrail(1000)
  t.equal(trail.index, 0)
  for (let ms = 0; ms <= 5000; ms += 100) trail.note(ms, ms)
  t.ok(trail.index >= 3000 && trail.index <= 4000, `${trail.index}`)
})

t.test('the way to a new channel from a copy', async t => {
  t.equal(
    newChannelWords('demo', '/mnt/demo'),
    'make a new channel from a copy, on the member whose copy is the newest: `rkfs channel create demo-2`, ' +
      '`rkfs mount demo-2 <new dir>`, `cp -a /mnt/demo/. <new dir>/`, then invite the others to it',
  )
  t.match(newChannelWords('demo-9', undefined), /`rkfs mount demo-9 <dir> -o ro`, `rkfs channel create demo-10`/)
})
