import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Rng } from '../../../src/base/rng.js'
import type { DiskEvent } from './disk-event.js'

/** A disk writes so much as a whole. */
const sectorBytes = 512
const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000

/** How much of what no sync covered a file keeps. */
const fates = ['nothing', 'all', 'beginning', 'some', 'torn'] as const
type Fate = (typeof fates)[number]

type ContentEvent = Extract<DiskEvent, { kind: 'write' | 'resize' }>
type NameEvent = Extract<DiskEvent, { kind: 'make' | 'link' | 'remove' | 'rename' }>

interface Inode {
  mode: number
  content: ContentEvent[]
  names: NameEvent[]
  /** The numbers of those events. */
  readonly at: number[]
  /** So many of them are on stable storage. */
  synced: number
}

export interface CutOptions {
  /** The disk lies: it answers a sync and does nothing. */
  readonly lying?: boolean
}

/**
 * What a disk holds when the power goes after the first `at` events of a record. A sync of a file covers its content and
 * size, one of a directory its names (POSIX); of the rest a random part is there: of a directory's changes any first ones, of
 * a file's writes none, all, the first ones, some, or single sectors of them, in any order.
 */
export class PowerCut {
  readonly #inodes = new Map<number, Inode>()
  readonly #rng: Rng

  constructor(record: readonly DiskEvent[], at: number, rng: Rng, { lying = false }: CutOptions = {}) {
    this.#rng = rng
    this.#inodes.set(1, { mode: S_IFDIR, content: [], names: [], at: [], synced: 0 })
    for (let i = 0; i < at; i++) this.#take(record[i]!, i, lying)
  }

  #take(event: DiskEvent, number: number, lying: boolean): void {
    switch (event.kind) {
      case 'make':
        this.#inodes.set(event.ino, { mode: event.mode, content: [], names: [], at: [], synced: 0 })
        this.#changed(event.parent, number).names.push(event)
        break
      case 'link':
      case 'remove':
        this.#changed(event.parent, number).names.push(event)
        break
      case 'rename':
        if (event.parent !== event.newParent) throw new Error('a rename between directories is not modelled')
        this.#changed(event.parent, number).names.push(event)
        break
      case 'write':
      case 'resize':
        this.#changed(event.ino, number).content.push(event)
        break
      case 'sync': {
        const inode = this.#inode(event.ino)
        while (!lying && inode.synced < inode.at.length && inode.at[inode.synced]! < event.through) inode.synced++
        break
      }
      case 'mark':
    }
  }

  #inode(ino: number): Inode {
    const inode = this.#inodes.get(ino)
    if (inode === undefined) throw new Error(`the record does not tell of inode ${ino}`)
    return inode
  }

  #changed(ino: number, number: number): Inode {
    const inode = this.#inode(ino)
    inode.at.push(number)
    return inode
  }

  /** Puts a folder of the disk, as it is found when the power is back, at `target`. False when it is not there. */
  restore(name: string, target: string): boolean {
    const ino = this.#names(this.#inode(1)).get(name)
    if (ino === undefined) return false
    this.#restore(ino, target)
    return true
  }

  #restore(ino: number, target: string): void {
    const inode = this.#inode(ino)
    switch (inode.mode & S_IFMT) {
      case S_IFDIR:
        mkdirSync(target, { mode: inode.mode & 0o7777 })
        for (const [name, child] of this.#names(inode)) {
          this.#restore(child, join(target, Buffer.from(name, 'latin1').toString()))
        }
        break
      case S_IFREG:
        writeFileSync(target, this.#content(inode), { mode: inode.mode & 0o7777 })
        break
      // a socket is nothing without its process
    }
  }

  #names({ names, synced }: Inode): Map<string, number> {
    const found = new Map<string, number>()
    for (const event of names.slice(0, synced + this.#rng.below(names.length - synced + 1))) {
      if (event.kind === 'make' || event.kind === 'link') found.set(event.name, event.ino)
      else if (event.kind === 'remove') found.delete(event.name)
      else {
        found.set(event.newName, found.get(event.name)!)
        found.delete(event.name)
      }
    }
    return found
  }

  #content({ content, synced }: Inode): Buffer {
    const file = new FileContent()
    for (const event of content.slice(0, synced)) file.apply(event)
    const rest = content.slice(synced)
    const fate = fates[this.#rng.below(fates.length)]!
    const beginning = this.#rng.below(rest.length + 1)
    rest.forEach((event, i) => this.#applyUnsynced(file, event, fate, i < beginning))
    return file.bytes
  }

  #applyUnsynced(file: FileContent, event: ContentEvent, fate: Fate, first: boolean): void {
    const coin = this.#rng.below(2) === 0
    const kept = fate === 'all' || (fate === 'beginning' ? first : fate !== 'nothing' && coin)
    if (event.kind === 'resize' || fate !== 'torn') {
      if (kept) file.apply(event)
      // the size is the inode's, the bytes are not there
      else if (fate === 'some' && event.kind === 'write' && this.#rng.below(2) === 0) {
        file.grow(event.offset + event.data.length)
      }
      return
    }
    const { offset, data } = event
    for (let at = 0; at < data.length;) {
      const end = Math.min(data.length, at + sectorBytes - ((offset + at) % sectorBytes))
      if (this.#rng.below(2) === 0) file.apply({ ...event, offset: offset + at, data: data.subarray(at, end) })
      at = end
    }
  }
}

class FileContent {
  #data = Buffer.alloc(0)
  #size = 0

  get bytes(): Buffer {
    return this.#data.subarray(0, this.#size)
  }

  apply(event: ContentEvent): void {
    if (event.kind === 'write') {
      this.grow(event.offset + event.data.length)
      this.#data.set(event.data, event.offset)
    } else if (event.size < this.#size) {
      this.#data.fill(0, event.size, this.#size)
      this.#size = event.size
    } else this.grow(event.size)
  }

  grow(size: number): void {
    if (size <= this.#size) return
    if (size > this.#data.length) {
      const data = Buffer.alloc(Math.max(size, this.#data.length * 2))
      data.set(this.bytes)
      this.#data = data
    }
    this.#size = size
  }
}

/** Where in a record to cut, from event `first` on: anywhere, or right after something was promised. */
export function drawCut(record: readonly DiskEvent[], first: number, rng: Rng): number {
  const at = first + 1 + rng.below(record.length - first)
  if (rng.below(2) === 0) return at
  const mark = record.findIndex((event, i) => i >= at && event.kind === 'mark')
  return mark < 0 ? at : mark + 1
}
