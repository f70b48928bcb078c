import { actorCalls } from './actor-calls.js'
import type { ActorAnswer, ActorRequest } from './actor.js'
import { SysError } from './errors.js'
import { bind } from './libc.js'
import { closeAll } from './sys.js'

const SIGUSR2 = 12
// A handler that does nothing, and without SA_RESTART (libuv sets it), so that the signal ends a call that waits.
process.on('SIGUSR2', () => {})
bind('int siginterrupt(int, int)')(SIGUSR2, 1)
process.umask(0)

const answer = (message: ActorAnswer): boolean => process.send!(message)

process.on('message', ({ id, call, args }: ActorRequest) => {
  answer({ id, begun: true })
  if (call === 'closeAll') {
    closeAll()
    answer({ id, value: undefined })
    return
  }
  try {
    const method = actorCalls[call] as (...args: readonly unknown[]) => unknown
    answer({ id, value: method(...args) })
  } catch (error) {
    if (error instanceof SysError) answer({ id, failure: { call: error.call, errno: error.errno } })
    else answer({ id, error: String(error) })
  }
})
process.on('disconnect', () => process.exit())
answer({ id: 0, value: undefined })
