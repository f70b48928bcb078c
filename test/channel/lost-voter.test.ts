/** Of two voters one is gone for good: the other one goes on, by command, and nothing that was acknowledged is lost. */
import t from 'tap'
import { Cluster, type Member } from './support/cluster.js'

function commit(cluster: Cluster, member: Member, name: string): void {
  t.equal(cluster.answered(member.create(name).answer), 0)
  t.equal(cluster.answered(member.durable()), 0)
}

for (const lead of [true, false]) {
  void t.test(`the one that is left ${lead ? 'led' : 'followed'}`, t => {
    const cluster = new Cluster(2, 6)
    const [leader, follower] = cluster.roles() as [Member, Member]
    cluster.settle()
    commit(cluster, leader, 'precious')
    cluster.settle()
    const [left, gone] = lead ? [leader, follower] : [follower, leader]
    t.throws(() => left.channel.giveUpVoter(gone.id), { code: 'refused', message: /is connected/ })
    gone.kill()
    cluster.advance(10_000)
    t.notOk(left.leads, 'alone it decides nothing')
    t.throws(() => left.channel.giveUpVoter(left.id), { code: 'refused' })
    left.channel.giveUpVoter(gone.id)
    // told is told, whatever happens to the process
    left.crash()
    left.start()
    cluster.until('it decides alone', () => left.leads)
    cluster.until('the other one has no vote', () => !left.channel.configuration.voters.includes(gone.id))
    t.ok(left.lookup('precious') !== undefined)
    commit(cluster, left, 'alone')
    left.stop()
    left.start()
    cluster.until('again', () => left.leads)
    commit(cluster, left, 'once more')

    // it was not gone after all
    gone.start()
    cluster.network.connectAll()
    cluster.until('it has its vote again', () => left.channel.configuration.voters.length === 2)
    cluster.settle()
    cluster.checkDigests()
    t.ok(gone.lookup('once more') !== undefined)
    for (const one of [left, gone]) t.same(one.channel.findings, [])
    gone.kill()
    cluster.advance(10_000)
    t.notOk(left.leads, 'it was for that once')
    t.end()
  })
}

void t.test('the one that was given up changes nothing by itself', t => {
  const cluster = new Cluster(2, 8)
  const [gone, left] = cluster.roles() as [Member, Member]
  cluster.settle()
  commit(cluster, gone, 'precious')
  cluster.network.isolate(gone.id)
  gone.create('late')
  const late = gone.durable()
  cluster.advance(3000)
  left.channel.giveUpVoter(gone.id)
  cluster.until('it decides alone', () => left.leads && left.channel.configuration.voters.length === 1)
  commit(cluster, left, 'alone')
  cluster.advance(5000)
  t.notOk(gone.leads)
  t.not(late.errno, 0, 'nothing is acknowledged there')
  cluster.network.connectAll()
  cluster.until('they agree', () => cluster.settled() && left.channel.configuration.voters.length === 2)
  cluster.checkDigests()
  t.end()
})

void t.test('of three voters none is given up: others may hold what this one lacks', t => {
  const cluster = new Cluster(3, 6)
  const [leader, a, b] = cluster.roles() as [Member, Member, Member]
  cluster.settle()
  a.kill()
  b.kill()
  cluster.advance(10_000)
  t.throws(() => leader.channel.giveUpVoter(a.id), { code: 'refused', message: /3 voters decide.*start others/ })
  t.throws(() => leader.channel.giveUpVoter('0123456789abcdef'), { code: 'refused', message: /has no vote/ })
  t.end()
})
