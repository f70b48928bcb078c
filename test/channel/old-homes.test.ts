import t from 'tap'
import { inodesPerSlot, mayChange, withMemberAnew } from '../../src/channel/descriptor.js'
import { rootInode } from '../../src/fs/records.js'
import { Cluster, make, type Member, type Three } from './support/cluster.js'

/** A durable change at a member. */
function commit(cluster: Cluster, member: Member, name: string): void {
  const { answer } = member.create(name)
  cluster.answered(answer)
  cluster.answered(member.durable())
}

/** All that run have the file. */
function haveAll(cluster: Cluster, name: string): void {
  cluster.until(`${name} is on all members`, () => {
    cluster.network.connectAll()
    return cluster.settled() && cluster.alive.every(member => member.lookup(name) !== undefined)
  })
  cluster.checkDigests()
}

const says = ({ reports }: Member, words: RegExp): boolean => reports.some(({ message }) => words.test(message))
const findings = ({ channel }: Member): string => channel.findings.map(({ words }) => words).join('\n')

for (const transactions of [1, 2, 100]) {
  void t.test(`a follower put back by ${transactions} transactions is named, caught up, and counts again`, t => {
    const cluster = new Cluster(3, transactions)
    const [leader, back, other] = cluster.roles() as Three
    cluster.settle()
    for (let n = 0; n < 5; n++) commit(cluster, leader, `f${n}`)
    cluster.settle()
    const { lastIndex } = back.channel
    back.kill()
    t.ok(back.putBack(transactions))
    back.start()
    // what it gets does not reach its disk yet
    back.stall()
    cluster.network.connectAll()
    cluster.until('it is said', () => says(back, /^this home went back in time/))
    t.match(findings(back), /neither votes nor counts until it has caught up/)
    t.ok(back.channel.recovering !== undefined)
    for (const one of [leader, other]) {
      cluster.until('the others name it', () => findings(one).includes(back.id))
      t.match(findings(one), new RegExp(`member ${back.id} (lacks what it|acknowledged entry)`))
    }
    cluster.until('the leader knows', () => leader.channel.progress(back.id)?.recovering === true)
    t.equal(leader.channel.reachableVoters, 2, 'it is not counted')
    back.unstall()
    cluster.until('it has caught up', () => back.channel.recovering === undefined)
    t.ok(back.channel.lastIndex >= lastIndex)
    cluster.until('nothing is said any more', () => [leader, back, other].every(one => findings(one) === ''))
    for (const one of [leader, other])
      t.equal(one.channel.complaintAbout(back.id), undefined, 'nor in the table of members')
    other.kill()
    commit(cluster, leader, 'with it alone')
    t.ok(back.log.durableIndex >= leader.channel.commitIndex)
    t.end()
  })
}

void t.test('a voter that was put back chooses no leader that lacks what it acknowledged', t => {
  for (let seed = 1; seed <= 12; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, back, behind] = cluster.roles() as Three
    cluster.settle()
    cluster.network.isolate(behind.id)
    for (let n = 0; n < 6; n++) commit(cluster, leader, `f${n}`)
    back.kill()
    back.putBack(100)
    leader.stop()
    back.start()
    leader.start()
    cluster.network.connectAll()
    haveAll(cluster, 'f5')
    t.ok(says(back, /^this home went back in time/))
  }
  t.end()
})

void t.test('an old leader that was put back is told by those that followed it', t => {
  for (let seed = 1; seed <= 12; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower, behind] = cluster.roles() as Three
    cluster.settle()
    cluster.network.isolate(behind.id)
    for (let n = 0; n < 6; n++) commit(cluster, leader, `f${n}`)
    cluster.advance(500)
    leader.kill()
    leader.putBack(6)
    follower.stop()
    leader.start()
    follower.start()
    cluster.network.connectAll()
    haveAll(cluster, 'f5')
    t.ok(says(leader, /^this home went back in time/))
  }
  t.end()
})

void t.test('in a channel of two the one that was put back helps the other to lead, and is caught up', t => {
  for (const first of [0, 1]) {
    const cluster = new Cluster(2, 5)
    const [leader, follower] = cluster.roles() as [Member, Member]
    cluster.settle()
    for (let n = 0; n < 6; n++) commit(cluster, leader, `f${n}`)
    const [back, sound] = first === 0 ? [leader, follower] : [follower, leader]
    cluster.advance(500)
    back.kill()
    back.putBack(8)
    sound.stop()
    back.start()
    sound.start()
    cluster.network.connectAll()
    haveAll(cluster, 'f5')
    t.ok(says(back, /^this home went back in time/))
    commit(cluster, back, 'afterwards')
  }
  t.end()
})

void t.test('a loss of power of all members at once makes nobody doubt itself', t => {
  for (let seed = 1; seed <= 30; seed++) {
    const cluster = new Cluster(3, seed)
    cluster.leader()
    for (let n = 0; n < 8; n++) {
      for (const member of cluster.alive) member.create(`${member.slot} ${n}`)
      cluster.advance(seed % 7)
    }
    for (const member of cluster.members) member.crash()
    for (const member of cluster.members) member.start()
    cluster.network.connectAll()
    cluster.leader()
    cluster.settle()
    for (const member of cluster.members) t.notOk(says(member, /went back in time/), `seed ${seed}`)
  }
  t.end()
})

void t.test('a voter whose log is empty votes for nobody, and counts when it has all of it', t => {
  const cluster = new Cluster(3, 3)
  const [leader, empty, behind] = cluster.roles() as Three
  cluster.settle()
  cluster.provideSnapshots()
  cluster.network.isolate(behind.id)
  commit(cluster, leader, 'precious')
  leader.stop()
  empty.kill()
  empty.loseDisk()
  empty.start()
  cluster.network.connectAll()
  cluster.advance(30_000)
  t.notOk(
    [empty, behind].some(({ leads }) => leads),
    'the two have no leader',
  )
  t.match(findings(empty), /the log of this home is empty/)
  leader.start()
  cluster.network.connectAll()
  haveAll(cluster, 'precious')
  cluster.until('it counts', () => empty.channel.recovering === undefined)
  t.end()
})

void t.test('in a channel of two the one whose log is lost chooses the other, which has all of it', t => {
  for (const which of [0, 1]) {
    const cluster = new Cluster(2, 5)
    const roles = cluster.roles() as [Member, Member]
    cluster.settle()
    cluster.provideSnapshots()
    for (let n = 0; n < 6; n++) commit(cluster, roles[0], `f${n}`)
    const [empty, sound] = which === 0 ? roles : [roles[1], roles[0]]
    sound.stop()
    empty.kill()
    empty.loseDisk()
    empty.start()
    sound.start()
    cluster.network.connectAll()
    cluster.until('it is said', () => findings(empty).includes('the log of this home is empty'))
    haveAll(cluster, 'f5')
    cluster.until('it counts', () => empty.channel.recovering === undefined)
    t.same([findings(empty), findings(sound)], ['', ''])
    commit(cluster, empty, 'afterwards')
    cluster.settle()
  }
  t.end()
})

void t.test('… and not before a learner, that may know of a third voter, has agreed', t => {
  const cluster = new Cluster(3, 5, { learners: 1 })
  const [leader, follower] = [cluster.leader(), cluster.members.find(m => m.slot < 3 && !m.leads)!]
  const learner = cluster.members[2]!
  cluster.settle()
  cluster.provideSnapshots()
  commit(cluster, leader, 'precious')
  // the learner gets a change that the other voter lacks: nothing that was acknowledged, and no reason to wait for ever
  follower.stop()
  leader.create('uncommitted')
  cluster.until('the learner has more', () => learner.channel.lastIndex > follower.log.lastIndex)
  learner.stop()
  leader.kill()
  leader.loseDisk()
  leader.start()
  follower.start()
  cluster.network.connectAll()
  cluster.advance(30_000)
  t.notOk(follower.leads || leader.leads, 'the learner was not heard')
  learner.start()
  haveAll(cluster, 'precious')
  t.equal(cluster.leader(), follower)
  cluster.until('it counts', () => leader.channel.recovering === undefined)
  t.end()
})

void t.test('of four with one empty and one away, the two that are left cannot do without it', t => {
  const cluster = new Cluster(4, 2)
  const [leader, empty, ...others] = cluster.roles()
  cluster.settle()
  cluster.provideSnapshots()
  cluster.network.isolate(others[0]!.id)
  commit(cluster, leader, 'precious')
  for (const one of [leader, ...others]) one.stop()
  empty!.kill()
  empty!.loseDisk()
  for (const one of [empty!, ...others]) one.start()
  cluster.network.connectAll()
  cluster.advance(30_000)
  t.notOk(cluster.alive.some(({ leads }) => leads))
  leader.start()
  haveAll(cluster, 'precious')
  t.end()
})

void t.test('who knows that a change was committed which its leader lacks does not follow, also after a start', t => {
  const cluster = new Cluster(3, 4)
  const [leader, back, behind] = cluster.roles() as Three
  cluster.settle()
  cluster.network.isolate(behind.id)
  for (let n = 0; n < 6; n++) commit(cluster, leader, `f${n}`)
  const { commitIndex } = leader.channel
  // its state is written out seldom: what is committed is remembered apart from it
  leader.stop()
  leader.loseState()
  back.kill()
  back.putBack(100)
  back.start()
  cluster.network.connectAll()
  // nobody is there who could tell it what it acknowledged
  cluster.until('the two go on', () => [back, behind].some(({ leads }) => leads))
  leader.start()
  t.equal(leader.channel.commitIndex, commitIndex)
  cluster.until('it is told', () => {
    cluster.network.connectAll()
    return leader.channel.contradiction !== undefined
  })
  t.match(leader.channel.contradiction, /which leads, differs from what is committed here/)
  t.end()
})

void t.test('who lost its log joins anew as a learner, with another slot, in one change', t => {
  const cluster = new Cluster(3)
  const { descriptor } = cluster.leader().channel
  const [owner, lost] = descriptor.members
  const again = { id: lost!.id, name: lost!.name, address: 'x:1', role: 'voter', certificate: '' } as const
  const next = withMemberAnew(descriptor, again)
  t.equal(next.version, descriptor.version + 1)
  const entry = next.members.find(({ id }) => id === lost!.id)!
  t.match(entry, { state: 'learner', role: 'voter', slot: descriptor.nextSlot, name: lost!.name })
  t.equal(next.members.length, descriptor.members.length)
  t.ok(mayChange(descriptor, next, owner!.id), 'the owner may do that')
  t.notOk(mayChange(descriptor, next, lost!.id))
  t.throws(() => withMemberAnew(descriptor, { ...again, id: owner!.id }), { code: 'refused' })
  t.end()
})

void t.test('a home that was put back gives out no inode number that the order has seen, removed files included', t => {
  const cluster = new Cluster(3, 7)
  const [leader, back] = cluster.roles() as Three
  cluster.settle()
  const made = new Set<number>()
  for (let n = 0; n < 5; n++) {
    const { ino, answer } = back.create(`f${n}`)
    made.add(ino)
    cluster.answered(answer)
  }
  cluster.answered(back.change({ kind: 'unlink', parent: rootInode, name: 'f4' }))
  cluster.answered(back.durable())
  cluster.settle()
  back.kill()
  t.ok(back.putBack(1000))
  // a copy from before it had noted that numbers are taken
  t.equal(back.log.setting('inode-block'), undefined)
  back.start()
  cluster.network.connectAll()
  const early = back.nextInode()
  cluster.until('it goes on', () => back.channel.hasSession)
  const late = [back.nextInode(), back.nextInode()]
  for (const ino of [early, ...late]) {
    t.notOk(made.has(ino))
    t.equal(Math.floor(ino / inodesPerSlot), back.slot, 'of its own range')
  }
  t.equal(new Set([early, ...late]).size, 3)
  t.equal(cluster.answered(back.change(make(rootInode, 'new', early, 0o100644))), 0)
  t.ok(leader.channel.serving)
  t.end()
})
