import { DamagedBlob } from '../../src/channel/log-port.js'
import { chunkBytes } from '../../src/base/limits.js'
import { rootInode } from '../../src/fs/records.js'
import type { Member } from '../channel/support/cluster.js'
import { bytesOfWrite, FileBytes } from '../channel/support/file-bytes.js'
import { check } from './checkers/violation.js'
import type { Kernel } from './kernel.js'
import type { World } from './users.js'

const O_RDWR = 2
const O_EXCL = 0o200
const sizeMax = chunkBytes + 5000
const barrierMs = 3000
/** Turns after which a member is asked what came of them. */
const turnsMax = 6

interface Player {
  readonly member: Member
  readonly kernel: Kernel
  readonly life: number
}

/**
 * Programs on several members that change one file in turn: each begins when the one before was told that its own change is
 * done. So they take effect in that order, and once a member has caught up its file is what the turns amount to. After a call
 * whose outcome is not known they take another file.
 */
export class TurnTakers {
  readonly #world: World
  #players: Player[] = []
  #file: FileBytes | undefined
  #mode: number | undefined
  #turns = 0
  #files = 0
  #writes = 0

  constructor(world: World) {
    this.#world = world
    this.#next()
  }

  join(member: Member, kernel: Kernel): void {
    this.#players.push({ member, kernel, life: member.lives })
  }

  #next(): void {
    const { rng, options } = this.#world
    this.#world.after(1 + rng.below(4 * options.callMs), () => {
      this.#players = this.#players.filter(({ member, life }) => member.lives === life)
      const able = this.#players.filter(({ member }) => !member.frozen && member.channel.serving)
      const player = able[rng.below(able.length)]
      if (player === undefined) return this.#next()
      this.#turn(player)
    })
  }

  #turn(player: Player): void {
    const { rng } = this.#world
    const file = this.#file
    if (file === undefined) return this.#make(player)
    // it comes into sight when it is applied
    if (player.member.lookup(file.name) === undefined) return this.#next()
    if (++this.#turns % turnsMax === 0) return this.#compare(player, file)
    const dice = rng.below(3)
    if (dice === 0) this.#truncate(player, file)
    else if (dice === 1) this.#write(player, file)
    else this.#chmod(player, file)
  }

  #make({ kernel }: Player): void {
    const name = `turns-${++this.#files}`
    kernel.create(rootInode, name, O_RDWR | O_EXCL, (errno, made) => {
      if (made === undefined) return this.#next()
      const { ino } = made.entry.attributes
      const file = new FileBytes({ name, ino, handle: made.file.handle })
      kernel.fsync(ino, file.handle, failed => {
        kernel.release(ino, file.handle)
        if (errno === 0 && failed === 0) this.#file = file
        this.#mode = undefined
        this.#next()
      })
    })
  }

  /** A turn is over: what it did is so from now on, or nobody knows. */
  #over(what: string, errno: number, done: () => void): void {
    this.#world.note(`turn ${this.#turns}: ${what}: ${errno}`)
    if (errno === 0) done()
    else this.#file = undefined
    this.#next()
  }

  #truncate({ member, kernel }: Player, file: FileBytes): void {
    const size = this.#world.rng.below(sizeMax)
    const what = `m${member.slot - 1} truncates ${file.ino} to ${size}`
    // only what is durable is sure to stay in its place
    if (this.#world.options.sync === 'fsync') return this.#next()
    kernel.truncate(file.ino, size, undefined, errno => this.#over(what, errno, () => file.truncate(size)))
  }

  #write({ member, kernel }: Player, file: FileBytes): void {
    const { rng } = this.#world
    const { ino } = file
    const data = bytesOfWrite(this.#writes++, 1 + rng.below(3000))
    const offset = rng.below(sizeMax)
    const what = `m${member.slot - 1} writes ${data.length} bytes of ${ino} at ${offset}`
    kernel.open(ino, O_RDWR, (unopened, opened) => {
      if (opened === undefined) return this.#over(what, unopened, () => {})
      const { handle } = opened
      kernel.write(ino, handle, offset, data, O_RDWR, failed => {
        kernel.fsync(ino, handle, unsynced => {
          kernel.release(ino, handle)
          this.#over(what, failed === 0 ? unsynced : failed, () => file.write(offset, data))
        })
      })
    })
  }

  /** On a leader it has its place, and may still be lost with the lead. */
  #chmod({ member, kernel }: Player, file: FileBytes): void {
    const mode = 0o600 + this.#world.rng.below(64)
    const what = `m${member.slot - 1} gives ${file.ino} mode ${mode.toString(8)}`
    if (member.leads) return this.#next()
    kernel.chmod(file.ino, mode, errno => this.#over(what, member.leads ? -1 : errno, () => (this.#mode = mode)))
  }

  #compare({ member, life }: Player, file: FileBytes): void {
    const { lives } = member
    member.channel.readBarrier(barrierMs, errno => {
      if (errno !== 0 || member.lives !== lives || life !== lives || !member.channel.serving) return this.#next()
      const inode = member.channel.table.get('inode', file.ino, '')
      const { blobs, table } = member.channel
      let got: Buffer | undefined
      try {
        got = inode === undefined ? undefined : Buffer.concat(blobs.read(table, file.ino, 0, inode.size))
      } catch (error) {
        // what a disk has lost is on its way from another member
        if (!(error instanceof DamagedBlob)) throw error
        return this.#next()
      }
      const wrong = got === undefined ? 'it is not there' : file.differs(0, Infinity, got)
      const who = `m${member.slot - 1}`
      check('in-turn', wrong === undefined, () => `${who} shows after turn ${this.#turns}: ${wrong}`)
      const mode = inode!.mode & 0o7777
      const isRight = this.#mode === undefined || this.#mode === mode
      check('in-turn', isRight, () => `${who} shows after turn ${this.#turns} mode ${mode.toString(8)}`)
      this.#next()
    })
  }
}
