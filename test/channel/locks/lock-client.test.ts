import t from 'tap'
import { EINTR } from '../../../src/base/errno.js'
import { LockClient } from '../../../src/channel/locks/lock-client.js'
import type { LockAgain, LockAnswers, LockCalls } from '../../../src/channel/locks/lock-messages.js'
import { LockServer } from '../../../src/channel/locks/lock-server.js'
import { lockTiming } from '../../../src/channel/locks/lock-timing.js'
import { endOfFile, type Lock, type LockType } from '../../../src/channel/locks/lock.js'

const ino = 1
const leader = { id: 'leader', term: 1 }

function flock(owner: string, type: LockType): Lock {
  return { space: 'flock', ino, owner, type, start: 0, end: endOfFile, pid: 1 }
}

/** A member and the leader, whose messages a test delivers, or loses. */
class Pair {
  readonly client: LockClient
  readonly server: LockServer
  readonly calls: LockCalls[] = []
  readonly answers: (LockAnswers | LockAgain)[] = []
  #confirmed = 0

  constructor() {
    const send = (_: string, message: LockCalls): boolean => this.calls.push(message) > 0
    this.client = new LockClient(1, { send, lost: () => {} }, lockTiming)
    this.server = new LockServer(
      leader.term,
      0,
      {
        send: (_, message) => this.answers.push(message) > 0,
        confirm: context => (this.#confirmed = context),
        endSession: () => {},
        hasAllOf: () => true,
      },
      lockTiming,
    )
    this.client.leaderChanged(leader, 0)
    this.serve()
    this.server.tick(0, ['member'], ['member'])
    this.serve()
  }

  /** Answers the errno once it is told. */
  ask(lock: Lock, wait: boolean): () => number | undefined {
    let told: number | undefined
    this.client.acquire(lock, wait, 5000, 0, errno => (told = errno))
    return () => told
  }

  /** All that was sent arrives, but not the answers of some rounds. */
  serve(loses: (message: LockAnswers | LockAgain) => boolean = () => false): void {
    while (this.calls.length > 0 || this.answers.length > 0) {
      for (const message of this.calls.splice(0)) this.server.receive('member', message, 0)
      this.server.confirmed(this.#confirmed, 0)
      for (const message of this.answers.splice(0)) if (!loses(message)) this.client.receive(leader.id, message, 0)
    }
  }

  believed(): string[] {
    return Array.from(this.client.held, ({ owner, type }) => `${owner} ${type}`)
  }
  known(): string[] {
    return Array.from(this.server.table.held, ({ owner, type }) => `${owner.slice(owner.indexOf('/') + 1)} ${type}`)
  }
}

t.test(
  'flock(2): a wait of one thread for another type takes what a second one got meanwhile, in each round',
  async t => {
    const pair = new Pair()
    const reader = pair.ask(flock('other', 'read'), true)
    pair.serve()
    const writer = pair.ask(flock('shared', 'write'), true)
    pair.serve()
    const second = pair.ask(flock('shared', 'read'), true)
    const third = pair.ask(flock('third', 'write'), true)
    pair.serve()
    t.strictSame([reader(), writer(), second(), third()], [0, undefined, 0, undefined])

    // the writer gets it, but the member does not hear of it, and begins a round
    pair.client.release(
      flock('other', 'read'),
      5000,
      0,
      ready => ready(),
      () => {},
    )
    pair.serve(() => true)
    t.strictSame(pair.known(), ['shared write'])
    pair.client.connected(leader.id, 0)
    for (let i = 0; i < 3; i++) pair.serve()
    t.strictSame(pair.believed(), pair.known())
    t.equal(pair.believed().length, 1, 'one of the two that want to write has it')
  },
)

t.test(
  'flock(2): what was granted unheard is not left behind when the open file waits for another type, too',
  async t => {
    const pair = new Pair()
    const other = pair.ask(flock('other', 'read'), true)
    pair.serve()
    let interrupted: number | undefined
    const before = pair.client.acquire(flock('before', 'write'), true, 5000, 0, errno => (interrupted = errno))
    const reading = pair.ask(flock('shared', 'read'), true)
    pair.serve()
    t.strictSame([other(), reading()], [0, undefined])

    // it is its turn now, which the member does not hear
    pair.client.cancel(before)
    pair.serve(() => true)
    t.equal(interrupted, EINTR)
    let denied: number | undefined
    const writing = pair.client.acquire(flock('shared', 'write'), true, 5000, 0, errno => (denied = errno))
    pair.serve(() => true)
    pair.client.connected(leader.id, 0)
    pair.serve()
    t.strictSame(pair.believed(), pair.known())
    pair.client.cancel(writing)
    pair.serve()
    t.equal(denied, EINTR)
    t.strictSame(pair.believed(), pair.known())
  },
)
