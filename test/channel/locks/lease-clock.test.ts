import t from 'tap'
import { LeaseClock } from '../../../src/channel/locks/lease-clock.js'

t.test('it goes with the monotonic clock, and with the wall clock over a sleep', async t => {
  let monotonic = 5000
  let wall = 1_000_000
  const clock = new LeaseClock(
    () => monotonic,
    () => wall,
  )
  const pass = (ms: number, onTheWall = ms): number => {
    const before = clock.now()
    monotonic += ms
    wall += onTheWall
    return clock.now() - before
  }
  t.equal(pass(100), 100)
  t.equal(pass(100, 900), 100, 'a clock that is being set right')
  t.equal(pass(100, -50_000), 100, 'a wall clock that is set back')
  t.equal(pass(10, 60_000), 60_000, 'a machine that slept')
  t.equal(pass(-1), 0)
})
