import { chunkBytes } from '../base/limits.js'
import { blocksOf } from '../fs/inodes.js'
import { cutChunk, readPieces } from '../fs/extents.js'
import type { Extent, Inode } from '../fs/records.js'
import { chunkKey } from '../fs/store-port.js'
import type { View } from '../fs/view.js'
import type { Attributes } from './mount-port.js'

/** Space on this member's disk for what is written to a file without a name. Offsets are the file's. */
export interface Spill {
  write(offset: number, data: Uint8Array): void
  read(offset: number, length: number): Uint8Array
  close(): void
}

/** Stands in an extent for "the spill, at the file's own offset". */
const spilled = -(2 ** 52)

/**
 * A file that lost its last name while a program of this member has it open (unlink(2)): it stays readable and writable
 * here until the last close. Nobody else can see it, so what is written to it is never logged.
 */
export class OrphanFile {
  #inode: Inode
  readonly #ino: number
  readonly #chunks = new Map<string, Extent[]>()
  readonly #blob: (id: number) => Uint8Array
  readonly #openSpill: () => Spill
  #spill: Spill | undefined
  readonly #release: (blobs: readonly number[]) => void
  readonly #pinned: number[] = []
  /** Blobs of changes that were on their way: they leave memory when the order refuses them. */
  readonly #kept = new Map<number, Uint8Array>()

  /** Takes the content over from `view`, which still shows the file; `pin` keeps its blobs from being dropped. */
  constructor(
    ino: number,
    inode: Inode,
    view: View,
    ports: {
      blob: (id: number) => Uint8Array
      openSpill: () => Spill
      pin: (blobs: readonly number[]) => void
      release: (blobs: readonly number[]) => void
    },
  ) {
    this.#ino = ino
    this.#inode = { ...inode, nlink: 0 }
    this.#blob = ports.blob
    this.#openSpill = ports.openSpill
    this.#release = ports.release
    let after: string | undefined
    for (;;) {
      const found = view.scan('chunk', ino, after, 1024)
      for (const [key, chunk] of found) {
        this.#chunks.set(key, [...chunk])
        for (const { blob } of chunk) {
          if (blob >= 0) this.#pinned.push(blob)
          else if (!this.#kept.has(blob)) this.#kept.set(blob, this.#blob(blob))
        }
        after = key
      }
      if (found.length < 1024) break
    }
    ports.pin(this.#pinned)
  }

  /** Something was written to it that only this member has. */
  get written(): boolean {
    return this.#spill !== undefined
  }

  get inode(): Inode {
    return this.#inode
  }
  set inode(inode: Inode) {
    this.#inode = inode
  }

  read(offset: number, length: number): Uint8Array[] {
    const view = { get: (_table: string, _ino: number, key: string) => this.#chunks.get(key) } as unknown as View
    let at = offset
    return readPieces(view, this.#ino, offset, length).map(piece => {
      const from = at
      at += piece.length
      if (piece.blob === undefined) return new Uint8Array(piece.length)
      if (piece.blob === spilled) return this.#spill!.read(from, piece.length)
      const blob = this.#kept.get(piece.blob) ?? this.#blob(piece.blob)
      return blob.subarray(piece.offset, piece.offset + piece.length)
    })
  }

  write(offset: number, data: Uint8Array, time: bigint): void {
    this.#spill ??= this.#openSpill()
    this.#spill.write(offset, data)
    let at = offset
    const end = offset + data.length
    let growth = 0
    while (at < end) {
      const key = chunkKey(Math.floor(at / chunkBytes))
      const start = at % chunkBytes
      const length = Math.min(end - at, chunkBytes - start)
      const kept = cutChunk(this.#chunks.get(key) ?? [], start, start + length, cut => (growth -= cut.length))
      kept.push({ start, length, blob: spilled, offset: 0 })
      kept.sort((a, b) => a.start - b.start)
      this.#chunks.set(key, kept)
      growth += length
      at += length
    }
    const { size, allocated } = this.#inode
    this.#inode = {
      ...this.#inode,
      size: Math.max(size, end),
      allocated: allocated + growth,
      mtime: time,
      ctime: time,
    }
  }

  /** Cuts `[from, to)` out; what is read there is zeros. */
  clear(from: number, to: number): void {
    for (const [key, chunk] of this.#chunks) {
      const base = parseInt(key, 16) * chunkBytes
      if (base >= to || base + chunkBytes <= from) continue
      const kept = cutChunk(chunk, Math.max(0, from - base), Math.min(chunkBytes, to - base), cut => {
        this.#inode = { ...this.#inode, allocated: this.#inode.allocated - cut.length }
      })
      if (kept.length === 0) this.#chunks.delete(key)
      else this.#chunks.set(key, kept)
    }
  }

  close(): void {
    this.#spill?.close()
    this.#release(this.#pinned)
  }
}

/** stat(2) of an inode. */
export function attributesOf(ino: number, inode: Inode): Attributes {
  return {
    ino,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    size: inode.size,
    blocks: blocksOf(inode),
    atime: inode.atime,
    mtime: inode.mtime,
    ctime: inode.ctime,
  }
}
