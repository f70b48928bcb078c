import t from 'tap'
import { type Lane, Lanes } from '../../src/channel/lanes.js'

t.test('a lane that others always fill has its share, however often it is asked whose turn it is', t => {
  for (const asked of [1, 2, 3]) {
    const lanes = new Lanes<string>()
    const taken = [0, 0, 0]
    for (let i = 0; i < 800; i++) {
      lanes.push(1, 'a change')
      lanes.push(2, 'a blob')
      // a window without room is asked again when it has some
      let lane: Lane | undefined
      for (let k = 0; k < asked; k++) lane = lanes.next()
      lanes.went(lane!)
      lanes.shift(lane!)
      taken[lane!]!++
    }
    t.same(taken, [0, 700, 100], `asked ${asked} times for each`)
  }
  t.end()
})
