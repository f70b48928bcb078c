/** A member that lies to the others' brains: they stand, they agree, and nothing forged is taken. */
import t from 'tap'
import { Rng } from '../../src/base/rng.js'
import { Cluster } from '../channel/support/cluster.js'
import { Liar } from './support/liar.js'
import { runs, seed } from './support/options.js'

t.setTimeout(1_800_000)
t.comment(`SEED=${seed}`)

/** Three members, of which the last says what `choose` draws while the others work. */
function lie(each: number, messages: number, choose: (liar: Liar) => ReturnType<Liar['harmless']>): Cluster {
  const cluster = new Cluster(3, each)
  const rng = new Rng(each)
  cluster.leader()
  const [a, b, liar] = cluster.members as [
    (typeof cluster.members)[0],
    (typeof cluster.members)[0],
    (typeof cluster.members)[0],
  ]
  const { ino, answer } = a.create('honest')
  cluster.answered(answer)
  for (let n = 0; n < messages; n++) {
    const victim = rng.below(2) === 0 ? a : b
    const words = new Liar(rng, liar, victim, cluster.descriptor)
    if (victim.alive && !victim.channel.failure) victim.channel.message(liar.id, choose(words))
    if (n % 40 === 0 && a.channel.serving) a.write(ino, n, `honest ${n}`)
    if (rng.below(4) === 0) cluster.advance(rng.below(60))
  }
  return cluster
}

t.test('what members say to each other, with fields that are not so', async t => {
  for (let n = 0; n < runs(12); n++) {
    const cluster = lie(seed + n, 400, liar => liar.harmless())
    const [a, b, liar] = cluster.members
    const what = `SEED=${seed + n}`
    const { ino, answer } = b!.create('afterwards')
    if (cluster.answered(answer) !== 0) t.fail(`${what}: a change of an honest member was refused`)
    if (cluster.answered(b!.write(ino, 0, 'whole', { durable: true })) !== 0) t.fail(`${what}: not durable`)
    cluster.settle()
    cluster.checkDigests()
    if (a!.content(ino) !== 'whole') t.fail(`${what}: not what was written`)
    const names = [...a!.names(), ...b!.names()]
    const forged = names.filter(name => name.startsWith('lie-') || /^\.\.?$|\//.test(name))
    if (forged.length > 0) t.fail(`${what}: ${forged.join(' ')} came to be`)
    if (a!.channel.descriptor.version !== 1) t.fail(`${what}: the membership was changed`)
    const about = [a!, b!].flatMap(({ reports }) => reports).filter(({ message }) => message.includes(liar!.id))
    if (about.length === 0) t.fail(`${what}: nobody says who it was`)
    if (about.length > 60) t.fail(`${what}: ${about.length} lines about one member`)
  }
  t.pass('all agree')
})

/** Whoever differs, or has stopped, says so. Answers whether anybody had to. */
function noticed(what: string, cluster: Cluster): boolean {
  cluster.advance(20_000)
  const honest = cluster.members.slice(0, 2)
  for (const { channel } of honest) {
    const names = channel.view.scan('entry', 1, undefined, 1000).map(([name]) => name)
    const bad = names.filter(name => /^\.\.?$|\//.test(name))
    if (bad.length > 0) throw new Error(`${what}: ${bad.join(' ')} came to be`)
  }
  const stopped = honest.filter(({ channel }) => !channel.serving)
  for (const { channel } of stopped) {
    const why = channel.failure ?? channel.quarantine ?? ''
    if (!/member .* sent|differs|does not fit/.test(why)) throw new Error(`${what}: stopped without a cause: ${why}`)
  }
  // their status says so
  const removed = honest.filter(({ id, channel }) => !channel.descriptor.members.some(member => member.id === id))
  const [x, y] = honest.map(({ channel }) => channel.digest())
  const said = honest.some(
    ({ channel, reports }) =>
      channel.contradiction !== undefined || reports.some(({ message }) => message.includes('differs')),
  )
  if (stopped.length + removed.length === 0 && !said && x!.index === y!.index && x!.hash !== y!.hash)
    throw new Error(`${what}: two states, and nobody says so`)
  return stopped.length + removed.length > 0 || said
}

t.test('one message cannot use up the terms', async t => {
  const cluster = new Cluster(3, seed)
  const [leader, other, liar] = cluster.roles()
  for (const term of [2 ** 48, 2 ** 47, 2 ** 40]) {
    const vote = { term, lastIndex: 2 ** 40, lastTerm: 5, transfer: true }
    for (const { id, channel } of [leader!, other!]) {
      channel.message(liar!.id, { kind: 'raft', message: { kind: 'vote', ...vote } })
      channel.message(liar!.id, { kind: 'raft', message: { kind: 'pre-vote-reply', term, granted: false } })
      channel.message(liar!.id, {
        kind: 'raft',
        message: { kind: 'heartbeat', term, commit: 0, round: 1, last: 0, durable: 0, acknowledging: 0 },
      })
      t.ok(channel.term < 100, `${id} is in term ${channel.term}`)
    }
  }
  t.equal(cluster.answered(leader!.create('afterwards').answer), 0)
})

t.test('what a leader says: none of the others falls, and what cannot be is noticed', async t => {
  let count = 0
  for (let n = 0; n < runs(16); n++) {
    const cluster = lie(seed + 1000 + n, 200, liar => liar.leaders())
    if (noticed(`SEED=${seed + n}`, cluster)) count++
    // entries outside the chain are taken by nobody
    const versions = cluster.members.slice(0, 2).map(({ channel }) => channel.descriptor.version)
    t.same(versions, [1, 1], `SEED=${seed + n}: the membership is as it was`)
  }
  t.comment(`${count} noticed`)
})

t.test('a leader that tells each another story, well chained', async t => {
  let count = 0
  for (let n = 0; n < runs(16); n++) {
    const cluster = lie(seed + 2000 + n, 200, liar => liar.wellChained())
    if (noticed(`SEED=${seed + n}`, cluster)) count++
  }
  t.ok(count > 0, `${count} noticed`)
})
