import t from 'tap'
import { withMemberAnew, withoutMember } from '../../src/channel/descriptor.js'
import { Cluster, type Member, type Three } from './support/cluster.js'

const findings = ({ channel }: Member): string => channel.findings.map(({ words }) => words).join('\n')

void t.test('two leaders in one term are named until a later one has committed something', t => {
  const cluster = new Cluster(3, 2)
  const [leader, other] = cluster.roles() as Three
  cluster.settle()
  const { term, lastIndex: last, commitIndex: commit } = leader.channel
  const heartbeat = { kind: 'heartbeat', term, commit, round: 1, last, durable: last, acknowledging: 2 } as const
  leader.channel.message(other.id, { kind: 'raft', message: heartbeat })
  t.match(
    findings(leader),
    new RegExp(`^members ${leader.id} and ${other.id} both lead in term ${term}: a member voted`),
  )
  cluster.advance(20_000)
  t.match(findings(leader), /both lead in term/, 'time alone proves nothing')
  leader.channel.transferLeadership(other.id)
  cluster.until('it leads', () => other.leads)
  cluster.answered(other.create('later').answer)
  cluster.settle()
  cluster.advance(2000)
  t.equal(findings(leader), '')
  t.end()
})

void t.test('a committed entry that the leader lacks is named until it is there, or its member has joined anew', t => {
  const cluster = new Cluster(3, 2)
  cluster.leader().channel.transferLeadership(cluster.members[0]!.id)
  cluster.until('the owner leads', () => cluster.members[0]!.leads)
  const [leader, other, third] = cluster.roles() as Three
  cluster.settle()
  /** It says that it has so many more entries, all of them committed. */
  const claim = (from: Member, more: number, hintTerm: number): void => {
    const { term, lastIndex } = leader.channel
    const none = { match: 0, rejectedIndex: 0, recovering: false }
    const message = {
      kind: 'append-reply',
      term,
      success: true,
      hintIndex: lastIndex + more,
      hintTerm,
      ...none,
    } as const
    leader.channel.message(from.id, { kind: 'raft', message })
  }
  const { term } = leader.channel
  claim(other, 1, term)
  claim(third, 1, term - 1)
  t.match(findings(leader), new RegExp(`member ${other.id} has committed entry \\d+, which is missing here`))
  cluster.answered(leader.create('x').answer)
  cluster.settle()
  cluster.advance(2000)
  t.notMatch(findings(leader), other.id, 'the very entry is here')
  t.match(findings(leader), `member ${third.id} has committed entry`, 'another one is')
  const { descriptor } = leader.channel
  const again = descriptor.members.find(({ id }) => id === third.id)!
  third.stop()
  leader.channel.changeMembers(withMemberAnew(descriptor, again), 10_000, () => {})
  cluster.until('it has joined anew', () => leader.channel.descriptor.version > descriptor.version)
  cluster.advance(2000)
  t.equal(findings(leader), '')
  t.end()
})

void t.test('what is said of a member that lacks something goes with the member', t => {
  const cluster = new Cluster(3, 4)
  cluster.leader().channel.transferLeadership(cluster.members[0]!.id)
  cluster.until('the owner leads', () => cluster.members[0]!.leads)
  const [leader, back] = cluster.roles() as Three
  for (let n = 0; n < 5; n++) cluster.answered(leader.create(`f${n}`).answer)
  cluster.settle()
  back.kill()
  back.putBack(100)
  back.start()
  back.stall()
  cluster.network.connectAll()
  cluster.until('it is named', () => findings(leader).includes(back.id))
  back.kill()
  cluster.advance(5000)
  t.match(findings(leader), back.id, 'its end proves nothing')
  leader.channel.changeMembers(withoutMember(leader.channel.descriptor, back.id), 10_000, () => {})
  cluster.until('it is no member', () => leader.channel.descriptor.members.length === 2)
  cluster.advance(2000)
  t.equal(findings(leader), '')
  t.end()
})
