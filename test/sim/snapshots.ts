import { RkfsError } from '../../src/base/errors.js'
import type { MemberId } from '../../src/base/ids.js'
import type { Channel } from '../../src/channel/channel.js'
import type { Rng } from '../../src/base/rng.js'
import type { Cluster, Member } from '../channel/support/cluster.js'
import { keepBlobs, trySnapshot } from '../channel/support/sim-disk.js'

/** What `daemon/channel-host.ts` does when a member needs a snapshot: it takes its time, and it may break off. */
export class Snapshots {
  installed = 0
  readonly #cluster: Cluster
  readonly #waiting = new Set<Channel>()
  readonly #rng: Rng
  readonly #note: (text: string) => void

  constructor(cluster: Cluster, rng: Rng, note: (text: string) => void) {
    this.#cluster = cluster
    this.#rng = rng
    this.#note = note
    cluster.onSnapshotNeeded = (member, from, index) => this.#fetch(member, from, index)
  }

  #fetch(member: Member, from: MemberId, index: number): void {
    const { channel } = member
    const source = this.#cluster.members.find(({ id }) => id === from)
    if (channel.restoring || source === undefined || this.#waiting.has(channel) || !channel.beginRestore()) return
    const { clock, network } = this.#cluster
    const isConnected = (): boolean => network.isUp(member.id, from) && source.alive && !source.frozen
    const isHere = (): boolean => member.alive && member.channel === channel
    const giveUp = (): void => {
      channel.restored(undefined)
      // as the daemon, which waits a second before it tries again
      this.#waiting.add(channel)
      clock.after(1000, () => this.#waiting.delete(channel))
    }
    const arrive = (): void => {
      if (!isHere()) return
      if (member.frozen) return clock.after(100, arrive)
      if (!isConnected() || !source.channel.serving || source.state.position === undefined) return giveUp()
      // there is no room for it
      if (member.log.full) return giveUp()
      const snapshot = trySnapshot(source)
      if (snapshot === undefined) return giveUp()
      if (snapshot.position.index < Math.max(index, member.log.anchor.index)) return giveUp()
      try {
        if (this.#rng.below(8) === 0) {
          const some = [...snapshot.blobs].slice(0, this.#rng.below(snapshot.blobs.size + 1))
          keepBlobs(member.log, channel, { ...snapshot, blobs: new Map(some) })
          this.#note(`* m${member.slot - 1} gets ${some.length} blobs of a snapshot`)
          return giveUp()
        }
        channel.restored(member.disk.install(snapshot, channel))
      } catch (error) {
        if (!(error instanceof RkfsError)) throw error
        if (error.code === 'disk-full') return giveUp()
        // as the daemon, which opens all of it anew
        if (error.code !== 'failed') throw error
        return channel.fail(error)
      }
      this.installed++
      this.#note(`* m${member.slot - 1} installs a snapshot at entry ${snapshot.position.index}`)
    }
    clock.after(10 + this.#rng.below(400), arrive)
  }
}
