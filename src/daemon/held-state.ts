import { RkfsError } from '../base/errors.js'
import type { Channel } from '../channel/channel.js'
import type { HeldState } from '../channel/state-holds.js'

/**
 * The channel's state, written out, as it stays on disk until it is released. `exact`: as it is at this moment. Throws
 * `timeout` where others open it all the time, or the channel closes; `unavailable` where the disk fails.
 */
export function holdState(channel: Channel, exact: boolean): Promise<HeldState> {
  return new Promise((resolve, reject) =>
    channel.holdState(exact, held => {
      if (held !== undefined) return resolve(held)
      const why = channel.failure ?? channel.diskFull
      if (why !== undefined) return reject(new RkfsError('unavailable', `the state cannot be written out: ${why}`))
      reject(new RkfsError('timeout', 'the state is being read for something else, which does not end: try again'))
    }),
  )
}
