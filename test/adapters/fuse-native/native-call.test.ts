import t from 'tap'
import { AssertionFailure } from '../../../src/base/assert.js'
import { EINTR, EIO } from '../../../src/base/errno.js'
import { NativeCall, type NativeCallOwner } from '../../../src/adapters/fuse-native/native-call.js'
import type { NativeRequest } from '../../../src/adapters/fuse-native/request.js'

/** A call, and what came of it in order. */
function start(): { call: NativeCall; events: unknown[] } {
  const events: unknown[] = []
  const owner: NativeCallOwner = {
    settled: () => void events.push('settled'),
    failed: (call, error) => {
      events.push(error)
      call.fail(EIO)
    },
    forget: inodes => void events.push(['forget', ...inodes]),
  }
  const signal = (result: number, value?: unknown): void => void events.push(['signal', result, value])
  return { call: new NativeCall(owner, 'open', {} as NativeRequest, 0, signal), events }
}

t.test('answered once, with all references given back', async t => {
  const { call, events } = start()
  const reply = call.reply<number>(ino => {
    call.noteEntry(ino)
    call.succeedWith(7)
  })
  reply.ok(5)
  t.same(events, ['settled', ['forget', 5], ['signal', 0, 7]])
  call.fail(EIO)
  t.equal(events.length, 3, 'nothing more')
})

t.test('after its time is up, what comes late is undone', async t => {
  const { call, events } = start()
  const reply = call.reply<number>(
    () => t.fail('too late'),
    file => void events.push(['release', file]),
  )
  call.fail(EIO)
  reply.ok(3)
  t.same(events, ['settled', ['signal', -EIO, undefined], ['release', 3]])
})

t.test('the handler hears that it may stop, and its answer to that changes nothing', async t => {
  const { call, events } = start()
  const reply = call.reply<void>(() => t.fail('too late'))
  reply.onInterrupt(() => reply.fail(EINTR))
  call.fail(EIO)
  call.interrupt()
  t.same(events, ['settled', ['signal', -EIO, undefined]])
})

t.test('what throws is answered, a second answer is impossible', async t => {
  const { call, events } = start()
  const reply = call.reply<void>(() => {
    throw new Error('as the test asked')
  })
  reply.ok()
  t.match(events, [{ message: 'as the test asked' }, 'settled', ['signal', -EIO]])
  t.throws(() => reply.ok(), AssertionFailure)
})
