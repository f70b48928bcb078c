import { randomFillSync } from 'node:crypto'
import { closeSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { MiB } from '../../base/limits.js'
import type { DiskPort } from '../../channel/disk-port.js'
import type { DiskSpace } from '../../channel/space-policy.js'
import { diskSpace } from './machine.js'

const stepBytes = MiB

/**
 * The disk of a folder, and in it the file `reserve`, whose blocks are given up when what must pass finds no room. It holds
 * random bytes, so that no file system keeps them in less space.
 */
export class DiskReserve implements DiskPort {
  readonly #folder: string
  readonly #path: string
  #bytes: number

  constructor(folder: string) {
    this.#folder = folder
    this.#path = join(folder, 'reserve')
    this.#bytes = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0
  }

  get reserveBytes(): number {
    return this.#bytes
  }

  space(): DiskSpace | undefined {
    try {
      return diskSpace(this.#folder)
    } catch {
      return undefined
    }
  }

  release(): boolean {
    if (this.#bytes === 0) return false
    try {
      rmSync(this.#path, { force: true })
    } catch {
      // a disk that fails: whoever needs the room finds none
      return false
    }
    this.#bytes = 0
    return true
  }

  restock(bytes: number, leastFree: number): void {
    if (this.#bytes === bytes) return
    try {
      if (this.#bytes > bytes) truncateSync(this.#path, bytes)
      else if (!this.#maybeGrow(Math.min(stepBytes, bytes - this.#bytes), leastFree)) return
      this.#bytes = statSync(this.#path).size
    } catch {
      // as if there were no room: whoever needs it finds less of it
      this.#bytes = sizeOf(this.#path)
    }
  }

  #maybeGrow(bytes: number, leastFree: number): boolean {
    const space = this.space()
    if (space === undefined || space.freeBytes - bytes < leastFree) return false
    const file = openSync(this.#path, 'a', 0o600)
    try {
      writeSync(file, randomFillSync(Buffer.allocUnsafeSlow(bytes)))
    } finally {
      closeSync(file)
    }
    return true
  }
}

/** 0 also where it cannot be told. */
function sizeOf(path: string): number {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size ?? 0
  } catch {
    return 0
  }
}
