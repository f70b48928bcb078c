/** Of two voters one is gone for good: the other one goes on, by command, and nothing that was acknowledged is lost. */
import t from 'tap'
import { Rng } from '../../src/base/rng.js'
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

/** What the command says of a member by now: given up, without a vote, or why neither. */
function giveUp(cluster: Cluster, left: Member, gone: Member): void {
  cluster.until('it is given up', () => {
    try {
      left.channel.giveUpVoter(gone.id)
    } catch (error) {
      return /has no vote/.test(String(error))
    }
    return true
  })
}

/** One goes, in some way and for some time, is given up, and comes back, perhaps at once, perhaps to go again. */
function round(cluster: Cluster, rng: Rng, n: number): void {
  const [leader, follower] = cluster.roles() as [Member, Member]
  cluster.settle()
  cluster.advance(rng.below(3000))
  const [left, gone] = rng.below(2) === 0 ? [leader, follower] : [follower, leader]
  left.create(`before-${n}`)
  const how = rng.below(3)
  const go = (): void => {
    if (how === 0) gone.kill()
    else if (how === 1) gone.stop()
    else cluster.network.isolate(gone.id)
  }
  const comeBack = (): void => {
    if (!gone.alive) gone.start()
    cluster.network.connectAll()
  }
  const aloneIn = (ms: number): void =>
    cluster.until('it decides alone', () => !left.channel.configuration.voters.includes(gone.id), ms)
  go()
  cluster.advance(rng.below(2) === 0 ? rng.below(300) : rng.below(8000))
  giveUp(cluster, left, gone)
  if (rng.below(4) > 0) aloneIn(10_000)
  if (rng.below(2) === 0) {
    cluster.advance(rng.below(8000))
    commit(cluster, left, `alone-${n}`)
  }
  if (rng.below(4) === 0) {
    left.kill()
    cluster.advance(rng.below(500))
    left.start()
  }
  comeBack()
  if (rng.below(3) === 0) {
    // it goes again, perhaps in the moment in which it gets its vote
    cluster.advance(rng.below(1500))
    go()
    cluster.advance(3000)
    giveUp(cluster, left, gone)
    aloneIn(10_000)
    commit(cluster, left, `once-more-${n}`)
    comeBack()
  }
  const both = (): boolean =>
    [left, gone].every(({ channel, log }) => channel.configuration.voters.length === 2 && !log.setting('lost-voter'))
  cluster.until('both vote, and none is given up', both, 30_000)
  cluster.settle()
  cluster.checkDigests()
}

void t.test('who comes back, whenever and however often, has its vote again, and nobody is given up any more', t => {
  const first = Number(process.env['SEED'] ?? 1)
  const seeds = Number(process.env['SEEDS'] ?? 200)
  for (let seed = first; seed < first + seeds; seed++) {
    const rng = new Rng(seed)
    const cluster = new Cluster(2, seed)
    try {
      for (let n = 0; n < 3; n++) round(cluster, rng, n)
    } catch (error) {
      t.fail(`seed ${seed}: ${String(error)}`)
    }
  }
  t.pass(`${seeds} seeds`)
  t.end()
})
