import fc from 'fast-check'
import t from 'tap'
import { Fifo } from '../../src/base/fifo.js'

t.test('a queue gives what an array gives', t => {
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('push' as const), count: fc.integer({ min: 1, max: 3000 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('pushFirst' as const), count: fc.integer({ min: 1, max: 3 }) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('shift' as const), count: fc.integer({ min: 1, max: 3000 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), count: fc.constant(1) }) },
  )
  fc.assert(
    fc.property(fc.array(step), steps => {
      const fifo = new Fifo<number>()
      let array: number[] = []
      let next = 0
      for (const { kind, count } of steps) {
        for (let i = 0; i < count; i++) {
          const value = next++
          if (kind === 'push') {
            fifo.push(value)
            array.push(value)
          } else if (kind === 'pushFirst') {
            fifo.pushFirst(value)
            array.unshift(value)
          } else if (kind === 'clear') {
            fifo.clear()
            array = []
          } else if (fifo.shift() !== array.shift()) throw new Error('another value')
        }
        if (fifo.length !== array.length || fifo.first !== array[0]) throw new Error('another length, or first one')
      }
      if ([...fifo].join() !== array.join()) throw new Error('other values')
    }),
    { numRuns: 50 },
  )
  t.pass()
  t.end()
})
