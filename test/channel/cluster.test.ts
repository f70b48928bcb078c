import t from 'tap'
import { electionTimeoutTicks, tickMs } from '../../src/base/limits.js'
import { EAGAIN, EEXIST, EINTR, EIO, ENOENT, EROFS, errnoName } from '../../src/base/errno.js'
import { inodesPerSlot, withMember, withoutMember } from '../../src/channel/descriptor.js'
import { nodeHasher } from '../../src/adapters/host/hasher.js'
import { decodeOperation, encodeOperation } from '../../src/fs/operation-codec.js'
import type { Operation } from '../../src/fs/operation.js'
import { decodeEntry, zeroHash } from '../../src/oplog/codec.js'
import { ok } from './support/answers.js'
import { Program } from './support/calls.js'
import { Cluster, type Answer, type Member, type Three } from './support/cluster.js'
import { takeSnapshot } from './support/sim-disk.js'
import { SimStateStore } from './support/sim-stores.js'

const unlink = (name: string): Operation => ({ kind: 'unlink', parent: 1, name })
const rename = (name: string, newName: string): Operation => ({
  kind: 'rename',
  parent: 1,
  name,
  newParent: 1,
  newName,
  flags: 0,
})

void t.test('a change through the leader and one through a follower reach all', t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const a = leader.create('a')
  t.equal(leader.lookup('a'), a.ino, 'the leader shows its own at once')
  const b = follower.create('b')
  ok(t, cluster, a.answer, b.answer)
  t.equal(follower.lookup('b'), b.ino, 'what is answered is shown')
  ok(t, cluster, leader.write(a.ino, 0, 'one'), follower.write(b.ino, 0, 'two'), follower.write(a.ino, 1, 'NE'))
  cluster.settle()
  cluster.checkDigests()
  t.equal(other.content(a.ino), 'oNE')
  t.equal(other.content(b.ino), 'two')
  t.end()
})

void t.test('what the leader told its own programs before it was committed: read=latest waits for it everywhere', t => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower] = cluster.roles() as Three
    cluster.settle()
    for (const reader of [follower, leader]) {
      const name = `by-${reader.id}`
      const made = leader.create(name)
      cluster.until('the answer', () => made.answer.errno !== undefined)
      t.equal(made.answer.errno, 0)
      const { lastIndex } = leader.channel
      let errno: number | undefined
      reader.channel.readBarrier(5000, result => (errno = result))
      cluster.until('the barrier', () => errno !== undefined)
      t.equal(errno, 0)
      t.equal(reader.lookup(name), made.ino, `${reader.id}, seed ${seed}`)
      t.ok(reader.channel.appliedIndex >= lastIndex, 'it is committed')
    }
  }
  t.end()
})

void t.test("a follower's writes are visible to itself at once, and reach the others in their order", t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = leader.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  const seen = new Set<string>()
  let wanted = ''
  for (let i = 0; i < 40; i++) {
    const answer = follower.write(ino, i, String(i % 10))
    wanted += String(i % 10)
    t.equal(follower.content(ino), wanted, 'no time has passed')
    if (i % 3 === 0) cluster.advance(1)
    seen.add(leader.content(ino)!)
    if (i === 39) ok(t, cluster, answer)
  }
  for (const content of seen) t.ok(wanted.startsWith(content), `${content} is a prefix`)
  cluster.settle()
  cluster.checkDigests()
  t.equal(leader.content(ino), wanted)
  t.end()
})

void t.test('appends of three members lose nothing and keep the order of each', t => {
  const cluster = new Cluster(3, 5)
  const { ino, answer } = cluster.leader().create('log')
  ok(t, cluster, answer)
  cluster.settle()
  for (let i = 0; i < 60; i++) {
    for (const member of cluster.members) {
      member.append(ino, `${member.slot}:${i};`)
      t.ok(member.content(ino)!.includes(`${member.slot}:${i};`), 'own records are seen at once')
    }
    cluster.advance(i % 7)
  }
  cluster.settle()
  cluster.checkDigests()
  const records = cluster.members[0]!.content(ino)!.split(';').slice(0, -1)
  t.equal(records.length, 180)
  for (const { slot } of cluster.members) {
    const own = records.filter(record => record.startsWith(`${slot}:`))
    t.same(
      own,
      Array.from({ length: 60 }, (_, i) => `${slot}:${i}`),
    )
  }
  t.end()
})

for (const silentMs of [0, 3000]) {
  void t.test(`a leader cut off with changes of its own proposes them again once (silent for ${silentMs} ms)`, t => {
    const cluster = new Cluster(3, 7)
    const [leader, other] = cluster.roles() as Three
    const shared = leader.create('shared')
    ok(t, cluster, shared.answer)
    cluster.settle()
    cluster.network.isolate(leader.id, silentMs)
    const mine = leader.create('mine')
    ok(t, cluster, mine.answer, leader.write(mine.ino, 0, 'hello'), leader.append(shared.ino, 'A'))
    ok(t, cluster, leader.append(shared.ino, 'B'))
    const sync = leader.durable(60_000)
    cluster.until('another leader', () => cluster.alive.some(member => member !== leader && member.leads))
    ok(t, cluster, other.append(shared.ino, 'x'))
    cluster.until('the old leader stands down', () => !leader.leads)
    t.equal(sync.errno, undefined, 'not durable yet')
    t.equal(leader.content(mine.ino), 'hello', 'its programs still see what they wrote')
    ok(t, cluster, leader.append(shared.ino, 'C').errno === undefined ? other.append(shared.ino, 'y') : sync)
    cluster.network.connectAll()
    ok(t, cluster, sync)
    cluster.settle()
    cluster.checkDigests()
    t.equal(other.content(mine.ino), 'hello')
    t.equal(other.content(shared.ino), 'xyABC')
    t.same(leader.lost, [])
    t.end()
  })
}

void t.test('a leader that crashes with uncommitted changes of its own keeps copies of them after its restart', t => {
  const cluster = new Cluster(3, 8)
  const [leader, other] = cluster.roles() as Three
  const shared = leader.create('shared')
  ok(t, cluster, shared.answer)
  cluster.settle()
  cluster.network.isolate(leader.id)
  const mine = leader.create('mine')
  ok(t, cluster, mine.answer, leader.write(mine.ino, 0, 'hello'), leader.append(shared.ino, 'A'))
  // when it was read is nothing that anybody misses
  ok(t, cluster, leader.change({ kind: 'access', times: [{ ino: shared.ino, atime: 1n }] }))
  cluster.advance(200)
  leader.crash()
  cluster.until('another leader', () => cluster.alive.some(member => member.leads))
  ok(t, cluster, other.append(shared.ino, 'x'))
  leader.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.equal(other.content(mine.ino), undefined)
  t.equal(other.content(shared.ino), 'x', 'nothing comes late')
  t.same(
    leader.lost.map(({ operation: { kind }, cause }) => `${kind}: ${cause.kind}`),
    ['make', 'write', 'append'].map(kind => `${kind}: earlier-run`),
  )
  t.equal(leader.lostText(), 'helloA')
  t.end()
})

for (const place of ['leader', 'follower'] as const) {
  void t.test(`small writes that follow on each other are one entry, not one each (${place})`, t => {
    const cluster = new Cluster(3, 21)
    const [leader, follower] = cluster.roles() as Three
    const member = place === 'leader' ? leader : follower
    const [log, text] = [member.create('log'), member.create('text')]
    ok(t, cluster, log.answer, text.answer)
    cluster.settle()
    const before = leader.channel.lastIndex
    let [lines, words] = ['', '']
    const answers: Answer[] = []
    for (let i = 0; i < 200; i++) {
      answers.push(member.append(log.ino, `line ${i}\n`))
      lines += `line ${i}\n`
      if (i % 20 === 19) t.equal(member.content(log.ino), lines, 'shown at once')
    }
    for (let i = 0; i < 100; i++) {
      answers.push(member.write(text.ino, words.length, `word ${i} `))
      words += `word ${i} `
    }
    ok(t, cluster, ...answers, member.durable())
    cluster.settle()
    cluster.checkDigests()
    for (const one of [leader, follower]) t.same([one.content(log.ino), one.content(text.ino)], [lines, words])
    t.ok(leader.channel.lastIndex - before < 10, `${leader.channel.lastIndex - before} entries`)
    t.end()
  })

  void t.test(`a member that dies while a write is open keeps a copy of what it had accepted (${place})`, t => {
    for (let seed = 30; seed < 50; seed++) {
      const cluster = new Cluster(3, seed)
      const [leader, follower, third] = cluster.roles() as Three
      const member = place === 'leader' ? leader : follower
      const { ino, answer } = member.create('log')
      cluster.answered(answer)
      cluster.settle()
      if (place === 'leader') cluster.network.isolate(member.id)
      else cluster.network.lose = (_from, _to, message) => message.kind === 'propose'
      const lines: { text: string; answer: Answer }[] = []
      for (let i = 0; i < 12; i++) {
        const text = `line ${i}\n`
        lines.push({ text, answer: member.append(ino, text) })
        if (i % 4 === 3) cluster.advance(cluster.rng.below(8))
      }
      const powerLoss = seed % 2 === 1
      if (powerLoss) member.crash()
      else {
        cluster.advance(1)
        member.stop()
      }
      if (place === 'leader') cluster.until('another leader', () => cluster.alive.some(one => one.leads))
      cluster.network.lose = undefined
      const x = third.append(ino, 'x')
      member.start()
      cluster.network.connectAll()
      cluster.answered(x)
      cluster.settle()
      cluster.checkDigests()
      const accepted = lines.filter(line => line.answer.errno === 0)
      if (accepted.length < 4) t.fail(`only ${accepted.length} lines were accepted`)
      const wanted = accepted.map(line => line.text).join('')
      if (third.content(ino) !== 'x') t.equal(third.content(ino), 'x', `seed ${seed}: what it left does not come late`)
      const found = member.lostText()
      // a loss of power may take the end, but nothing from the middle
      if (powerLoss ? !wanted.startsWith(found) : found !== wanted) t.equal(found, wanted, `seed ${seed}`)
    }
    t.pass('20 seeds')
    t.end()
  })
}

void t.test("a follower's changes survive a change of leader exactly once, whatever gets lost", t => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower] = cluster.roles() as Three
    const { ino, answer } = leader.create('log')
    cluster.answered(answer)
    cluster.settle()
    cluster.network.lose = (_from, _to, message) => message.kind !== 'position' && cluster.rng.below(25) === 0
    const wanted: string[] = []
    for (let i = 0; i < 40; i++) {
      // with nobody to order it a change waits, and is not shown yet
      follower.append(ino, `${i};`, { timeoutMs: 600_000 })
      wanted.push(`${i};`)
      cluster.advance(cluster.rng.below(60))
      if (i === 20) leader.crash()
      if (i % 5 === 4) cluster.network.connectAll()
    }
    cluster.network.lose = undefined
    leader.start()
    cluster.network.connectAll()
    cluster.settle()
    cluster.checkDigests()
    if (leader.content(ino) !== wanted.join('')) t.equal(leader.content(ino), wanted.join(''), `seed ${seed}`)
    if (follower.lost.length > 0) t.same(follower.lost, [], `seed ${seed}`)
  }
  t.pass('20 seeds')
  t.end()
})

void t.test('a refused change reports its errno, and undoes what was shown', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = leader.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  for (const member of [leader, follower]) {
    t.equal(cluster.answered(member.create('f').answer), EEXIST)
    t.equal(cluster.answered(member.change(unlink('none'))), ENOENT)
    t.equal(cluster.answered(member.write(99, 0, 'x')), ENOENT)
  }
  // shown and answered, then refused: the file went in the order before it
  const gone = leader.change(unlink('f'))
  const write = follower.write(ino, 0, 'too late')
  t.equal(follower.content(ino), 'too late')
  ok(t, cluster, gone, write)
  cluster.settle()
  t.equal(write.lost, ENOENT)
  t.equal(follower.lost.length, 1)
  t.equal(Buffer.from(follower.lost[0]!.payload).toString(), 'too late', 'its data is handed over')
  t.equal(follower.content(ino), undefined)
  cluster.checkDigests()
  t.end()
})

void t.test('without a quorum a change fails with EROFS and a durability wait with EIO, in time', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = follower.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  for (const member of cluster.members) cluster.network.isolate(member.id)
  const start = cluster.clock.now
  const write = leader.write(ino, 0, 'accepted')
  const sync = leader.durable(5000)
  const all = leader.write(ino, 0, 'always', { durable: true, timeoutMs: 5000 })
  const forwarded = follower.write(ino, 0, 'x', { timeoutMs: 5000 })
  const made = follower.create('g').answer
  ok(t, cluster, write)
  t.equal(cluster.answered(sync), EIO)
  t.equal(cluster.answered(all), EIO)
  t.equal(cluster.answered(forwarded), EROFS)
  t.ok(cluster.clock.now - start < 5500)
  t.equal(cluster.answered(leader.create('h').answer), EROFS, 'it leads no more')
  t.equal(cluster.answered(made), EROFS)
  const late = cluster.clock.now
  t.equal(cluster.answered(follower.create('j').answer), EROFS)
  t.equal(cluster.clock.now, late, 'who comes after so long is refused at once: waits may not add up')
  const interrupted = follower.write(ino, 0, 'i', { timeoutMs: 600_000 })
  t.equal(interrupted.errno, undefined, 'one with more patience waits')
  interrupted.cancel()
  t.equal(interrupted.errno, EINTR)
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.same(leader.names(), ['f'])
  t.equal(follower.content(ino), 'alwaysed', 'what was accepted comes about')
  t.end()
})

void t.test('a change on its way to a leader that is silent is given up by a signal', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  cluster.network.isolate(leader.id)
  const { answer } = follower.create('i')
  t.equal(answer.errno, undefined)
  answer.cancel()
  t.equal(answer.errno, EINTR)
  answer.cancel()
  cluster.network.connectAll()
  ok(t, cluster, follower.create('j').answer)
  cluster.settle()
  cluster.checkDigests()
  t.end()
})

void t.test('a file unlinked while it is open stays readable and writable (unlink(2))', t => {
  for (const by of [0, 1, 2]) {
    const cluster = new Cluster(3)
    const roles = cluster.roles() as Three
    const programs = roles.map(member => new Program(cluster, member))
    const [first] = programs as [Program, Program, Program]
    const { ino, handle } = first.create('f')
    first.write(ino, handle, 0, 'content')
    t.equal(first.close(ino, handle), 0)
    cluster.settle()
    const handles = programs.map(program => program.open(ino))
    t.equal(programs[by]!.unlink('f'), 0)
    cluster.settle()
    programs.forEach((program, i) => {
      t.equal(program.read(ino, handles[i]!), 'content')
      t.equal(program.links(ino), 0)
      program.write(ino, handles[i]!, 3, `+${i}`)
      t.equal(program.read(ino, handles[i]!), `con+${i}nt`, 'each has its own from here on')
      t.equal(program.close(ino, handles[i]!), 0)
    })
    cluster.settle()
    cluster.checkDigests()
    t.equal(roles[0].channel.pinned.size, 0, 'nothing is held any more')
  }
  t.end()
})

void t.test(
  'a file with writes on their way, unlinked by another: its program goes on with it, and they are no conflict',
  t => {
    const cluster = new Cluster(3)
    const [leader, follower] = cluster.roles() as Three
    const program = new Program(cluster, follower)
    const { ino, handle } = program.create('f')
    cluster.settle()
    const gone = leader.change(unlink('f'))
    program.write(ino, handle, 0, 'written too late')
    ok(t, cluster, gone)
    cluster.settle()
    t.equal(program.flush(ino, handle), 0)
    t.equal(program.read(ino, handle), 'written too late')
    t.equal(follower.lost.length, 0)
    t.equal(program.links(ino), 0)
    cluster.checkDigests()
    t.end()
  },
)

void t.test('a rename that is refused does not part an open file from its name', t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const program = new Program(cluster, leader)
  const { ino, handle } = program.create('a')
  t.equal(program.close(ino, handle), 0)
  ok(t, cluster, follower.change(rename('a', 'x')))
  const open = program.open(ino)
  // another member, which does not know of it, moves the same file to the same place
  t.equal(cluster.answered(other.change(rename('a', 'x'))), ENOENT)
  program.write(ino, open, 0, 'kept')
  t.equal(program.close(ino, open), 0)
  cluster.settle()
  t.equal(other.content(ino), 'kept')
  t.end()
})

void t.test('members that lose their power go on from what was on stable storage', t => {
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower, other] = cluster.roles() as Three
    const { ino, answer } = follower.create('f')
    cluster.answered(answer)
    follower.append(ino, 'one;')
    const synced = follower.durable()
    t.equal(cluster.answered(synced), 0)
    follower.append(ino, 'two;')
    cluster.advance(cluster.rng.below(10))
    if (seed % 2 === 0) {
      other.crash()
      cluster.advance(500)
      other.start()
      cluster.network.connectAll()
      cluster.settle()
      cluster.checkDigests()
      t.equal(other.content(ino), 'one;two;')
    }
    follower.append(ino, 'three;')
    cluster.advance(cluster.rng.below(10))
    for (const member of [leader, follower, other]) member.crash()
    for (const member of [leader, follower, other]) member.start()
    cluster.network.connectAll()
    cluster.settle()
    cluster.checkDigests()
    t.match(leader.content(ino), /^one;(two;)?(three;)?$/, 'nothing durable is lost, nothing is torn or doubled')
  }
  t.end()
})

void t.test('a member that ends in good order, with changes that nobody has yet, keeps copies of them', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = follower.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  cluster.network.isolate(follower.id, 5000)
  const write = follower.append(ino, 'journalled;')
  ok(t, cluster, write)
  follower.stop()
  leader.append(ino, 'first;')
  cluster.advance(1000)
  follower.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.equal(leader.content(ino), 'first;')
  t.equal(follower.lostText(), 'journalled;')
  t.end()
})

void t.test('a full disk of one follower holds up nobody else, and heals', t => {
  const cluster = new Cluster(3)
  const [leader, follower, other] = cluster.roles() as Three
  const { ino, answer } = leader.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  other.log.full = true
  for (let i = 0; i < 20; i++) ok(t, cluster, follower.append(ino, `${i};`, { durable: true }))
  cluster.advance(2000)
  t.ok(other.channel.diskFull)
  t.equal(leader.leads, true)
  t.equal(cluster.answered(other.append(ino, 'x')) === 0, false, 'its own programs are told')
  other.log.full = false
  cluster.settle()
  cluster.checkDigests()
  t.equal(other.channel.diskFull, undefined)
  t.equal(other.content(ino), Array.from({ length: 20 }, (_, i) => `${i};`).join(''))
  t.end()
})

void t.test('a leader with a full disk hands over, and catches up when there is room', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  const { ino, answer } = leader.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  leader.log.full = true
  ok(t, cluster, follower.append(ino, 'a;', { durable: true }))
  cluster.until('another leader', () => !leader.leads && cluster.members.some(member => member.leads))
  ok(t, cluster, follower.append(ino, 'b;', { durable: true }))
  leader.log.full = false
  cluster.settle()
  cluster.checkDigests()
  t.equal(leader.content(ino), 'a;b;')
  t.end()
})

void t.test('a member whose state differs stops serving and says so, and the others go on', t => {
  for (const which of [0, 1]) {
    const cluster = new Cluster(3)
    const roles = cluster.roles() as Three
    const bad = roles[which]!
    const good = roles[2]
    const { ino, answer } = good.create('f')
    ok(t, cluster, answer)
    cluster.settle()
    bad.channel.table.set('xattr', ino, 'user.rot', Uint8Array.of(1))
    ok(t, cluster, good.append(ino, 'x'))
    cluster.until('quarantine', () => bad.quarantined !== undefined, 10_000)
    t.equal(bad.channel.serving, false)
    t.equal(cluster.answered(bad.create('g').answer), EIO)
    t.ok(roles.every(member => member === bad || member.quarantined === undefined))
    ok(t, cluster, good.append(ino, 'y', { durable: true }))
    t.equal(good.content(ino), 'xy')
  }
  t.end()
})

void t.test('a member that comes back with another state is noticed although nothing changes', t => {
  const cluster = new Cluster(3)
  const [leader, bad] = cluster.roles() as Three
  const { ino, answer } = leader.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  bad.stop()
  // the others have compared where they rest, and say it to nobody again
  cluster.advance(20_000)
  bad.start()
  bad.channel.table.set('xattr', ino, 'user.rot', Uint8Array.of(1))
  const { lastIndex } = leader.channel
  cluster.network.connectAll()
  cluster.until('quarantine', () => bad.quarantined !== undefined, 20_000)
  const added = Array.from({ length: leader.channel.lastIndex - lastIndex }, (_, n) =>
    leader.log.header(lastIndex + 1 + n)!,
  )
  const opened = added.map(header => decodeOperation(decodeEntry(header, nodeHasher).operation).kind)
  t.same(opened, ['open-session'], 'nothing changed, but that it opened its session')
  t.ok(leader.reports.some(({ message }) => message.includes(`member ${bad.id} says that it differs`)))
  t.end()
})

void t.test('a leader that lacks what is committed is not followed, and people are told until it is gone', t => {
  const cluster = new Cluster(3)
  const [leader, other, forgetful] = cluster.roles() as Three
  cluster.settle()
  cluster.network.isolate(forgetful.id)
  const made = leader.create('committed')
  ok(t, cluster, made.answer)
  cluster.until('both apply it', () => [leader, other].every(one => one.lookup('committed') === made.ino))
  // a vote that its voter did not mean: as if a disk had lost what it acknowledged
  const { term, commitIndex: before } = forgetful.channel
  forgetful.channel.message(leader.id, { kind: 'raft', message: { kind: 'timeout-now', term, target: forgetful.id } })
  const vote = { kind: 'vote-reply', term: term + 1, granted: true } as const
  forgetful.channel.message(other.id, { kind: 'raft', message: vote })
  t.equal(forgetful.channel.role, 'leader')
  // they hear it alone, or a majority would say that it does not lead
  cluster.network.break(leader.id, other.id)
  cluster.network.blocked = (a, b) => a !== forgetful.id && b !== forgetful.id
  cluster.network.connectAll()
  for (const { id, channel, reports } of [leader, other]) {
    cluster.until('it is told', () => channel.contradiction !== undefined)
    t.match(
      channel.contradiction,
      `the log of member ${forgetful.id}, which leads, differs from what is committed here`,
    )
    t.ok(channel.serving, `${id}: what is here is still served`)
    t.ok(reports.some(({ level, message }) => level === 'error' && message === channel.contradiction))
  }
  t.equal(forgetful.channel.contradiction, undefined)
  cluster.advance(5000)
  for (const one of [leader, other]) t.equal(one.lookup('committed'), made.ino)
  t.equal(forgetful.channel.commitIndex, before, 'nobody acknowledges what its log has and theirs has not')

  forgetful.crash()
  cluster.network.blocked = undefined
  cluster.network.connectAll()
  cluster.leader()
  for (const { channel } of [leader, other]) t.equal(channel.contradiction, undefined, 'it is gone')
  forgetful.start()
  cluster.network.connectAll()
  ok(t, cluster, other.create('afterwards').answer)
  cluster.until('the one that lacked it has it', () => forgetful.lookup('committed') === made.ino)
  cluster.settle()
  cluster.checkDigests()
  t.equal(forgetful.channel.contradiction, undefined)
  t.end()
})

void t.test('two members whose states differ notice it although there is no leader', t => {
  const cluster = new Cluster(4)
  const [leader, gone, bad, good] = cluster.roles() as [Member, Member, Member, Member]
  const { ino, answer } = good.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  bad.channel.table.set('xattr', ino, 'user.rot', Uint8Array.of(1))
  ok(t, cluster, good.append(ino, 'x'))
  const { lastIndex } = leader.channel
  cluster.until('both have it', () => [bad, good].every(({ channel }) => channel.appliedIndex === lastIndex))
  for (const member of [leader, gone]) member.crash()
  const says = ({ reports }: Member): boolean =>
    reports.some(({ message }) => /state of member .* differs/.test(message))
  t.notOk(says(bad) || says(good))
  cluster.until('both say it', () => says(bad) && says(good), 20_000)
  for (const { channel } of [bad, good]) {
    cluster.until('status says it', () => channel.contradiction !== undefined)
    t.match(channel.contradiction, 'no majority says which is right')
  }
  t.end()
})

void t.test('a false digest is held against the member that tells it as soon as a majority agrees', t => {
  const cluster = new Cluster(3)
  const [victim, honest, liar] = cluster.roles() as Three
  const { channel } = victim
  const hear = channel.message.bind(channel)
  const lie = (index: number): void => hear(liar.id, { kind: 'digest', index, hash: new Uint8Array(32).fill(1) })
  let isDeaf = true
  let heard = 0
  channel.message = (from, message) => {
    if (message.kind !== 'digest') return hear(from, message)
    if (isDeaf || from === liar.id) return
    heard = message.index
    hear(from, message)
  }
  const { ino, answer } = victim.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  cluster.advance(20_000)
  const old = channel.appliedIndex
  lie(old)
  t.equal(channel.contradiction, undefined, 'others may say theirs in a moment')
  cluster.until('it is told', () => channel.contradiction !== undefined)
  isDeaf = false
  ok(t, cluster, honest.append(ino, 'x'))
  cluster.until('a majority agrees at a later entry', () => heard > old, 20_000)
  t.equal(channel.contradiction, undefined)
  lie(old)
  cluster.advance(5000)
  t.equal(channel.contradiction, undefined, 'it is known who is wrong')
  t.ok(victim.reports.some(({ level, message }) => level === 'error' && message.includes(`member ${liar.id} differs`)))
  t.equal(
    cluster.members.find(({ quarantined }) => quarantined !== undefined),
    undefined,
  )
  t.end()
})

void t.test('a difference that nobody can decide is told until the member is removed', t => {
  const cluster = new Cluster(2)
  const [owner, bad] = cluster.members as [Member, Member]
  const { ino, answer } = owner.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  bad.channel.table.set('xattr', ino, 'user.rot', Uint8Array.of(1))
  ok(t, cluster, owner.append(ino, 'x'))
  cluster.until('it is told', () => owner.channel.contradiction !== undefined, 20_000)
  const { channel } = owner
  // it says nothing more of its state: there is no more to decide by
  const hear = channel.message.bind(channel)
  channel.message = (from, message) => (message.kind === 'digest' ? undefined : hear(from, message))
  let errno: number | undefined
  channel.changeMembers(withoutMember(channel.descriptor, bad.id), 20_000, result => (errno = result))
  cluster.until('removal', () => errno !== undefined)
  t.equal(errno, 0)
  cluster.advance(5000)
  t.equal(channel.contradiction, undefined)
  t.end()
})

void t.test('removal: of a follower, then of the leader; those that stay go on', t => {
  const cluster = new Cluster(4, 3)
  const owner = cluster.members[0]!
  const remove = (member: Member): void => {
    let errno: number | undefined
    // EAGAIN: a leader that has just been elected
    do {
      errno = undefined
      owner.channel.changeMembers(
        withoutMember(owner.channel.descriptor, member.id),
        20_000,
        answer => (errno = answer),
      )
      cluster.until('an answer', () => errno !== undefined)
    } while (errno === EAGAIN)
    t.equal(errnoName(errno!), errnoName(0))
  }
  cluster.settle()
  const follower = cluster.members.find(member => member !== owner && !member.leads)!
  remove(follower)
  cluster.advance(3000)
  follower.crash()
  t.equal(owner.channel.configuration.voters.length, 3)
  if (cluster.leader() === owner) {
    owner.channel.transferLeadership(cluster.alive.find(member => member !== owner)!.id)
    cluster.until('another leader', () => !owner.leads && cluster.alive.some(member => member.leads))
  }
  const leader = cluster.alive.find(member => member.leads)!
  remove(leader)
  cluster.until('a leader among those that stay', () => cluster.alive.some(member => member !== leader && member.leads))
  leader.crash()
  const { ino, answer } = owner.create('f')
  ok(t, cluster, answer, owner.append(ino, 'x', { durable: true }))
  cluster.settle()
  cluster.checkDigests()
  t.equal(owner.channel.configuration.voters.length, 2)
  t.throws(() => withoutMember(owner.channel.descriptor, owner.id), { code: 'refused' })
  t.end()
})

void t.test('a newcomer that was never heard is not promoted, however short the log', t => {
  const cluster = new Cluster(1)
  const leader = cluster.leader()
  const newcomer = cluster.newcomer()
  newcomer.kill()
  const wanted = { id: newcomer.id, name: 'new', address: '', role: 'voter', certificate: '' } as const
  let errno: number | undefined
  leader.channel.changeMembers(withMember(leader.channel.descriptor, wanted), 20_000, answer => (errno = answer))
  cluster.until('the admission', () => errno !== undefined)
  t.equal(errno, 0)
  cluster.advance(10_000)
  t.same(leader.channel.configuration.voters, [leader.id])
  ok(t, cluster, leader.create('f').answer, leader.durable())
  newcomer.start()
  cluster.network.connectAll()
  cluster.until('promotion', () => leader.channel.configuration.voters.includes(newcomer.id))
  t.end()
})

void t.test('a newcomer is admitted, takes a snapshot in, and is promoted to a voter', t => {
  const cluster = new Cluster(3, 9)
  const [leader] = cluster.roles() as Three
  const { ino, answer } = leader.create('f')
  ok(t, cluster, answer, leader.write(ino, 0, 'before', { durable: true }))
  cluster.settle()
  const owner = cluster.members[0]!
  const newcomer = cluster.newcomer()
  const admitted = withMember(owner.channel.descriptor, {
    id: newcomer.id,
    name: 'new',
    address: '',
    role: 'voter',
    certificate: '',
  })
  let errno: number | undefined
  owner.channel.changeMembers(admitted, 20_000, answer => (errno = answer))
  for (let i = 0; i < 20; i++) {
    leader.append(ino, `+${i}`)
    cluster.advance(30)
  }
  cluster.until('promotion', () => leader.channel.configuration.voters.includes(newcomer.id))
  t.equal(errno, 0)
  ok(t, cluster, newcomer.append(ino, '+mine', { durable: true }))
  cluster.settle()
  cluster.checkDigests()
  t.match(newcomer.content(ino), /^before\+0.*\+19.*/)
  t.equal(newcomer.content(ino), leader.content(ino))
  t.equal(newcomer.channel.configuration.voters.length, 4)
  newcomer.crash()
  newcomer.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  t.equal(newcomer.content(ino), leader.content(ino))
  t.end()
})

void t.test('a member whose state fell back behind an admission talks to whom its log names', t => {
  const cluster = new Cluster(1)
  const [owner] = cluster.members as [Member]
  cluster.leader()
  const older = new SimStateStore([takeSnapshot(owner)])
  const newcomer = cluster.newcomer()
  const admitted = { id: newcomer.id, name: 'new', address: '', role: 'voter', certificate: '' } as const
  owner.channel.changeMembers(withMember(owner.channel.descriptor, admitted), 20_000, () => {})
  cluster.until('promotion', () => owner.channel.configuration.voters.length === 2)
  cluster.settle()
  owner.crash()
  owner.loseState(older)
  owner.start()
  const isKnown = (member: Member): boolean => member.channel.peers.some(({ id }) => id === newcomer.id)
  t.notOk(owner.channel.descriptor.members.some(({ id }) => id === newcomer.id))
  t.ok(isKnown(owner), 'without whose vote it gets no further')
  cluster.network.connectAll()
  cluster.settle()
  const { channel } = owner
  let errno: number | undefined
  channel.changeMembers(withoutMember(channel.descriptor, newcomer.id), 20_000, answer => (errno = answer))
  cluster.until('removal', () => errno !== undefined)
  t.equal(errno, 0)
  t.notOk(isKnown(owner), 'who is removed is known no more')
  t.end()
})

void t.test(
  'a member that was away while a newcomer was admitted, and came to lead, hears of it from the others',
  t => {
    const cluster = new Cluster(3)
    const owner = cluster.members[0]!
    const away = cluster.members[2]!
    cluster.leader()
    cluster.settle()
    away.stop()
    const newcomer = cluster.newcomer()
    const admitted = { id: newcomer.id, name: 'new', address: '', role: 'voter', certificate: '' } as const
    owner.channel.changeMembers(withMember(owner.channel.descriptor, admitted), 20_000, () => {})
    cluster.until('promotion', () => owner.channel.configuration.voters.length === 4)
    cluster.settle()
    // one that has just started waits for what others remember of it
    cluster.advance(electionTimeoutTicks * tickMs)
    cluster.leader().channel.transferLeadership(newcomer.id)
    cluster.until('the newcomer leads', () => newcomer.leads)
    cluster.network.blocked = (a, b) => cluster.areStrangers(a, b)
    away.start()
    cluster.until('all agree', () => {
      cluster.network.connectAll()
      return cluster.settled()
    })
    t.ok(newcomer.leads)
    t.end()
  },
)

void t.test('what the leader says while a member takes a snapshot in is said again afterwards', t => {
  for (const arrives of [true, false]) {
    const cluster = new Cluster(3)
    const [leader, follower] = cluster.roles() as Three
    cluster.settle()
    follower.channel.beginRestore()
    const refused = follower.change(unlink('nothing'))
    let read: number | undefined
    follower.channel.readBarrier(5000, errno => (read = errno))
    cluster.advance(1000)
    t.equal(refused.errno, undefined)
    follower.channel.restored(arrives ? follower.disk.install(takeSnapshot(leader), follower.channel) : undefined)
    cluster.until('the answers', () => refused.errno !== undefined && read !== undefined, 1000)
    t.equal(errnoName(refused.errno!), errnoName(ENOENT))
    t.equal(read, 0)
    cluster.settle()
  }
  t.end()
})

void t.test('a hand-over of leadership that comes to nothing loses no forwarded change', t => {
  const cluster = new Cluster(3)
  const [leader, follower, target] = cluster.roles() as Three
  const { ino, answer } = leader.create('f')
  ok(t, cluster, answer)
  cluster.settle()
  cluster.network.silence(leader.id, target.id, 60_000)
  cluster.network.silence(follower.id, target.id, 60_000)
  t.equal(leader.channel.transferLeadership(target.id), true)
  leader.append(ino, 'keeps the target behind;')
  const write = follower.append(ino, 'forwarded;')
  ok(t, cluster, write)
  const sync = follower.durable(10_000)
  t.equal(errnoName(cluster.answered(sync)), errnoName(0))
  t.end()
})

void t.test('no forwarded change passes one that was left aside during a hand-over of leadership', t => {
  const cluster = new Cluster(3)
  const [leader, follower, target] = cluster.roles() as Three
  cluster.settle()
  const { session, sequence: last } = leader.channel.table.get('session', 0, follower.id)!
  const propose = (restart: boolean, first: number, sequence: number): void => {
    const setxattr = { kind: 'setxattr', ino: 1, name: `user.${sequence}`, value: zeroHash, flags: 0 } as const
    const operation = encodeOperation(setxattr)
    const proposal = {
      kind: 'change',
      origin: follower.id,
      session,
      sequence: last + sequence,
      time: 1n,
      operation,
      payload: new Uint8Array(0),
      payloadHash: zeroHash,
      signature: new Uint8Array(0),
    } as const
    leader.channel.message(follower.id, { kind: 'propose', restart, first, proposals: [proposal] })
  }
  const taken = (): number[] => [1, 2, 3].filter(n => leader.channel.view.get('xattr', 1, `user.${n}`) !== undefined)
  propose(true, 1, 1)
  cluster.settle()
  t.same(taken(), [1])
  cluster.network.silence(leader.id, target.id, 60_000)
  cluster.network.silence(follower.id, target.id, 60_000)
  t.equal(leader.channel.transferLeadership(target.id), true)
  propose(true, 1, 2)
  cluster.until('the hand-over has come to nothing', () => leader.channel.transferring === undefined)
  t.ok(leader.leads)
  propose(false, 2, 3)
  cluster.advance(1000)
  t.same(taken(), [1])
  propose(true, 1, 2)
  propose(false, 2, 3)
  cluster.until('all in their order', () => taken().length === 3)
  t.end()
})

void t.test('what a member forwards after its removal is asked for when it is admitted again', t => {
  const cluster = new Cluster(3)
  const owner = cluster.members[0]!
  cluster.leader().channel.transferLeadership(owner.id)
  cluster.until('the owner leads', () => owner.leads)
  cluster.settle()
  const follower = cluster.members[2]!
  const { descriptor } = owner.channel
  const { id, name, address, role, certificate } = descriptor.members.find(member => member.id === follower.id)!
  let errno: number | undefined
  owner.channel.changeMembers(withoutMember(descriptor, id), 20_000, answer => (errno = answer))
  cluster.until('removal', () => errno !== undefined)
  t.equal(errno, 0)
  const write = follower.create('f').answer
  cluster.advance(100)
  t.equal(owner.lookup('f'), undefined, 'who is no member changes nothing')
  const again = withMember(owner.channel.descriptor, { id, name, address, role, certificate })
  owner.channel.changeMembers(again, 20_000, () => {})
  ok(t, cluster, write)
  cluster.settle()
  t.not(owner.lookup('f'), undefined)
  t.end()
})

void t.test('a read barrier that finds no leader is served when there is one', t => {
  const cluster = new Cluster(3)
  const [leader, follower] = cluster.roles() as Three
  cluster.settle()
  leader.crash()
  cluster.until('the follower knows', () => follower.channel.leader === undefined)
  let errno: number | undefined
  follower.channel.readBarrier(20_000, answer => (errno = answer))
  cluster.until('an answer', () => errno !== undefined)
  t.equal(errnoName(errno!), errnoName(0))
  t.end()
})

void t.test('whom a member only vouches for is talked to, and changes nothing', t => {
  const cluster = new Cluster(3, 5)
  const [leader, liar] = cluster.roles() as Three
  cluster.settle()
  const { descriptor } = leader.channel
  const removed = { ...descriptor.members.at(-1)!, id: 'f'.repeat(16), slot: 99, address: '127.0.0.1:1' }
  const moved = descriptor.members.map(member => ({ ...member, address: '127.0.0.1:2' }))
  const false_ = { ...descriptor, version: descriptor.version + 5, members: [...moved, removed] }
  leader.channel.message(liar.id, { kind: 'note', topic: 'members', body: JSON.stringify(false_) })
  const address = (id: string): string | undefined => leader.channel.peers.find(peer => peer.id === id)?.address
  t.equal(address(removed.id), '127.0.0.1:1')
  for (const member of descriptor.members) t.equal(address(member.id), member.address, 'nobody is moved')

  // nor is it given what the files hold
  t.same(
    [removed.id, liar.id].map(id => leader.channel.gives(id)),
    [false, true],
  )
  const { ino, answer } = leader.create('file')
  ok(t, cluster, answer)
  ok(t, cluster, leader.write(ino, 0, 'secret', { durable: true }))
  const blobs: string[] = []
  const send = cluster.network.send.bind(cluster.network)
  cluster.network.send = (from, to, message) => {
    if (message.kind === 'blob') blobs.push(`${to === liar.id ? 'member' : 'none'}: ${message.data !== undefined}`)
    return send(from, to, message)
  }
  const [blob] = leader.log.blobIds(0, Number.MAX_SAFE_INTEGER)
  for (const id of [removed.id, liar.id]) leader.channel.message(id, { kind: 'blob-wanted', id: blob!, term: 0 })
  t.same(blobs, ['none: false', 'member: true'])

  const opened = encodeOperation({ kind: 'open-session' })
  const made = encodeOperation({
    kind: 'make',
    parent: 1,
    name: 'a',
    ino: liar.slot * inodesPerSlot + 77,
    mode: 0o40755,
    uid: 0,
    gid: 0,
    rdev: 0,
    target: '',
  })
  const proposal = {
    kind: 'change',
    session: 2 ** 40,
    sequence: 1,
    time: 1n,
    payload: new Uint8Array(0),
    payloadHash: zeroHash,
    signature: new Uint8Array(0),
  } as const
  const { lastIndex } = leader.channel
  for (const origin of [removed.id, liar.id]) {
    const proposals = [opened, made].map((operation, i) => ({ ...proposal, origin, sequence: i + 1, operation }))
    leader.channel.message(origin, { kind: 'propose', restart: true, first: 1, proposals })
    t.equal(
      leader.channel.lastIndex > lastIndex,
      origin === liar.id,
      `by ${origin === liar.id ? 'a member' : 'who is none'}`,
    )
  }
  t.end()
})
