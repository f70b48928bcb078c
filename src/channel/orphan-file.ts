import { EFBIG } from '../base/errno.js'
import { fileSizeMax } from '../base/limits.js'
import { apply } from '../fs/apply.js'
import { putPieces } from '../fs/content.js'
import { pagesRecord } from '../fs/chunks.js'
import { readPieces } from '../fs/extents.js'
import { blocksOf, withoutPrivileges } from '../fs/inodes.js'
import type { Operation } from '../fs/operation.js'
import type { Chunk, Inode, Records } from '../fs/records.js'
import { SortedRecords } from '../fs/sorted-records.js'
import type { Table } from '../fs/store-port.js'
import type { View } from '../fs/view.js'
import { DamagedBlob } from './log-port.js'
import type { Attributes } from './mount-port.js'

/** Space on this member's disk for what is written to a file without a name. Offsets are the file's. */
export interface Spill {
  /** Throws `disk-full`. */
  write(offset: number, data: Uint8Array): void
  read(offset: number, length: number): Uint8Array
  close(): void
}

export interface OrphanPorts {
  readonly blob: (id: number) => Uint8Array
  /** Whether a blob's number is its for good: its entry cannot be cut from the log any more. */
  readonly isSettled: (id: number) => boolean
  /** Extents of a chunk that is one record. */
  readonly extentsMax: () => number
  /** Throws `too-many-files`. */
  readonly openSpill: () => Spill
  readonly pin: (blobs: readonly number[]) => void
  readonly release: (blobs: readonly number[]) => void
}

/** Stands in an extent for "the spill"; the extent's offset is the file's own. */
const spilled = -(2 ** 52)

/**
 * A file without a name that a program of this member has open: one that lost its last name (unlink(2)), or never had one
 * (O_TMPFILE). It is readable and writable here until the last close. Nobody else can see it, so what is done to it is
 * never logged. It is a view of one inode, so that the state machine's own operations work on it.
 */
export class OrphanFile implements View {
  readonly ino: number
  /** It never had a name, and may be given one. */
  readonly isNew: boolean
  /** Counts what was done to it, which only this member has. */
  changes = 0
  #inode: Inode
  readonly #chunks = new SortedRecords<Chunk>()
  readonly #xattrs = new SortedRecords<Uint8Array>()
  readonly #ports: OrphanPorts
  readonly #extentsMax: number
  #spill: Spill | undefined
  readonly #pinned: number[] = []
  /** Blobs whose numbers may come to mean others: changes on their way, and entries that are not committed. */
  readonly #kept = new Map<number, Uint8Array>()

  /** Takes the content over from `view`, which still shows the file (undefined: there is none), and pins its blobs. */
  constructor(ino: number, inode: Inode, view: View | undefined, ports: OrphanPorts) {
    this.ino = ino
    this.isNew = view === undefined
    this.#inode = { ...inode, nlink: 0 }
    this.#ports = ports
    this.#extentsMax = ports.extentsMax()
    if (view !== undefined) {
      each(view, 'chunk', ino, (key, chunk) => {
        this.#chunks.set(key, chunk)
        for (const { blob } of chunk) {
          if (ports.isSettled(blob)) this.#pinned.push(blob)
          else if (!this.#kept.has(blob)) this.#keep(blob)
        }
      })
      each(view, 'xattr', ino, (name, value) => this.#xattrs.set(name, value))
    }
    ports.pin(this.#pinned)
  }

  #keep(blob: number): void {
    try {
      this.#kept.set(blob, this.#ports.blob(blob))
    } catch (error) {
      // it is looked for again when it is read
      if (!(error instanceof DamagedBlob)) throw error
    }
  }

  get inode(): Inode {
    return this.#inode
  }

  // ---- the view ----

  #records(table: Table): SortedRecords<Records[Table]> | undefined {
    if (table === 'chunk') return this.#chunks as SortedRecords<Records[Table]>
    return table === 'xattr' ? (this.#xattrs as SortedRecords<Records[Table]>) : undefined
  }

  get<T extends Table>(table: T, ino: number, key: string): Records[T] | undefined {
    if (table === 'setting') return pagesRecord(key, this.#extentsMax) as Records[T] | undefined
    if (ino !== this.ino) return undefined
    const record = table === 'inode' ? this.#inode : this.#records(table)?.get(key)
    return record as Records[T] | undefined
  }

  set<T extends Table>(table: T, _ino: number, key: string, record: Records[T] | undefined): void {
    if (table === 'inode') this.#inode = record as Inode
    else if (record === undefined) this.#records(table)?.delete(key)
    else this.#records(table)?.set(key, record)
  }

  scan<T extends Table>(
    table: T,
    ino: number,
    after: string | undefined,
    limit: number,
    before?: string,
  ): [string, Records[T]][] {
    const found: [string, Records[T]][] = []
    for (const [key, record] of (ino === this.ino ? this.#records(table)?.after(after) : undefined) ?? []) {
      if (found.length >= limit || (before !== undefined && key >= before)) break
      found.push([key, record as Records[T]])
    }
    return found
  }

  refer(): void {
    // its blobs are pinned as long as it is there
  }

  // ---- what programs do to it ----

  /** A change of its attributes, its extended attributes or its allocation. Answers as `apply` does. */
  apply(operation: Operation, time: bigint): number {
    this.changes++
    return apply(this, operation, { time, number: 0 })
  }

  read(offset: number, length: number): Uint8Array[] {
    return readPieces(this, this.ino, offset, length).map(piece => {
      if (piece.blob === undefined) return new Uint8Array(piece.length)
      if (piece.blob === spilled) return this.#spill!.read(piece.offset, piece.length)
      const blob = this.#kept.get(piece.blob) ?? this.#ports.blob(piece.blob)
      return blob.subarray(piece.offset, piece.offset + piece.length)
    })
  }

  /** Answers 0 or an errno; throws `disk-full`, `too-many-files`. */
  write(offset: number, data: Uint8Array, killPrivileges: boolean, time: bigint): number {
    if (offset + data.length > fileSizeMax) return EFBIG
    this.changes++
    this.#spill ??= this.#ports.openSpill()
    this.#spill.write(offset, data)
    putPieces(this, this.ino, this.#inode, offset, [{ length: data.length, blob: spilled, offset }], {
      time,
      number: 0,
    })
    if (killPrivileges) this.#inode = { ...this.#inode, mode: withoutPrivileges(this.#inode.mode) }
    return 0
  }

  accessed(time: bigint): void {
    this.#inode = { ...this.#inode, atime: time }
  }

  close(): void {
    this.#spill?.close()
    this.#ports.release(this.#pinned)
  }
}

function each<T extends 'chunk' | 'xattr'>(
  view: View,
  table: T,
  ino: number,
  visit: (key: string, record: Records[T]) => void,
): void {
  let after: string | undefined
  for (;;) {
    const found = view.scan(table, ino, after, 1024)
    for (const [key, record] of found) visit((after = key), record)
    if (found.length < 1024) return
  }
}

/** stat(2) of an inode; `atime`: a newer time of reading that the inode does not have yet. */
export function attributesOf(ino: number, inode: Inode, atime?: bigint): Attributes {
  return {
    ino,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    size: inode.size,
    blocks: blocksOf(inode),
    atime: atime !== undefined && atime > inode.atime ? atime : inode.atime,
    mtime: inode.mtime,
    ctime: inode.ctime,
  }
}
