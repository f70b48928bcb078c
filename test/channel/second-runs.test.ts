import t from 'tap'
import { Cluster, type Member, type Three } from './support/cluster.js'

const findings = ({ channel }: Member): string => channel.findings.map(({ words }) => words).join('\n')

/** As the transport has it, once a second, for so many seconds. */
function refuse(cluster: Cluster, seconds: number, here: readonly Member[], second: Member): void {
  for (let n = 0; n < seconds; n++) {
    for (const member of here) {
      member.channel.secondRun(second.id)
      second.channel.refusedAsSecond(member.id)
    }
    cluster.advance(1000)
  }
}

void t.test('a second node of one identity is named on both sides, and no restart is', t => {
  const cluster = new Cluster(3)
  const [leader, other, second] = cluster.roles() as Three
  cluster.settle()
  refuse(cluster, 4, [leader, other], second)
  t.same([leader, other, second].map(findings), ['', '', ''], 'a restart, whose connection looks alive')
  refuse(cluster, 4, [leader, other], second)
  for (const one of [leader, other]) {
    t.match(
      findings(one),
      new RegExp(`^a second node with the identity of member ${second.id} was refused: its home was`),
    )
  }
  t.match(findings(second), /^this node is refused: member .* is connected to another one with the same identity/)
  cluster.advance(16_000)
  t.same([leader, other, second].map(findings), ['', '', ''], 'it is over')
  t.end()
})

void t.test('who is refused by most others does not vote; one that lies keeps nobody from it', t => {
  const cluster = new Cluster(3)
  const [leader, other, second] = cluster.roles() as Three
  cluster.settle()
  leader.stop()
  // it reaches `other`, which says so all the same
  refuse(cluster, 6, [other], second)
  t.ok(
    [other, second].some(({ leads }) => leads),
    'one liar is not believed',
  )
  other.stop()
  leader.start()
  cluster.network.connectAll()
  cluster.until('a leader', () => [leader, second].some(({ leads }) => leads))
  other.start()
  cluster.network.isolate(second.id)
  cluster.leader()
  const { term } = second.channel
  refuse(cluster, 10, [leader, other], second)
  t.equal(second.channel.term, term)
  t.equal(second.channel.role, 'follower')
  t.end()
})
