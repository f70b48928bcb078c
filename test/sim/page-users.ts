import { RkfsError } from '../../src/base/errors.js'
import { rootInode } from '../../src/fs/records.js'
import type { Cluster, Member } from '../channel/support/cluster.js'
import { check } from './checkers/violation.js'
import type { Kernel } from './kernel.js'
import { type CachedFile, pageBytes, PageCache, SIGBUS } from './page-cache.js'
import type { World } from './users.js'

const O_RDWR = 2
const cellBytes = 4
const laneBytes = 64
const lanesBytes = 2 * pageBytes + 1000
const cutBytesMax = 4 * pageBytes
const notifyMsMax = 6
const names = ['lanes', 'tail', 'stamp', 'cut'] as const
type Name = (typeof names)[number]

/** What one program did to its own cell of a file that many change: nobody else changes it, and its numbers only grow. */
interface Cell {
  readonly offset: number
  next: number
  /** Known to be on a majority. */
  synced: number
  /** The run of the member's node that heard so. */
  life: string
}

interface Line {
  readonly bytes: Buffer
  isSynced: boolean
}

/**
 * Files whose pages several members change and look at, and what is known of each:
 * `lanes` many programs store numbers in cells of their own, close together, by mapping and by write(2);
 * `tail` one program appends to, others follow it as tail(1) does;
 * `stamp` one program overwrites with a number, others compare its time with what they read;
 * `cut` one program gives sizes to, others store in by mapping.
 */
export class PageFiles {
  readonly #inodes = new Map<Name, number>()
  readonly cells = new Map<string, Cell>()
  /** What was appended, or is about to be, one after the other; without a sync a line may be lost, and the next ones not. */
  readonly lines: Line[] = []
  readonly reads: { readonly who: string; readonly from: number; readonly bytes: Uint8Array }[] = []
  stamp = 0
  /** Numbers by the time that their write gave to the file. */
  readonly stamps = new Map<bigint, number>()
  readonly looks: { readonly who: string; readonly mtime: bigint; readonly number: number }[] = []
  /** The sizes that `cut` may have, and the run of a node that gave it the last one. */
  sizes: number[] = [0]
  cutBy = ''

  constructor(cluster: Cluster) {
    for (const name of names) {
      const { ino, answer } = cluster.leader().create(`pages-${name}`)
      cluster.answered(answer)
      this.#inodes.set(name, ino)
    }
    const fill = (ino: number, bytes: number): number =>
      cluster.answered(cluster.leader().write(ino, 0, '\0'.repeat(bytes), { durable: true }))
    fill(this.ino('lanes'), lanesBytes)
    fill(this.ino('stamp'), pageBytes + 100)
    cluster.until('the files of pages on all members', () =>
      cluster.members.every(
        ({ channel }) => channel.table.get('inode', this.ino('stamp'), '')?.size === pageBytes + 100,
      ),
    )
  }

  ino(name: Name): number {
    return this.#inodes.get(name)!
  }

  cell(key: string, offset: number): Cell {
    let cell = this.cells.get(key)
    if (cell === undefined) this.cells.set(key, (cell = { offset, next: 0, synced: 0, life: '' }))
    return cell
  }

  /** A number was written; unless it was lost since, as an ended session's changes are, the file's time is that of it. */
  stamped(member: Member, number: number): void {
    const ino = this.ino('stamp')
    const mtime = member.channel.view.get('inode', ino, '')?.mtime
    const isThere = this.#bytes(member, ino, 0, cellBytes)?.readUInt32LE() === number
    if (isThere && mtime !== undefined) this.stamps.set(mtime, number)
  }

  /** Undefined: the disk does not give it. */
  #bytes({ channel }: Member, ino: number, offset: number, length: number): Buffer | undefined {
    try {
      return Buffer.concat(channel.blobs.read(channel.view, ino, offset, length))
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      return undefined
    }
  }

  /** The numbers that were synced, on a member that must know them; `of`: in one run of a node. */
  checkCells(member: Member, of?: string): void {
    for (const [key, { offset, next, synced, life }] of this.cells) {
      if (of !== undefined && life !== of) continue
      const found = this.#bytes(member, this.ino('lanes'), offset, cellBytes)?.readUInt32LE()
      if (found === undefined) continue
      const who = (): string =>
        `m${member.slot - 1} has ${found} of ${key}, where ${synced} was synced and ${next} stored`
      check('pages', found >= synced && found <= next, who)
    }
  }

  checkSize(member: Member): void {
    const size = member.channel.view.get('inode', this.ino('cut'), '')?.size
    const allowed = (): string => `m${member.slot - 1} shows size ${size}, which was set to ${this.sizes.join(' or ')}`
    check('pages', this.sizes.includes(size!), allowed)
  }

  /** At the end of a run, on members that agree. */
  check(member: Member): void {
    this.checkCells(member)
    this.checkSize(member)
    const size = member.channel.view.get('inode', this.ino('lanes'), '')?.size
    check('pages', size === lanesBytes, () => `m${member.slot - 1} has ${size} bytes of a file that nobody made longer`)
    for (const { who, mtime, number } of this.looks) {
      const stamp = this.stamps.get(mtime)
      const old = (): string => `${who} saw the time of number ${stamp}, and read ${number}`
      check('pages', stamp === undefined || number >= stamp, old)
    }
    this.#checkTail(member)
  }

  /** It consists of lines in their order, and others have read nothing else: what was applied stays. */
  #checkTail(member: Member): void {
    const size = member.channel.view.get('inode', this.ino('tail'), '')?.size ?? 0
    const content = this.#bytes(member, this.ino('tail'), 0, size)
    if (content === undefined) return
    const ends = new Set([0])
    for (const { bytes, isSynced } of this.lines) {
      const begins = [...ends].filter(end => content.subarray(end, end + bytes.length).equals(bytes))
      if (isSynced) ends.clear()
      for (const begin of begins) ends.add(begin + bytes.length)
    }
    check('pages', ends.has(size), () => `m${member.slot - 1} has ${size} bytes that are not what was appended`)
    for (const { who, from, bytes } of this.reads) {
      const isRight = content.subarray(from, from + bytes.length).equals(bytes)
      check('pages', isRight, () => `${who} has read something else at ${from} than was appended`)
    }
  }

  /** At rest: what a kernel has is what the mount shows, and what may be mapped is as long. */
  checkKernel(member: Member, cache: PageCache): void {
    const { view } = member.channel
    const who = `the kernel of m${member.slot - 1}`
    for (const file of cache.files.values()) {
      const inode = view.get('inode', file.ino, '')
      if (inode === undefined) continue
      const isLong = file.handle === undefined || file.size >= inode.size
      check('pages', isLong, () => `${who} maps ${file.size} bytes of inode ${file.ino}, it has ${inode.size}`)
      for (const [index, page] of file.pages) {
        if (page.isDirty || page.isLocked) continue
        const from = index * pageBytes
        const length = Math.min(pageBytes, inode.size - from, file.size - from)
        if (length <= 0) continue
        const content = this.#bytes(member, file.ino, from, length)
        if (content === undefined) continue
        check('pages', content.equals(page.bytes.subarray(0, length)), () => {
          const at = content.findIndex((byte, position) => byte !== page.bytes[position])
          return `${who} has an old byte ${from + at} of inode ${file.ino}`
        })
      }
    }
  }
}

/** A program of one member that uses all of these files. */
export class PageUser {
  readonly #name: string
  readonly #member: Member
  readonly #world: World
  readonly #files: PageFiles
  readonly #cache: PageCache
  readonly #life: number
  readonly #open = new Map<Name, CachedFile>()
  /** How far it has followed the tail. */
  #read = 0
  /** What it has stored in which cell, and not synced since. */
  readonly #unsyncedCells = new Map<Cell, number>()
  /** Lines that it has appended, and not synced since. */
  #unsynced: Line[] = []
  #stopped = false

  constructor(name: string, member: Member, kernel: Kernel, world: World, files: PageFiles) {
    this.#name = name
    this.#member = member
    this.#world = world
    this.#files = files
    this.#life = member.lives
    // a mount outlives the fault of a disk, and with it what its kernel has, and is being told
    this.#cache = kernel.cache ??= this.#newCache(kernel)
    this.#cache.announced = ino => this.#after(world.rng.below(4), () => this.#lookAgain(ino))
    this.#next()
  }

  stop(): void {
    this.#stopped = true
  }

  #newCache(kernel: Kernel): PageCache {
    const world = this.#world
    const isMounted = (): boolean => this.#member.isMounted && this.#member.frontend === kernel.frontend
    const after = (ms: number, task: () => void): void => this.#afterWhile(isMounted, ms, task)
    const clock = {
      get now() {
        return world.now()
      },
      after,
    }
    return new PageCache(kernel, clock, () => world.rng.below(notifyMsMax))
  }

  /** Goes on while the program is to end: what has begun comes to an end. */
  #after(ms: number, task: () => void): void {
    this.#afterWhile(() => this.#member.lives === this.#life, ms, task)
  }

  #afterWhile(isAlive: () => boolean, ms: number, task: () => void): void {
    this.#world.always(ms, () => {
      if (!isAlive()) return
      if (this.#member.frozen) this.#afterWhile(isAlive, 20, task)
      else task()
    })
  }

  #next(): void {
    this.#after(1 + this.#world.rng.below(4 * this.#world.options.callMs), () => {
      if (!this.#stopped) this.#step()
    })
  }

  #done(what: string): (errno: number) => void {
    return errno => {
      this.#world.note(`${this.#name} ${what}: ${errno}`)
      this.#next()
    }
  }

  #use(name: Name, then: (file: CachedFile) => void): void {
    const open = this.#open.get(name)
    if (open !== undefined) return then(open)
    this.#cache.open(
      rootInode,
      `pages-${name}`,
      name === 'tail' && this.#isFirst ? O_RDWR | 0o2000 : O_RDWR,
      (errno, file) => {
        if (file === undefined) return this.#done(`open ${name}`)(errno)
        this.#open.set(name, file)
        then(file)
      },
    )
  }

  /** The one member that appends, stamps and cuts. */
  get #isFirst(): boolean {
    return this.#member.slot === 1
  }

  #step(): void {
    const { rng } = this.#world
    const { channel } = this.#member
    const isSound = channel.serving && !channel.restoring
    if (isSound) {
      this.#files.checkCells(this.#member, this.#run)
      if (this.#files.cutBy === this.#run) this.#files.checkSize(this.#member)
    }
    const dice = rng.below(12)
    if (dice < 3) this.#use('lanes', file => this.#store(file))
    else if (dice < 5) this.#use('lanes', file => this.#write(file))
    else if (dice < 6) this.#use('lanes', file => this.#sync(file))
    else if (dice < 8) this.#use('tail', file => (this.#isFirst ? this.#append(file) : this.#follow(file)))
    else if (dice < 10) this.#use('stamp', file => (this.#isFirst ? this.#stamp(file) : this.#look(file)))
    else this.#use('cut', file => (this.#isFirst ? this.#cut(file) : this.#storeIn(file)))
    if (rng.below(6) === 0) this.#cache.lookup(rootInode, `pages-${names[rng.below(4)]!}`, () => {})
    if (rng.below(10) === 0) this.#writeBackOne()
  }

  /** The kernel wants memory back. */
  #writeBackOne(): void {
    const files = [...this.#open.values()]
    const file = files[this.#world.rng.below(files.length)]
    if (file !== undefined) this.#cache.writeBack(file, () => {})
  }

  // ---- lanes ----

  #cell(kind: 'map' | 'write'): Cell {
    const { rng } = this.#world
    const { slot } = this.#member
    // cells of all members and both kinds lie side by side
    const lane = rng.below(Math.floor(lanesBytes / laneBytes))
    const offset = lane * laneBytes + (2 * slot + (kind === 'map' ? 0 : 1)) * cellBytes
    return this.#files.cell(`${slot}-${kind}-${lane}`, offset)
  }

  #number(cell: Cell): Uint8Array {
    const data = Buffer.alloc(cellBytes)
    data.writeUInt32LE(++cell.next)
    return data
  }

  #store(file: CachedFile): void {
    const cell = this.#cell('map')
    const number = cell.next + 1
    this.#cache.store(file, cell.offset, this.#number(cell), errno => {
      if (errno === 0) this.#unsyncedCells.set(cell, number)
      this.#done(`store ${number} at ${cell.offset}`)(errno)
    })
  }

  #write(file: CachedFile): void {
    const cell = this.#cell('write')
    const number = cell.next + 1
    this.#cache.write(file, cell.offset, this.#number(cell), errno => {
      // what was lost is told here, or by the next fsync
      if (errno !== 0) {
        this.#unsyncedCells.clear()
        return this.#done(`write ${number} at ${cell.offset}`)(errno)
      }
      this.#unsyncedCells.set(cell, number)
      this.#syncAll(file, failed => {
        this.#done(`write and sync ${number} at ${cell.offset}`)(failed)
      })
    })
  }

  /** A store by mapping, and msync(2). */
  #sync(file: CachedFile): void {
    const cell = this.#cell('map')
    const number = cell.next + 1
    this.#cache.store(file, cell.offset, this.#number(cell), errno => {
      if (errno !== 0) return this.#done(`store ${number} at ${cell.offset}`)(errno)
      this.#unsyncedCells.set(cell, number)
      this.#syncAll(file, failed => {
        this.#done(`store and sync ${number} at ${cell.offset}`)(failed)
      })
    })
  }

  /** Covers all that was stored before, or tells that something of it may be lost. */
  #syncAll(file: CachedFile, answer: (errno: number) => void): void {
    const covered = [...this.#unsyncedCells]
    this.#unsyncedCells.clear()
    this.#cache.sync(file, errno => {
      if (errno === 0) for (const [cell, number] of covered) this.#synced(cell, number)
      answer(errno)
    })
  }

  #synced(cell: Cell, number: number): void {
    if (number > cell.synced) {
      cell.synced = number
      cell.life = this.#run
    }
  }

  get #run(): string {
    return `${this.#member.slot}.${this.#life}`
  }

  // ---- tail ----

  #append(file: CachedFile): void {
    if (file.size > 5 * pageBytes) return this.#next()
    const bytes = Buffer.alloc(1 + this.#world.rng.below(200), 33 + this.#world.rng.below(90))
    const line = { bytes, isSynced: false }
    this.#files.lines.push(line)
    this.#cache.append(file, bytes, errno => {
      if (errno === 0) this.#unsynced.push(line)
      // what was lost is told here, or at the next fsync
      else this.#unsynced = []
      if (errno !== 0 || this.#world.rng.below(3) > 0) return this.#done(`append ${bytes.length} bytes`)(errno)
      const covered = this.#unsynced
      this.#unsynced = []
      this.#cache.sync(file, failed => {
        if (failed === 0) for (const each of covered) each.isSynced = true
        this.#done(`append ${bytes.length} bytes and sync`)(failed)
      })
    })
  }

  #follow(file: CachedFile): void {
    this.#readFrom(file, this.#read, (errno, got) => {
      if (got !== undefined) {
        this.#files.reads.push({ who: this.#name, from: this.#read, bytes: got })
        this.#read += got.length
      }
      this.#done(`follow to ${this.#read}`)(errno)
    })
  }

  /** What is behind an offset of the tail; undefined: nothing. */
  #readFrom(file: CachedFile, from: number, answer: (errno: number, got: Uint8Array | undefined) => void): void {
    this.#cache.fstat(file, (errno, shown) => {
      if (shown === undefined || shown.size <= from) return answer(errno, undefined)
      this.#cache.pread(file, from, shown.size - from, (failed, got) => {
        const zero = got?.indexOf(0) ?? -1
        check('pages', zero < 0, () => `${this.#name} reads a zero at ${from + zero}, which nobody wrote`)
        answer(failed, got)
      })
    })
  }

  /** A program that looks a name up, and then at the file, while the kernel is being told of a change. */
  #lookAgain(ino: number): void {
    const name = (['tail', 'stamp'] as const).find(each => this.#files.ino(each) === ino)
    const file = name && this.#open.get(name)
    if (this.#stopped || file === undefined || this.#isFirst) return
    this.#cache.lookup(rootInode, `pages-${name}`, () => {
      if (name === 'stamp') this.#compare(file, () => {})
      else this.#readFrom(file, this.#read, () => {})
    })
  }

  // ---- stamp ----

  #stamp(file: CachedFile): void {
    const files = this.#files
    const number = ++files.stamp
    const data = Buffer.alloc(cellBytes)
    data.writeUInt32LE(number)
    this.#cache.write(file, 0, data, errno => {
      if (errno === 0) files.stamped(this.#member, number)
      this.#done(`stamp ${number}`)(errno)
    })
  }

  #look(file: CachedFile): void {
    const done = this.#done('look')
    if (this.#world.rng.below(2) === 0) return this.#compare(file, done)
    this.#cache.lookup(rootInode, 'pages-stamp', () => this.#compare(file, done))
  }

  #compare(file: CachedFile, done: (errno: number) => void): void {
    this.#cache.fstat(file, (errno, shown) => {
      if (shown === undefined) return done(errno)
      this.#cache.pread(file, 0, cellBytes, (failed, got) => {
        // a member that starts alone knows little of what is committed, and may show the file before it was filled
        if (got?.length === cellBytes) {
          const number = Buffer.from(got).readUInt32LE()
          this.#files.looks.push({ who: this.#name, mtime: shown.mtime, number })
        }
        done(failed)
      })
    })
  }

  // ---- cut ----

  #cut(file: CachedFile): void {
    const files = this.#files
    const size = this.#world.rng.below(3) === 0 ? 0 : this.#world.rng.below(cutBytesMax)
    files.sizes.push(size)
    this.#cache.setattr(file, { size }, errno => {
      if (errno !== 0) return this.#done(`cut to ${size}`)(errno)
      this.#cache.sync(file, failed => {
        if (failed === 0) {
          files.sizes = [size]
          files.cutBy = this.#run
          files.checkSize(this.#member)
        }
        this.#done(`cut to ${size}`)(failed)
      })
    })
  }

  #storeIn(file: CachedFile): void {
    const offset = this.#world.rng.below(Math.max(1, Math.min(file.size, cutBytesMax) - 8))
    const within = offset - Math.max(0, (offset % pageBytes) + 8 - pageBytes)
    this.#cache.store(file, within, Buffer.from('STORED!!'), errno => {
      const done = (): void => this.#done(`store at ${within} of cut`)(errno === SIGBUS ? 0 : errno)
      if (this.#world.rng.below(2) === 0) this.#cache.writeBack(file, done)
      else done()
    })
  }
}
