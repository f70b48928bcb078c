/** Names that other systems gave twice, tied into a loop, overwrote, or brought back from the dead. */
import t from 'tap'
import { EEXIST, EINVAL, ENOENT, ENOTEMPTY, ESTALE, errnoName } from '../../src/base/errno.js'
import { readableGhostBytesMax } from '../../src/base/limits.js'
import type { Attributes, Entry, OpenFile } from '../../src/channel/mount-port.js'
import type { Operation } from '../../src/fs/operation.js'
import { call, caller, Program } from '../channel/support/calls.js'
import { Cluster, type Member, type Three } from '../channel/support/cluster.js'
import type { SimStateStore } from '../channel/support/sim-stores.js'

const O_EXCL = 0o200
const RENAME_EXCHANGE = 2

/** Nobody waits for the answer. */
const ignored = { ok() {}, fail() {}, onInterrupt() {} }

function rename(parent: number, name: string, newParent: number, newName: string, flags = 0): Operation {
  return { kind: 'rename', parent, name, newParent, newName, flags }
}

const unlink = (name: string, parent = 1): Operation => ({ kind: 'unlink', parent, name })

/** What create(2) on a member's mount has answered. */
interface Created {
  done: boolean
  errno?: number
  ino?: number
}

function create(member: Member, name: string, flags: number): Created {
  const created: Created = { done: false }
  member.frontend.create(caller, 1, name, 0o100644, flags, {
    ok: ({ entry }: { entry: Entry; file: OpenFile }) =>
      Object.assign(created, { done: true, ino: entry.attributes.ino }),
    fail: errno => Object.assign(created, { done: true, errno }),
    onInterrupt: () => {},
  })
  return created
}

/**
 * Two clients move two directories into each other at once. Each move alone is fine, and neither touches what the other
 * one checked: together they make a loop that hangs off nothing.
 */
void t.test('juicedata/juicefs#5711, deepseek-ai/3FS#31: renames by two members make no loop of directories', t => {
  for (const exchange of [false, true]) {
    for (let seed = 1; seed <= 10; seed++) {
      const cluster = new Cluster(3, seed)
      const [leader, follower, other] = cluster.roles() as Three
      const tree = new Map<string, number>()
      for (const path of ['a', 'a/b', 'a/b/c', 'x', 'x/y', 'x/y/z']) {
        const at = path.lastIndexOf('/')
        const parent = at < 0 ? 1 : tree.get(path.slice(0, at))!
        const { ino, answer } = leader.mkdir(path.slice(at + 1), parent)
        if (cluster.answered(answer) !== 0) t.fail(path)
        tree.set(path, ino)
      }
      cluster.settle()
      const pair = seed % 2 === 0 ? [leader, follower] : [follower, other]
      // b goes below x/y/z, y below a/b/c: only one of the two can
      const moves = exchange
        ? [
            rename(tree.get('a')!, 'b', tree.get('x/y')!, 'z', RENAME_EXCHANGE),
            // either way round
            seed % 3 === 0
              ? rename(tree.get('x')!, 'y', tree.get('a/b')!, 'c', RENAME_EXCHANGE)
              : rename(tree.get('a/b')!, 'c', tree.get('x')!, 'y', RENAME_EXCHANGE),
          ]
        : [rename(tree.get('a')!, 'b', tree.get('x/y/z')!, 'b'), rename(tree.get('x')!, 'y', tree.get('a/b/c')!, 'y')]
      const answers = pair.map((member, i) => member!.change(moves[i]!))
      const errnos = answers.map(answer => cluster.answered(answer)).sort((a, b) => a - b)
      if (errnos[0] !== 0 || errnos[1] !== EINVAL) t.same(errnos.map(errnoName), ['OK', 'EINVAL'], `seed ${seed}`)
      cluster.settle()
      cluster.checkDigests()
      // all six are still reached from the root
      const seen = new Set<number>()
      const walk = (ino: number): void => {
        for (const name of other.names(ino)) {
          const child = other.lookup(name, ino)!
          if (seen.has(child)) throw new Error('a directory is there twice')
          seen.add(child)
          walk(child)
        }
      }
      walk(1)
      if (seen.size !== 6) t.equal(seen.size, 6, `seed ${seed}`)
    }
  }
  t.pass('10 seeds each')
  t.end()
})

/** Clients looked whether the name was there, then made it: two of them held the same lock file. */
void t.test('oss-tsukuba/gfarm#739, llnl/UnifyFS#689: O_EXCL has one winner among all members', t => {
  const winners = new Set<number>()
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new Cluster(3, seed)
    cluster.leader()
    cluster.settle()
    const calls = cluster.members.map(member => {
      const made = create(member, 'lock', O_EXCL | 1)
      cluster.advance(cluster.rng.below(3))
      return made
    })
    // the last one to try is not always the last one to be heard
    cluster.until('answers', () => calls.every(one => one.done))
    const won = calls.filter(one => one.errno === undefined)
    if (won.length !== 1) t.equal(won.length, 1, `seed ${seed}`)
    winners.add(calls.indexOf(won[0]!))
    if (!calls.every(one => one.errno === undefined || one.errno === EEXIST)) t.same(calls, [], `seed ${seed}`)
    cluster.settle()
    cluster.checkDigests()
    for (const member of cluster.members) if (member.lookup('lock') !== won[0]!.ino) t.fail('another one is there')
  }
  t.ok(winners.size > 1, 'it is no privilege of one')
  t.end()
})

/** Without O_EXCL the one that came second was told EEXIST, which open(2) never says then. */
void t.test('leil-io/leilfs#921: who loses the race for a plain O_CREAT opens the file of the winner', t => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new Cluster(3, seed)
    cluster.leader()
    cluster.settle()
    const calls = cluster.members.map(member => create(member, 'shared', 1))
    cluster.until('answers', () => calls.every(one => one.done))
    const inodes = new Set(calls.map(one => one.ino))
    if (inodes.size !== 1 || inodes.has(undefined)) t.same(calls, [], `seed ${seed}`)
  }
  t.pass('20 seeds')
  t.end()
})

/**
 * A reader that has a name cached opens the inode it knows, which a rename over the name has just removed; it was told
 * ENOENT, though the name was there all the time. ESTALE makes the kernel look the name up again.
 */
void t.test('ydb-platform/nbs#7151: a name that is replaced again and again is never missing', t => {
  const cluster = new Cluster(3, 7151)
  const [leader, follower] = cluster.roles() as Three
  const reader = new Program(cluster, follower)
  // a small file that was replaced is kept to be opened, a large one is not
  const text = (i: number): string => 'x'.repeat(i % 2 === 0 ? 1000 : readableGhostBytesMax + 1)
  const first = leader.create('value')
  cluster.answered(first.answer)
  cluster.answered(leader.write(first.ino, 0, text(0)))
  cluster.settle()
  let known = { ino: follower.lookup('value')!, length: text(0).length }
  const seen = { opened: 0, stale: 0 }
  for (let i = 0; i < 120; i++) {
    const next = leader.create(`draft${i}`)
    cluster.answered(next.answer)
    cluster.answered(leader.write(next.ino, 0, text(i)))
    const moved = leader.change(rename(1, `draft${i}`, 1, 'value'))
    cluster.answered(moved)
    cluster.until('it is applied', () => follower.lookup('value') === next.ino)
    const { value, errno } = call<OpenFile>(cluster, reply =>
      follower.frontend.open(caller, known.ino, 0, false, reply),
    )
    if (errno !== undefined && errno !== ESTALE) t.equal(errnoName(errno), 'ESTALE')
    if (value === undefined) seen.stale++
    else {
      seen.opened++
      if (reader.read(known.ino, value.handle).length !== known.length) t.fail('what is opened is whole')
      reader.close(known.ino, value.handle)
    }
    // as stat(2) does right after the close, with the name still cached
    const stat = call<{ attributes: Attributes }>(cluster, reply => follower.frontend.getattr(caller, known.ino, reply))
    if (stat.errno !== undefined && stat.errno !== ESTALE) t.equal(errnoName(stat.errno), 'ESTALE')
    // every other time the kernel does not hear of it in time
    if (i % 3 !== 0) known = { ino: next.ino, length: text(i).length }
  }
  t.equal(seen.opened + seen.stale, 120)
  t.ok(seen.opened > 0)
  t.ok(seen.stale > 0)
  t.end()
})

/**
 * Two nodes that did not hear of each other made the same name; when they met, one file took the place of the other, and
 * what was in it was nowhere any more.
 */
void t.test('syncthing/syncthing#3742, #220: the same name made on both sides of a cut: nothing disappears', t => {
  const cluster = new Cluster(3, 3742)
  const [leader, other] = cluster.roles() as Three
  cluster.settle()
  cluster.network.isolate(leader.id, 2000)
  const mine = leader.create('X')
  const written = leader.write(mine.ino, 0, 'by the old leader')
  for (const answer of [mine.answer, written]) t.equal(cluster.answered(answer), 0, 'accepted: it does not know yet')
  cluster.until('another leader', () => other.leads || cluster.members[2]!.leads || cluster.members[1]!.leads)
  const theirs = other.create('X')
  t.equal(cluster.answered(theirs.answer), 0)
  t.equal(cluster.answered(other.write(theirs.ino, 0, 'by the others')), 0)
  t.equal(cluster.answered(other.durable()), 0)
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  for (const member of cluster.members) {
    t.same(member.names(), ['X'])
    t.equal(member.content(member.lookup('X')!), 'by the others', 'what was durable stands')
  }
  const kept = leader.lost.map(({ payload }) => Buffer.from(payload).toString()).filter(Boolean)
  t.same(kept, ['by the old leader'], 'what was not is handed over')
  t.end()
})

/**
 * A node that had been away sent the others what they had deleted meanwhile: it knew of no deletion, only that they lacked
 * its files.
 */
void t.test('syncthing/syncthing#1075: a member that was away brings back nothing that was deleted', t => {
  const cluster = new Cluster(3, 1075)
  const [leader, other, away] = cluster.roles() as Three
  const photos = Array.from({ length: 20 }, (_, i) => leader.create(`photo${i}`))
  for (const { ino, answer } of photos) {
    cluster.answered(answer)
    leader.write(ino, 0, 'content')
  }
  cluster.answered(leader.durable())
  cluster.settle()
  // its last change of one of them is still on its way when it goes
  cluster.network.isolate(away.id, 1000)
  const late = away.write(photos[0]!.ino, 0, 'changed')
  cluster.answered(late)
  away.stop()
  for (let i = 0; i < 15; i++) cluster.answered(other.change(unlink(`photo${i}`)))
  cluster.answered(leader.change(rename(1, 'photo15', 1, 'kept')))
  cluster.answered(other.create('new').answer)
  cluster.advance((10 * 24 * 3_600_000) / 1000)
  leader.stop()
  leader.start()
  away.start()
  cluster.network.connectAll()
  cluster.settle()
  cluster.checkDigests()
  for (const member of cluster.members) {
    t.same(member.names(), ['kept', 'new', 'photo16', 'photo17', 'photo18', 'photo19'])
    t.equal(member.content(photos[0]!.ino), undefined)
  }
  t.equal(Buffer.from(away.lost[0]!.payload).toString(), 'changed', 'its own last words are kept for it')
  t.end()
})

/** Records of deletions were forgotten after a while: who had been away for longer, or came back from a backup, revived the files. */
void t.test('syncthing/syncthing#10023: nor when nobody remembers the deletions any more', t => {
  const cluster = new Cluster(3, 10023)
  cluster.provideSnapshots()
  const [leader, other, away] = cluster.roles() as Three
  const old = leader.create('old')
  cluster.answered(old.answer)
  cluster.settle()
  away.stop()
  const backup = (away.state as SimStateStore).crashed(cluster.rng)
  away.start()
  cluster.network.connectAll()
  t.equal(away.lookup('old'), old.ino)
  cluster.answered(other.change(unlink('old')))
  for (let i = 0; i < 400; i++) {
    cluster.answered(leader.create(`f${i % 7}`).answer)
    cluster.answered(leader.change(unlink(`f${i % 7}`)))
  }
  cluster.settle()
  cluster.until('no log tells of it', () => {
    for (const member of cluster.members) member.channel.compact()
    return cluster.members.every(member => member.log.anchor.index > 20)
  })
  away.kill()
  away.loseState(backup)
  away.start()
  t.equal(away.channel.serving, false, 'a state from before the deletion is not shown')
  cluster.network.connectAll()
  cluster.until('it serves again', () => away.channel.serving)
  cluster.settle()
  cluster.checkDigests()
  t.equal(away.lookup('old'), undefined)
  t.same(away.names(), leader.names())
  t.end()
})

/** unlink(2) said that it was done when it was not; rmdir(2) then found what had been removed. */
void t.test('iowarp/clio-core#596: what removal says is so, whatever others rename meanwhile', t => {
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = new Cluster(3, seed)
    const [leader, follower, other] = cluster.roles() as Three
    const dir = leader.mkdir('d')
    cluster.answered(dir.answer)
    const files = Array.from({ length: 12 }, (_, i) => leader.create(`f${i}`, dir.ino))
    for (const { answer } of files) cluster.answered(answer)
    cluster.settle()
    const removed: string[] = []
    for (let i = 0; i < 12; i++) {
      const removing = follower.change(unlink(`f${i}`, dir.ino))
      const moving = other.change(rename(dir.ino, `f${i}`, dir.ino, `g${i}`))
      if (cluster.answered(removing) === 0) {
        removed.push(`g${i}`)
        if (cluster.answered(moving) !== ENOENT) t.fail('one of the two was first')
      } else if (cluster.answered(moving) !== 0) t.fail('one of the two was first')
    }
    cluster.settle()
    const left = follower.names(dir.ino)
    if (left.some(name => removed.includes(name)) || left.length + removed.length !== 12) t.same(left, removed)
    const errno = cluster.answered(follower.change({ kind: 'rmdir', parent: 1, name: 'd' }))
    if (errno !== (left.length === 0 ? 0 : ENOTEMPTY)) t.fail(`rmdir says ${errnoName(errno)} with ${left.length}`)
    cluster.settle()
    cluster.checkDigests()
  }
  t.pass('10 seeds')
  t.end()
})

/**
 * Files with open handles were removed by others while programs wrote to them: the mount hung, or stopped. Here the refusal
 * of a write and the removal that it rests on come at once, and the file's last content is taken over from what is shown.
 */
void t.test('huggingface/hf-mount#195: a file that is written is removed by another: its member goes on', t => {
  for (let seed = 1; seed <= 60; seed++) {
    const cluster = new Cluster(3, seed)
    cluster.network.delayMsMax = 1 + (seed % 3)
    const [leader, follower] = cluster.roles() as Three
    const program = new Program(cluster, follower)
    const files = Array.from({ length: 6 }, (_, i) => program.create(`f${i}`))
    cluster.settle()
    for (const [i] of files.entries()) {
      for (const { ino } of files) follower.frontend.write(caller, ino, 0, 0, Buffer.from('w'), 2, false, ignored)
      if (i % 2 === 0) cluster.advance(1)
      leader.change(unlink(`f${i}`))
      for (const { ino } of files) {
        follower.frontend.write(caller, ino, 0, 1, Buffer.from('x'), 2, false, ignored)
        follower.frontend.read(caller, ino, 0, 0, 2, ignored)
      }
    }
    cluster.settle()
    for (const { ino, handle } of files) {
      program.read(ino, handle)
      program.close(ino, handle)
    }
    const { failure, damage } = follower.channel
    if (failure !== undefined || damage !== undefined) t.same([failure, damage], [], `seed ${seed}`)
    cluster.checkDigests()
  }
  t.pass('60 seeds')
  t.end()
})

/**
 * One client extracted an archive while another deleted what was extracted, and calls failed there. A file that is open may
 * lose its name to another member at any moment; whoever has it open goes on with it, as on a disk: what it wrote a moment
 * before, on its way to the leader then, is still there, and no call of its fails.
 */
void t.test('moosefs/moosefs#362, gluster/glusterfs#4734: who writes a file goes on when another takes its name', t => {
  for (let seed = 1; seed <= 80; seed++) {
    const cluster = new Cluster(3, seed)
    cluster.network.delayMsMax = 1 + (seed % 4)
    const members = cluster.roles() as Three
    const writer = members[seed % 3 === 0 ? 0 : 1]!
    const remover = members[seed % 3 === 1 ? 0 : 2]!
    const program = new Program(cluster, writer)
    const { ino, handle } = program.create('file')
    cluster.answered(remover.create('draft').answer)
    cluster.settle()
    const taken = remover.change(seed % 2 === 0 ? unlink('file') : rename(1, 'draft', 1, 'file'))
    let text = ''
    for (let i = 0; i < 12; i++) {
      const line = `${i};`
      program.write(ino, handle, text.length, line)
      text += line
      if (i % 3 === seed % 3) cluster.advance(1 + (seed % 5))
      t.equal(program.read(ino, handle), text, `seed ${seed}: what it wrote is there`)
    }
    const closesAtOnce = seed % 5 === 0
    if (closesAtOnce) t.equal(program.close(ino, handle), 0, `seed ${seed}: nothing of its was lost`)
    t.equal(cluster.answered(taken), 0)
    cluster.settle()
    if (!closesAtOnce) {
      t.equal(program.read(ino, handle), text, `seed ${seed}`)
      t.equal(program.links(ino), 0)
      t.equal(program.close(ino, handle), 0, `seed ${seed}: nothing of its was lost`)
    }
    t.same(writer.lost, [], `seed ${seed}: and nothing is kept as a conflict`)
    cluster.checkDigests()
  }
  t.end()
})
