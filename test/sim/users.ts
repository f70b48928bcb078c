import { EINTR, EIO, ENODATA, ENXIO } from '../../src/base/errno.js'
import type { Rng } from '../../src/base/rng.js'
import { rootInode } from '../../src/fs/records.js'
import type { Member } from '../channel/support/cluster.js'
import type { Acknowledged, Made } from './checkers/acknowledged.js'
import { recordsOf } from './checkers/acknowledged.js'
import { checkFreeing, hasLeast } from './checkers/space.js'
import { check } from './checkers/violation.js'
import type { Kernel } from './kernel.js'
import type { SimOptions } from './options.js'

const O_RDWR = 2
const O_EXCL = 0o200
const O_TRUNC = 0o1000
const O_APPEND = 0o2000
const O_SYNC = 0o4010000
const filesMax = 4
const readMax = 1 << 20
const signalOneIn = 20
const signalMsMax = 50
const pool = ['a', 'b', 'c', 'd', 'e']

interface Open {
  readonly ino: number
  readonly handle: number
  readonly flags: number
  /** What was written through it and answered, and no later flush has covered. */
  made: Made[]
}

/** What users share with the run. */
export interface World {
  readonly options: SimOptions
  readonly rng: Rng
  readonly acknowledged: Acknowledged
  /** The file that all append to. */
  readonly shared: number
  note(text: string): void
  now(): number
  after(ms: number, task: () => void): void
  /** As `after`, in the liveness phase, too. */
  always(ms: number, task: () => void): void
  /** The history takes in all that is committed. */
  observe(): void
}

/**
 * A program on a mount: makes one call after the other, at random, on few names that it shares with all others, and on a
 * file of its own that holds what it appended.
 */
export class User {
  readonly name: string
  readonly member: Member
  readonly #kernel: Kernel
  readonly #world: World
  readonly #life: number
  readonly #open: Open[] = []
  readonly #directories: number[] = [rootInode]
  #own: Open | undefined
  /** Records of its own file that were accepted, in order; others may be there, too. */
  readonly #accepted: Made[] = []
  #uncertain = false
  /** The root, opened once: what it tells by fsync is about all names. */
  #root: number | undefined
  #listing: { readonly ino: number; readonly handle: number; position: bigint } | undefined
  #moved = 0
  /** Attempts to make its own file: one that was given up may still come about. */
  #tries = 0
  /** Extended attributes of its own file; undefined: it is not known whether the last change came about. */
  readonly #notes = new Map<string, number | undefined>()
  #stopped = false

  constructor(name: string, member: Member, kernel: Kernel, world: World) {
    this.name = name
    this.member = member
    this.#kernel = kernel
    this.#world = world
    this.#life = member.lives
    this.#next()
  }

  stop(): void {
    this.#stopped = true
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#world.rng.below(from.length)]!
  }

  #next(): void {
    const { members, users, callMs } = this.#world.options
    this.#world.after(1 + this.#world.rng.below(2 * callMs * members * users), () => {
      if (this.#stopped || this.member.lives !== this.#life) return
      if (this.member.frozen) this.#next()
      else this.#step()
    })
  }

  /** Ends a call: the next one comes after a while. */
  #done(what: string): (errno: number, value?: unknown) => void {
    return errno => {
      this.#world.note(`${this.name} ${what}: ${errno}`)
      this.#next()
    }
  }

  /** As `#done`, of a call that makes nothing larger. */
  #freed(what: string): (errno: number, value?: unknown) => void {
    const could = hasLeast(this.member)
    const done = this.#done(what)
    return errno => {
      if (this.member.lives === this.#life) checkFreeing(this.member, what, errno, could)
      done(errno)
    }
  }

  /** Some program of this mount is sent a signal after a while: what it waits for then need not come to an end. */
  #signal(ms: number): void {
    this.#world.after(ms, () => {
      if (this.#stopped || this.member.lives !== this.#life || this.member.frozen) return
      this.#kernel.signal(below => this.#world.rng.below(below))
    })
  }

  #step(): void {
    const { rng } = this.#world
    if (rng.below(signalOneIn) === 0) this.#signal(rng.below(signalMsMax))
    const dice = rng.below(100)
    if (dice < 8) this.#create()
    else if (dice < 16) this.#openExisting()
    else if (dice < 30 && this.#open.length > 0) this.#write(this.#pick(this.#open))
    else if (dice < 38 && this.#open.length > 0) this.#read(this.#pick(this.#open))
    else if (dice < 44 && this.#open.length > 0) this.#close(this.#pick(this.#open))
    else if (dice < 48 && this.#open.length > 0) this.#fsync(this.#pick(this.#open))
    else if (dice < 60) this.#useOwn()
    else this.#change(dice)
  }

  // ---- names ----

  #place(): [number, string] {
    return [this.#pick(this.#directories), this.#pick(pool)]
  }

  #change(dice: number): void {
    const kernel = this.#kernel
    const { rng } = this.#world
    const [parent, name] = this.#place()
    const at = `${parent}/${name}`
    if (dice < 65) kernel.remove('unlink', parent, name, this.#freed(`unlink ${at}`))
    else if (dice < 68) kernel.remove('rmdir', parent, name, this.#freed(`rmdir ${at}`))
    else if (dice < 73) {
      const to = this.#place()
      const flags = this.#pick([0, 0, 0, 1, 2])
      kernel.rename([parent, name], to, flags, this.#freed(`rename ${at} to ${to.join('/')} flags ${flags}`))
    } else if (dice < 77) this.#moveAside(parent)
    else if (dice < 79) {
      kernel.mkdir(parent, name, (errno, entry) => {
        if (entry !== undefined && this.#directories.length < 4) this.#directories.push(entry.attributes.ino)
        this.#done(`mkdir ${at}`)(errno)
      })
    } else if (dice < 81) kernel.symlink(parent, name, 'target', this.#done(`symlink ${at}`))
    else if (dice < 85) this.#listOn(parent)
    else if (dice < 86) this.#linkNameless(parent, name)
    else {
      kernel.lookup(parent, name, (errno, found) => {
        if (found?.attributes === undefined) return this.#done(`lookup ${at}`)(errno)
        const { ino, mode } = found.attributes
        const isDirectory = (mode & 0o170000) === 0o040000
        if (isDirectory && this.#directories.length < 4) this.#directories.push(ino)
        if (dice < 88) kernel.getattr(ino, this.#done(`getattr ${ino}`))
        else if (dice < 90) kernel.chmod(ino, this.#pick([0o600, 0o644, 0o755]), this.#freed(`chmod ${ino}`))
        else if (dice < 93 && !isDirectory) {
          kernel.truncate(
            ino,
            rng.below(2 * this.#world.options.writeBytesMax),
            undefined,
            this.#freed(`truncate ${ino}`),
          )
        } else if (dice < 95 && !isDirectory) {
          const [newParent, newName] = this.#place()
          kernel.link(ino, newParent, newName, this.#done(`link ${ino} as ${newParent}/${newName}`))
        } else if (dice < 98) {
          const value = Uint8Array.of(rng.below(256))
          kernel.setxattr(ino, `user.${this.#pick(pool)}`, value, this.#done(`setxattr ${ino}`))
        } else kernel.removexattr(ino, `user.${this.#pick(pool)}`, this.#done(`removexattr ${ino}`))
      })
    }
  }

  /** Begins a listing, or reads on in one, a few names at a time: meanwhile they change. */
  #listOn(parent: number): void {
    const kernel = this.#kernel
    const listing = this.#listing
    if (listing === undefined) {
      return kernel.opendir(parent, (errno, opened) => {
        if (opened !== undefined) this.#listing = { ino: parent, handle: opened.handle, position: 0n }
        this.#done(`opendir ${parent}`)(errno)
      })
    }
    const { ino, handle, position } = listing
    kernel.getdents(ino, handle, position, 1 + this.#world.rng.below(3), (errno, items) => {
      const last = items?.at(-1)
      if (last === undefined) {
        kernel.closedir(ino, handle)
        this.#listing = undefined
      } else listing.position = last.offset
      this.#done(`list ${ino} from ${position}`)(errno)
    })
  }

  /** Moves what others move, too, to a name of its own; when fsync of the directory says so, it is there. And back. */
  #moveAside(parent: number): void {
    const kernel = this.#kernel
    const root = this.#root
    if (root === undefined) {
      return kernel.opendir(rootInode, (errno, opened) => {
        this.#root = opened?.handle
        if (opened === undefined) this.#done('opendir root')(errno)
        else this.#moveAside(parent)
      })
    }
    kernel.list(parent, (errno, found) => {
      const names = (found ?? []).filter(name => pool.includes(name))
      if (names.length === 0) return this.#done(`list ${parent}`)(errno)
      const from = [parent, this.#pick(names)] as const
      const aside = [rootInode, `aside-${this.name}-${this.#life}-${++this.#moved}`] as const
      kernel.rename(from, aside, 0, failed => {
        if (failed !== 0) return this.#done(`move ${from.join('/')} aside`)(failed)
        kernel.fsyncdir(rootInode, root, synced => {
          const isThere = this.member.lookup(aside[1]) !== undefined
          check('acknowledged', synced !== 0 || isThere, () => `${this.name} synced ${aside[1]}, and it is not there`)
          kernel.rename(aside, from, 0, this.#done(`move ${from.join('/')} to ${aside[1]} and back`))
        })
      })
    })
  }

  #linkNameless(parent: number, name: string): void {
    this.#kernel.tmpfile(parent, (errno, made) => {
      if (made === undefined) return this.#done('tmpfile')(errno)
      const { ino } = made.entry.attributes
      const { handle } = made.file
      this.#kernel.write(ino, handle, 0, this.#record('other').data, O_RDWR, () => {
        this.#kernel.link(ino, parent, name, failed => {
          this.#kernel.release(ino, handle)
          this.#done(`tmpfile ${ino} linked as ${parent}/${name}`)(failed)
        })
      })
    })
  }

  // ---- open files ----

  #opened(ino: number, handle: number, flags: number): Open {
    const file: Open = { ino, handle, flags, made: [] }
    this.#open.push(file)
    if (this.#open.length > filesMax) this.#kernel.release(...this.#forget(this.#open[0]!))
    return file
  }

  #forget(file: Open): [number, number] {
    this.#open.splice(this.#open.indexOf(file), 1)
    return [file.ino, file.handle]
  }

  #create(): void {
    const [parent, name] = this.#place()
    const flags = O_RDWR | this.#pick([0, 0, O_EXCL, O_TRUNC, O_APPEND])
    this.#kernel.create(parent, name, flags, (errno, made) => {
      if (made !== undefined) this.#opened(made.entry.attributes.ino, made.file.handle, flags)
      this.#done(`create ${parent}/${name} ino ${made?.entry.attributes.ino ?? '-'}`)(errno)
    })
  }

  #openExisting(): void {
    const [parent, name] = this.#place()
    const flags = O_RDWR | this.#pick([0, 0, 0, O_TRUNC, O_APPEND, O_SYNC])
    const useFound = (ino: number): void => {
      this.#kernel.open(ino, flags, (errno, file) => {
        if (file !== undefined) this.#opened(ino, file.handle, flags)
        this.#done(`open ${ino} flags ${flags.toString(8)}`)(errno)
      })
    }
    this.#kernel.lookup(parent, name, (errno, found) => {
      if (found?.attributes === undefined || (found.attributes.mode & 0o170000) !== 0o100000) {
        return this.#done(`lookup ${parent}/${name}`)(errno)
      }
      useFound(found.attributes.ino)
    })
  }

  #record(file: Made['file']): { made: Made; data: Uint8Array } {
    const { acknowledged, options, rng } = this.#world
    const made = acknowledged.make(this.member, file, rng.below(options.writeBytesMax))
    return { made, data: Buffer.from(made.record) }
  }

  #write(file: Open): void {
    const { rng, options } = this.#world
    const { made, data } = this.#record('other')
    const offset = this.#pick([0, 0, 4096, rng.below(2 * options.writeBytesMax)])
    if (rng.below(8) === 0) return this.#copy(file, offset)
    if (rng.below(20) === 0) {
      const mode = this.#pick([0, 1, 3, 16])
      return this.#kernel.fallocate(file.ino, file.handle, mode, offset, 1 + data.length, this.#done('fallocate'))
    }
    this.#kernel.write(file.ino, file.handle, offset, data, file.flags, errno => {
      this.#world.acknowledged.answered(made, errno)
      this.#done(`write ${file.ino} record ${made.number} offset ${offset} length ${data.length}`)(errno)
    })
  }

  /** From any file that it has open: its own, too. Into its own nothing is copied: what that holds is known. */
  #copy(to: Open, offset: number): void {
    const { rng, options } = this.#world
    const from = this.#pick(this.#own === undefined ? this.#open : [...this.#open, this.#own])
    const source = { ino: from.ino, handle: from.handle, offset: this.#pick([0, 0, rng.below(options.writeBytesMax)]) }
    const length = this.#pick([1 + rng.below(options.writeBytesMax), readMax])
    const what = `copy ${from.ino} ${source.offset} to ${to.ino} ${offset}`
    this.#kernel.copy(source, { ino: to.ino, handle: to.handle, offset }, length, this.#done(what))
  }

  #read(file: Open): void {
    this.#kernel.read(file.ino, file.handle, readMax, this.#done(`read ${file.ino}`))
  }

  #close(file: Open): void {
    this.#kernel.flush(file.ino, file.handle, errno => {
      this.#kernel.release(...this.#forget(file))
      this.#done(`close ${file.ino}`)(errno)
    })
  }

  #fsync(file: Open): void {
    const { acknowledged } = this.#world
    // of a file that lost its name it is nobody's business what others hold
    const covered = file === this.#own ? acknowledged.accepted(this.member) : []
    this.#kernel.fsync(file.ino, file.handle, errno => {
      if (errno === 0) this.#told(covered)
      this.#done(`fsync ${file.ino}`)(errno)
    })
  }

  #told(covered: readonly Made[]): void {
    this.#world.observe()
    this.#world.acknowledged.told(covered)
  }

  // ---- its own file, and the one that all append to ----

  #useOwn(): void {
    const { rng, options } = this.#world
    const own = this.#own
    if (own === undefined) return this.#makeOwn()
    const dice = rng.below(12)
    if (dice === 10) return this.#noteOn(own)
    if (dice === 11) return this.#findEnd(own)
    if (dice < 5) return this.#append(own, 'private')
    if (dice < 6) return this.#appendShared()
    if (dice < 8) return this.#readOwn(own)
    if (dice < 9 || options.sync === 'fsync') return this.#fsync(own)
    const covered = [...own.made]
    this.#kernel.flush(own.ino, own.handle, errno => {
      if (errno === 0) this.#told(covered)
      this.#done(`flush own ${own.ino}`)(errno)
    })
  }

  /** What was accepted and not given up since. */
  get #kept(): Made[] {
    return this.#accepted.filter(({ excused }) => !excused)
  }

  #makeOwn(): void {
    const flags = O_RDWR | O_EXCL | O_APPEND
    const name = `own-${this.name}-${this.#life}-${++this.#tries}`
    this.#kernel.create(rootInode, name, flags, (errno, made) => {
      if (made !== undefined) {
        const { ino } = made.entry.attributes
        this.#own = { ino, handle: made.file.handle, flags: O_RDWR | O_APPEND, made: [] }
      }
      this.#done('create own')(errno)
    })
  }

  #append(file: Open, kind: 'private' | 'shared', then?: () => void): void {
    const { made, data } = this.#record(kind)
    const flags = file.flags | (this.#world.rng.below(8) === 0 ? O_SYNC : 0)
    this.#kernel.write(file.ino, file.handle, 0, data, flags, errno => {
      this.#world.acknowledged.answered(made, errno)
      const durable = (flags & O_SYNC) !== 0 || this.#world.options.sync === 'always'
      if (errno === 0) {
        file.made.push(made)
        if (kind === 'private') this.#accepted.push(made)
        if (durable) this.#told([made])
      } else this.#uncertain = true
      then?.()
      this.#done(`append ${kind} ${file.ino} record ${made.number} length ${data.length}`)(errno)
    })
  }

  #appendShared(): void {
    const { shared } = this.#world
    this.#kernel.open(shared, O_RDWR | O_APPEND, (errno, opened) => {
      if (opened === undefined) return this.#done('open shared')(errno)
      const { handle } = opened
      const file: Open = { ino: shared, handle, flags: O_RDWR | O_APPEND, made: [] }
      this.#append(file, 'shared', () => this.#kernel.release(shared, handle))
    })
  }

  /** A program sees what it wrote at once, and nothing else in a file that only it writes to. */
  #readOwn(own: Open): void {
    const expected = this.#kept
    this.#kernel.read(own.ino, own.handle, 1 << 26, (errno, content) => {
      if (content !== undefined) {
        const shown = recordsOf(Buffer.from(content).toString('latin1'))
        const wanted = expected.map(({ number }) => `${this.member.slot}:${number}`)
        const known = new Set(wanted)
        const found = this.#uncertain ? shown.filter(key => known.has(key)) : shown
        check('own-view', found.join() === wanted.join(), () => {
          return `${this.name} wrote ${wanted.join()} to its own file, and reads ${found.join()}`
        })
      }
      this.#done(`read own ${own.ino}`)(errno)
    })
  }

  /** Sets or removes an extended attribute of its own file, and sees at once what it did. */
  #noteOn(own: Open): void {
    const { rng } = this.#world
    const name = `user.${this.#pick(pool)}`
    const value = rng.below(256)
    const isSet = this.#notes.get(name) !== undefined
    const changed = (errno: number, kept: boolean): void => {
      check('own-view', errno !== ENODATA, () => `${this.name} set ${name} of its own file, and cannot remove it`)
      if (errno === EIO || errno === EINTR) this.#notes.set(name, undefined)
      else if (errno === 0 && kept) this.#notes.set(name, value)
      else if (errno === 0) this.#notes.delete(name)
      this.#readNotes(own)
    }
    if (isSet && rng.below(3) === 0) {
      this.#kernel.removexattr(own.ino, name, errno => changed(errno, false))
    } else this.#kernel.setxattr(own.ino, name, Uint8Array.of(value), errno => changed(errno, true))
  }

  #readNotes(own: Open): void {
    const wanted = [...this.#notes].filter(([, value]) => value !== undefined)
    const isKnown = wanted.length === this.#notes.size
    this.#kernel.listxattr(own.ino, (errno, names) => {
      if (names !== undefined) {
        const isRight = wanted.every(([name]) => names.includes(name)) && (!isKnown || names.length === wanted.length)
        check(
          'own-view',
          isRight,
          () => `${this.name} gave its own file ${wanted.map(([n]) => n).join()}, and lists ${names.join()}`,
        )
      }
      const [name, value] = wanted.length === 0 ? [] : this.#pick(wanted)
      if (name === undefined || errno !== 0) return this.#done(`listxattr own ${own.ino}`)(errno)
      this.#kernel.getxattr(own.ino, name, (failed, found) => {
        check(
          'own-view',
          failed === EIO || found?.[0] === value,
          () => `${this.name} set ${name} to ${value}, and reads ${found?.[0]}: errno ${failed}`,
        )
        this.#done(`getxattr own ${own.ino} ${name}`)(failed)
      })
    })
  }

  /** Nothing was left out in its own file: the first hole is its end. */
  #findEnd(own: Open): void {
    const bytes = this.#kept.reduce((sum, { record }) => sum + record.length, 0)
    this.#kernel.seekHole(own.ino, own.handle, (errno, end) => {
      // a member that stopped, or lacks its state, answers nothing
      const isRight = errno === EIO || this.#uncertain || (bytes === 0 ? errno === ENXIO : end === bytes)
      check(
        'own-view',
        isRight,
        () => `${this.name} wrote ${bytes} bytes to its own file, its first hole is at ${end}: errno ${errno}`,
      )
      this.#done(`seek own ${own.ino}`)(errno)
    })
  }
}
