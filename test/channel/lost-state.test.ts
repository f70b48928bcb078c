import t from 'tap'
import { ok } from './support/answers.js'
import { Cluster, type Member, type Three } from './support/cluster.js'

const retention = { margin: 1, entriesMax: 5 }

/** A cluster in which one member's state is lost, and its log does not reach back to the beginning. */
function lose(margin = 1): { cluster: Cluster; leader: Member; bare: Member; other: Member; file: number } {
  const cluster = new Cluster(3, 1, { retention: { ...retention, margin } })
  const [leader, bare, other] = cluster.roles() as Three
  const { ino: file } = leader.create('file')
  for (let i = 0; i < 20; i++) leader.mkdir(`d${i}`)
  cluster.settle()
  cluster.until('compaction', () => bare.log.anchor.index > 1)
  bare.stop()
  bare.loseState()
  return { cluster, leader, bare, other, file }
}

t.test('a member without a state does not lead, and gets one from who does', t => {
  const { cluster, leader, bare, other, file } = lose()
  let asked = 0
  cluster.onSnapshotNeeded = () => asked++
  bare.start()
  cluster.network.connectAll()
  t.ok(bare.channel.stateMissing)
  cluster.until('it asks', () => asked > 0)
  ok(t, cluster, other.append(file, 'A'))
  cluster.until('it is there', () => leader.content(file) === 'A')
  leader.channel.transferLeadership(bare.id)
  cluster.advance(5000)
  t.notOk(bare.leads)
  cluster.alive.find(member => member.leads)!.stop()
  const [left] = [leader, other].filter(member => member.alive) as [Member]
  cluster.until('another leads', () => left.leads)
  cluster.onSnapshotNeeded = undefined
  cluster.provideSnapshots()
  cluster.until('it serves', () => bare.channel.serving)
  t.notOk(bare.channel.stateMissing)
  for (const member of [leader, other]) if (!member.alive) member.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  for (const member of cluster.members) t.equal(member.content(file), 'A')
  for (const member of cluster.members) t.same(member.lost, [])
  t.end()
})

t.test('it gets one from a follower when only its own log is up to date, and leads then', t => {
  const { cluster, leader, bare, other, file } = lose()
  bare.start()
  cluster.network.connectAll()
  cluster.until('it follows', () => bare.channel.leader === leader.id)
  other.stop()
  ok(t, cluster, leader.append(file, 'A', { durable: true }))
  leader.stop()
  cluster.provideSnapshots()
  other.start()
  cluster.network.connectAll()
  cluster.until('it leads', () => bare.leads)
  t.ok(bare.channel.serving)
  leader.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  for (const member of cluster.members) t.equal(member.content(file), 'A')
  t.end()
})

t.test('it votes, though nobody gives it a state', t => {
  const { cluster, leader, bare, other } = lose()
  leader.stop()
  let attempts = 0
  cluster.onSnapshotNeeded = () => {
    const { channel } = bare
    if (channel.restoring || !channel.beginRestore()) return
    attempts++
    // as the daemon does
    cluster.clock.after(1000, () => channel.restored(undefined))
  }
  bare.start()
  cluster.network.connectAll()
  cluster.until('another leads', () => other.leads, 15_000)
  cluster.until('it asks', () => attempts > 0)
  t.notOk(bare.leads)
  t.end()
})

t.test('it is not taken for one whose state differs where its log begins', t => {
  const { cluster, leader, bare, file } = lose(0)
  t.equal(bare.log.anchor.index, leader.channel.appliedIndex)
  const complaints = (): string[] => cluster.members.flatMap(({ reports }) => reports.map(({ message }) => message))
  const before = complaints().length
  bare.start()
  cluster.network.connectAll()
  // it is told digests, and nobody is there to begin
  cluster.advance(5000)
  t.equal(bare.quarantined, undefined)
  cluster.provideSnapshots()
  cluster.until('it serves', () => bare.channel.serving)
  t.same(complaints().slice(before), [])
  ok(t, cluster, bare.append(file, 'A'))
  cluster.settle()
  cluster.checkDigests()
  t.end()
})

t.test('what a killed process had not synced of its state is synced before the log lets go of its entries', t => {
  // how much a power cut takes is drawn
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = new Cluster(3, seed, { retention })
    const [leader, follower, other] = cluster.roles() as Three
    cluster.settle()
    // keeps the log from being compacted
    other.stop()
    for (let i = 0; i < 4; i++) {
      leader.mkdir(`d${i}`)
      cluster.settle()
      cluster.advance(1000)
    }
    t.equal(follower.state.position?.index, follower.channel.appliedIndex, 'written')
    follower.kill()
    follower.start()
    other.start()
    cluster.network.connectAll()
    cluster.until('compaction', () => follower.log.anchor.index > 1)
    follower.crash()
    follower.start()
    t.ok(follower.channel.serving, `seed ${seed}`)
  }
  t.end()
})
