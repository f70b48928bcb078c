import type { SqliteLogStore } from '../adapters/sqlite/log-store.js'
import { RkfsError } from '../base/errors.js'
import type { Channel } from '../channel/channel.js'
import { isShort, type ToldSpace } from '../channel/space-policy.js'
import type { HeldState } from '../channel/state-holds.js'

/** A moment of a channel's files. */
export interface FilesMoment {
  /** Up to where the state is written out. */
  readonly index: number
  /** The reader has both databases open: they may be written to again. */
  opened(): void
  /** Aborted when the reader has to end early. */
  readonly signal: AbortSignal
}

/**
 * Who reads a channel's files as they were at some moment, for as long as that takes. What only readers still need is kept
 * meanwhile; when the disk gets short, they end, and it goes.
 */
export class FileReaders {
  readonly #channel: Channel
  readonly #log: SqliteLogStore
  readonly #running = new Set<AbortController>()

  constructor(channel: Channel, log: SqliteLogStore) {
    this.#channel = channel
    this.#log = log
  }

  /** `exact`: the state as it is at this moment. Throws what `holdState` throws, and `unavailable` when it has to end. */
  async read<T>(exact: boolean, work: (moment: FilesMoment) => Promise<T>): Promise<T> {
    const hold = await holdState(this.#channel, exact)
    const pin = this.#log.pin()
    const reader = new AbortController()
    this.#running.add(reader)
    const opened = (): void => {
      pin.opened()
      hold.release()
    }
    try {
      return await work({ index: hold.index, opened, signal: reader.signal })
    } finally {
      this.#running.delete(reader)
      pin.release()
      hold.release()
    }
  }

  /** Ends them where the disk gets short and has something that only they need. */
  tick(space: ToldSpace | undefined): void {
    if (this.#running.size === 0 || space === undefined || !isShort(space.free, space.minFree)) return
    if (this.#log.pinnedBytes < space.minFree / 2) return
    const why = new RkfsError('unavailable', 'the disk gets short, and what was being read takes room on it: try again')
    for (const reader of this.#running) reader.abort(why)
  }
}

/**
 * The channel's state, written out, as it stays on disk until it is released. `exact`: as it is at this moment. Throws
 * `timeout` where others open it all the time, or the channel closes; `unavailable` where the disk fails.
 */
function holdState(channel: Channel, exact: boolean): Promise<HeldState> {
  return new Promise((resolve, reject) =>
    channel.holdState(exact, held => {
      if (held !== undefined) return resolve(held)
      const why = channel.failure ?? channel.diskFull
      if (why !== undefined) return reject(new RkfsError('unavailable', `the state cannot be written out: ${why}`))
      reject(new RkfsError('timeout', 'the state is being read for something else, which does not end: try again'))
    }),
  )
}
