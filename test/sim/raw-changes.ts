import type { Rng } from '../../src/base/rng.js'
import { RkfsError } from '../../src/base/errors.js'
import type { Operation } from '../../src/fs/operation.js'
import type { Member } from '../channel/support/cluster.js'
import type { World } from './users.js'

/**
 * Changes without a mount, many at a time: records appended to the shared file, and operations on few names and inodes,
 * many of which are refused.
 */
export class RawChanges {
  readonly #world: World
  readonly #inodes: number[] = [1]

  constructor(world: World) {
    this.#world = world
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#world.rng.below(from.length)]!
  }

  step(member: Member): void {
    const { rng, acknowledged, shared } = this.#world
    const timeoutMs = 500 + rng.below(5000)
    const durable = rng.below(10) === 0
    const dice = rng.below(12)
    if (dice < 2) return this.#sync(member)
    if (dice < 8) {
      const made = acknowledged.make(member, 'shared', 10 + rng.below(30))
      const data = Buffer.from(made.record)
      const operation: Operation = { kind: 'append', ino: shared, length: data.length, killPrivileges: false }
      member.channel.change(operation, data, {
        timeoutMs,
        durable,
        done: errno => {
          acknowledged.answered(made, errno)
          this.#world.note(`m${member.slot - 1} raw append record ${made.number}: ${errno}`)
          if (errno !== 0 || !durable) return
          this.#world.observe()
          acknowledged.told([made])
        },
      })
      return
    }
    // a disk that is full, or has failed, cannot note that a number is taken
    const operation = attempt(member, () => this.#operation(member, rng))
    if (operation === undefined) return
    const { kind } = operation
    const done = (errno: number): void => {
      this.#world.note(`m${member.slot - 1} raw ${kind}: ${errno}`)
      // a number that came to nothing may be given to another file, when a disk is lost
      if (errno === 0 && operation.kind === 'make') this.#made(operation.ino)
    }
    member.channel.change(operation, new Uint8Array(0), { timeoutMs, durable, done })
  }

  #made(ino: number): void {
    this.#inodes.push(ino)
    if (this.#inodes.length > 200) this.#inodes.splice(1, 1)
  }

  #operation(member: Member, rng: Rng): Operation {
    const ino = (): number => this.#pick(this.#inodes)
    const name = (): string => this.#pick(['a', 'b', 'c', 'd'])
    switch (rng.below(7)) {
      case 0:
      case 1: {
        const made = member.nextInode()
        const mode = rng.below(2) === 0 ? 0o040755 : 0o100644
        return { kind: 'make', parent: ino(), name: name(), ino: made, mode, uid: 0, gid: 0, rdev: 0, target: '' }
      }
      case 2:
        return { kind: rng.below(2) === 0 ? 'unlink' : 'rmdir', parent: ino(), name: name() }
      case 3:
      case 4: {
        const flags = this.#pick([0, 0, 1, 2])
        return { kind: 'rename', parent: ino(), name: name(), newParent: ino(), newName: name(), flags }
      }
      case 5:
        return { kind: 'setattr', ino: ino(), killPrivileges: false, size: rng.below(600_000) }
      default:
        return { kind: 'setxattr', ino: ino(), name: name(), value: Uint8Array.of(rng.below(256)), flags: 0 }
    }
  }

  #sync(member: Member): void {
    const { acknowledged } = this.#world
    const covered = acknowledged.accepted(member)
    const { channel } = member
    channel.whenDurable(channel.lastSequence, 5000, errno => {
      this.#world.note(`m${member.slot - 1} raw sync: ${errno}`)
      if (errno !== 0) return
      this.#world.observe()
      acknowledged.told(covered)
    })
  }
}

function attempt(member: Member, make: () => Operation): Operation | undefined {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof RkfsError)) throw error
    if (error.code !== 'disk-full') member.channel.fail(error)
    return undefined
  }
}
