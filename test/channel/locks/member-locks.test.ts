import t from 'tap'
import { EAGAIN, EDEADLK, EINTR } from '../../../src/base/errno.js'
import { endOfFile, type Lock, type LockSpace, type LockType } from '../../../src/channel/locks/lock.js'
import { MemberLocks, type LockReach } from '../../../src/channel/locks/member-locks.js'

const place = (owner: string, space: LockSpace = 'posix') => ({ space, ino: 7, owner })
const whole = { start: 0, end: endOfFile }
const lock = (owner: string, type: LockType, space: LockSpace = 'posix', range = whole): Lock => ({
  ...place(owner, space),
  ...range,
  type,
  pid: 1,
})

/** Asks for a lock; `errno` when there is an answer. */
function ask(locks: MemberLocks, reach: LockReach, wanted: Lock, wait = false) {
  const asked: { errno: number | undefined; cancel: () => void } = { errno: undefined, cancel: () => {} }
  asked.cancel = locks.acquire(reach, wanted, wait, errno => (asked.errno = errno))
  return asked
}

for (const space of ['posix', 'flock'] as const) {
  void t.test(`${space}: one table for all mounts of a member`, t => {
    for (const [first, second, meet] of [
      ['local', 'local', true],
      ['local', 'channel', true],
      ['channel', 'local', true],
      // the leader's table is about these
      ['channel', 'channel', false],
    ] as const) {
      const locks = new MemberLocks()
      t.equal(ask(locks, first, lock('a', 'write', space)).errno, 0)
      t.equal(ask(locks, second, lock('b', 'write', space)).errno, meet ? EAGAIN : 0, `${first}, then ${second}`)
      if (!meet) continue
      const waits = ask(locks, second, lock('b', 'read', space), true)
      t.equal(waits.errno, undefined)
      locks.release(first, place('a', space), whole)
      t.equal(waits.errno, 0, 'it gets it when the other one goes')
    }
    t.end()
  })
}

void t.test('a wait is given up, and what waits behind it goes on', t => {
  const locks = new MemberLocks()
  t.equal(ask(locks, 'local', lock('a', 'read')).errno, 0)
  const writer = ask(locks, 'local', lock('b', 'write'), true)
  const reader = ask(locks, 'channel', lock('c', 'read'), true)
  t.same([writer.errno, reader.errno], [undefined, undefined])
  writer.cancel()
  t.same([writer.errno, reader.errno], [EINTR, 0])
  writer.cancel()
  t.equal(locks.test('local', lock('b', 'write'))?.type, 'read')
  t.end()
})

void t.test('a deadlock between programs of two mounts is found', t => {
  const locks = new MemberLocks()
  const [low, high] = [
    { start: 0, end: 9 },
    { start: 10, end: 19 },
  ]
  t.equal(ask(locks, 'local', lock('a', 'write', 'posix', low)).errno, 0)
  t.equal(ask(locks, 'channel', lock('b', 'write', 'posix', high)).errno, 0)
  t.equal(ask(locks, 'local', lock('a', 'write', 'posix', high), true).errno, undefined)
  t.equal(ask(locks, 'channel', lock('b', 'write', 'posix', low), true).errno, EDEADLK)
  t.end()
})

void t.test('what the leader refuses is undone: what was held before is held again', t => {
  const locks = new MemberLocks()
  const range = { start: 5, end: 14 }
  t.equal(ask(locks, 'channel', lock('a', 'read', 'posix', { start: 0, end: 9 })).errno, 0)
  const before = locks.held('channel', place('a'))
  const wanted = lock('a', 'write', 'posix', range)
  t.equal(ask(locks, 'channel', wanted).errno, 0)
  t.equal(ask(locks, 'local', lock('b', 'read', 'posix', { start: 14, end: 14 })).errno, EAGAIN)
  locks.undo('channel', wanted, before)
  t.same(
    locks.held('channel', place('a')).map(({ start, end, type }) => [start, end, type]),
    [[0, 9, 'read']],
  )
  t.equal(ask(locks, 'local', lock('b', 'write', 'posix', { start: 10, end: 14 })).errno, 0)
  t.end()
})
