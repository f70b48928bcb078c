import { closeSync, ftruncateSync, mkdirSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { requireDescriptors } from '../adapters/host/descriptors.js'
import { lacksSpace, RkfsError } from '../base/errors.js'
import type { Spill } from '../channel/orphan-file.js'
import { SpillBlocks, spillBlockBytes, type SpillRun } from './spill-blocks.js'

/** Blocks that are moved in one go, 64 KiB each, so that nobody waits for it. */
const movesMax = 16
const movesAgainMs = 10

let next = 1

/**
 * Where open files without a name are written: one file for all those of a channel, so that they cost one descriptor. It has
 * no name itself, so that it is gone with the process; it is there only as long as somebody needs it.
 */
export class SpillFile {
  readonly #folder: string
  readonly #blocks = new SpillBlocks()
  #file: number | undefined
  /** It is at most as long. */
  #bytes = 0
  #spills = 0
  #moving: NodeJS.Timeout | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Throws `too-many-files`. */
  open(): Spill {
    this.#file ??= openUnnamed(this.#folder)
    this.#spills++
    const owner = this.#blocks.newOwner()
    return {
      write: (offset, data) => this.#write(this.#blocks.toWrite(owner, offset, data.length), data),
      read: (offset, length) => this.#read(this.#blocks.toRead(owner, offset, length), length),
      close: () => {
        this.#blocks.release(owner)
        if (--this.#spills === 0) this.#end()
        else this.#tidy()
      },
    }
  }

  /** Nobody needs it. */
  #end(): void {
    clearTimeout(this.#moving)
    this.#moving = undefined
    closeSync(this.#file!)
    this.#file = undefined
    this.#bytes = 0
    this.#blocks.clear()
  }

  #write(runs: readonly SpillRun[], data: Uint8Array): void {
    this.#bytes = Math.max(this.#bytes, this.#blocks.bytes)
    try {
      for (const { at, place, length } of runs) {
        for (let done = 0; done < length;) {
          done += writeSync(this.#file!, data, at + done, length - done, place + done)
        }
      }
    } catch (cause) {
      if (!lacksSpace(cause)) throw cause
      throw new RkfsError('disk-full', 'the disk has no room for a file without a name', { cause })
    }
  }

  /** What was never written is zeros. */
  #read(runs: readonly SpillRun[], length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (const run of runs) {
      for (let done = 0; done < run.length;) {
        const count = readSync(this.#file!, bytes, run.at + done, run.length - done, run.place + done)
        if (count === 0) break
        done += count
      }
    }
    return bytes
  }

  /** Gives room back that files which are closed have left, a little at a time: what stands at the end takes their places. */
  #tidy(): void {
    this.#moving = undefined
    if (this.#file === undefined) return
    try {
      for (let moves = 0; moves < movesMax; moves++) {
        const move = this.#blocks.nextMove()
        if (move === undefined) break
        const bytes = this.#read([{ at: 0, place: move.from, length: spillBlockBytes }], spillBlockBytes)
        this.#write([{ at: 0, place: move.to, length: spillBlockBytes }], bytes)
        move.done()
      }
      const { bytes } = this.#blocks
      if (bytes < this.#bytes) ftruncateSync(this.#file, bytes)
      this.#bytes = bytes
    } catch (error) {
      // a full disk: it is tried again when the next file is closed
      if (error instanceof RkfsError && error.code === 'disk-full') return
      throw error
    }
    if (this.#blocks.isWasteful) this.#moving = setTimeout(() => this.#tidy(), movesAgainMs).unref()
  }
}

function openUnnamed(folder: string): number {
  requireDescriptors('a file without a name cannot be written')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, `spill-${process.pid}-${next++}`)
  const file = openSync(path, 'wx+', 0o600)
  unlinkSync(path)
  return file
}
