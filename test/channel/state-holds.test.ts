/** A copy of the state, a snapshot for a member and a verification want the state on disk to stand still at the same time. */
import t from 'tap'
import type { HeldState } from '../../src/channel/state-holds.js'
import { Cluster, type Member } from './support/cluster.js'

const noBytes = new Uint8Array(0)

/** Opening a state takes so long; a verification has the state of its mark, the others any that stands still. */
const openMs = 700
const kinds = ['copy', 'snapshot', 'verify'] as const
type Kind = (typeof kinds)[number]

/** Who opens a state, as the daemon does: what is on disk must not move until it is open. */
class Openers {
  readonly opened: { kind: Kind; index: number; applied: number }[] = []
  readonly problems: string[] = []
  #opening = 0

  open(cluster: Cluster, member: Member, kind: Kind, mark?: number): void {
    member.channel.holdState(kind === 'verify', held => {
      if (held === undefined) return void this.problems.push(`${kind}: in vain`)
      if (mark !== undefined && held.index !== mark) this.problems.push(`${kind}: ${held.index}, not ${mark}`)
      if (++this.#opening > 1) this.problems.push(`${kind}: another opens it`)
      const { applied } = member.channel
      cluster.clock.after(openMs, () => this.#isOpen(member, kind, held, applied.index))
    })
  }

  #isOpen(member: Member, kind: Kind, held: HeldState, applied: number): void {
    const { index } = member.state.position!
    if (index !== held.index) this.problems.push(`${kind}: the state moved from ${held.index} to ${index}`)
    this.#opening--
    this.opened.push({ kind, index, applied })
    held.release()
    // as who reads it to the end does once more
    member.channel.tick()
    held.release()
  }
}

for (const first of kinds) {
  for (const second of kinds) {
    void t.test(`${first}, and ${second} at the same time`, t => {
      for (const members of [1, 2]) {
        for (const betweenMs of [0, 1, 300, 650]) {
          const openers = new Openers()
          const cluster: Cluster = new Cluster(members, 3, {
            hooks: {
              marked: (member, _, index) => member === leader && openers.open(cluster, member, 'verify', index),
            },
          })
          const leader = cluster.leader()
          cluster.settle()
          for (const kind of [first, second, first]) {
            if (kind === 'verify') leader.change({ kind: 'mark', id: 7 }, noBytes)
            else openers.open(cluster, leader, kind)
            leader.create(`between-${cluster.clock.now}-${openers.opened.length}`)
            cluster.advance(betweenMs)
            leader.mkdir(`and-${cluster.clock.now}`)
          }
          const last = leader.mkdir('last')
          cluster.until('all are open', () => openers.opened.length === 3)
          t.same(openers.problems, [], `${members} members, ${betweenMs} ms`)
          t.equal(cluster.answered(last.answer), 0)
          cluster.settle()
          cluster.checkDigests()
          cluster.until('what was held up is written out', () => {
            return leader.state.position!.index === leader.channel.appliedIndex
          })
        }
      }
      t.end()
    })
  }
}

void t.test('whoever waits for one that never opens it gives up, and the channel goes on', t => {
  const cluster = new Cluster(1, 3)
  const leader = cluster.leader()
  cluster.settle()
  leader.channel.holdState(false, () => {})
  const answers: (HeldState | undefined)[] = []
  leader.channel.holdState(false, held => answers.push(held))
  leader.channel.holdState(true, held => answers.push(held))
  const { answer } = leader.mkdir('a')
  cluster.advance(5000)
  t.same(answers, [])
  cluster.advance(6000)
  t.same(answers, [undefined, undefined])
  t.equal(cluster.answered(answer), 0)
  t.end()
})

void t.test('who waits hears of it when the channel ends', t => {
  const cluster = new Cluster(1, 3)
  const { channel } = cluster.leader()
  const answers: (HeldState | undefined)[] = []
  channel.holdState(false, held => answers.push(held))
  channel.holdState(false, held => answers.push(held))
  channel.stop()
  t.equal(answers.length, 2)
  t.equal(answers[1], undefined)
  answers[0]!.release()
  channel.holdState(true, held => answers.push(held))
  t.equal(answers.length, 3)
  t.end()
})

void t.test('a state that the disk does not take is held by nobody, and the member stops', t => {
  const cluster = new Cluster(3, 1)
  const leader = cluster.leader()
  cluster.settle()
  const given: (HeldState | undefined)[] = []
  const take = (): void => leader.channel.holdState(false, held => given.push(held))
  take()
  take()
  take()
  t.equal(given.length, 1, 'the second and the third wait')
  leader.create('file')
  leader.log.fail('sync')
  given[0]!.release()
  t.same(given.slice(1), [undefined, undefined], 'who waited is told')
  t.match(leader.failed, /EIO/, 'a failed sync stops the channel')
  leader.reopen()
  cluster.network.connectAll()
  cluster.settle()
  take()
  t.ok(given[3], 'it can be held again')
  given[3]?.release()
  t.end()
})
