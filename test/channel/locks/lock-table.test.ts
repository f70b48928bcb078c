import fc from 'fast-check'
import t from 'tap'
import { endOfFile, type Lock, type LockSpace, type LockType } from '../../../src/channel/locks/lock.js'
import { LockTable, type AcquireOutcome } from '../../../src/channel/locks/lock-table.js'
import { NaiveLocks } from './naive-locks.js'

const lock = (
  owner: string,
  type: LockType,
  start: number,
  end: number,
  space: LockSpace = 'posix',
  ino = 1,
): Lock => ({
  space,
  ino,
  owner,
  type,
  start,
  end,
  pid: 1,
})
const settled = (table: LockTable): string[] => table.takeSettled().map(({ lock, outcome }) => `${lock.id} ${outcome}`)

t.test('split, merge, upgrade, downgrade', async t => {
  const table = new LockTable()
  const held = (owner: string): string =>
    table.held
      .of({ space: 'posix', ino: 1, owner })
      .map(({ start, end, type }) => `${type[0]}${start}-${end === endOfFile ? '' : end}`)
      .join(' ')
  t.equal(table.acquire(lock('a', 'write', 0, 29), false, '1'), 'granted')
  table.release({ space: 'posix', ino: 1, owner: 'a' }, { start: 10, end: 19 })
  t.equal(held('a'), 'w0-9 w20-29')
  t.equal(table.acquire(lock('b', 'write', 10, 19), false, '2'), 'granted')
  t.equal(table.acquire(lock('b', 'read', 9, 9), false, '3'), 'busy')
  table.release({ space: 'posix', ino: 1, owner: 'b' }, { start: 0, end: endOfFile })
  t.equal(table.acquire(lock('a', 'write', 10, 19), false, '4'), 'granted')
  t.equal(held('a'), 'w0-29', 'neighbours are one')
  t.equal(table.acquire(lock('a', 'read', 5, endOfFile), false, '5'), 'granted')
  t.equal(held('a'), 'w0-4 r5-')
  t.equal(table.acquire(lock('b', 'read', 6, 7), false, '6'), 'granted', 'after the downgrade')
  t.equal(table.acquire(lock('a', 'write', 5, 8), false, '7'), 'busy', 'no upgrade over another reader')
  t.equal(held('a'), 'w0-4 r5-', 'a refused upgrade loses nothing')
  const found = table.test(lock('b', 'write', 0, 9))
  t.match(found, { owner: 'a', type: 'write', start: 0, end: 4 })
})

t.test('first come, first served', async t => {
  const table = new LockTable()
  table.acquire(lock('a', 'read', 0, 9), false, '1')
  t.equal(table.acquire(lock('b', 'write', 0, 9), true, '2'), 'waiting')
  t.equal(table.acquire(lock('c', 'read', 0, 9), true, '3'), 'waiting', 'a reader does not overtake a writer')
  t.equal(table.acquire(lock('d', 'read', 0, 9), false, '4'), 'granted', 'one that does not wait meets held locks only')
  t.equal(table.acquire(lock('e', 'write', 10, 19), true, '5'), 'granted', 'another range')
  table.release({ space: 'posix', ino: 1, owner: 'd' }, { start: 0, end: endOfFile })
  t.same(settled(table), [])
  table.release({ space: 'posix', ino: 1, owner: 'a' }, { start: 0, end: endOfFile })
  t.same(settled(table), ['2 granted'])
  t.equal(table.cancel('3'), true)
  t.equal(table.cancel('3'), false)
})

t.test('a deadlock of held locks is found, one of the order gives way', async t => {
  const table = new LockTable()
  table.acquire(lock('a', 'write', 0, 0), false, '1')
  table.acquire(lock('b', 'write', 1, 1), false, '2')
  table.acquire(lock('c', 'write', 2, 2), false, '3')
  t.equal(table.acquire(lock('a', 'write', 1, 1), true, '4'), 'waiting')
  t.equal(table.acquire(lock('b', 'write', 2, 2), true, '5'), 'waiting')
  t.equal(table.acquire(lock('c', 'write', 0, 0), true, '6'), 'deadlock')
  t.equal(table.acquire(lock('c', 'read', 3, 3), true, '7'), 'granted')

  const order = new LockTable()
  order.acquire(lock('a', 'read', 0, 0), false, '1')
  order.acquire(lock('r', 'write', 1, 1), false, '2')
  t.equal(order.acquire(lock('w', 'write', 0, 0), true, '3'), 'waiting')
  t.equal(order.acquire(lock('r', 'read', 0, 0), true, '4'), 'waiting', 'behind the writer')
  t.equal(order.acquire(lock('a', 'write', 1, 1), true, '5'), 'waiting')
  t.same(settled(order), ['4 granted'], 'the writer waits for a, and a for r: r goes first')
})

t.test('flock: the old lock goes before the new one is had', async t => {
  const table = new LockTable()
  const whole = (owner: string, type: LockType): Lock => lock(owner, type, 0, endOfFile, 'flock')
  table.acquire(whole('a', 'read'), false, '1')
  table.acquire(whole('b', 'read'), false, '2')
  t.equal(table.acquire(whole('b', 'write'), false, '3'), 'busy')
  t.equal(table.acquire(whole('a', 'write'), false, '4'), 'granted', 'the reader lost its lock by asking for more')
  t.equal(table.acquire(lock('x', 'write', 0, 5), false, '5'), 'granted', 'the other kind is not in the way')
  t.equal(table.acquire(whole('b', 'read'), true, '6'), 'waiting')
  t.equal(table.acquire(whole('a', 'read'), false, '7'), 'granted')
  t.same(settled(table), ['6 granted'], 'a downgrade lets readers in')
})

const last = 11
const arbitraryLock = fc.record({
  space: fc.constantFrom<LockSpace>('posix', 'posix', 'flock'),
  ino: fc.integer({ min: 1, max: 2 }),
  owner: fc.constantFrom('a', 'b', 'c', 'd'),
  type: fc.constantFrom<LockType>('read', 'write'),
  from: fc.integer({ min: 0, max: last }),
  to: fc.integer({ min: 0, max: last }),
})
const arbitraryStep = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('acquire' as const), lock: arbitraryLock, wait: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), lock: arbitraryLock }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('drop' as const), owner: fc.constantFrom('a', 'b', 'c', 'd') }),
  },
)

t.test('random steps agree with a naive model', async t => {
  const seen = new Set<AcquireOutcome | 'passed on'>()
  fc.assert(
    fc.property(fc.array(arbitraryStep, { maxLength: 60 }), steps => {
      const table = new LockTable()
      const model = new NaiveLocks(last)
      let next = 1
      const told: string[] = []
      for (const step of steps) {
        if (step.kind === 'acquire' || step.kind === 'release') {
          const { space, ino, type, from, to } = step.lock
          const start = space === 'flock' ? 0 : Math.min(from, to)
          const end = space === 'flock' ? last : Math.max(from, to)
          const owner = space === 'flock' ? `f${step.lock.owner}` : step.lock.owner
          const wanted = { space, ino, owner, type, start, end, pid: 1 }
          if (step.kind === 'release') {
            table.release(wanted, wanted)
            model.release(wanted)
          } else {
            const id = String(next++)
            const outcome = table.acquire(wanted, step.wait, id)
            seen.add(outcome)
            model.acquired(wanted, step.wait, id, outcome)
          }
        } else if (step.kind === 'drop') {
          table.replace(
            owner => owner === step.owner,
            [],
            () => false,
          )
          model.drop(step.owner)
        } else {
          const ids = [...table.waiting].map(({ id }) => id)
          const id = ids[step.which % Math.max(1, ids.length)] ?? '0'
          if (table.cancel(id) !== model.cancel(id)) throw new Error(`cancel ${id}`)
        }
        for (const { lock, outcome } of table.takeSettled()) {
          told.push(`${lock.id} ${outcome}`)
          seen.add('passed on')
          model.settled(lock.id, outcome)
        }
        model.check(table)
      }
    }),
    { numRuns: 3000, seed: 7 },
  )
  t.same([...seen].sort(), ['busy', 'deadlock', 'granted', 'passed on', 'waiting'])
})
